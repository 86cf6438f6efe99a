package pop3

import (
	"fmt"
	"strings"
	"testing"

	"postrider/internal/wire"
)

func line(text string) wire.Line { return wire.Line{Bytes: []byte(text)} }

func TestTheTableIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for i, c := range Commands() {
		if c.Verb == "" || c.Syntax == "" || c.Help == "" || c.Example == "" || c.RFC == "" || c.States == 0 {
			t.Errorf("%q lacks a fact: %+v", c.Verb, c)
		}
		if seen[c.Verb] || c.Verb != strings.ToUpper(c.Verb) || !strings.HasPrefix(c.Syntax, c.Verb) || !strings.HasPrefix(c.Example, c.Verb) {
			t.Errorf("%q stands twice, or its facts don't fit", c.Verb)
		}
		seen[c.Verb] = true
		if commands[i].run == nil || (commands[i].refusal == nil) != (c.Offered == "") {
			t.Errorf("%s must be executed, and say where it is not offered everywhere", c.Verb)
		}
	}
}

// TestEveryCommandInEveryState runs each command, right and wrong, in each
// state, on both kinds of listener.
func TestEveryCommandInEveryState(t *testing.T) {
	for _, c := range Commands() {
		for _, state := range []State{Authorization, Transaction} {
			for _, teach := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s in %v, teach %t", c.Verb, state, teach), func(t *testing.T) {
					runCommand(t, c, state, teach)
				})
			}
		}
	}
}

func runCommand(t *testing.T, c Command, state State, teach bool) {
	start := func() (*client, *fakeBackend) {
		b := newFake(two, two)
		b.digest = true
		k := connect(t, b, nil, teach)
		if state == Transaction {
			k.say("USER alice@example.test", "PASS "+fakePassword)
		}
		return k, b
	}
	k, _ := start()
	got := k.say(c.Example)
	switch fits := c.States&state != 0; {
	case c.Verb == "AUTH" && fits:
		if got != "+ \r\n" {
			t.Errorf("got %q, want an empty challenge", got)
		}
	case c.Verb == "APOP" && fits:
		if !strings.HasPrefix(got, "-ERR [AUTH] ") {
			t.Errorf("got %q for a wrong digest", got)
		}
	case c.Verb == "PASS" && fits:
		if !strings.HasPrefix(got, "-ERR say who you are") {
			t.Errorf("got %q for PASS before USER", got)
		}
	case !fits:
		if strings.Count(got, "\r\n") != 1 || !strings.HasPrefix(got, "-ERR ") {
			t.Errorf("got %q in the wrong state, want one line of -ERR", got)
		}
	case !strings.HasPrefix(got, "+OK"):
		t.Errorf("got %q, want +OK", got)
	}
	if k.closed() != (c.Verb == "QUIT") {
		t.Errorf("got closed %t", k.closed())
	}
	again, b := start()
	switch c.Verb {
	case "USER", "PASS", "APOP", "HELP":
		got = again.say(c.Verb)
	default:
		got = again.say(c.Verb + " a b c")
	}
	if c.Verb != "HELP" && !strings.HasPrefix(got, "-ERR ") {
		t.Errorf("got %q with wrong arguments, want -ERR", got)
	}
	if len(b.removed) != 0 || again.closed() {
		t.Errorf("got %v removed, closed %t after wrong arguments", b.removed, again.closed())
	}
	again.want("QUIT", "+OK")
}

func TestCapaIsTheSameInBothStates(t *testing.T) {
	want := "+OK capability list follows\r\nSTLS\r\nSASL SCRAM-SHA-256 OAUTHBEARER PLAIN LOGIN\r\nUSER\r\nUTF8 USER\r\n" +
		"UIDL\r\nTOP\r\nPIPELINING\r\nRESP-CODES\r\n" +
		"AUTH-RESP-CODE\r\nEXPIRE NEVER\r\nIMPLEMENTATION postrider-1\r\n.\r\n"
	o := &Options{Implementation: "postrider-1"}
	for _, c := range []*client{connect(t, newFake(), o, false), login(t, newFake(), o)} {
		if got := c.say("CAPA"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestHelpListsWhatTheStateHas(t *testing.T) {
	before, after := connect(t, newFake(), nil, false).say("HELP"), login(t, newFake(), nil).say("help")
	for _, c := range Commands() {
		offered := c.Verb != "APOP" // the fake has no secrets for it
		if got, want := strings.Contains(before, "\r\n"+c.Syntax), offered && c.States&Authorization != 0; got != want {
			t.Errorf("%s before the login: got listed %t, want %t", c.Verb, got, want)
		}
		if got, want := strings.Contains(after, "\r\n"+c.Syntax), offered && c.States&Transaction != 0; got != want {
			t.Errorf("%s after the login: got listed %t, want %t", c.Verb, got, want)
		}
	}
}

func TestHelpIsASCII(t *testing.T) {
	for _, c := range Commands() {
		got := connect(t, newFake(), nil, false).say("HELP " + c.Verb)
		if i := strings.IndexFunc(got, func(r rune) bool { return r > '~' }); i >= 0 {
			t.Errorf("HELP %s: got %q at octet %d", c.Verb, got, i)
		}
	}
}

// TestSingleLinesAreShort holds RFC 2449 §4: 512 octets with the CRLF.
func TestSingleLinesAreShort(t *testing.T) {
	for _, c := range Commands() {
		for _, text := range []string{"Offered: " + c.Offered, "write it like this: " + c.Syntax + ", for instance " + c.Example + "; too many errors", c.Help} {
			if n := len("-ERR ") + len(text) + len("\r\n"); n > 512 {
				t.Errorf("%s: got a line of %d octets: %q", c.Verb, n, text)
			}
		}
	}
}

func TestParseNumber(t *testing.T) {
	for _, row := range []struct {
		text string
		n    int64
		ok   bool
	}{
		{"0", 0, true},
		{"7", 7, true},
		{"2147483648", 2147483648, true},
		{"999999999999999999", 999999999999999999, true},
		{"1000000000000000000", 1<<63 - 1, true},
		{"9223372036854775808", 1<<63 - 1, true},
		{"1" + strings.Repeat("0", 30), 1<<63 - 1, true},
		{"1" + strings.Repeat("0", 30) + "x", 0, false},
		{"", 0, false},
		{"00", 0, false},
		{"-1", 0, false},
	} {
		n, ok := parseNumber([]byte(row.text))
		if ok != row.ok || ok && n != row.n {
			t.Errorf("%q: got %d, %t, want %d, %t", row.text, n, ok, row.n, row.ok)
		}
	}
}
