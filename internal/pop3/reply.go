package pop3

import (
	"strconv"

	"postrider/internal/fault"
	"postrider/internal/session"
)

// ok answers "+OK text".
func (s *Session) ok(text string) session.Step {
	s.reply = append(append(s.reply[:0], "+OK "...), text...)
	return s.send()
}

// okNumbers answers "+OK a b", the form of STAT and of a scan listing.
func (s *Session) okNumbers(a, b int64) session.Step {
	s.reply = strconv.AppendInt(append(s.reply[:0], "+OK "...), a, 10)
	s.reply = strconv.AppendInt(append(s.reply, ' '), b, 10)
	return s.send()
}

// fail answers "-ERR [code] text"; an empty code has no brackets (RFC 2449 §8).
func (s *Session) fail(code, text string) session.Step {
	s.reply = append(s.reply[:0], "-ERR "...)
	if code != "" {
		s.reply = append(append(append(s.reply, '['), code...), "] "...)
	}
	s.reply = append(s.reply, text...)
	return s.send()
}

// failFault is fail for an error of the backend, whose text is for the log.
func (s *Session) failFault(err error) session.Step {
	f := faults[fault.KindOf(err)]
	if s.drop != nil {
		s.drop.failed(err)
		f = inTransaction(err)
	}
	return s.fail(f.code, f.text)
}

// wrong is fail for a command that is wrong. Too many of them end the
// connection, but not on a teach listener.
func (s *Session) wrong(text string) session.Step {
	s.errors++
	if s.errors < s.o.MaxErrors || s.c.Listener.Teach {
		return s.fail("", text)
	}
	step := s.end("", text+"; too many errors")
	step.Log = "closed after too many wrong commands"
	return step
}

// end is fail for a connection that ends. The maildrop is released.
func (s *Session) end(code, text string) session.Step {
	s.release()
	s.closing = true
	return s.fail(code, text)
}

// send ends the line in s.reply and asks for the next one.
func (s *Session) send() session.Step {
	s.reply = append(s.reply, '\r', '\n')
	return s.read(session.Step{Reply: s.reply})
}

// read completes a step with what to read next. Whatever is sent before the
// login may be a password, also in the wrong place: no transcript keeps it.
func (s *Session) read(step session.Step) session.Step {
	step.Wait = s.o.IdleWait
	switch {
	case s.closing:
		step.Next = session.Close
	case s.drop == nil:
		step.Next = session.SecretLine
	default:
		step.Next = session.Line
	}
	return step
}

// failure is what a client is told: a response code and words.
type failure struct{ code, text string }

// atLogin is the failure for an error of the Authenticator. Busy is a lock-out
// there. A name or password that can't be one is told from a wrong one by nobody.
func atLogin(err error) failure {
	switch kind := fault.KindOf(err); kind {
	case fault.Busy:
		return failure{"SYS/TEMP", "too many failed logins from your address; try again later"}
	case fault.Invalid:
		return faults[fault.Denied]
	default:
		return faults[kind]
	}
}

// inTransaction is the failure for an error after the login. AUTH and IN-USE
// are for the login only (RFC 2449 §8.1.2, RFC 3206 §4).
func inTransaction(err error) failure {
	switch kind := fault.KindOf(err); kind {
	case fault.Denied:
		return failure{"SYS/TEMP", "this session's lock on the maildrop has ended; log in again"}
	case fault.Busy:
		return faults[fault.Transient]
	default:
		return faults[kind]
	}
}

// faults is what a client is told about a failure, by its kind. The codes are
// those of RFC 2449 §8.1 and RFC 3206 §3, §4.
var faults = [...]failure{
	fault.Internal:  {"SYS/TEMP", "something failed here; try again later"},
	fault.NotFound:  {"SYS/PERM", "it is not there any more"},
	fault.Exists:    {"SYS/PERM", "it is there already"},
	fault.Denied:    {"AUTH", "the name or the password is wrong"},
	fault.OverQuota: {"SYS/TEMP", "the account is over its quota"},
	fault.TooLarge:  {"SYS/PERM", "it is too large"},
	fault.Busy:      {"IN-USE", "another session has the maildrop open"},
	fault.Transient: {"SYS/TEMP", "this can't be done now; try again later"},
	fault.NoSpace:   {"SYS/TEMP", "the disk is full; try again later"},
	fault.ReadOnly:  {"SYS/TEMP", "the store takes no changes now; try again later"},
	fault.Invalid:   {"SYS/PERM", "the server does not accept that"},
	fault.Corrupt:   {"SYS/PERM", "it is damaged; tell the postmaster"},
}
