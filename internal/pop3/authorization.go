package pop3

import (
	"unicode/utf8"

	"postrider/internal/fault"
	"postrider/internal/session"
)

// maxUser is the longest login name, in octets: the longest address
// (RFC 5321 §4.5.3.1), 64 and 255 with an @ between.
const maxUser = 64 + 1 + 255

// userCommand keeps the name. Its answer is the same for every name, whether it is
// an account's or not (RFC 1939 §13).
func (s *Session) userCommand(a arguments) session.Step {
	s.user = ""
	switch {
	case len(a.text) > maxUser:
		return s.wrong("that name is too long")
	case !utf8.Valid(a.text): // RFC 6856 §2.2
		return s.wrong("that name is not UTF-8")
	}
	s.user = string(a.text)
	return s.ok("and now PASS with the password")
}

// pass logs in. Whether it succeeds or not, the name is forgotten: another
// attempt begins with USER.
//
// Names and passwords may be UTF-8, compared as they come: SASLprep is not
// applied (RFC 6856 §2.2 asks for it as a SHOULD), since passwords are kept as
// hashes of the octets that were set.
func (s *Session) pass(a arguments) session.Step {
	user := s.user
	s.user = ""
	switch {
	case user == "":
		return s.wrong("say who you are first, with USER")
	case !utf8.Valid(a.text):
		return s.wrong("that password is not UTF-8")
	}
	account, err := s.backend.Login(s.c.Context, s.c, user, string(a.text))
	if fault.Is(err, fault.Denied) {
		return s.denied(err)
	}
	if err != nil {
		return s.failFault(err)
	}
	drop, err := s.backend.Open(s.c.Context, s.c, account)
	if err != nil {
		return s.failFault(err)
	}
	s.drop = newMaildrop(drop, account, s.o.MaxMessages)
	s.logins = 0
	n, octets := s.drop.left()
	s.reply = appendTotal(append(s.reply[:0], "+OK "...), n, octets)
	return s.send()
}

// denied answers a login that did not succeed. After some the connection ends,
// so that guessing costs a connection each few times.
func (s *Session) denied(err error) session.Step {
	s.logins++
	if s.logins < s.o.MaxLogins {
		return s.failFault(err)
	}
	f := faults[fault.Denied]
	step := s.end(f.code, f.text+"; too many attempts")
	step.Log = "closed after too many failed logins"
	return step
}

// utf8 switches to UTF-8 mode. It changes nothing: messages are handed out octet
// by octet as they came, with the mode and without it. RFC 6856 §2.1 wants
// surrogates for clients that did not ask for it; they would break the promise
// that what came in goes out, and sizes and UIDLs with it.
func (s *Session) utf8(arguments) session.Step { return s.ok("UTF-8 it is") }
