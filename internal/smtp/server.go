package smtp

import (
	"bytes"
	"unicode/utf8"

	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/wire"
)

// New returns the server's side of one SMTP connection (RFC 5321). What its
// listener is for, it learns from session.Listener.Role. A is asked where people
// log in; without it, nil, nobody can. O may be nil.
//
// A listener where people log in must let lines of MaxAuthLine octets through.
func New(b Backend, a sasl.Authenticator, o *Options) session.Session {
	return &server{backend: b, logins: a, opts: o.withDefaults(), table: serverCommands}
}

// server is the server's side of a connection. Its state is derived: see state.
type server struct {
	backend Backend
	logins  sasl.Authenticator // nil: there are none
	opts    Options
	table   *commandTable
	role    *role
	conn    *session.Conn
	// client has an identity after a login, and in the transaction of an address
	// that is trusted without one.
	client   Client
	loggedIn bool
	// exchange is the login that is under way, nil if none is: the next line is
	// its.
	exchange sasl.Exchange
	// secrets: AUTH was given, so that a line which is no command may be what its
	// client took for an answer to a challenge.
	secrets bool
	// tx is all that is known of the transaction that is open, nil if none is.
	tx *transaction
	// reading says what a call of Data is about, and chunk which chunk it is.
	reading reading
	chunk   chunk

	errors       int // wrong commands
	junk         int // commands without work since the last message
	transactions int // begun
	failedLogins int // wrong passwords and the like
	unknown      int // recipients that nobody has
	buf          []byte
}

// reading is what the octets are that the driver reads.
type reading uint8

const (
	readLines   reading = iota
	readMessage         // the message after DATA
	readChunk           // a chunk after BDAT
	readRefused         // a chunk that is read only to be dropped
)

// Start greets (RFC 5321 §4.3.1).
func (s *server) Start(c *session.Conn) session.Step {
	s.conn = c
	s.role = roleOf(c.Listener.Role)
	s.client = Client{
		ConnID: c.ID, Listener: c.Listener.Name, Role: s.role.name,
		Hostname: c.Listener.Hostname, Remote: c.Remote, TLS: describeTLS(c.TLS),
	}
	text := c.Listener.Hostname + " ESMTP " + s.opts.Product
	if s.teach() {
		text += "; HELP lists the commands"
	}
	return s.say(&Reply{Code: 220, Text: text})
}

func (s *server) teach() bool { return s.conn.Listener.Teach }

// state returns the one state that the session is in.
func (s *server) state() State {
	switch tx := s.tx; {
	case tx == nil && s.client.Helo == "":
		return StateFresh
	case tx == nil:
		return StateReady
	case tx.failed:
		return StateFailed
	case tx.chunked:
		return StateChunks
	case len(tx.Envelope.Recipients) > 0:
		return StateRecipients
	}
	return StateSender
}

// Line takes a command, or what a login asks for.
func (s *server) Line(l wire.Line) session.Step {
	if s.exchange != nil {
		return s.response(l)
	}
	line := bytes.TrimRight(l.Bytes, " \t")
	if s.teach() {
		line = bytes.TrimLeft(line, " \t")
	}
	verb, arg, _ := bytes.Cut(line, []byte{' '})
	c := s.table.find(verb)
	if len(l.Bytes)+len("\r\n") > s.maxLine(c) {
		l.Flaws |= wire.TooLong
	}
	if c == nil {
		step := s.noCommand(l.Flaws, verb, line)
		step.Secret = s.secrets
		return step
	}
	step := s.command(c, l.Flaws, line, bytes.TrimLeft(arg, " "))
	step.Secret = c.Flags&Secret != 0
	s.secrets = s.secrets || step.Secret
	return step
}

// command answers a command. Everything that the table says is enforced here,
// once.
func (s *server) command(c *Command, flaws wire.Flaw, line, arg []byte) session.Step {
	if bad := s.badLine(flaws, line, c); bad != nil {
		if c.Flags&Octets != 0 {
			return s.outOfStep(&bad.Reply)
		}
		return s.wrong(&bad.Reply)
	}
	switch {
	case !s.offers(c):
		return s.wrong(&Reply{Code: 502, Enhanced: "5.1", Text: c.Instead})
	case !s.authorized(c):
		return s.refuse(c, arg, s.needLogin())
	case s.state()&s.where(c) == 0:
		return s.refuse(c, arg, &s.outOfOrder(c).Reply)
	case c.Flags&Extended != 0 && !s.client.Extended:
		return s.refuse(c, arg, &replyNeedEHLO.Reply)
	}
	arg, bad := s.shaped(c, arg)
	switch {
	case bad != nil:
		return s.refuse(c, arg, bad)
	case c.Flags&Junk != 0 && s.countJunk():
		return s.bye(replyTooManyErrors, "too many commands without work")
	case c.Flags&Dots != 0 && flaws&(wire.BareLF|wire.BareCR) != 0:
		return s.wrong(&replyNoCRLF.Reply)
	}
	return c.run(s, arg)
}

// noCommand answers a line whose first word is no command.
func (s *server) noCommand(flaws wire.Flaw, verb, line []byte) session.Step {
	if bad := s.badLine(flaws, line, nil); bad != nil {
		return s.wrong(&bad.Reply)
	}
	return s.notKnown(verb, line)
}

// maxLine returns how long a command's line may be, in octets with the CRLF. The
// driver lets longer ones through where people log in.
func (s *server) maxLine(c *Command) int {
	if c != nil && c.Flags&Secret != 0 && s.offers(c) {
		return MaxAuthLine
	}
	return wire.MaxLine
}

// where returns the states in which a command may be given here.
func (s *server) where(c *Command) State {
	if c.Flags&NoHello != 0 && s.teach() {
		return c.Where | StateFresh
	}
	return c.Where
}

// badLine returns what is wrong with a line whatever command it is, or nil. C is
// nil when the command is not known.
func (s *server) badLine(flaws wire.Flaw, line []byte, c *Command) *fixed {
	switch {
	case flaws&wire.TooLong != 0 && s.maxLine(c) == MaxAuthLine:
		return replyAuthTooLong
	case flaws&wire.TooLong != 0:
		return replyTooLong
	case flaws&wire.BareCR != 0 && !s.teach():
		return replyBareCR
	case flaws&wire.BareLF != 0 && !s.teach():
		return replyBareLF
	case len(line) == 0:
		return replyEmpty
	}
	control, foreign := scan(line)
	switch {
	case control:
		return replyControl
	case foreign && (c == nil || c.Flags&UTF8 == 0):
		return replyNotASCII
	case foreign && !utf8.Valid(line):
		return replyNotUTF8
	}
	return nil
}

// scan reports whether a line has controls, and octets beyond ASCII.
func scan(line []byte) (control, foreign bool) {
	for _, c := range line {
		control = control || c < ' ' || c == 0x7f
		foreign = foreign || c >= 0x80
	}
	return control, foreign
}

// shaped returns a command's argument, without the keyword before a path, or
// the reply to an argument that has not the shape that the table asks for.
func (s *server) shaped(c *Command, arg []byte) ([]byte, *Reply) {
	switch c.Args {
	case ArgNone:
		// RFC 5321 §4.1.1: they should be refused.
		if len(arg) > 0 {
			return arg, &replyNoArgument.Reply
		}
	case ArgRequired:
		if len(arg) == 0 {
			return arg, s.syntax(c)
		}
	case ArgFrom, ArgTo:
		keyword := c.Args.keyword()
		if len(arg) < len(keyword) || !bytes.EqualFold(arg[:len(keyword)], []byte(keyword)) {
			return arg, s.syntax(c)
		}
		path, ok := bytes.CutPrefix(bytes.TrimLeft(arg[len(keyword):], " "), []byte{':'})
		if !ok {
			return arg, s.syntax(c)
		}
		return path, nil
	}
	return arg, nil
}

func (s *server) syntax(c *Command) *Reply {
	return &Reply{Code: 501, Enhanced: "5.4", Text: "Syntax: " + s.usage(c)}
}

// outOfOrder returns the reply to a command that may not be given in this state.
func (s *server) outOfOrder(c *Command) *fixed {
	switch s.state() {
	case StateFresh:
		if !s.teach() || c.Where&StateReady != 0 {
			return replyNeedHello
		}
		return replyNeedMail
	case StateReady:
		return replyNeedMail
	case StateFailed:
		return replyNeedReset
	}
	switch {
	case c.Where&StateReady != 0:
		return replyNested
	case s.tx.chunked:
		return replyInChunks
	case s.tx.tried > 0:
		return replyNoRecipients
	}
	return replyNeedRecipient
}

// refuse answers a command that is known and not executed; octets that it
// announces are read and dropped first.
func (s *server) refuse(c *Command, arg []byte, r *Reply) session.Step {
	if c.Flags&Octets != 0 {
		return s.refuseChunk(arg, r)
	}
	return s.wrong(r)
}
