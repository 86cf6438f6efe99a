package login

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"

	"postrider/internal/fault"
	"postrider/internal/sasl"
	"postrider/internal/session"
)

// tokens is a TokenVerifier that knows tokens by heart.
type tokens map[string]string

func (v tokens) Verify(_ context.Context, token string) (string, error) {
	switch name, ok := v[token]; {
	case name == "away":
		return "", fault.New(fault.Transient, "verify a token", nil)
	case ok:
		return name, nil
	}
	return "", fault.Newf(fault.Denied, "verify a token", "it has expired")
}

// The connections on which mechanisms differ.
var (
	inTheClear = func(c *session.Conn) { c.TLS = nil }
	trusting   = func(c *session.Conn) { c.TLS = nil; c.Listener.PlaintextAuth = true }
	withTLS    = func(*session.Conn) {}
	bound      = func(c *session.Conn) {
		c.TLS.Binding = func(kind string) []byte {
			if kind == "tls-exporter" {
				return []byte("bound")
			}
			return nil
		}
	}
	unbound  = func(c *session.Conn) { c.TLS.Binding = func(string) []byte { return nil } }
	withCert = func(c *session.Conn) { c.TLS.ClientNames = []string{"alice@example.org"} }
)

func TestMechanismsAreOfferedWhereTheyMakeSense(t *testing.T) {
	withTokens := func(o *Options) { o.Tokens = tokens{} }
	only := func(names ...string) func(*Options) { return func(o *Options) { o.Mechanisms = names } }
	for _, c := range []struct {
		name    string
		conn    func(*session.Conn)
		options func(*Options)
		want    string
		user    bool
		apop    bool
	}{
		{"in the clear", inTheClear, withTokens, "SCRAM-SHA-256 CRAM-MD5", false, true},
		{"in the clear where that is allowed", trusting, withTokens, "SCRAM-SHA-256 OAUTHBEARER PLAIN LOGIN", true, true},
		{"with TLS", withTLS, nil, "SCRAM-SHA-256 PLAIN LOGIN", true, true},
		{"with channel binding", bound, nil, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN", true, true},
		{"with none of a kind that is known", unbound, nil, "SCRAM-SHA-256 PLAIN LOGIN", true, true},
		{"with a certificate", withCert, nil, "SCRAM-SHA-256 EXTERNAL PLAIN LOGIN", true, true},
		{"with an issuer", withTLS, withTokens, "SCRAM-SHA-256 OAUTHBEARER PLAIN LOGIN", true, true},
		{"without legacy secrets", inTheClear, func(o *Options) { o.Directory.(*people).noLegacy = true }, "SCRAM-SHA-256", false, false},
		{"without keys for SCRAM", bound, func(o *Options) { o.Directory.(*people).noSCRAM = true }, "PLAIN LOGIN", true, true},
		{"CRAM-MD5 by its name, with TLS", withTLS, only("PLAIN", "cram-md5"), "PLAIN CRAM-MD5", false, false},
		{"CRAM-MD5 by its name, in the clear where that is allowed", trusting, only("PLAIN", "CRAM-MD5"), "PLAIN CRAM-MD5", false, false},
		{"CRAM-MD5 by its name, without legacy secrets", withTLS, func(o *Options) {
			o.Directory.(*people).noLegacy, o.Mechanisms = true, []string{"PLAIN", "CRAM-MD5"}
		}, "PLAIN", false, false},
		{"all but CRAM-MD5 by their names", inTheClear, only("SCRAM-SHA-256", "PLAIN"), "SCRAM-SHA-256", false, false},
		{"as configured", withTLS, only("plain", "USER"), "PLAIN", true, false},
		{"nothing for POP3's own ways", withTLS, only("SCRAM-SHA-256"), "SCRAM-SHA-256", false, false},
		{"APOP only", withTLS, only("APOP"), "", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, c.options)
			conn := from(t, "192.0.2.1")
			c.conn(conn)
			offered := d.Mechanisms(conn)
			if got := strings.Join(offered, " "); got != c.want {
				t.Errorf("offered %s, want %s", got, c.want)
			}
			if d.PasswordOffered(conn) != c.user || d.DigestOffered(conn) != c.apop {
				t.Errorf("USER %v, APOP %v; want %v, %v", d.PasswordOffered(conn), d.DigestOffered(conn), c.user, c.apop)
			}
			for _, m := range sasl.Mechanisms() {
				_, err := d.Begin(conn, m.Name)
				if begins := err == nil; begins != strings.Contains(" "+c.want+" ", " "+m.Name+" ") {
					t.Errorf("%s: Begin says %v, offered is %s", m.Name, err, c.want)
				}
			}
		})
	}
}

func TestBeginSaysWhyNot(t *testing.T) {
	for _, c := range []struct {
		mechanism string
		conn      func(*session.Conn)
		want      string
	}{
		{"PLAIN", inTheClear, "denied"},
		{"login", inTheClear, "denied"},
		{"plain", withTLS, "ok"},
		{"SCRAM-SHA-256-PLUS", inTheClear, "not found"},
		{"EXTERNAL", inTheClear, "not found"},
		{"EXTERNAL", withTLS, "not found"},
		{"OAUTHBEARER", inTheClear, "not found"}, // there is no issuer
		{"GSSAPI", withTLS, "not found"},
		{"", withTLS, "not found"},
		{strings.Repeat("X", 10_000), withTLS, "not found"},
		{"USER", withTLS, "not found"},
	} {
		conn := from(t, "192.0.2.1")
		c.conn(conn)
		_, err := newDesk(t, nil).Begin(conn, c.mechanism)
		wantKind(t, c.mechanism, err, c.want)
	}
	d := newDesk(t, nil)
	conn := from(t, "192.0.2.1")
	inTheClear(conn)
	_, err := d.Password(conn, "alice@example.org", alicesPassword)
	wantKind(t, "USER and PASS in the clear", err, "denied")
	d.people.noLegacy = true
	_, err = d.Digest(conn, "alice@example.org", func([]byte) bool { return true })
	wantKind(t, "APOP without secrets", err, "denied")
	if d.people.checks != 0 {
		t.Errorf("%d looks at passwords that were not to be sent", d.people.checks)
	}
}

// talk has an exchange with the client's messages one after another.
func talk(t *testing.T, d *desk, c *session.Conn, mechanism string, messages ...string) (sasl.Step, error) {
	t.Helper()
	e, err := d.Begin(c, mechanism)
	if err != nil {
		t.Fatalf("begin %s: %v", mechanism, err)
	}
	var step sasl.Step
	for _, m := range messages {
		if step, err = e.Respond(t.Context(), []byte(m)); err != nil {
			return sasl.Step{}, err
		}
	}
	return step, nil
}

func TestNobodyActsAsAnother(t *testing.T) {
	for _, c := range []struct{ as, want string }{
		{"", "ok"},
		{"alice@example.org", "ok"},
		{"ALICE@EXAMPLE.ORG", "ok"},
		{"ａlice@example.org", "ok"},
		{"bob@example.org", "denied"},
		{"nobody@example.org", "denied"},
		{"*)(uid=*", "denied"},
	} {
		d := newDesk(t, undelayed)
		step, err := talk(t, d, from(t, "192.0.2.1"), "PLAIN", c.as+"\x00alice@example.org\x00"+alicesPassword)
		wantKind(t, "as "+c.as, err, c.want)
		if c.want != "ok" {
			e := d.Log(LogFilter{FailedOnly: true})
			if len(e) != 1 || e[0].Reason != "may not act as another" {
				t.Errorf("as %s: the log has %v", c.as, e)
			}
			continue
		}
		want := sasl.Identity{Account: 1, Address: "alice@example.org", Mechanism: "PLAIN"}
		if !step.Done || step.Identity != want {
			t.Errorf("as %s: %v, want %v", c.as, step.Identity, want)
		}
	}
}

func TestExternalTakesANameOfTheCertificate(t *testing.T) {
	for _, c := range []struct {
		name  string
		names []string
		as    string
		want  string // account, or kind of error
	}{
		{"the only one", []string{"alice@example.org"}, "", "alice@example.org"},
		{"the first that is an account", []string{"x@example.net", "bob@example.org", "alice@example.org"}, "", "bob@example.org"},
		{"the one that the client wants", []string{"bob@example.org", "alice@example.org"}, "Alice@example.org", "alice@example.org"},
		{"one that is not in it", []string{"alice@example.org"}, "bob@example.org", "denied"},
		{"one that is no account", []string{"x@example.net"}, "", "denied"},
		{"one that is in it and no account", []string{"x@example.net"}, "x@example.net", "denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, undelayed)
			conn := from(t, "192.0.2.1")
			conn.TLS.ClientNames = c.names
			step, err := talk(t, d, conn, "EXTERNAL", c.as)
			got := step.Identity.Address
			if err != nil {
				got = kindOf(err)
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestOAuthBearer(t *testing.T) {
	known := tokens{"good": "Alice@example.org", "stranger": "x@example.net", "down": "away"}
	for _, c := range []struct{ token, as, want string }{
		{"good", "", "alice@example.org"},
		{"good", "alice@example.org", "alice@example.org"},
		{"good", "bob@example.org", "denied"},
		{"stranger", "", "denied"},
		{"expired", "", "denied"},
		{"down", "", "transient"},
	} {
		d := newDesk(t, func(o *Options) { o.Tokens, o.Policy.MaxDelay = known, -1 })
		as := c.as
		if as != "" {
			as = "a=" + as
		}
		message := "n," + as + ",\x01auth=Bearer " + c.token + "\x01\x01"
		step, err := talk(t, d, from(t, "192.0.2.1"), "OAUTHBEARER", message)
		if err == nil && !step.Done { // RFC 7628 §3.2.3: the client has to answer
			_, err = talk(t, d, from(t, "192.0.2.1"), "OAUTHBEARER", message, "\x01")
		}
		got := step.Identity.Address
		if err != nil {
			got = kindOf(err)
		}
		if got != c.want {
			t.Errorf("%s as %q: got %s, want %s", c.token, c.as, got, c.want)
		}
	}
}

func TestDigests(t *testing.T) {
	cram := func(t *testing.T, d *desk, name, secret string) error {
		conn := from(t, "192.0.2.1")
		inTheClear(conn)
		e, err := d.Begin(conn, "CRAM-MD5")
		if err != nil {
			t.Fatal(err)
		}
		step, err := e.Respond(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(md5.New, []byte(secret))
		mac.Write(step.Challenge)
		_, err = e.Respond(t.Context(), []byte(name+" "+hex.EncodeToString(mac.Sum(nil))))
		return err
	}
	apop := func(t *testing.T, d *desk, name, secret string) error {
		_, err := d.Digest(from(t, "192.0.2.1"), name, func(kept []byte) bool { return string(kept) == secret })
		return err
	}
	for mechanism, try := range map[string]func(*testing.T, *desk, string, string) error{"CRAM-MD5": cram, "APOP": apop} {
		for _, c := range []struct{ name, secret, want string }{
			{"alice@example.org", alicesSecret, "ok"},
			{"alice@example.org", alicesPassword, "denied"},
			{"bob@example.org", "", "denied"}, // has no secret
			{"nobody@example.org", "", "denied"},
		} {
			d := newDesk(t, undelayed)
			wantKind(t, mechanism+" "+c.name+" "+c.secret, try(t, d, c.name, c.secret), c.want)
			if c.want == "ok" && d.Log(LogFilter{})[0].Mechanism != mechanism {
				t.Errorf("the log has %v, want mechanism %s", d.Log(LogFilter{}), mechanism)
			}
		}
	}
}

// scramWith has an exchange of SCRAM-SHA-256 with a client of another make.
func scramWith(t *testing.T, d *desk, c *session.Conn, name, as, password string) (sasl.Identity, error) {
	t.Helper()
	client, err := scram.SHA256.NewClientUnprepped(name, password, as)
	if err != nil {
		t.Fatal(err)
	}
	conversation := client.NewConversation()
	e, err := d.Begin(c, "SCRAM-SHA-256")
	if err != nil {
		return sasl.Identity{}, err
	}
	challenge := ""
	for !conversation.Done() {
		response, err := conversation.Step(challenge)
		if err != nil {
			t.Fatal(err)
		}
		step, err := e.Respond(t.Context(), []byte(response))
		if err != nil {
			return sasl.Identity{}, err
		}
		challenge = string(step.Challenge)
		if step.Done {
			return step.Identity, nil
		}
	}
	return sasl.Identity{}, errors.New("the conversation had no end")
}

func TestSCRAM(t *testing.T) {
	for _, c := range []struct{ name, as, password, want string }{
		{"alice@example.org", "", alicesPassword, "alice@example.org "},
		{"alice@example.org", "alice@example.org", alicesPassword, "alice@example.org "},
		{"alice@example.org", "", appPassword, "alice@example.org phone"},
		{"alice@example.org", "bob@example.org", alicesPassword, "denied"},
		{"alice@example.org", "", bobsPassword, "denied"},
		{"nobody@example.org", "", alicesPassword, "denied"},
	} {
		d := newDesk(t, undelayed)
		id, err := scramWith(t, d, from(t, "192.0.2.1"), c.name, c.as, c.password)
		got := id.Address + " " + id.AppPassword
		if err != nil {
			got = kindOf(err)
		}
		if got != c.want {
			t.Errorf("%s as %q with %q: got %s, want %s", c.name, c.as, c.password, got, c.want)
		}
	}
}

func TestSCRAMIsHeldToThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		c := from(t, "192.0.2.1")
		for range DefaultPairFailures {
			_, err := scramWith(t, d, c, "alice@example.org", "", "wrong")
			wantKind(t, "a wrong password", err, "denied")
		}
		e, err := d.Begin(c, "SCRAM-SHA-256")
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Respond(t.Context(), []byte("n,,n=alice@example.org,r=abc"))
		wantKind(t, "the salt, to who is locked out", err, "busy")
		_, err = scramWith(t, d, from(t, "192.0.2.2"), "alice@example.org", "", alicesPassword)
		wantKind(t, "the owner from elsewhere", err, "ok")
	})
}

func TestSaltThatIsAskedForIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		c := from(t, "192.0.2.1")
		for range 100 {
			if _, err := talk(t, d, c, "SCRAM-SHA-256", "n,,n=alice@example.org,r=abc"); err != nil {
				t.Fatal(err)
			}
		}
		d.people.trouble = fault.New(fault.ReadOnly, "look up", nil)
		_, err := talk(t, d, c, "SCRAM-SHA-256", "n,,n=alice@example.org,r=abc")
		wantKind(t, "the salt, with trouble", err, "read-only")
		d.people.trouble = nil
		begun := time.Now()
		d.fails(t, c, "alice@example.org", 1)
		if time.Since(begun) != leastTime {
			t.Errorf("the first failure was answered after %v", time.Since(begun))
		}
	})
}

func TestAppPasswordIsNoted(t *testing.T) {
	d := newDesk(t, nil)
	id, err := d.Password(from(t, "192.0.2.1"), "alice@example.org", appPassword)
	if err != nil || id.AppPassword != "phone" || id.Mechanism != "USER" {
		t.Errorf("got %v, %v", id, err)
	}
	if got := fmt.Sprint(d.people.used); got != "[phone]" {
		t.Errorf("noted %s, want [phone]", got)
	}
}

// TestIssuerThatIsAwayIsNoErrorOfEveryLogin: the verifier of tokens has told the
// log already.
func TestIssuerThatIsAwayIsNoErrorOfEveryLogin(t *testing.T) {
	d := newDesk(t, func(o *Options) { o.Tokens = tokens{"down": "away"} })
	for range 20 {
		_, err := talk(t, d, from(t, "192.0.2.1"), "OAUTHBEARER", "n,,\x01auth=Bearer down\x01\x01", "\x01")
		wantKind(t, "with the issuer away", err, "transient")
	}
	log := d.log.String()
	for _, level := range []string{"INFO", "WARN", "ERROR"} {
		if strings.Contains(log, "level="+level) {
			t.Errorf("the log has\n%s\nwant nothing above debug", log)
		}
	}
	if e := d.Log(LogFilter{}); len(e) != 20 || e[0].Result != Failed || e[0].Reason != "verify a token: transient" {
		t.Errorf("the log of logins has %v", e)
	}
	d.people.trouble = fault.New(fault.Corrupt, "read account", nil)
	_, _ = d.Password(from(t, "192.0.2.1"), "alice@example.org", alicesPassword)
	if log := d.log.String(); !strings.Contains(log, "level=ERROR msg=\"login not decided\"") || !strings.Contains(log, "error=\"read account: corrupt\"") {
		t.Errorf("of the store's trouble the log has\n%s", log)
	}
}
