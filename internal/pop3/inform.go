package pop3

import (
	"bytes"
	"strings"

	"postrider/internal/session"
)

// capa lists the capabilities (RFC 2449 §5): those that commands bring, and how
// the server behaves. They are the same in both states; under TLS they may be
// others than without (RFC 2595 §4).
func (s *Session) capa(arguments) session.Step {
	b := []byte("+OK capability list follows\r\n")
	for i := range s.table {
		c := &s.table[i]
		if c.Capability == "" || c.refusalIn(s) != "" {
			continue
		}
		b = append(b, c.Capability...)
		if c.values != nil {
			for _, v := range c.values(s) {
				b = append(append(b, ' '), v...)
			}
		}
		b = append(b, '\r', '\n')
	}
	b = append(b, "PIPELINING\r\n"+ // RFC 2449 §6.6
		"RESP-CODES\r\n"+ // RFC 2449 §6.4
		"AUTH-RESP-CODE\r\n"+ // RFC 3206 §5
		"EXPIRE NEVER\r\n"+ // RFC 2449 §6.7
		"IMPLEMENTATION "...) // RFC 2449 §6.9
	b = append(append(b, s.o.Implementation...), "\r\n.\r\n"...)
	return s.read(session.Step{Reply: b})
}

// help explains all commands that are offered, or one.
func (s *Session) help(a arguments) session.Step {
	if len(a.text) > 0 {
		return s.helpOn(a.text)
	}
	b := []byte("+OK these are the commands\r\n")
	for i := range s.table {
		c := &s.table[i]
		if c.States&s.state() == 0 || c.refusalIn(s) != "" {
			continue
		}
		const column = 20
		b = append(b, c.Syntax...)
		b = append(b, bytes.Repeat([]byte(" "), max(1, column-len(c.Syntax)))...)
		b = append(append(b, c.Help...), '\r', '\n')
	}
	if s.drop == nil {
		b = append(b, "There are more after the login.\r\n"...)
	}
	return s.read(session.Step{Reply: append(b, ".\r\n"...)})
}

// helpOn explains one command, also one that is not offered here.
func (s *Session) helpOn(verb []byte) session.Step {
	c := s.lookup(verb)
	if c == nil {
		return s.fail("", "no such command; HELP alone lists them")
	}
	b := append([]byte("+OK "), c.Syntax...)
	b = append(append(append(b, "\r\n"...), c.Help...), "\r\n"...)
	b = append(append(append(b, "For instance: "...), c.Example...), "\r\n"...)
	b = append(append(append(b, "State: "...), c.States.String()...), "\r\n"...)
	if c.Offered != "" {
		b = append(append(append(b, "Offered: "...), c.Offered...), "\r\n"...)
	}
	rfc := strings.ReplaceAll(c.RFC, "§", "section ") // replies are ASCII
	b = append(append(append(b, "See: "...), rfc...), "\r\n.\r\n"...)
	return s.read(session.Step{Reply: b})
}

// strangers are words of HTTP. They come from programs that go on sending, or
// that were made to by somebody else's page: the connection ends before the
// next line can mean anything.
var strangers = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS", "CONNECT", "TRACE"}

// isStranger recognizes clients that speak HTTP or begin with TLS.
func isStranger(verb, rest []byte) bool {
	if len(verb) > 1 && verb[0] == 0x16 && verb[1] == 3 { // a ClientHello, RFC 8446 §5.1
		return true
	}
	for _, w := range strangers {
		if equalFold(verb, w) {
			return true
		}
	}
	return bytes.Contains(rest, []byte(" HTTP/"))
}

// neighbours are the first words of SMTP, for people who took the wrong port.
var neighbours = [...]string{"HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA"}

// unknownText answers a word that is no command.
func unknownText(verb []byte) string {
	for _, w := range neighbours {
		if equalFold(verb, w) {
			return "that is SMTP, and this is POP3; HELP lists the commands"
		}
	}
	return "no such command; HELP lists them"
}
