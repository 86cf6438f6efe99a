package smtp

import (
	"strings"
	"testing"

	"postrider/internal/session"
)

// offersTLS connects to a listener with STARTTLS.
func offersTLS(role string, o *Options) *driver {
	return connect(setup{Listener: session.Listener{Role: role, StartTLS: true}, backend: &fakeBackend{}, logins: &fakeLogins{}, options: o})
}

func TestStartTLS(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"after EHLO", ehlo + "STARTTLS\r\n", "250, 220 2.0.0"},
		{"before EHLO", "starttls\r\n", "220 2.0.0"},
		{"with an argument", "STARTTLS now\r\n", "501 5.5.4"},
		{"twice", "STARTTLS\r\nSTARTTLS\r\n", "220 2.0.0"},
		{"what was pipelined is gone", "STARTTLS\r\nNOOP\r\nQUIT\r\n", "220 2.0.0"},
		{"bare LF", "STARTTLS\nNOOP\r\nNOOP\r\n", "500 5.5.2, 250 2.0.0"},
	} {
		d := offersTLS("mx", nil)
		t.Run(c.name, func(t *testing.T) { d.check(t, c.in, c.want) })
	}
	d := offersTLS("mx", nil)
	d.say("STARTTLS\r\n")
	d.check(t, "STARTTLS\r\n", "503 5.5.1")
	d = offersTLS("mx", nil)
	d.say(ehlo)
	for _, in := range []string{"MAIL FROM:<>\r\n", "RCPT TO:<alice@example.test>\r\n", "BDAT 1\r\nx", "BDAT 1 FIRST\r\nx"} {
		d.say(in)
		d.check(t, "STARTTLS\r\n", "503 5.5.1")
	}
	d.check(t, "RSET\r\nSTARTTLS\r\n", "250 2.0.0, 220 2.0.0")
}

func TestNoTLSWhereThereIsNone(t *testing.T) {
	newDriver(&fakeBackend{}, nil, false).check(t, ehlo+"STARTTLS\r\nNOOP\r\n", "250, 502 5.5.1, 250 2.0.0")
	available := false
	d := offersTLS("mx", &Options{TLSAvailable: func() bool { return available }})
	d.check(t, ehlo+"STARTTLS\r\nNOOP\r\n", "250, 454 4.7.0, 250 2.0.0")
	available = true
	d.check(t, "STARTTLS\r\n", "220 2.0.0")
}

// TestAfterTheHandshakeNothingIsKnown: what was said before it could be anybody's
// (RFC 3207 §4.2).
func TestAfterTheHandshakeNothingIsKnown(t *testing.T) {
	d := offersTLS("mx", nil)
	d.say(ehlo + "STARTTLS\r\n")
	if c := d.session.(*server).client; c.Helo != "" || c.Extended || c.TLS != "TLS 1.3 AES-128-GCM" {
		t.Errorf("got client %+v", c)
	}
	d.check(t, "MAIL FROM:<>\r\n"+ehlo+envelope, "503 5.5.1, 250, 250 2.1.0, 250 2.1.5")

	d = connect(setup{
		Listener: session.Listener{Role: "submission", StartTLS: true, PlaintextAuth: true}, backend: &fakeBackend{}, logins: &fakeLogins{},
	})
	d.check(t, ehlo+authPlain+"STARTTLS\r\n", "250, 235 2.7.0, 220 2.0.0")
	if c := d.session.(*server).client; c.Account != 0 || c.Login != "" || c.Mechanism != "" || c.AppPassword != "" {
		t.Errorf("got client %+v, want nobody", c)
	}
	d.check(t, ehlo+"MAIL FROM:<>\r\n"+authPlain+"MAIL FROM:<>\r\n", "250, 530 5.7.0, 235 2.7.0, 250 2.1.0")
}

func TestHandshakeForgivesNothing(t *testing.T) {
	d := offersTLS("submission", nil)
	d.say(strings.Repeat("XYZZY\r\n", DefaultMaxErrors-1) + "STARTTLS\r\n")
	d.check(t, "XYZZY\r\n", "421 4.7.0")
	digest := b64(aliceAddress + " " + strings.Repeat("0", 32))
	d = offersTLS("submission", nil)
	d.say(ehlo + strings.Repeat("AUTH CRAM-MD5\r\n"+digest+"\r\n", DefaultMaxLogins-1) + "STARTTLS\r\n")
	d.check(t, ehlo+"AUTH CRAM-MD5\r\n"+digest+"\r\n", "250, 334, 421 4.7.0")
}

func TestSubmissionAsksForTLSFirst(t *testing.T) {
	// Only passwords in the clear could be used, so that none is offered.
	d := connect(setup{Listener: session.Listener{Role: "submission", StartTLS: true}, backend: &fakeBackend{}, logins: onlyPasswords{&fakeLogins{}}})
	if got := d.say(ehlo + "MAIL FROM:<>\r\n"); !strings.HasSuffix(got, "530 5.7.0 Must issue a STARTTLS command first\r\n") || strings.Contains(got, "AUTH") {
		t.Errorf("got %q", got)
	}
	d.say("STARTTLS\r\n")
	if got := d.say(ehlo + "MAIL FROM:<>\r\n"); !strings.HasSuffix(got, "530 5.7.0 Authentication required\r\n") || !strings.Contains(got, "AUTH PLAIN LOGIN\r\n") {
		t.Errorf("under TLS: got %q", got)
	}
}

// onlyPasswords offers nothing without TLS.
type onlyPasswords struct{ *fakeLogins }

func (o onlyPasswords) Mechanisms(c *session.Conn) []string {
	if c.TLS == nil {
		return nil
	}
	return []string{"PLAIN", "LOGIN"}
}
