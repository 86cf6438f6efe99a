package smtp

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/sasl"
	"postrider/internal/session"
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

// circumstances are what decides, beside the state, what a command gets.
type circumstances struct {
	role     string
	starttls bool // offered
	tls      bool // on from the first octet
	login    string
	teach    bool
}

// loginsInMatrix are how a client of a listener stands.
var loginsInMatrix = map[string][]string{
	"mx": {"none"}, "submission": {"none", "logged in", "trusted"}, "relay": {"none", "logged in", "trusted"},
}

func (c circumstances) String() string {
	return fmt.Sprintf("%s starttls %t tls %t login %s teach %t", c.role, c.starttls, c.tls, c.login, c.teach)
}

// reach connects and brings the session into a state; nil if no client gets
// there under the circumstances.
func (c circumstances) reach(state State) *driver {
	f := &fakeLogins{}
	commands := intoState[state]
	switch beyond := state&(StateFresh|StateReady) == 0; {
	case c.login == "none" && c.role == "submission" && beyond, c.login == "logged in" && state == StateFresh:
		return nil
	case c.login == "trusted":
		f.trusted = sasl.Identity{Account: aliceAccount, Address: aliceAddress}
	case c.login == "logged in":
		commands = strings.Replace(commands, crlf("EHLO c.example"), crlf("EHLO c.example")+authPlain, 1)
	}
	d := connect(setup{
		Listener: session.Listener{Role: c.role, StartTLS: c.starttls, PlaintextAuth: true, Teach: c.teach}, implicit: c.tls,
		backend: &fakeBackend{verified: []string{"Alice <alice@example.test>"}}, logins: f,
		options: &Options{Turner: &fakeTurner{next: &fakeSender{}}},
	})
	d.say(commands)
	return d
}

// TestEveryCommandInEveryState is made from the command table: a command is
// executed where the table allows it, refused with 503 (502 if it is not
// offered, 530 if it needs a login) elsewhere, and a refused one leaves the
// state as it was.
func TestEveryCommandInEveryState(t *testing.T) {
	var all []circumstances
	for role, logins := range loginsInMatrix {
		for _, login := range logins {
			for i := range 8 {
				all = append(all, circumstances{role: role, login: login, starttls: i&1 != 0, tls: i&2 != 0, teach: i&4 != 0})
			}
		}
	}
	for _, c := range Commands() {
		for state := range intoState {
			for _, under := range all {
				if d := under.reach(state); d != nil {
					t.Run(fmt.Sprintf("%s in %s %s", c.Verb, state, under), func(t *testing.T) {
						checkCommandInState(t, d, c, state, under)
					})
				}
			}
		}
	}
}

// expected returns the codes of a refusal; empty: the command is executed.
func (c circumstances) expected(cmd Command, state State) string {
	submission, secure := c.role == "submission", c.starttls || c.tls
	outside := state&(StateFresh|StateReady) != 0
	switch {
	case cmd.Never(), cmd.Verb == "STARTTLS" && !secure, c.role == "mx" && (cmd.Verb == "AUTH" || cmd.Verb == "ATRN"):
		return "502 5.5.1"
	case cmd.Verb == "ATRN" && c.login != "logged in":
		return "530 5.7.0"
	case cmd.Flags&Login != 0 && submission && outside && c.login != "logged in" && (c.login == "none" || cmd.Verb != "MAIL"):
		return "530 5.7.0"
	case cmd.Where&state == 0 && !(cmd.Flags&NoHello != 0 && c.teach && state == StateFresh):
		return "503 5.5.1"
	case cmd.Verb == "STARTTLS" && c.tls, cmd.Verb == "AUTH" && c.login == "logged in":
		return "503 5.5.1"
	}
	return ""
}

func checkCommandInState(t *testing.T, d *driver, c Command, state State, under circumstances) {
	if got := d.stateOf(); got != state {
		t.Fatalf("got state %s, want %s", got, state)
	}
	input := crlf(c.Example)
	if c.Flags&Octets != 0 {
		input += strings.Repeat("x", 84) + "\r\n"
	}
	got := codes(d.say(input))
	want := under.expected(c, state)
	switch {
	case want != "" && got != want:
		t.Errorf("got %q, want %s", got, want)
	case want == "" && (got == "" || got[0] != '2' && got[0] != '3'):
		t.Errorf("got %q, want it done", got)
	case want != "" && c.Flags&Octets == 0 && d.stateOf() != state:
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
		if everywhere := c.Roles == RoleAny && c.needs == nil; everywhere == (c.Instead != "") || c.Never() != (c.run == nil) {
			t.Errorf("%s: must have a function if it is offered, and words instead if it is not everywhere", c.Verb)
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
			continue // not offered by this listener
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

func TestHelpNamesTheParametersThatAreTaken(t *testing.T) {
	hello := crlf("EHLO c.example")
	for _, c := range []struct {
		name   string
		d      *driver
		before string
		takes  string // of those that not every listener takes
	}{
		{"mx", newDriver(&fakeBackend{}, &Options{MaxHold: time.Hour}, false), hello, ""},
		{"submission", submit(&fakeLogins{}, &Options{MaxHold: time.Hour}), hello + authPlain, "REQUIRETLS AUTH HOLDFOR HOLDUNTIL"},
		{"relay", connect(setup{Listener: session.Listener{Role: "relay"}, backend: &fakeBackend{}, logins: &fakeLogins{}}), hello, "AUTH"},
		{"relay without logins", connect(setup{Listener: session.Listener{Role: "relay"}, backend: &fakeBackend{}}), hello, ""},
		{"submission that holds nothing", submit(&fakeLogins{}, nil), hello + authPlain, "REQUIRETLS AUTH"},
	} {
		c.d.say(c.before)
		for _, command := range Commands() {
			help, wrong := c.d.say(crlf("HELP "+command.Verb)), ""
			if command.Args == ArgFrom {
				wrong = c.d.say(crlf(command.Verb))
			}
			for _, p := range command.Params {
				want := p.Roles == RoleAny && p.needs == nil || slices.Contains(strings.Fields(c.takes), p.Keyword)
				if strings.Contains(help, "["+p.Syntax+"]") != want || strings.Contains(help, p.Help) != want {
					t.Errorf("%s: HELP %s got %q, want %s in it: %t", c.name, command.Verb, help, p.Keyword, want)
				}
				if wrong != "" && strings.Contains(wrong, "["+p.Syntax+"]") != want {
					t.Errorf("%s: a bad %s got %q, want %s in it: %t", c.name, command.Verb, wrong, p.Keyword, want)
				}
				c.d.say(crlf("RSET"))
				if command.Args == ArgTo {
					c.d.say(crlf("MAIL FROM:<a@example.org>"))
				}
				got := c.d.say(crlf(command.Example + " " + p.Keyword + "=?"))
				if known := !strings.HasPrefix(got, "555"); known != want {
					t.Errorf("%s: %s got %q, want it known: %t", c.name, p.Keyword, got, want)
				}
			}
		}
	}
}
