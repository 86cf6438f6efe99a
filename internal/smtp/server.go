package smtp

import (
	"bytes"
	"unicode/utf8"

	"postrider/internal/session"
	"postrider/internal/wire"
)

// New returns the server's side of one SMTP connection (RFC 5321). O may be nil.
func New(b Backend, o *Options) session.Session {
	return &server{backend: b, opts: o.withDefaults(), table: serverCommands}
}

// server is the server's side of a connection. Its state is derived: see state.
type server struct {
	backend Backend
	opts    Options
	table   *commandTable
	conn    *session.Conn
	client  Client
	// tx is all that is known of the transaction that is open, nil if none is.
	tx *transaction
	// reading says what a call of Data is about, and chunk which chunk it is.
	reading reading
	chunk   chunk

	errors       int // wrong commands
	junk         int // commands without work since the last message
	transactions int // begun
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
	s.client = Client{
		ConnID: c.ID, Listener: c.Listener.Name, Role: c.Listener.Role,
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

// Line takes a command. Everything that the table says is enforced here, once.
func (s *server) Line(l wire.Line) session.Step {
	line := bytes.TrimRight(l.Bytes, " \t")
	plain := l.Flaws&(wire.BareLF|wire.BareCR) == 0
	if s.teach() {
		line = bytes.TrimLeft(line, " \t")
		l.Flaws &^= wire.BareCR
	}
	verb, arg, _ := bytes.Cut(line, []byte{' '})
	arg = bytes.TrimLeft(arg, " ")
	c := s.table.find(verb)
	if bad := s.badLine(l.Flaws, line, c); bad != nil {
		if c != nil && c.Flags&Octets != 0 {
			return s.outOfStep(&bad.Reply)
		}
		return s.wrong(&bad.Reply)
	}
	if c == nil {
		return s.unknown(verb, line)
	}
	if c.Instead != "" {
		return s.wrong(&Reply{Code: 502, Enhanced: "5.1", Text: c.Instead})
	}
	if s.state()&s.where(c) == 0 {
		return s.refuse(c, arg, &s.outOfOrder(c).Reply)
	}
	arg, bad := shaped(c, arg)
	if bad != nil {
		return s.refuse(c, arg, bad)
	}
	if c.Flags&Junk != 0 && s.countJunk() {
		return s.bye(replyTooManyErrors, "too many commands without work")
	}
	if c.Flags&Dots != 0 && !plain {
		return s.wrong(&replyNoCRLF.Reply)
	}
	return c.run(s, arg)
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
	case flaws&wire.TooLong != 0:
		return replyTooLong
	case flaws&wire.BareCR != 0:
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
func shaped(c *Command, arg []byte) ([]byte, *Reply) {
	switch c.Args {
	case ArgNone:
		// RFC 5321 §4.1.1: they should be refused.
		if len(arg) > 0 {
			return arg, &replyNoArgument.Reply
		}
	case ArgRequired:
		if len(arg) == 0 {
			return arg, syntax(c)
		}
	case ArgFrom, ArgTo:
		keyword := c.Args.keyword()
		if len(arg) < len(keyword) || !bytes.EqualFold(arg[:len(keyword)], []byte(keyword)) {
			return arg, syntax(c)
		}
		path, ok := bytes.CutPrefix(bytes.TrimLeft(arg[len(keyword):], " "), []byte{':'})
		if !ok {
			return arg, syntax(c)
		}
		return path, nil
	}
	return arg, nil
}

func syntax(c *Command) *Reply {
	return &Reply{Code: 501, Enhanced: "5.4", Text: "Syntax: " + c.Syntax}
}

// outOfOrder returns the reply to a command that may not be given in this state.
func (s *server) outOfOrder(c *Command) *fixed {
	switch s.state() {
	case StateFresh:
		if !s.teach() {
			return replyNeedHello
		}
		return replyNeedMail
	case StateReady:
		return replyNeedMail
	case StateFailed:
		return replyNeedReset
	}
	switch {
	case c.Args == ArgFrom:
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
