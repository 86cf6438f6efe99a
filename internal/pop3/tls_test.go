package pop3

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postrider/internal/session"
)

func TestStlsForgetsWhatWasSaid(t *testing.T) {
	b := newFake(two)
	c := connect(t, b, nil, false)
	c.want("USER alice@example.test", "+OK")
	c.want("STLS", "+OK begin TLS negotiation")
	c.want("PASS "+fakePassword, "-ERR say who you are")
	c.want("STLS", "-ERR TLS is there already")
	c.want("USER alice@example.test", "+OK")
	c.want("PASS "+fakePassword, "+OK 1 message")
	if b.logins != 1 {
		t.Errorf("the authenticator was asked %d times, want once", b.logins)
	}
}

// TestNothingBehindStlsIsExecuted: the driver drops it (CVE-2011-0411), and
// nothing of it is answered under TLS.
func TestNothingBehindStlsIsExecuted(t *testing.T) {
	b := newFake(two)
	c := connect(t, b, nil, false)
	if got := c.say("NOOP", "STLS", "USER alice@example.test", "PASS "+fakePassword, "QUIT"); got != "-ERR log in first\r\n+OK begin TLS negotiation\r\n" {
		t.Errorf("got %q", got)
	}
	if b.logins != 0 || c.closed() {
		t.Errorf("got %d logins, closed %t", b.logins, c.closed())
	}
}

func TestStlsAsksForTheHandshakeAndSaysNothingAfterIt(t *testing.T) {
	b := newFake(two)
	s := New(b, b, nil)
	conn := newConn(false)
	s.Start(conn)
	step := s.Line(line("STLS"))
	if step.Next != session.StartTLS || string(step.Reply) != "+OK begin TLS negotiation\r\n" {
		t.Errorf("got mode %v and %q", step.Next, step.Reply)
	}
	conn.TLS = &session.TLS{}
	if step := s.Event(session.TLSReady); len(step.Reply) != 0 || step.Body != nil || step.Next != session.SecretLine {
		t.Errorf("after the handshake: got %q and mode %v", step.Reply, step.Next)
	}
}

func TestWrongLoginsStayCountedOverStls(t *testing.T) {
	c := connect(t, newFake(two), &Options{MaxLogins: 2}, false)
	c.say("USER a", "PASS a", "STLS")
	if got := c.say("USER a", "PASS a"); !strings.HasSuffix(got, "too many attempts\r\n") || !c.closed() {
		t.Errorf("got %q, closed %t", got, c.closed())
	}
}

func TestPasswordsAreNotTakenInTheOpen(t *testing.T) {
	b := newFake(two)
	conn := newConn(false)
	conn.Listener.PlaintextAuth = false
	c := connectWith(t, b, nil, conn)
	const refusal = "-ERR use STLS first: passwords are not taken without TLS here\r\n"
	for _, l := range []string{
		"USER alice@example.test", "PASS " + fakePassword, "AUTH PLAIN", "AUTH PLAIN " + b64(plainMessage), "AUTH LOGIN", "AUTH OAUTHBEARER",
	} {
		if got := c.say(l); got != refusal {
			t.Errorf("%s: got %q, want %q", l, got, refusal)
		}
	}
	if b.logins != 0 {
		t.Errorf("the authenticator was asked %d times, want never", b.logins)
	}
	c.want("AUTH SCRAM-SHA-256", "+ ")
	c.want("*", "-ERR")
	c.want("STLS", "+OK")
	c.want("AUTH PLAIN "+b64(plainMessage), "+OK 1 message")
}

func TestNoStlsIsAdvisedWhereThereIsNone(t *testing.T) {
	conn := newConn(false)
	conn.Listener.PlaintextAuth, conn.Listener.StartTLS = false, false
	c := connectWith(t, newFake(two), nil, conn)
	c.want("USER alice@example.test", "-ERR passwords are not taken without TLS here")
	c.want("STLS", "-ERR STLS is not offered here")
}

// TestNothingIsOfferedThatIsRefused asks for what CAPA, AUTH and HELP say there
// is, and for what they don't, on every kind of connection.
func TestNothingIsOfferedThatIsRefused(t *testing.T) {
	for i := range 16 {
		conn := newConn(false)
		conn.Listener.StartTLS, conn.Listener.PlaintextAuth = i&1 != 0, i&2 != 0
		if i&4 != 0 {
			conn.TLS = boundConn().TLS
		}
		t.Run(fmt.Sprintf("StartTLS %t, PlaintextAuth %t, TLS %t, digest %t", i&1 != 0, i&2 != 0, i&4 != 0, i&8 != 0), func(t *testing.T) {
			open := func() *client {
				b := newFake(two)
				b.digest = i&8 != 0
				copied := *conn
				return connectWith(t, b, &Options{MaxErrors: 100}, &copied)
			}
			capa, mechanisms := capabilities(open().say("CAPA"))
			for verb, example := range map[string]string{"USER": "USER a", "STLS": "STLS"} {
				offered := strings.HasPrefix(open().say(example), "+OK")
				if slices.Contains(capa, verb) != offered {
					t.Errorf("%s: got announced %t, and taken %t", verb, !offered, offered)
				}
				if helped := strings.Contains(open().say("HELP"), "\r\n"+verb); helped != offered {
					t.Errorf("%s: got in HELP %t, and taken %t", verb, helped, offered)
				}
			}
			_, listed, _ := strings.Cut(strings.TrimSuffix(open().say("AUTH"), ".\r\n"), "\r\n")
			if got := strings.Fields(listed); !slices.Equal(got, mechanisms) {
				t.Errorf("AUTH alone lists %v, CAPA %v", got, mechanisms)
			}
			for _, name := range []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "EXTERNAL", "OAUTHBEARER", "PLAIN", "LOGIN", "CRAM-MD5"} {
				if taken := strings.HasPrefix(open().say("AUTH "+name), "+ "); taken != slices.Contains(mechanisms, name) {
					t.Errorf("%s: got announced %t, and taken %t", name, !taken, taken)
				}
			}
		})
	}
}

// capabilities returns the tags of a CAPA reply, and the mechanisms in it.
func capabilities(reply string) (tags, mechanisms []string) {
	for l := range strings.SplitSeq(reply, "\r\n") {
		words := strings.Fields(l)
		if len(words) == 0 {
			continue
		}
		tags = append(tags, words[0])
		if words[0] == "SASL" {
			mechanisms = words[1:]
		}
	}
	return tags, mechanisms
}

func TestNoSaslLineWithoutMechanisms(t *testing.T) {
	b := &mute{newFake(two)}
	s := New(b, b, nil)
	s.Start(newConn(false))
	if got := string(s.Line(line("CAPA")).Reply); strings.Contains(got, "SASL") {
		t.Errorf("got %q", got)
	}
	if got := string(s.Line(line("AUTH")).Reply); !strings.HasPrefix(got, "-ERR ") {
		t.Errorf("got %q", got)
	}
}

// mute offers no mechanism.
type mute struct{ *fakeBackend }

func (*mute) Mechanisms(*session.Conn) []string { return nil }

func TestTheSessionEndsWithinALogin(t *testing.T) {
	for _, e := range []session.Event{session.Timeout, session.Shutdown, session.Shed, session.Flood} {
		c := connect(t, newFake(two), nil, false)
		c.want("AUTH LOGIN", "+ ")
		c.Event(e)
		if got := c.read(); !strings.HasPrefix(got, "-ERR ") || !c.closed() {
			t.Errorf("event %d: got %q, closed %t", e, got, c.closed())
		}
	}
}
