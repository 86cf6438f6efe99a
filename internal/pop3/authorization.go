package pop3

import (
	"bytes"
	"crypto/rand"
	"strconv"
	"unicode/utf8"

	"postrider/internal/fault"
	"postrider/internal/sasl"
	"postrider/internal/session"
)

// maxUser is the longest login name, in octets: the longest address
// (RFC 5321 §4.5.3.1), 64 and 255 with an @ between.
const maxUser = 64 + 1 + 255

// stls begins TLS (RFC 2595 §4). The driver throws away what came behind it.
func (s *Session) stls(arguments) session.Step {
	step := s.ok("begin TLS negotiation")
	step.Next = session.StartTLS
	return step
}

// forget forgets what the client has said. What it has done wrong stays counted.
func (s *Session) forget() { s.user, s.exchange = "", nil }

// userCommand keeps the name. Its answer is the same for every name, whether it is
// an account's or not (RFC 1939 §13).
func (s *Session) userCommand(a arguments) session.Step {
	s.user = ""
	if flaw := nameFlaw(a.text); flaw != "" {
		return s.wrong(flaw)
	}
	s.user = string(a.text)
	return s.ok("and now PASS with the password")
}

// nameFlaw says what is wrong with a login name, whoever's it is.
func nameFlaw(name []byte) string {
	switch {
	case len(name) > maxUser:
		return "that name is too long"
	case !utf8.Valid(name): // RFC 6856 §2.2
		return "that name is not UTF-8"
	}
	return ""
}

// pass logs in. Whether it succeeds or not, the name is forgotten: another
// attempt begins with USER.
//
// Name and password may be UTF-8 (RFC 6856 §2.2). The Authenticator brings them
// into one form (RFC 8265), as it does with those of other mechanisms.
func (s *Session) pass(a arguments) session.Step {
	user := s.user
	s.user = ""
	switch {
	case user == "":
		return s.wrong("say who you are first, with USER")
	case !utf8.Valid(a.text):
		return s.wrong("that password is not UTF-8")
	}
	return s.enter(s.people.Password(s.c, user, string(a.text)))
}

// apop logs in with a digest of the greeting's timestamp and a secret that both
// ends know (RFC 1939 §7).
func (s *Session) apop(a arguments) session.Step {
	s.user = ""
	at := bytes.LastIndexByte(a.text, ' ')
	check := sasl.APOP(s.timestamp, string(a.text[at+1:]))
	if at < 0 || check == nil {
		return s.wrong("APOP takes a name, a space, and a digest: 32 hexadecimal digits in lower case")
	}
	name := bytes.TrimRight(a.text[:at], " ")
	if flaw := nameFlaw(name); flaw != "" {
		return s.wrong(flaw)
	}
	return s.enter(s.people.Digest(s.c, string(name), check))
}

// newTimestamp returns a timestamp that no other connection has had: a msg-id of
// RFC 822 (RFC 1939 §7).
func newTimestamp(c *session.Conn) string {
	return "<" + rand.Text() + "." + strconv.FormatInt(c.Now().Unix(), 10) + "@" + c.Listener.Hostname + ">"
}

// enter opens the maildrop of who has logged in, or answers the login's error.
func (s *Session) enter(id sasl.Identity, err error) session.Step {
	if err == nil && id.Account == 0 {
		err = fault.New(fault.Internal, "log in: nobody in particular", nil)
	}
	if err != nil {
		return s.refused(err)
	}
	return s.openMaildrop(id)
}

// openMaildrop opens a maildrop, and with it the TRANSACTION state.
func (s *Session) openMaildrop(who sasl.Identity) session.Step {
	drop, err := s.backend.Open(s.c.Context, s.c, who)
	if err != nil {
		return s.failFault(err)
	}
	s.drop = newMaildrop(drop, who, s.o.MaxMessages)
	s.logins = 0
	n, octets := s.drop.left()
	s.reply = appendTotal(append(s.reply[:0], "+OK "...), n, octets)
	return s.send()
}

// refused answers a login that did not succeed. After some the connection ends,
// so that guessing costs a connection each few times.
func (s *Session) refused(err error) session.Step {
	f := atLogin(err)
	switch fault.KindOf(err) {
	case fault.Denied, fault.Invalid, fault.Busy:
		s.logins++
	}
	if s.logins < s.o.MaxLogins {
		return s.fail(f.code, f.text)
	}
	step := s.end(f.code, f.text+"; too many attempts")
	step.Log = "closed after too many failed logins"
	return step
}

// refuseTLS says why there is no STLS.
func (s *Session) refuseTLS() string {
	switch {
	case s.c.TLS != nil:
		return "TLS is there already"
	case !s.c.Listener.StartTLS:
		return "STLS is not offered here"
	}
	return ""
}

// refusePassword says why there is no USER and no PASS. It says so at USER, so
// that the password is not sent at all (RFC 8314 §3, RFC 2595 §2.1).
func (s *Session) refusePassword() string {
	if s.people.PasswordOffered(s.c) {
		return ""
	}
	return s.needTLS("USER and PASS are not offered here")
}

// refuseAuth says why there is no AUTH.
func (s *Session) refuseAuth() string {
	if len(s.mechanisms()) > 0 {
		return ""
	}
	return s.needTLS("AUTH is not offered here")
}

// needTLS returns the answer to what may be possible under TLS: otherwise, if
// that is there already.
func (s *Session) needTLS(otherwise string) string {
	const text = "passwords are not taken without TLS here"
	switch {
	case s.c.TLS != nil:
		return otherwise
	case s.c.Listener.StartTLS:
		return "use STLS first: " + text
	}
	return text
}

// refuseDigest says why there is no APOP.
func (s *Session) refuseDigest() string {
	if s.timestamp == "" {
		return "APOP is not offered here"
	}
	return ""
}

// utf8 switches to UTF-8 mode. It changes nothing: messages are handed out octet
// by octet as they came, with the mode and without it. RFC 6856 §2.1 wants
// surrogates for clients that did not ask for it; they would break the promise
// that what came in goes out, and sizes and UIDLs with it.
func (s *Session) utf8(arguments) session.Step { return s.ok("UTF-8 it is") }

// utf8Values announces UTF-8 in the names and passwords of USER, PASS and APOP
// where there are these (RFC 6856 §2.2).
func (s *Session) utf8Values() []string {
	if s.refusePassword() == "" || s.refuseDigest() == "" {
		return []string{"USER"}
	}
	return nil
}
