package smtp

import (
	"bytes"

	"postrider/internal/session"
)

// fixed answers with a fixed reply; a command comes next.
func (s *server) fixed(f *fixed) session.Step {
	return session.Step{Reply: f.octets, Wait: s.opts.CommandTimeout}
}

// say answers with a reply; a command comes next, but after 421 (RFC 5321 §4.2.2).
func (s *server) say(r *Reply) session.Step {
	s.buf = r.Append(s.buf[:0])
	step := session.Step{Reply: s.buf, Wait: s.opts.CommandTimeout}
	if r.Code == 421 {
		s.drop()
		step.Next, step.Log = session.Close, "refused by the backend"
	}
	return step
}

// fail answers with what an error means to the peer.
func (s *server) fail(err error, at stage) session.Step {
	r, log := refusal(err, at)
	step := s.say(r)
	if log != "" {
		step.Log = log
	}
	return step
}

// wrong answers a wrong command, or says the last word if it was one too many.
func (s *server) wrong(r *Reply) session.Step {
	if s.countError() {
		return s.bye(replyTooManyErrors, "too many errors")
	}
	return s.say(r)
}

// bye says the last word.
func (s *server) bye(f *fixed, log string) session.Step {
	s.drop()
	return session.Step{Reply: f.octets, Next: session.Close, Log: log}
}

// countError counts a wrong command and reports whether there were too many.
func (s *server) countError() bool {
	s.errors++
	limit := s.opts.MaxErrors
	if s.teach() {
		limit *= TeachPatience
	}
	return limit >= 0 && s.errors >= limit
}

// countJunk counts a command that does no work and reports whether there were
// too many. Hands may play as long as they like.
func (s *server) countJunk() bool {
	if s.teach() {
		return false
	}
	s.junk++
	return s.junk > s.opts.MaxJunk && s.countError()
}

// notKnown answers a whole line whose first word is no command.
func (s *server) notKnown(verb, line []byte) session.Step {
	switch {
	case isOneOf(verb, httpFields), isOneOf(verb, httpVerbs) && !s.teach():
		// A browser that was made to post here might send commands next.
		return s.bye(replyHTTP, "spoke HTTP")
	case isOneOf(verb, httpVerbs): // a hand, which gets a hint; a browser has more to say
		return s.wrong(&replyHTTPHint.Reply)
	case isHeader(line) && s.teach():
		return s.wrong(&replyHeaderHint.Reply)
	case s.teach():
		if name := s.nearest(verb); name != "" {
			return s.wrong(&Reply{
				Code: 500, Enhanced: "5.2",
				Text: "Command not recognized; did you mean " + name + "? HELP lists the commands",
			})
		}
	}
	return s.wrong(&replyUnknown.Reply)
}

// What web clients send: no SMTP command is among the verbs, and every browser
// sends one of the fields before anything that a page can choose.
var (
	httpVerbs = [][]byte{
		[]byte("GET"), []byte("HEAD"), []byte("POST"), []byte("PUT"), []byte("DELETE"), []byte("CONNECT"),
		[]byte("OPTIONS"), []byte("TRACE"), []byte("PATCH"), []byte("PRI"),
	}
	httpFields = [][]byte{[]byte("Host:"), []byte("User-Agent:")}
)

func isOneOf(verb []byte, words [][]byte) bool {
	for _, w := range words {
		if bytes.EqualFold(verb, w) {
			return true
		}
	}
	return false
}

// isHeader reports whether a line looks like a field of a message's header: a
// name, a colon (RFC 5322 §2.2).
func isHeader(line []byte) bool {
	name, _, found := bytes.Cut(line, []byte{':'})
	return found && len(name) > 1 && bytes.IndexByte(name, ' ') < 0
}
