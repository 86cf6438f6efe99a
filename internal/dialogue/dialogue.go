// Package dialogue reads and runs protocol conversations that are kept as text.
// It is test support: the server does not contain it.
//
// A dialogue is a file that a person can read, and type into telnet. The same
// file runs against a session in memory, without sockets, and over TCP against
// the real server:
//
//	# A comment. Empty lines mean nothing.
//	protocol pop3
//	listener teach
//	given alice@example.test
//	| Subject: hi
//	|
//	| Hello, Alice.
//
//	S: +OK *
//	C: USER alice@example.test
//	S: +OK *
//	C: PASS {alice-password}
//	S: +OK *
//	C: UIDL 1
//	S: +OK 1 {uidl}
//	C: RETR 1
//	S: +OK * octets
//	S: ...
//	S: Hello, Alice.
//	S: .
//	C: QUIT
//	S: +OK *
//	X
//
// # Lines
//
//	C: text      The client sends text and CRLF. {name} stands for a value: one
//	             that the server sent before, or one that Setup.Vars has.
//	C< "a\n"     The client sends exactly these octets, in Go's notation for
//	             strings. Nothing is added.
//	S: text      The server sends this line and CRLF. * stands for anything
//	             within the line, also for nothing. {name} stands for one or
//	             more octets of printable ASCII without a space, and for the
//	             same ones wherever it stands again. A backslash before *, {
//	             or another backslash takes it as it is.
//	S: ...       The server sends any number of lines, up to the first that the
//	             next S: line describes; before X, up to the end.
//	S< "a\n"     The server sends exactly these octets.
//	X            The server closes, and has sent nothing more.
//	D            The client drops the connection without a word.
//	E event      Timeout, shutdown, shed or flood happens to the session. Such a
//	             dialogue runs in memory only.
//	E tls        The client makes the TLS handshake that it has asked for. It
//	             believes every certificate.
//	--- pop3     A new connection, to the listener for that protocol. The one
//	             before stays open.
//	--- 1        Back to the connection that was opened first.
//
// Client lines that follow one another are sent in one write.
//
// For a value {x-password} of Setup.Vars there is {x-plain}, the message of SASL
// PLAIN that logs x@example.test in with it, in base64; and for each value {y},
// {y-base64}.
//
// # Properties
//
// The first lines, and those that follow "--- protocol", may say what is
// connected to. What is not said is as in the connection before; the first is
// strict.
//
//	protocol smtp         the protocol; in the first lines only, where it must be
//	listener teach        a listener that is kind to hands; or: listener strict
//	role mx               the listener's role, where a protocol has several
//	side client           in the first lines only: the client is tested, and the
//	                      dialogue plays the server. C: is what must come, S: is
//	                      sent, X and D are the client's closing and the server's.
//
// "given address", in the first lines only, and the lines with | after it are a
// message that is in that maildrop before the conversation begins. Each line
// gets CRLF. A server may have put trace fields on top of it.
//
// "needs thing", in the first lines only, says that not every server of ours can
// play the dialogue; testdata/dialogues/README.md tells what there is. Whoever runs
// it looks at Dialogue.Needs.
package dialogue

import (
	"errors"
	"os"

	"postrider/internal/session"
)

// Dialogue is a conversation as Parse read it. It may be run several times, and
// by several goroutines.
type Dialogue struct {
	// Name is the file's name, for errors.
	Name string
	// Given are the messages that must be in their maildrops before Run, in
	// their order.
	Given []Message
	// Needs are what the server must have that not every server has; see Needs.
	Needs []string
	steps []step
}

// What a dialogue may need of the server.
const (
	NeedsTurner = "turner" // ETRN and ATRN are answered
	NeedsBinary = "binary" // BINARYMIME is taken
	NeedsRelay  = "relay"  // mail for anywhere is taken by listeners of the role relay
)

// Message is a message in a maildrop.
type Message struct {
	To      string // the account's address
	Content []byte
}

// Connection says what a dialogue connects to.
type Connection struct {
	Protocol string // "smtp", "pop3", …
	Role     string // "mx", …; empty: the protocol's usual one
	Teach    bool
}

// Connections returns what the dialogue connects to, in the order it does.
func (d *Dialogue) Connections() []Connection {
	var all []Connection
	for _, s := range d.steps {
		if s.kind == stepOpen {
			all = append(all, s.open)
		}
	}
	return all
}

// NeedsMemory reports whether the dialogue has events in it, so that it can't
// be run over a network.
func (d *Dialogue) NeedsMemory() bool {
	for _, s := range d.steps {
		if s.kind == stepEvent && s.event != session.TLSReady {
			return true
		}
	}
	return false
}

// Load parses the file of that name.
func Load(name string) (*Dialogue, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	d, err := Parse(name, f)
	return d, errors.Join(err, f.Close())
}

// stepKind says what a step does.
type stepKind uint8

const (
	stepSend    stepKind = iota // text, with values put in, and CRLF
	stepSendRaw                 // text as it is
	stepExpect                  // a line that text describes
	stepExpectRaw
	stepClosed
	stepDrop
	stepEvent
	stepOpen
	stepSwitch
)

// step is one line of a dialogue.
type step struct {
	line   int // in the file
	kind   stepKind
	text   string
	any    bool // stepExpect, stepClosed: after any number of other lines
	event  session.Event
	open   Connection
	number int // of a connection, counted from 0
}
