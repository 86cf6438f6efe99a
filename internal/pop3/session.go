// Package pop3 is the server's side of the Post Office Protocol, version 3
// (RFC 1939), with the extensions of RFC 2449, TLS (RFC 2595), SASL (RFC 5034)
// and the UTF8 command of RFC 6856, as a session without sockets.
//
// Numbers and marks are the session's own. Messages are removed at one place
// only, in the execution of QUIT.
package pop3

import (
	"bytes"
	"time"

	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/wire"
)

// Options are what sessions of a listener have in common. Sessions read them
// and never change them; a zero field means its default.
type Options struct {
	// Implementation is what the CAPA reply calls the server, without spaces.
	// Default "postrider".
	Implementation string
	// IdleWait is how long a client may be silent. Default 10 minutes, the least
	// that RFC 1939 §3 allows.
	IdleWait time.Duration
	// MaxErrors is how many commands that are wrong a client may send before the
	// connection is closed. Default 25. A teach listener has no such limit.
	MaxErrors int
	// MaxLogins is how many logins may fail before the connection is closed.
	// Default 5.
	MaxLogins int
	// MaxMessages is how many messages a session numbers, and keeps 12 octets of
	// memory for; those beyond show up in a later session, when earlier ones are
	// gone. Default 4,194,304.
	MaxMessages int64
}

// withDefaults returns the options with no zero field.
func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Implementation == "" {
		d.Implementation = "postrider"
	}
	if d.IdleWait == 0 {
		d.IdleWait = 10 * time.Minute
	}
	if d.MaxErrors == 0 {
		d.MaxErrors = 25
	}
	if d.MaxLogins == 0 {
		d.MaxLogins = 5
	}
	if d.MaxMessages == 0 {
		d.MaxMessages = 4 << 20
	}
	return d
}

// Session is the server's side of one POP3 connection.
type Session struct {
	backend Backend
	people  sasl.Authenticator
	o       Options // without zero fields
	table   []command
	c       *session.Conn
	// reply is the buffer for single-line replies.
	reply []byte
	// timestamp is the greeting's, angle brackets included; empty: there is no APOP.
	timestamp string
	// user is what USER said, until PASS.
	user string
	// exchange is the AUTH that is under way, or nil.
	exchange sasl.Exchange
	// drop is the maildrop: nil in the AUTHORIZATION state, set in TRANSACTION.
	drop    *maildrop
	errors  int // wrong commands so far
	logins  int // failed logins so far
	closing bool
}

// New returns a session. It is used by one connection, once. Where people log in
// with AUTH, the listener must let lines of MaxAuthLine octets through.
func New(b Backend, a sasl.Authenticator, o *Options) session.Session {
	return &Session{backend: b, people: a, o: o.withDefaults(), table: commands[:]}
}

// Start greets. A timestamp in the greeting announces APOP (RFC 1939 §7).
func (s *Session) Start(c *session.Conn) session.Step {
	s.c = c
	text := " POP3 server ready"
	if c.Listener.Teach {
		text = " POP3 server ready; HELP lists the commands"
	}
	s.reply = append(append(append(s.reply[:0], "+OK "...), c.Listener.Hostname...), text...)
	if s.people.DigestOffered(c) {
		s.timestamp = newTimestamp(c)
		s.reply = append(append(s.reply, ' '), s.timestamp...)
	}
	return s.send()
}

// Line executes one command, or takes what an AUTH under way has asked for.
func (s *Session) Line(line wire.Line) session.Step {
	if s.exchange != nil {
		step := s.response(line)
		step.Secret = true
		return step
	}
	verb, rest, space := bytes.Cut(line.Bytes, []byte(" "))
	c := s.lookup(verb)
	if len(line.Bytes)+len("\r\n") > c.maxLine() {
		line.Flaws |= wire.TooLong
	}
	step := s.command(c, line, verb, rest, space)
	step.Secret = c != nil && c.Secret
	return step
}

// command executes the command c, nil if there is none of that name.
func (s *Session) command(c *command, line wire.Line, verb, rest []byte, space bool) session.Step {
	switch {
	case c == nil && isStranger(verb, rest):
		return s.end("", "this is POP3, and nothing else is spoken here")
	case line.Flaws&s.intolerable() != 0:
		return s.wrong(flawText(line.Flaws))
	case len(line.Bytes) == 0:
		return s.fail("", "that line is empty; HELP lists the commands")
	case hasControl(line.Bytes):
		return s.wrong("control characters have no place in a command")
	case c == nil:
		return s.wrong(unknownText(verb))
	case c.States&s.state() == 0:
		return s.wrong(s.stateText())
	}
	if refusal := c.refusalIn(s); refusal != "" {
		return s.fail("", refusal)
	}
	a, ok := c.shape.parse(rest, space)
	if !ok {
		return s.wrong("write it like this: " + c.Syntax + ", for instance " + c.Example)
	}
	return c.run(s, a)
}

// Data is never called: no command of POP3 asks for content.
func (s *Session) Data(int64, error) session.Step { return s.end("", "unexpected content") }

// Event closes the session. Nothing but QUIT enters the UPDATE state: whatever
// else ends a session removes no message (RFC 1939 §6).
func (s *Session) Event(e session.Event) session.Step {
	switch e {
	case session.Timeout:
		return s.end("", "nothing heard for too long; no message was deleted")
	case session.Shutdown:
		return s.end("SYS/TEMP", "the server is stopping; no message was deleted")
	case session.Shed:
		return s.end("SYS/TEMP", "the server has too many connections; no message was deleted")
	case session.Flood:
		return s.end("", "that line has no end")
	case session.TLSReady:
		s.forget()
	case session.Closed:
		s.release()
		return session.Step{Next: session.Close}
	}
	return s.read(session.Step{})
}

// release gives up the maildrop and tells the backend, once.
func (s *Session) release() {
	s.forget()
	d := s.drop
	if d == nil {
		return
	}
	s.drop = nil
	d.closeMessage()
	d.store.Close()
	s.backend.Done(s.c, d.who, d.summary)
}

// state returns the state as it stands in the command table.
func (s *Session) state() State {
	if s.drop == nil {
		return Authorization
	}
	return Transaction
}

// stateText says why a command does not fit the state.
func (s *Session) stateText() string {
	if s.drop == nil {
		return "log in first"
	}
	return "you are logged in already"
}

// intolerable returns the flaws that a line must not have here.
func (s *Session) intolerable() wire.Flaw {
	if s.c.Listener.Teach {
		return wire.TooLong
	}
	return wire.TooLong | wire.BareLF | wire.BareCR
}

// flawText names the flaw for people.
func flawText(f wire.Flaw) string {
	switch {
	case f&wire.TooLong != 0:
		return "that line is too long"
	case f&wire.BareLF != 0:
		return "a line ends in CR and LF; that one had a LF alone"
	}
	return "a line ends in CR and LF; that one had a CR alone"
}

// hasControl reports whether b has a control character of ASCII in it.
func hasControl(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return true
		}
	}
	return false
}
