package pop3

import (
	"bytes"

	"postrider/internal/session"
	"postrider/internal/wire"
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
	// Offered says where there is the command, in words; empty: everywhere.
	Offered string
	// Capability is the tag in the CAPA reply that announces it, empty if none.
	Capability string
	// Secret says that its arguments are none of the log's business.
	Secret bool
	// MaxLine is the longest line in octets, CRLF included; zero is wire.MaxLine.
	MaxLine int
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
	// refusal returns the answer to the command where it is not offered, empty
	// where it is; nil: it is offered everywhere.
	refusal func(s *Session) string
	// values returns what stands behind the tag in the CAPA reply; nil: nothing.
	values func(s *Session) []string
}

// refusalIn returns why the command is not offered in a session as it is now;
// empty if it is.
func (c *command) refusalIn(s *Session) string {
	if c.refusal == nil {
		return ""
	}
	return c.refusal(s)
}

// maxLine returns how long a line may be in octets, CRLF included. Of a word
// that is no command, c is nil.
func (c *command) maxLine() int {
	if c == nil || c.MaxLine == 0 {
		return wire.MaxLine
	}
	return c.MaxLine
}

const both = Authorization | Transaction

// commands is the one place that says what there is. The loop, HELP, CAPA and
// the documentation follow it.
var commands = [...]command{
	{Command: Command{
		Verb: "STLS", Syntax: "STLS", States: Authorization, RFC: "RFC 2595 §4", Capability: "STLS",
		Help: "begins TLS; the session starts again under it", Example: "STLS",
		Offered: "where the listener has TLS and the connection has not",
	}, shape: shapeNone, run: (*Session).stls, refusal: (*Session).refuseTLS},
	{Command: Command{
		Verb: "AUTH", Syntax: "AUTH [mechanism [initial-response]]", States: Authorization, RFC: "RFC 5034 §4", Capability: "SASL",
		Help: "logs in with a mechanism of SASL; alone, it lists them", Example: "AUTH SCRAM-SHA-256",
		Offered: "where a mechanism may be used; those that send a password as it is, under TLS only",
		Secret:  true, MaxLine: MaxAuthLine,
	}, shape: shapeOptionalText, run: (*Session).auth, refusal: (*Session).refuseAuth, values: (*Session).mechanisms},
	{Command: Command{
		Verb: "USER", Syntax: "USER name", States: Authorization, RFC: "RFC 1939 §7", Capability: "USER",
		Help: "says who logs in; PASS must follow", Example: "USER alice@example.test",
		Offered: passwordsOffered,
	}, shape: shapeText, run: (*Session).userCommand, refusal: (*Session).refusePassword},
	{Command: Command{
		Verb: "PASS", Syntax: "PASS password", States: Authorization, RFC: "RFC 1939 §7",
		Help: "logs in; everything behind the space is the password", Example: "PASS secret",
		Offered: passwordsOffered, Secret: true,
	}, shape: shapeSecret, run: (*Session).pass, refusal: (*Session).refusePassword},
	{Command: Command{
		Verb: "APOP", Syntax: "APOP name digest", States: Authorization, RFC: "RFC 1939 §7",
		Help:    "logs in with a digest of the greeting's timestamp and the password",
		Example: "APOP alice@example.test c4c9334bac560ecc979e58001b3e22fb",
		Offered: "where the greeting has a timestamp, and for accounts that have chosen to keep a secret for it",
		Secret:  true,
	}, shape: shapeText, run: (*Session).apop, refusal: (*Session).refuseDigest},
	{Command: Command{
		Verb: "UTF8", Syntax: "UTF8", States: Authorization, RFC: "RFC 6856 §2", Capability: "UTF8",
		Help: "says that the client understands UTF-8 in messages", Example: "UTF8",
	}, shape: shapeNone, run: (*Session).utf8, values: (*Session).utf8Values},
	{Command: Command{
		Verb: "STAT", Syntax: "STAT", States: Transaction, RFC: "RFC 1939 §5",
		Help: "tells how many messages there are, and their octets", Example: "STAT",
	}, shape: shapeNone, run: (*Session).stat},
	{Command: Command{
		Verb: "LIST", Syntax: "LIST [message]", States: Transaction, RFC: "RFC 1939 §5",
		Help: "tells the octets of each message, or of one", Example: "LIST 1",
	}, shape: shapeOptional, run: (*Session).list},
	{Command: Command{
		Verb: "UIDL", Syntax: "UIDL [message]", States: Transaction, RFC: "RFC 1939 §7", Capability: "UIDL",
		Help: "tells the lasting name of each message, or of one", Example: "UIDL 1",
	}, shape: shapeOptional, run: (*Session).uidl},
	{Command: Command{
		Verb: "RETR", Syntax: "RETR message", States: Transaction, RFC: "RFC 1939 §5",
		Help: "sends a message", Example: "RETR 1",
	}, shape: shapeMessage, run: (*Session).retr},
	{Command: Command{
		Verb: "TOP", Syntax: "TOP message lines", States: Transaction, RFC: "RFC 1939 §7", Capability: "TOP",
		Help: "sends a message's header and the first lines of its body", Example: "TOP 1 10",
	}, shape: shapeTop, run: (*Session).top},
	{Command: Command{
		Verb: "DELE", Syntax: "DELE message", States: Transaction, RFC: "RFC 1939 §5",
		Help: "marks a message as deleted; QUIT removes it", Example: "DELE 1",
	}, shape: shapeMessage, run: (*Session).dele},
	{Command: Command{
		Verb: "RSET", Syntax: "RSET", States: Transaction, RFC: "RFC 1939 §5",
		Help: "takes back every DELE", Example: "RSET",
	}, shape: shapeNone, run: (*Session).rset},
	{Command: Command{
		Verb: "NOOP", Syntax: "NOOP", States: Transaction, RFC: "RFC 1939 §5",
		Help: "does nothing", Example: "NOOP",
	}, shape: shapeNone, run: (*Session).noop},
	{Command: Command{
		Verb: "CAPA", Syntax: "CAPA", States: both, RFC: "RFC 2449 §5",
		Help: "tells what the server can do", Example: "CAPA",
	}, shape: shapeNone, run: (*Session).capa},
	{Command: Command{
		Verb: "HELP", Syntax: "HELP [command]", States: both, RFC: "no RFC",
		Help: "explains the commands, or one", Example: "HELP TOP",
	}, shape: shapeOptionalText, run: (*Session).help},
	{Command: Command{
		Verb: "QUIT", Syntax: "QUIT", States: both, RFC: "RFC 1939 §4, §6",
		Help: "removes the messages marked as deleted, and closes", Example: "QUIT",
	}, shape: shapeNone, run: (*Session).quit},
}

// passwordsOffered is where passwords are taken as they are.
const passwordsOffered = "under TLS, and on a listener that allows passwords without it"

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
