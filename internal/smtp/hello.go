package smtp

import (
	"bytes"
	"strings"

	"postrider/internal/mail"
	"postrider/internal/session"
)

// ehlo answers EHLO with the extensions.
func (s *server) ehlo(arg []byte) session.Step { return s.hello(arg, true) }

// helo answers HELO.
func (s *server) helo(arg []byte) session.Step { return s.hello(arg, false) }

// hello takes the client's name for itself and ends any transaction (RFC 5321
// §4.1.4). A name that is refused changes nothing.
func (s *server) hello(arg []byte, extended bool) session.Step {
	name, ok := helloName(arg)
	if !ok {
		return s.wrong(&replyBadHello.Reply)
	}
	s.drop()
	s.client.Helo, s.client.Extended = name, extended
	text := s.client.Hostname
	if extended {
		text += s.extensions()
	}
	return s.say(&Reply{Code: 250, Text: text})
}

// helloName returns the name in the argument of EHLO or HELO.
//
// The name is for the trace field and the log and decides nothing (RFC 5321
// §4.1.4), and many honest clients give a malformed one: hence the first word is
// taken if it is a domain or literal, or consists of what those consist of.
// Anything else could break the Received field, and is refused.
func helloName(arg []byte) (string, bool) {
	word, _, _ := bytes.Cut(arg, []byte{' '})
	name := string(word)
	if name == "" || len(name) > MaxHello {
		return "", false
	}
	if _, err := mail.ParseDomain(name); err == nil {
		return name, true
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; !isAlphanumeric(c) && strings.IndexByte("-_.:[]", c) < 0 {
			return "", false
		}
	}
	return name, true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
