//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
)

// TestCurlNeedNotNameTheUserOfACertificate: where no user is named, curl answers
// with "=", as it may only at once (RFC 4954 §4).
func TestCurlNeedNotNameTheUserOfACertificate(t *testing.T) {
	p := startPeople(t, forgiving)
	text, _ := p.letter("EXTERNAL")
	for _, l := range []login{{submission, "EXTERNAL"}, {submissions, "EXTERNAL"}} {
		r := curlSends(l.service, l.mechanism)
		r.command = strings.Replace(r.command, "--user {user}:", "--user :", 1)
		if printed, err := r.with(p.words(l.service, "", "", text)).run(t, p.folder(t, text)); err != nil {
			t.Errorf("%v\n%s", err, printed)
		}
		p.wantLogin(t, l, "ok")
	}
}

// TestClientsChooseForThemselves leaves the choice of a mechanism to clients, on
// a server as it is without any settings of its own.
func TestClientsChooseForThemselves(t *testing.T) {
	p := &people{server: start(t, t.TempDir(), "--strict"), issuer: newIssuer(t)}
	_, p.client = clientCertificate(t, p.alice())
	for _, c := range []struct {
		clients     []client
		name        string
		l           login  // whose recipe it is
		choice      string // the part of it that chooses
		none        string // what leaves it to the client
		takes, fail string // the mechanism that it takes, or why it can't
	}{
		{senders, "curl", login{submissions, "PLAIN"}, "--login-options AUTH=PLAIN ", "", "PLAIN", ""},
		{senders, "swaks", login{submission, "PLAIN"}, "--auth PLAIN", "--auth", "LOGIN", ""},
		{senders, "msmtp", login{submissions, "PLAIN"}, "auth plain", "auth on", "PLAIN", ""},
		{senders, "Python smtplib", login{submission, "PLAIN"}, "c.auth(\"PLAIN\", c.auth_plain)", "c.login(c.user, c.password)", "PLAIN", ""},
		{senders, "gsasl", login{submission, "PLAIN"}, "--mechanism=PLAIN", "", "SCRAM-SHA-256-PLUS", ""},
		{senders, "mutt", login{submissions, "PLAIN"}, "set smtp_authenticators = plain\n", "", "", "SASL authentication failed"},
		{collectors, "curl", login{pop3s, "PLAIN"}, "--login-options AUTH=PLAIN ", "", "PLAIN", ""},
		{collectors, "fetchmail", login{pop3, "USER"}, "auth password", "", "USER", ""},
		{collectors, "mpop", login{pop3s, "PLAIN"}, "auth plain", "auth on", "PLAIN", ""},
		{collectors, "mutt", login{pop3s, "USER"}, "set pop_authenticators = user\n", "", "", "uthentication failed"},
	} {
		t.Run(c.name+" "+c.l.service, func(t *testing.T) {
			text, _ := p.letter("a choice")
			p.deliver(t, p.alice(), text)
			i := slices.IndexFunc(c.clients, func(one client) bool { return one.name == c.name })
			r := c.clients[i].recipe(c.l.service, c.l.mechanism)
			before := r.command
			r.command = strings.Replace(r.command, c.choice, c.none, 1)
			chosen := r.command != before
			for j, f := range r.files {
				r.files[j].text = strings.Replace(f.text, c.choice, c.none, 1)
				chosen = chosen || r.files[j].text != f.text
			}
			if !chosen {
				t.Fatalf("no %q in %+v", c.choice, r)
			}
			printed, err := r.with(p.words(c.l.service, p.password(c.l.mechanism), "", text)).run(t, p.folder(t, text))
			if c.fail != "" {
				if !strings.Contains(printed, c.fail) {
					t.Errorf("got %v, %q; it used to fail with %q", err, printed, c.fail)
				}
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, printed)
			}
			p.wantLogin(t, login{c.l.service, c.takes}, "ok")
		})
	}
}
