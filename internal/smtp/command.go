package smtp

import (
	"strings"

	"postrider/internal/session"
)

// Command is what a command may do, when, with which arguments, and what is said
// about it: the one table that the session obeys, HELP prints and the
// documentation is made from.
type Command struct {
	// Verb is the command's name in upper case.
	Verb string
	// Syntax is the whole command with its arguments, but for Params.
	Syntax string
	// Params are the parameters that may stand behind its path.
	Params []Param
	// Help says what it does, in lines separated by LF.
	Help string
	// Example is a line to type.
	Example string
	// RFC is where it is specified.
	RFC string
	// Where is the states in which it may be given.
	Where State
	// Args is the shape of its argument.
	Args  Shape
	Flags Flag
	// Roles are those whose listeners offer it; zero: none does.
	Roles Role
	// Instead says, where the command is not offered, what to do instead.
	Instead string

	// needs, if not nil, reports whether a session that has the role has also
	// what else it takes to offer the command.
	needs func(s *server) bool
	run   func(s *server, arg []byte) session.Step
}

// State is a set of states of a session.
type State uint8

// The states.
const (
	StateFresh      State = 1 << iota // the client has not said who it is
	StateReady                        // it has, and there is no transaction
	StateSender                       // MAIL was accepted, no recipient yet
	StateRecipients                   // there are recipients
	StateChunks                       // BDAT has brought a part of the message
	StateFailed                       // a chunk was refused; RSET is due

	StateAny = StateFresh | StateReady | StateSender | StateRecipients | StateChunks | StateFailed
)

var stateNames = []string{"fresh", "ready", "sender", "recipients", "chunks", "failed"}

// String returns the names of the states, "any" for all of them.
func (s State) String() string {
	if s == StateAny {
		return "any"
	}
	var names []string
	for i, name := range stateNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// Shape is the shape of a command's argument.
type Shape uint8

// The shapes.
const (
	ArgNone     Shape = iota // none; 501 if there is one
	ArgOptional              // any or none
	ArgRequired              // any; 501 without
	ArgFrom                  // FROM: and a path with parameters
	ArgTo                    // TO: and a path with parameters
)

// keyword returns the word before the colon of a path.
func (a Shape) keyword() string {
	switch a {
	case ArgFrom:
		return "FROM"
	case ArgTo:
		return "TO"
	}
	return ""
}

// Flag is a set of a command's properties.
type Flag uint16

// The flags.
const (
	// Junk: does no work; too many of it count as errors.
	Junk Flag = 1 << iota
	// LastInGroup: must be the last of a pipelined group (RFC 2920 §3.1).
	LastInGroup
	// UTF8: its argument may hold UTF-8 (RFC 6531 §3.7.4).
	UTF8
	// Octets: its argument says how many octets follow; they are read also when
	// the command is refused, or else the connection is closed.
	Octets
	// NoHello: a teach listener takes it before EHLO.
	NoHello
	// Dots: content follows up to CRLF.CRLF, which a client that ends lines with
	// LF alone, CR NUL or CR CR LF can't send.
	Dots
	// Login: where people log in, refused before they have (RFC 4954 §6, 530).
	Login
	// Trusted: whose address is trusted since a recent login by POP3 may give it
	// without another.
	Trusted
	// Proven: refused before a login on every listener; a trusted address is not
	// enough.
	Proven
	// Extended: needs EHLO; HELO is not enough.
	Extended
	// Secret: its argument may be a secret, and its line may be long (MaxAuthLine).
	Secret
)

// inTransaction is where a command that works on a transaction's recipients is.
const inTransaction = StateSender | StateRecipients
