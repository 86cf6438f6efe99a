package pop3

import (
	"bytes"

	"postrider/internal/session"
)

// State is a set of states of a session (RFC 1939 §3). The UPDATE state is
// within the execution of QUIT, and no command is given in it.
type State uint8

// The states in which commands are given.
const (
	Authorization State = 1 << iota
	Transaction
)

// String returns the states' names.
func (t State) String() string {
	switch t {
	case Authorization:
		return "AUTHORIZATION"
	case Transaction:
		return "TRANSACTION"
	}
	return "AUTHORIZATION, TRANSACTION"
}

// Command is what there is to know about a command.
type Command struct {
	Verb    string
	Syntax  string
	States  State
	Help    string // one sentence, without a full stop
	Example string
	RFC     string
	// Capability is the line of the CAPA reply that announces it, empty if none.
	Capability string
	// Refusal, if not empty, is the answer to a command that is known and not
	// offered.
	Refusal string
}

// Commands returns the command table.
func Commands() []Command {
	all := make([]Command, len(commands))
	for i := range commands {
		all[i] = commands[i].Command
	}
	return all
}

// command is a Command and what executes it.
type command struct {
	Command
	shape shape
	run   func(s *Session, a arguments) session.Step
}

const both = Authorization | Transaction

// commands is the one place that says what there is. The loop, HELP, CAPA and
// the documentation follow it.
var commands = [...]command{
	{Command{
		Verb: "USER", Syntax: "USER name", States: Authorization, RFC: "RFC 1939 §7", Capability: "USER",
		Help: "says who logs in; PASS must follow", Example: "USER alice@example.test",
	}, shapeText, (*Session).userCommand},
	{Command{
		Verb: "PASS", Syntax: "PASS password", States: Authorization, RFC: "RFC 1939 §7",
		Help: "logs in; everything behind the space is the password", Example: "PASS secret",
	}, shapeSecret, (*Session).pass},
	{Command{
		Verb: "UTF8", Syntax: "UTF8", States: Authorization, RFC: "RFC 6856 §2", Capability: "UTF8 USER",
		Help: "says that the client understands UTF-8 in messages", Example: "UTF8",
	}, shapeNone, (*Session).utf8},
	{Command{
		Verb: "STAT", Syntax: "STAT", States: Transaction, RFC: "RFC 1939 §5",
		Help: "tells how many messages there are, and their octets", Example: "STAT",
	}, shapeNone, (*Session).stat},
	{Command{
		Verb: "LIST", Syntax: "LIST [message]", States: Transaction, RFC: "RFC 1939 §5",
		Help: "tells the octets of each message, or of one", Example: "LIST 1",
	}, shapeOptional, (*Session).list},
	{Command{
		Verb: "UIDL", Syntax: "UIDL [message]", States: Transaction, RFC: "RFC 1939 §7", Capability: "UIDL",
		Help: "tells the lasting name of each message, or of one", Example: "UIDL 1",
	}, shapeOptional, (*Session).uidl},
	{Command{
		Verb: "RETR", Syntax: "RETR message", States: Transaction, RFC: "RFC 1939 §5",
		Help: "sends a message", Example: "RETR 1",
	}, shapeMessage, (*Session).retr},
	{Command{
		Verb: "TOP", Syntax: "TOP message lines", States: Transaction, RFC: "RFC 1939 §7", Capability: "TOP",
		Help: "sends a message's header and the first lines of its body", Example: "TOP 1 10",
	}, shapeTop, (*Session).top},
	{Command{
		Verb: "DELE", Syntax: "DELE message", States: Transaction, RFC: "RFC 1939 §5",
		Help: "marks a message as deleted; QUIT removes it", Example: "DELE 1",
	}, shapeMessage, (*Session).dele},
	{Command{
		Verb: "RSET", Syntax: "RSET", States: Transaction, RFC: "RFC 1939 §5",
		Help: "takes back every DELE", Example: "RSET",
	}, shapeNone, (*Session).rset},
	{Command{
		Verb: "NOOP", Syntax: "NOOP", States: Transaction, RFC: "RFC 1939 §5",
		Help: "does nothing", Example: "NOOP",
	}, shapeNone, (*Session).noop},
	{Command{
		Verb: "CAPA", Syntax: "CAPA", States: both, RFC: "RFC 2449 §5",
		Help: "tells what the server can do", Example: "CAPA",
	}, shapeNone, (*Session).capa},
	{Command{
		Verb: "HELP", Syntax: "HELP [command]", States: both, RFC: "no RFC",
		Help: "explains the commands, or one", Example: "HELP TOP",
	}, shapeOptionalText, (*Session).help},
	{Command{
		Verb: "QUIT", Syntax: "QUIT", States: both, RFC: "RFC 1939 §4, §6",
		Help: "removes the messages marked as deleted, and closes", Example: "QUIT",
	}, shapeNone, (*Session).quit},
	{Command: Command{
		Verb: "APOP", Syntax: "APOP name digest", States: Authorization, RFC: "RFC 1939 §7",
		Help: "would log in with a digest", Example: "APOP alice c4c9334bac560ecc979e58001b3e22fb",
		Refusal: "APOP is not offered; use USER and PASS",
	}},
	{Command: Command{
		Verb: "AUTH", Syntax: "AUTH [mechanism]", States: Authorization, RFC: "RFC 5034",
		Help: "would log in with SASL", Example: "AUTH PLAIN",
		Refusal: "AUTH is not offered; use USER and PASS",
	}},
	{Command: Command{
		Verb: "STLS", Syntax: "STLS", States: Authorization, RFC: "RFC 2595 §4",
		Help: "would begin TLS", Example: "STLS",
		Refusal: "STLS is not offered here",
	}},
}

// lookup returns the command of that name in any case, or nil.
func (s *Session) lookup(verb []byte) *command {
	for i := range s.table {
		if equalFold(verb, s.table[i].Verb) {
			return &s.table[i]
		}
	}
	return nil
}

// equalFold reports whether b is the upper-case word, in any case of ASCII.
func equalFold(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// arguments are a command's, taken apart as its shape says.
type arguments struct {
	// message is a message number; 0: none was given.
	message int64
	// lines is TOP's second argument.
	lines int64
	// text is what shapeText, shapeSecret and shapeOptionalText take; it is valid
	// during the call only.
	text []byte
}

// shape says what a command takes as arguments.
type shape uint8

const (
	shapeNone         shape = iota
	shapeOptional           // a message number, or nothing
	shapeMessage            // a message number
	shapeTop                // a message number and a count of lines
	shapeText               // text without the spaces around it
	shapeOptionalText       // the same, or nothing
	shapeSecret             // everything behind the space, as it is
)

// parse takes what stands behind the verb; space tells whether there was one.
func (h shape) parse(rest []byte, space bool) (a arguments, ok bool) {
	if h == shapeSecret {
		a.text = rest
		return a, space && len(rest) > 0
	}
	rest = bytes.Trim(rest, " ")
	switch h {
	case shapeNone:
		return a, len(rest) == 0
	case shapeText:
		a.text = rest
		return a, len(rest) > 0
	case shapeOptionalText:
		a.text = rest
		return a, true
	case shapeOptional:
		if len(rest) == 0 {
			return a, true
		}
		a.message, ok = parseNumber(rest)
		return a, ok && a.message > 0
	case shapeMessage:
		a.message, ok = parseNumber(rest)
		return a, ok && a.message > 0
	}
	message, lines, _ := bytes.Cut(rest, []byte(" "))
	a.message, ok = parseNumber(message)
	if !ok || a.message == 0 {
		return a, false
	}
	a.lines, ok = parseNumber(bytes.TrimLeft(lines, " "))
	return a, ok
}

// maxDigits is the number of digits that surely fit into an int64.
const maxDigits = 18

// parseNumber reads decimal digits and nothing else: no sign, no leading zero.
// A number too large for anything here is returned as the largest there is: as
// a message number it is that of no message, as a count of lines it means all
// of them (RFC 1939 §7, TOP).
func parseNumber(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 1 && b[0] == '0' {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if len(b) <= maxDigits {
			n = n*10 + int64(c-'0')
		}
	}
	if len(b) > maxDigits {
		return 1<<63 - 1, true
	}
	return n, true
}
