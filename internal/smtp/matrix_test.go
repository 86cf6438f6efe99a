package smtp

import (
	"fmt"
	"strings"
	"testing"
)

// intoState are the commands that bring a session into each state.
var intoState = map[State]string{
	StateFresh:      "",
	StateReady:      crlf("EHLO c.example"),
	StateSender:     crlf("EHLO c.example", "MAIL FROM:<a@example.org>"),
	StateRecipients: crlf("EHLO c.example", "MAIL FROM:<a@example.org>", "RCPT TO:<alice@example.test>"),
	StateChunks:     crlf("EHLO c.example", "MAIL FROM:<a@example.org>", "RCPT TO:<alice@example.test>", "BDAT 2", ""),
	StateFailed:     crlf("EHLO c.example", "MAIL FROM:<a@example.org>", "RCPT TO:<alice@example.test>", "BDAT 2 FIRST", ""),
}

// stateOf looks into the session.
func (d *driver) stateOf() State { return d.session.(*server).state() }

// TestEveryCommandInEveryState is made from the command table: a command is
// executed where the table allows it, refused with 503 (502 if it is not
// offered) elsewhere, and a refused one leaves the state as it was.
func TestEveryCommandInEveryState(t *testing.T) {
	for _, c := range Commands() {
		for state, commands := range intoState {
			for _, teach := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s in %s teach %t", c.Verb, state, teach), func(t *testing.T) {
					checkCommandInState(t, c, state, commands, teach)
				})
			}
		}
	}
}

func checkCommandInState(t *testing.T, c Command, state State, commands string, teach bool) {
	d := newDriver(&fakeBackend{verified: []string{"Alice <alice@example.test>"}}, nil, teach)
	d.say(commands)
	if got := d.stateOf(); got != state {
		t.Fatalf("got state %s after %q, want %s", got, commands, state)
	}
	input := crlf(c.Example)
	if c.Flags&Octets != 0 {
		input += strings.Repeat("x", 84) + "\r\n"
	}
	got := codes(d.say(input))
	allowed := c.Where&state != 0 || c.Flags&NoHello != 0 && teach && state == StateFresh
	refused := strings.HasPrefix(got, "503 5.5.1")
	switch {
	case c.Instead != "":
		if got != "502 5.5.1" {
			t.Errorf("got %q, want 502 5.5.1", got)
		}
	case allowed && (refused || got == "" || got[0] != '2' && got[0] != '3'):
		t.Errorf("got %q, want it done", got)
	case !allowed && !refused:
		t.Errorf("got %q, want 503 5.5.1", got)
	case !allowed && c.Flags&Octets == 0 && d.stateOf() != state:
		t.Errorf("got state %s after a refused command, want %s", d.stateOf(), state)
	}
	if strings.Contains(got, ",") {
		t.Errorf("got %q, want one reply", got)
	}
}

func TestCommandTableIsComplete(t *testing.T) {
	for _, c := range Commands() {
		if c.Verb == "" || c.Syntax == "" || c.Help == "" || c.Example == "" || c.RFC == "" || c.Where == 0 {
			t.Errorf("%s: a field is empty: %+v", c.Verb, c)
		}
		if !strings.HasPrefix(c.Syntax, c.Verb) || !strings.HasPrefix(c.Example, c.Verb) {
			t.Errorf("%s: syntax %q and example %q must begin with the verb", c.Verb, c.Syntax, c.Example)
		}
		if (c.run == nil) != (c.Instead != "") {
			t.Errorf("%s: must have a function or words instead", c.Verb)
		}
	}
}

// TestHelpExplainsEveryCommand also holds that nothing in the table breaks a reply.
func TestHelpExplainsEveryCommand(t *testing.T) {
	d := newDriver(&fakeBackend{}, &Options{MaxJunk: 1000}, false)
	for _, c := range Commands() {
		d.check(t, crlf("HELP "+c.Verb), "214 2.0.0")
		d.check(t, crlf("help "+strings.ToLower(c.Verb)), "214 2.0.0")
		if c.Instead == "" {
			if all := d.say(crlf("HELP")); !strings.Contains(all, c.Verb) {
				t.Errorf("HELP does not name %s: %q", c.Verb, all)
			}
		}
	}
	d.check(t, crlf("HELP me"), "504 5.5.4")
	if all := newDriver(&fakeBackend{}, nil, true).say(crlf("HELP")); !strings.Contains(all, "MAIL FROM:<you@example.org>") {
		t.Errorf("a teach listener's HELP has no example of a session: %q", all)
	}
}

func TestArgumentShapesAreEnforced(t *testing.T) {
	for _, c := range Commands() {
		if c.Instead != "" {
			continue
		}
		for state, commands := range intoState {
			if c.Where&state == 0 {
				continue
			}
			d := newDriver(&fakeBackend{}, nil, false)
			d.say(commands)
			switch {
			case c.Args == ArgNone:
				d.check(t, crlf(c.Verb+" something"), "501 5.5.4")
				d.check(t, crlf(c.Verb+"  "), codes(newInState(commands).say(crlf(c.Verb))))
			case c.Args == ArgOptional:
				d.check(t, crlf(c.Verb), codes(newInState(commands).say(crlf(c.Verb))))
			case c.Flags&Octets != 0:
				d.check(t, crlf(c.Verb), "501 5.5.4, 421 4.5.2")
			default:
				d.check(t, crlf(c.Verb), "501 5.5.4")
			}
		}
	}
}

func newInState(commands string) *driver {
	d := newDriver(&fakeBackend{}, nil, false)
	d.say(commands)
	return d
}
