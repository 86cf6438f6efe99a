package smtp

import (
	"bytes"
	"encoding/base64"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/wire"
)

// maxMechanism is the longest name of a mechanism, in octets (RFC 4422 §3.1).
const maxMechanism = 20

// hasLogin reports whether people can log in.
func (s *server) hasLogin() bool { return s.role.login && s.logins != nil }

// mechanisms returns the mechanisms that may be used now, none after a login
// (RFC 4954 §4: one a session).
func (s *server) mechanisms() []string {
	if !s.hasLogin() || s.loggedIn {
		return nil
	}
	return s.logins.Mechanisms(s.conn)
}

// auth begins a login (RFC 4954 §4).
func (s *server) auth(arg []byte) session.Step {
	if s.loggedIn {
		return s.wrong(&replyLoggedIn.Reply)
	}
	word, initial, given := bytes.Cut(arg, []byte{' '})
	name := strings.ToUpper(string(word))
	if !isMechanism(name) {
		return s.wrong(&replyMechanism.Reply)
	}
	exchange, err := s.logins.Begin(s.conn, name)
	if err != nil {
		return s.noLogin(err, beginReplies)
	}
	s.exchange = exchange
	if !given {
		return s.respond(nil)
	}
	response, ok := decodeInitial(bytes.TrimLeft(initial, " "))
	if !ok {
		return s.endLogin(replyBadBase64)
	}
	return s.respond(response)
}

// isMechanism reports whether a name could be a mechanism's (RFC 4422 §3.1).
func isMechanism(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; !isAlphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= maxMechanism
}

// decodeInitial decodes an initial response, which is not left empty: then there
// is none.
func decodeInitial(text []byte) (response []byte, ok bool) {
	response, ok = decodeResponse(text)
	return response, ok && len(text) > 0
}

// decodeResponse decodes a response. The empty one is "=" as an initial response
// (RFC 4954 §4); curl writes it so later too.
func decodeResponse(text []byte) (response []byte, ok bool) {
	if string(text) == "=" {
		return []byte{}, true
	}
	return decodeBase64(text)
}

// decodeBase64 decodes base64 as RFC 4954 §4 wants it: nothing beside the
// alphabet, padded, and no stray bits (RFC 4648 §3.5).
func decodeBase64(text []byte) (octets []byte, ok bool) {
	if bytes.ContainsAny(text, "\r\n") {
		return nil, false // the decoder would pass over them
	}
	octets = make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(octets, text)
	if err != nil {
		clear(octets)
		return nil, false
	}
	return octets[:n], true
}

// response takes the client's answer to a challenge.
func (s *server) response(l wire.Line) session.Step {
	line := l.Bytes
	if s.teach() {
		line = bytes.Trim(line, " \t")
		l.Flaws &^= wire.BareCR | wire.BareLF
	}
	switch {
	case l.Flaws&wire.TooLong != 0, len(line)+len("\r\n") > MaxAuthLine:
		return s.endLogin(replyAuthTooLong)
	case l.Flaws&wire.BareCR != 0:
		return s.endLogin(replyBareCR)
	case l.Flaws&wire.BareLF != 0:
		return s.endLogin(replyBareLF)
	case string(line) == "*":
		return s.endLogin(replyCancelled)
	}
	response, ok := decodeResponse(line)
	if !ok {
		return s.endLogin(replyBadBase64)
	}
	return s.respond(response)
}

// respond gives the exchange the client's message, wipes it, and says how the
// exchange goes on.
func (s *server) respond(response []byte) session.Step {
	step, err := s.exchange.Respond(s.conn.Context, response)
	clear(response)
	switch {
	case err != nil:
		s.exchange = nil
		return s.noLogin(err, loginReplies)
	case !step.Done:
		return s.challenge(step.Challenge)
	case step.Identity.Account == 0:
		s.exchange = nil
		reply := s.fixed(replyLoginLater)
		reply.Log = "the login is nobody's in particular"
		return reply
	}
	s.exchange, s.loggedIn = nil, true
	s.client.setIdentity(step.Identity)
	return s.fixed(replyLogin)
}

// challenge sends a challenge, which the next line answers (RFC 4954 §4).
func (s *server) challenge(octets []byte) session.Step {
	b := append(s.buf[:0], "334 "...)
	b = base64.StdEncoding.AppendEncode(b, octets)
	s.buf = append(b, '\r', '\n')
	return session.Step{Reply: s.buf, Next: session.SecretLine, Wait: s.opts.CommandTimeout}
}

// endLogin ends an exchange that its client has not brought to an end.
func (s *server) endLogin(r *fixed) session.Step {
	s.exchange = nil
	return s.wrong(&r.Reply)
}

// noLogin answers an error of the authenticator. Of those that are the client's
// fault all count as wrong commands, and a name that is not proven as a failed
// login too.
func (s *server) noLogin(err error, replies map[fault.Kind]*fixed) session.Step {
	kind := fault.KindOf(err)
	r, known := replies[kind]
	switch {
	case !known: // what happened is in the authenticator's log
		return s.fixed(replyLoginLater)
	case kind == fault.Invalid:
		why := r.Reply
		why.Text += ": " + sasl.Reason(err)
		return s.wrong(&why)
	case r == replyDenied:
		s.failedLogins++
		if s.opts.MaxLogins > 0 && s.failedLogins >= s.opts.MaxLogins {
			return s.bye(replyTooManyLogins, "too many failed logins")
		}
	}
	return s.wrong(&r.Reply)
}

// setIdentity says who the client has proven to be; the zero Identity is nobody.
func (c *Client) setIdentity(id sasl.Identity) {
	c.Account, c.Login, c.Mechanism, c.AppPassword = id.Account, id.Address, id.Mechanism, id.AppPassword
}

// authorized reports whether the client may give a command as far as a login is
// concerned. A transaction is only open where it may.
func (s *server) authorized(c *Command) bool {
	switch {
	case s.loggedIn:
		return true
	case c.Flags&Proven != 0:
		return false
	case c.Flags&Login == 0 || !s.role.needLogin || s.tx != nil:
		return true
	}
	return c.Flags&Trusted != 0 && s.recognize()
}

// recognize looks whether the client's address is trusted since a recent login
// by POP3. What it says is good for one transaction.
func (s *server) recognize() bool {
	if s.logins == nil {
		return false
	}
	id, ok := s.logins.Recognize(s.conn)
	if !ok || id.Account == 0 {
		return false
	}
	s.client.setIdentity(id)
	return true
}

// needLogin returns the reply to a command that needs a login (RFC 4954 §6);
// where only TLS makes one possible, that of RFC 3207 §4.
func (s *server) needLogin() *Reply {
	if s.conn.TLS == nil && s.hasTLS() && len(s.mechanisms()) == 0 {
		return &replyNeedTLS.Reply
	}
	return &replyNeedLogin.Reply
}
