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
	// Syntax is the whole command with its arguments.
	Syntax string
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
	// Instead is set for a command that is known and not offered; it says what
	// to do instead.
	Instead string

	run func(s *server, arg []byte) session.Step
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
type Flag uint8

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
)

// inTransaction is where a command that works on a transaction's recipients is.
const inTransaction = StateSender | StateRecipients

// commands is the table, in the order of HELP.
var commands = []Command{
	{
		Verb: "EHLO", Syntax: "EHLO name", Example: "EHLO client.example.org", RFC: "RFC 5321 §4.1.1.1",
		Help:  "Say who you are, and hear what the server can do.\nAn open transaction is forgotten.",
		Where: StateAny, Args: ArgRequired, Flags: Junk | LastInGroup, run: (*server).ehlo,
	},
	{
		Verb: "HELO", Syntax: "HELO name", Example: "HELO client.example.org", RFC: "RFC 5321 §4.1.1.1",
		Help:  "Say who you are, as old clients do, without extensions.\nAn open transaction is forgotten.",
		Where: StateAny, Args: ArgRequired, Flags: Junk | LastInGroup, run: (*server).helo,
	},
	{
		Verb: "MAIL", Syntax: "MAIL FROM:<address> [SIZE=n] [BODY=8BITMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=id]",
		Example: "MAIL FROM:<you@example.org>", RFC: "RFC 5321 §4.1.1.2",
		Help:  "Begin a message; the address is where trouble with it is reported.\n<> means nowhere.",
		Where: StateReady, Args: ArgFrom, Flags: UTF8 | NoHello, run: (*server).mail,
	},
	{
		Verb: "RCPT", Syntax: "RCPT TO:<address> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=type;address]",
		Example: "RCPT TO:<alice@example.test>", RFC: "RFC 5321 §4.1.1.3",
		Help:  "Name a recipient of the message; once for each.",
		Where: inTransaction, Args: ArgTo, Flags: UTF8, run: (*server).rcpt,
	},
	{
		Verb: "DATA", Syntax: "DATA", Example: "DATA", RFC: "RFC 5321 §4.1.1.4",
		Help:  "Send the message: header lines, an empty line, the text,\nand at the end a line with nothing but a dot.",
		Where: StateRecipients, Args: ArgNone, Flags: LastInGroup | Dots, run: (*server).data,
	},
	{
		Verb: "BDAT", Syntax: "BDAT octets [LAST]", Example: "BDAT 86 LAST", RFC: "RFC 3030 §2",
		Help:  "Send so many octets of the message, right behind this line.\nLAST ends the message.",
		Where: StateRecipients | StateChunks, Args: ArgRequired, Flags: Octets, run: (*server).bdat,
	},
	{
		Verb: "RSET", Syntax: "RSET", Example: "RSET", RFC: "RFC 5321 §4.1.1.5",
		Help:  "Forget sender, recipients and message, and begin anew.",
		Where: StateAny, Args: ArgNone, Flags: Junk, run: (*server).rset,
	},
	{
		Verb: "VRFY", Syntax: "VRFY name-or-address [SMTPUTF8]", Example: "VRFY alice", RFC: "RFC 5321 §4.1.1.6",
		Help:  "Ask whether there is such a mailbox.\nOnly some listeners tell.",
		Where: StateAny, Args: ArgRequired, Flags: Junk | LastInGroup | UTF8, run: (*server).vrfy,
	},
	{
		Verb: "EXPN", Syntax: "EXPN alias [SMTPUTF8]", Example: "EXPN staff", RFC: "RFC 5321 §4.1.1.7",
		Help:  "Ask who gets what is sent to an alias.\nOnly some listeners tell.",
		Where: StateAny, Args: ArgRequired, Flags: Junk | LastInGroup | UTF8, run: (*server).expn,
	},
	{
		Verb: "NOOP", Syntax: "NOOP [anything]", Example: "NOOP", RFC: "RFC 5321 §4.1.1.9",
		Help:  "Do nothing, and say so.",
		Where: StateAny, Args: ArgOptional, Flags: Junk | LastInGroup, run: (*server).noop,
	},
	{
		Verb: "HELP", Syntax: "HELP [command]", Example: "HELP MAIL", RFC: "RFC 5321 §4.1.1.8",
		Help:  "List the commands, or explain one.",
		Where: StateAny, Args: ArgOptional, Flags: Junk, run: (*server).help,
	},
	{
		Verb: "QUIT", Syntax: "QUIT", Example: "QUIT", RFC: "RFC 5321 §4.1.1.10",
		Help:  "End the session.",
		Where: StateAny, Args: ArgNone, Flags: LastInGroup, run: (*server).quit,
	},

	// Known, and not offered.
	{
		Verb: "STARTTLS", Syntax: "STARTTLS", Example: "STARTTLS", RFC: "RFC 3207 §4",
		Help:  "Begin encryption.",
		Where: StateAny, Args: ArgOptional, Flags: LastInGroup,
		Instead: "No TLS on this listener; go on without it, or use another port",
	},
	{
		Verb: "AUTH", Syntax: "AUTH mechanism [initial-response]", Example: "AUTH PLAIN", RFC: "RFC 4954 §4",
		Help:  "Prove who you are.",
		Where: StateAny, Args: ArgOptional, Flags: LastInGroup,
		Instead: "No login here: this listener takes mail for its own domains from anybody",
	},
	{
		Verb: "SEND", Syntax: "SEND FROM:<address>", Example: "SEND FROM:<you@example.org>", RFC: "RFC 5321 §F.6",
		Help:  "Put a message on a user's terminal.",
		Where: StateAny, Args: ArgOptional, Instead: "Nobody's terminal is here; use MAIL",
	},
	{
		Verb: "SOML", Syntax: "SOML FROM:<address>", Example: "SOML FROM:<you@example.org>", RFC: "RFC 5321 §F.6",
		Help:  "Put a message on a user's terminal or into the mailbox.",
		Where: StateAny, Args: ArgOptional, Instead: "Nobody's terminal is here; use MAIL",
	},
	{
		Verb: "SAML", Syntax: "SAML FROM:<address>", Example: "SAML FROM:<you@example.org>", RFC: "RFC 5321 §F.6",
		Help:  "Put a message on a user's terminal and into the mailbox.",
		Where: StateAny, Args: ArgOptional, Instead: "Nobody's terminal is here; use MAIL",
	},
	{
		Verb: "TURN", Syntax: "TURN", Example: "TURN", RFC: "RFC 5321 §F.1",
		Help:  "Change roles, so that the server sends.",
		Where: StateAny, Args: ArgOptional, Instead: "Roles are not changed here; to get mail, collect it by POP3",
	},
}

// Commands returns the command table.
func Commands() []Command { return append([]Command(nil), commands...) }

// commandTable finds commands by their verb.
type commandTable struct {
	list   []Command
	byVerb map[string]*Command
}

var serverCommands = newTable(commands)

func newTable(list []Command) *commandTable {
	t := &commandTable{list: list, byVerb: make(map[string]*Command, len(list))}
	for i := range list {
		t.byVerb[list[i].Verb] = &list[i]
	}
	return t
}

// maxVerb is longer than every verb, in octets.
const maxVerb = 16

// find returns the command of that name in any case, or nil.
func (t *commandTable) find(verb []byte) *Command {
	var upper [maxVerb]byte
	if len(verb) > len(upper) {
		return nil
	}
	for i, c := range verb {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	return t.byVerb[string(upper[:len(verb)])]
}

// nearest returns the verb that differs from a mistyped one by one letter, or "".
func (t *commandTable) nearest(verb []byte) string {
	typed := strings.ToUpper(string(verb[:min(len(verb), maxVerb)]))
	for i := range t.list {
		if c := &t.list[i]; c.Instead == "" && oneEdit(typed, c.Verb) {
			return c.Verb
		}
	}
	return ""
}

// oneEdit reports whether a becomes b when one letter is put in, left out,
// replaced, or swapped with the next.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch len(b) - len(a) {
	case 1:
		return a[i:] == b[i+1:]
	case 0:
		return i < len(a) && (a[i+1:] == b[i+1:] ||
			i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:])
	}
	return false
}
