package smtp

import "strings"

// Commands returns the command table.
func Commands() []Command { return append([]Command(nil), commands...) }

// Never reports whether the command is known, and offered nowhere.
func (c *Command) Never() bool { return c.Roles == 0 }

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

// nearest returns the verb of a command that is offered and differs from a
// mistyped one by one letter, or "".
func (s *server) nearest(verb []byte) string {
	typed := strings.ToUpper(string(verb[:min(len(verb), maxVerb)]))
	for i := range s.table.list {
		if c := &s.table.list[i]; s.offers(c) && oneEdit(typed, c.Verb) {
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
