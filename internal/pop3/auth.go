package pop3

import (
	"bytes"
	"encoding/base64"

	"postrider/internal/fault"
	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/wire"
)

// MaxAuthLine is the longest line of AUTH and of its responses in octets, CRLF
// included: what RFC 5034 §4 and RFC 4954 §4 find sufficient.
const MaxAuthLine = sasl.MaxLine

// mechanisms returns the mechanisms that may be used now, the best first.
func (s *Session) mechanisms() []string { return s.people.Mechanisms(s.c) }

// auth begins an exchange (RFC 5034 §4). Alone it lists the mechanisms, as
// servers did before there was CAPA, and as some clients still ask.
func (s *Session) auth(a arguments) session.Step {
	s.user = ""
	if len(a.text) == 0 {
		b := []byte("+OK these are the mechanisms\r\n")
		for _, name := range s.mechanisms() {
			b = append(append(b, name...), "\r\n"...)
		}
		return s.read(session.Step{Reply: append(b, ".\r\n"...)})
	}
	name, initial, given := bytes.Cut(a.text, []byte(" "))
	response, ok := decodeInitial(bytes.TrimLeft(initial, " "), given)
	if !ok {
		return s.wrong(badBase64)
	}
	exchange, err := s.people.Begin(s.c, string(name))
	switch {
	case fault.Is(err, fault.NotFound):
		return s.wrong("that mechanism is not offered; AUTH alone lists those that are")
	case fault.Is(err, fault.Denied):
		return s.fail("", s.needTLS("that mechanism is not offered"))
	case err != nil:
		return s.refused(err)
	}
	s.exchange = exchange
	return s.respond(response)
}

const badBase64 = "that is not base64"

// decodeInitial reads an initial response: nil if there is none.
func decodeInitial(text []byte, given bool) (response []byte, ok bool) {
	if !given {
		return nil, true
	}
	response, ok = decodeResponse(text)
	return response, ok && len(text) > 0
}

// decodeResponse reads a response. The empty one is "=" as an initial response
// (RFC 5034 §4); curl writes it so later too.
func decodeResponse(text []byte) ([]byte, bool) {
	if string(text) == "=" {
		return []byte{}, true
	}
	return decodeBase64(text)
}

// decodeBase64 reads base64 with its padding and nothing else (RFC 4648 §3.3,
// §3.5). What it returns is not nil.
func decodeBase64(text []byte) ([]byte, bool) {
	if bytes.ContainsAny(text, "\r\n") { // the library skips them
		return nil, false
	}
	b, err := base64.StdEncoding.Strict().AppendDecode([]byte{}, text)
	return b, err == nil
}

// response takes a line for the exchange that is under way. One that is wrong
// ends the exchange, as "*" does (RFC 5034 §4).
func (s *Session) response(line wire.Line) session.Step {
	exchange := s.exchange
	s.exchange = nil
	if s.c.Listener.Teach {
		line.Bytes = bytes.Trim(line.Bytes, " ")
	}
	switch {
	case len(line.Bytes)+len("\r\n") > MaxAuthLine:
		return s.wrong(flawText(wire.TooLong))
	case line.Flaws&s.intolerable() != 0:
		return s.wrong(flawText(line.Flaws))
	case string(line.Bytes) == "*":
		return s.wrong("the login is cancelled")
	}
	response, ok := decodeResponse(line.Bytes)
	if !ok {
		return s.wrong(badBase64)
	}
	s.exchange = exchange
	return s.respond(response)
}

// respond gives the exchange a message, wipes it, and says how it goes on.
func (s *Session) respond(response []byte) session.Step {
	step, err := s.exchange.Respond(s.c.Context, response)
	clear(response)
	if err == nil && !step.Done {
		s.reply = base64.StdEncoding.AppendEncode(append(s.reply[:0], "+ "...), step.Challenge)
		return s.send()
	}
	s.exchange = nil
	if fault.Is(err, fault.Invalid) {
		return s.wrong(sasl.Reason(err))
	}
	return s.enter(step.Identity, err)
}
