package smtp

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"postrider/internal/fault"
	"postrider/internal/session"
	"postrider/internal/wire"
)

// fakeTurner answers ETRN with waiting, ATRN with next; or both with err.
type fakeTurner struct {
	waiting Flushed
	next    session.Session
	err     error

	nodes   []Node
	domains [][]string
	who     []Client
}

func (f *fakeTurner) Flush(_ context.Context, c *Client, n Node) (Flushed, error) {
	f.nodes, f.who = append(f.nodes, n), append(f.who, *c)
	return f.waiting, f.err
}

func (f *fakeTurner) Turn(_ context.Context, c *Client, domains []string) (session.Session, error) {
	f.domains, f.who = append(f.domains, domains), append(f.who, *c)
	return f.next, f.err
}

// fakeSender is a client that says EHLO to a greeting and QUIT to everything else.
type fakeSender struct {
	greeted, closed bool
}

func (f *fakeSender) Start(*session.Conn) session.Step { return session.Step{} }

func (f *fakeSender) Line(wire.Line) session.Step {
	if !f.greeted {
		f.greeted = true
		return session.Step{Reply: []byte("EHLO mx.example.test\r\n")}
	}
	return session.Step{Reply: []byte("QUIT\r\n"), Next: session.Close}
}

func (f *fakeSender) Data(int64, error) session.Step { return session.Step{Next: session.Close} }

func (f *fakeSender) Event(e session.Event) session.Step {
	f.closed = f.closed || e == session.Closed
	return session.Step{Next: session.Close}
}

// turn connects to a listener where mail waits.
func turn(role string, f *fakeTurner) *driver {
	return connect(setup{
		Listener: session.Listener{Role: role}, implicit: true, backend: &fakeBackend{}, logins: &fakeLogins{},
		options: &Options{Turner: f},
	})
}

func TestETRNSaysWhatWaits(t *testing.T) {
	for _, c := range []struct {
		name, want string
		turner     fakeTurner
		logged     bool
	}{
		{"nothing", "251 2.0.0", fakeTurner{}, false},
		{"one", "253 2.0.0", fakeTurner{waiting: 1}, false},
		{"many", "253 2.0.0", fakeTurner{waiting: 1_000_000}, false},
		{"nobody has looked", "250 2.0.0", fakeTurner{waiting: FlushBegun}, false},
		{"nobody has counted", "252 2.0.0", fakeTurner{waiting: FlushSome}, false},
		{"not theirs", "459 4.7.1", fakeTurner{err: fault.New(fault.Denied, "flush", nil)}, false},
		{"no such queue", "458 4.3.0", fakeTurner{err: fault.New(fault.NotFound, "flush", nil)}, false},
		{"trouble here", "458 4.3.0", fakeTurner{err: errors.New("disk")}, true},
		{"own words", "458 4.4.5", fakeTurner{err: &Reply{Code: 458, Enhanced: "4.5", Text: "Congested"}}, false},
		{"words that are no refusal", "458 4.3.0", fakeTurner{err: &Reply{Code: 250, Text: "Fine"}}, true},
	} {
		d := turn("mx", &c.turner)
		d.check(t, ehlo+"ETRN x.example\r\n", "250, "+c.want)
		if (d.log != "") != c.logged {
			t.Errorf("%s: got log %q, want one: %t", c.name, d.log, c.logged)
		}
		d.check(t, envelope+"ETRN x.example\r\nRSET\r\n", "250 2.1.0, 250 2.1.5, 503 5.5.1, 250 2.0.0")
	}
}

func TestETRNNamesANode(t *testing.T) {
	long := strings.Repeat("q", MaxQueueName)
	for _, c := range []struct {
		arg  string
		want Node
		ok   bool
	}{
		{"Host.Example.ORG.", Node{NodeHost, "host.example.org"}, true},
		{"@" + strings.Repeat("a23456789.", 25) + "org", Node{NodeDomain, strings.Repeat("a23456789.", 25) + "org"}, true},
		{"@example.org", Node{NodeDomain, "example.org"}, true},
		{"#weekly_1.a-b", Node{NodeQueue, "weekly_1.a-b"}, true},
		{"#" + long, Node{NodeQueue, long}, true},
		{"#" + long + "q", Node{}, false},
		{"@", Node{}, false},
		{"#", Node{}, false},
		{"#a b", Node{}, false},
		{"#../x", Node{NodeQueue, "../x"}, false},
		{"a b", Node{}, false},
		{"@@example.org", Node{}, false},
		{"[192.0.2.1]", Node{}, false},
		{"-", Node{}, false},
		{"a..b", Node{}, false},
	} {
		f := &fakeTurner{waiting: FlushBegun}
		said := turn("mx", f).say(ehlo + "ETRN " + c.arg + "\r\n")
		got := codes(said)
		switch {
		case !c.ok && (got != "250, 501 5.5.4" || len(f.nodes) != 0):
			t.Errorf("%s: got %s, asked for %v, want a refusal", c.arg, got, f.nodes)
		case c.ok && !slices.Equal(f.nodes, []Node{c.want}):
			t.Errorf("%s: got %s, asked for %v, want %v", c.arg, got, f.nodes, c.want)
		case c.ok && !strings.HasSuffix(said, "250 2.0.0 OK, queuing for node "+c.want.String()+" started\r\n"):
			t.Errorf("%s: got %q, want the node named", c.arg, said)
		}
	}
}

func TestETRNIsBounded(t *testing.T) {
	d := turn("mx", &fakeTurner{})
	d.say(ehlo)
	got := d.say(strings.Repeat("ETRN x.example\r\n", DefaultMaxJunk+DefaultMaxErrors))
	if !d.closed || !strings.HasSuffix(codes(got), "421 4.7.0") {
		t.Errorf("open after %d ETRN: %q", DefaultMaxJunk+DefaultMaxErrors, codes(got))
	}
}

func TestATRNReversesTheConnection(t *testing.T) {
	for _, role := range []string{"submission", "relay"} {
		sender := &fakeSender{}
		f := &fakeTurner{next: sender}
		d := turn(role, f)
		d.check(t, ehlo+"ATRN example.org\r\n", "250, 530 5.7.0")
		d.check(t, authPlain+"ATRN example.org, Example.COM,example.org\r\n", "235 2.7.0, 250 2.0.0")
		if want := []string{"example.org", "example.com"}; len(f.domains) != 1 || !slices.Equal(f.domains[0], want) {
			t.Errorf("%s: asked for %q, want %q", role, f.domains, want)
		}
		if f.who[0].Account != aliceAccount {
			t.Errorf("%s: asked by account %d, want %d", role, f.who[0].Account, aliceAccount)
		}
		// Commands of the former client are replies now.
		if got := d.say("220 client.example.org ESMTP\r\n"); got != "EHLO mx.example.test\r\n" {
			t.Errorf("%s: got %q to a greeting, want EHLO", role, got)
		}
		if got := d.say("250 client.example.org\r\n"); got != "QUIT\r\n" || !d.closed || !sender.closed {
			t.Errorf("%s: got %q, closed %t %t, want QUIT and the end", role, got, d.closed, sender.closed)
		}
	}
}

func TestATRNRefuses(t *testing.T) {
	some := strings.Repeat("d.example,", 100) + "d.example" // one domain
	many := "d.example"
	for i := range MaxTurn {
		many += ",d" + strings.Repeat("x", i) + "y.example"
	}
	for _, c := range []struct {
		name, arg, want string
		turner          fakeTurner
	}{
		{"no mail", " example.org", "453 4.0.0", fakeTurner{}},
		{"no mail at all", "", "453 4.0.0", fakeTurner{}},
		{"one domain often", " " + some, "453 4.0.0", fakeTurner{}},
		{"not theirs", " example.org", "450 4.7.1", fakeTurner{err: fault.New(fault.Denied, "turn", nil)}},
		{"trouble here", " example.org", "451 4.3.0", fakeTurner{err: errors.New("disk")}},
		{"own words", " example.org", "450 4.7.1", fakeTurner{err: &Reply{Code: 450, Enhanced: "7.1", Text: "Not today"}}},
		{"goodbye", " example.org", "421 4.3.2", fakeTurner{err: &Reply{Code: 421, Enhanced: "3.2", Text: "Closing"}}},
		{"no domain", " a..b", "501 5.5.4", fakeTurner{next: &fakeSender{}}},
		{"an empty one", " a.example,", "501 5.5.4", fakeTurner{next: &fakeSender{}}},
		{"an address", " [192.0.2.1]", "501 5.5.4", fakeTurner{next: &fakeSender{}}},
		{"two words", " a.example b.example", "501 5.5.4", fakeTurner{next: &fakeSender{}}},
		{"too many", " " + many, "501 5.5.4", fakeTurner{next: &fakeSender{}}},
	} {
		d := turn("submission", &c.turner)
		d.say(ehlo + authPlain)
		if got := codes(d.say("ATRN" + c.arg + "\r\n")); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if c.want != "421 4.3.2" {
			d.check(t, "NOOP\r\n", "250 2.0.0")
		}
	}
}

func TestTrustedAddressDoesNotTurn(t *testing.T) {
	f := &fakeTurner{next: &fakeSender{}}
	d := connect(setup{
		Listener: session.Listener{Role: "submission"}, implicit: true, backend: &fakeBackend{}, options: &Options{Turner: f},
		logins: &fakeLogins{trusted: aliceIdentity},
	})
	d.check(t, ehlo+"ATRN\r\nETRN example.org\r\n", "250, 530 5.7.0, 530 5.7.0")
	if len(f.who) != 0 {
		t.Errorf("asked by %+v, want by nobody", f.who)
	}
}

func FuzzParseTurn(f *testing.F) {
	for _, s := range []string{"", "a.example", "a.example,b.example", ",", "a,,b", "a.example, A.EXAMPLE", "[192.0.2.1]", "\u00fc.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		domains, bad := parseTurn(s)
		if bad != nil && domains != nil || bad == nil && s != "" && len(domains) == 0 || len(domains) > MaxTurn {
			t.Errorf("%q: got %q, %v", s, domains, bad)
		}
		for i, d := range domains {
			if again, ok := parseHost(d); !ok || again != d || !isPrintable(d) || slices.Contains(domains[:i], d) {
				t.Errorf("%q: got %q", s, domains)
			}
		}
	})
}

func FuzzParseNode(f *testing.F) {
	for _, s := range []string{"a.example", "@a.example", "#queue", "#", "@", "@#a", "[IPv6:::1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := parseNode(s)
		if !ok {
			return
		}
		again, ok := parseNode([]string{"", "@", "#"}[n.Kind] + n.Name)
		if !ok || again != n || !isPrintable(n.Name) || strings.ContainsAny(n.Name, " /\\") {
			t.Errorf("%q: got %+v, then %+v", s, n, again)
		}
	})
}
