package oauth

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"postrider/internal/fault"
)

// verdict is what Verify says, in words.
func verdict(v *Verifier, token string) string {
	name, err := v.Verify(context.Background(), token)
	if err != nil {
		return fault.KindOf(err).String()
	}
	return name
}

func TestClaimsAreChecked(t *testing.T) {
	i := newIssuer(t, false)
	k := newKey(t, "1", jose.ES256)
	i.rotate(k)
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for _, c := range []struct {
		name    string
		changes claims
		claim   string
		want    string
	}{
		{"good", nil, "", "alice@example.org"},
		{"expired", claims{"exp": in(-time.Minute)}, "", "denied"},
		{"without end", claims{"exp": nil}, "", "denied"},
		{"not yet good", claims{"nbf": in(time.Hour)}, "", "denied"},
		{"good since a while", claims{"nbf": in(-time.Hour)}, "", "alice@example.org"},
		{"for another", claims{"aud": "webmail"}, "", "denied"},
		{"for nobody", claims{"aud": nil}, "", "denied"},
		{"for several", claims{"aud": []string{"webmail", audience}}, "", "alice@example.org"},
		{"by another issuer", claims{"iss": "https://evil.example"}, "", "denied"},
		{"by nobody", claims{"iss": nil}, "", "denied"},
		{"by nearly the issuer", claims{"iss": i.URL + "/"}, "", "denied"},
		{"of an address that is not verified", claims{"email_verified": false}, "", "denied"},
		{"so, as a string", claims{"email_verified": "false"}, "", "denied"},
		{"verified, as a string", claims{"email_verified": "true"}, "", "alice@example.org"},
		{"verified, as a number", claims{"email_verified": 1}, "", "denied"},
		{"that does not say so", claims{"email_verified": nil}, "", "alice@example.org"},
		{"without a name", claims{"email": nil}, "", "denied"},
		{"with an empty name", claims{"email": ""}, "", "denied"},
		{"with a name that is a list", claims{"email": []string{"alice@example.org"}}, "", "denied"},
		{"with a name that is too long", claims{"email": strings.Repeat("x", MaxName+1)}, "", "denied"},
		{"with the name in another claim", claims{"upn": "bob@example.org", "email_verified": false}, "upn", "bob@example.org"},
		{"without that claim", nil, "upn", "denied"},
		{"with claims that are elsewhere", claims{
			"_claim_names": claims{"email": "x"}, "_claim_sources": claims{"x": claims{"endpoint": "http://192.0.2.1/"}}, "email": nil,
		}, "", "denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, _, _ := i.verifier(t, func(o *Options) { o.Claim = c.claim })
			if got := verdict(v, sign(t, k, i.claims(c.changes))); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestSignaturesAreChecked(t *testing.T) {
	i := newIssuer(t, false)
	rs, es, ed := newKey(t, "rs", jose.RS256), newKey(t, "es", jose.ES256), newKey(t, "ed", jose.EdDSA)
	i.keys = []jose.JSONWebKey{rs, es, ed}
	good := sign(t, rs, i.claims(nil))
	parts := strings.Split(good, ".")
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	payload, _ := json.Marshal(i.claims(nil))
	unsigned := b64(`{"alg":"none"}`) + "." + b64(string(payload)) + "."

	// The public key as a secret: what a verifier falls for that lets the token say
	// how it is to be verified.
	public := rs.Key.(*rsa.PrivateKey).PublicKey
	der, err := x509.MarshalPKIXPublicKey(&public)
	if err != nil {
		t.Fatal(err)
	}
	secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	withSecret := func(key []byte) string {
		return signWith(t, jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: key, KeyID: "rs"}}, i.claims(nil))
	}
	stranger := newKey(t, "rs", jose.RS256)
	embedded, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: stranger.Key}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	own, err := embedded.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	ownToken, err := own.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	ps := rs
	ps.Algorithm = string(jose.PS256)
	for _, c := range []struct{ name, token, want string }{
		{"RS256", good, "alice@example.org"},
		{"ES256", sign(t, es, i.claims(nil)), "alice@example.org"},
		{"EdDSA", sign(t, ed, i.claims(nil)), "alice@example.org"},
		{"an algorithm that the issuer does not use", sign(t, ps, i.claims(nil)), "denied"},
		{"none", unsigned, "denied"},
		{"none, with a signature", unsigned + parts[2], "denied"},
		{"HS256 with the public key", withSecret(secret), "denied"},
		{"HS256 with the public key, bare", withSecret(der), "denied"},
		{"a stranger's key under the issuer's name", sign(t, stranger, i.claims(nil)), "denied"},
		{"a key that is in the token", ownToken, "denied"},
		{"another payload", parts[0] + "." + b64(`{"email":"root@example.org"}`) + "." + parts[2], "denied"},
		{"half a signature", good[:len(good)-40], "denied"},
		{"JSON serialization", own.FullSerialize(), "denied"},
		{"nothing", "", "denied"},
		{"dots", "..", "denied"},
		{"one that is too long", good + strings.Repeat("A", MaxToken), "denied"},
		{"an opaque one", "2YotnFZFEjr1zCsicMWpAA", "denied"},
	} {
		v, _, log := i.verifier(t, nil)
		if got := verdict(v, c.token); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		_, err := v.Verify(t.Context(), c.token)
		for _, part := range strings.Split(c.token, ".") {
			if len(part) > 10 && strings.Contains(fmt.Sprint(err, log), part) {
				t.Errorf("%s: the token is in %v or in the log", c.name, err)
			}
		}
	}
}

func TestKeysAreFetchedOnceAndWhenTheyRotate(t *testing.T) {
	i := newIssuer(t, false)
	first, second := newKey(t, "1", jose.ES256), newKey(t, "2", jose.ES256)
	i.rotate(first)
	v, clock, _ := i.verifier(t, nil)
	token := sign(t, first, i.claims(nil))
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got := verdict(v, token); got != "alice@example.org" {
				t.Errorf("got %s", got)
			}
		})
	}
	all.Wait()
	if n := i.asked("/keys"); n != 1 {
		t.Errorf("the keys were fetched %d times, want once", n)
	}
	i.rotate(second)
	rotated := sign(t, second, i.claims(nil))
	clock.advance(pause)
	if got := verdict(v, rotated); got != "alice@example.org" {
		t.Errorf("a token of the new key: %s", got)
	}
	for n := range 100 {
		unknown := newKey(t, fmt.Sprint("unknown", n), jose.EdDSA)
		if got := verdict(v, sign(t, unknown, i.claims(nil))); got != "denied" {
			t.Errorf("a token of an unknown key: %s", got)
		}
	}
	if n := i.asked("/keys"); n != 2 {
		t.Errorf("the keys were fetched %d times, want twice", n)
	}
}

func TestKeysThatTheIssuerWithdrawsAreForgotten(t *testing.T) {
	i := newIssuer(t, false)
	first, second := newKey(t, "1", jose.ES256), newKey(t, "2", jose.ES256)
	i.rotate(first)
	v, clock, _ := i.verifier(t, nil)
	token := sign(t, first, i.claims(claims{"exp": time.Now().Add(100 * time.Hour).Unix()}))
	if got := verdict(v, token); got != "alice@example.org" {
		t.Fatal(got)
	}
	i.rotate(second)
	clock.advance(fresh)
	if got := verdict(v, token); got != "denied" {
		t.Errorf("a token of the former key: %s, want denied", got)
	}
}

func TestIssuerThatIsAwayIsTransient(t *testing.T) {
	const discovery, keys = "/.well-known/openid-configuration", "/keys"
	status := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) }
	}
	says := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
	}
	huge := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"keys":["`))
		chunk := bytes.Repeat([]byte("A"), 1<<16)
		for n := 0; n < 64<<20; n += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	for _, c := range []struct {
		name, path string
		answer     http.HandlerFunc
	}{
		{"an error", discovery, status(500)},
		{"an error for the keys", keys, status(503)},
		{"not found", discovery, status(404)},
		{"no JSON", discovery, says("<html>")},
		{"no JSON for the keys", keys, says("<html>")},
		{"huge", discovery, huge},
		{"huge keys", keys, huge},
		{"redirections without end", keys, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, keys, http.StatusFound) }},
		{"a redirection into the open", keys, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/keys", http.StatusFound)
		}},
		{"another issuer", discovery, says(`{"issuer":"https://evil.example","jwks_uri":"https://evil.example/"}`)},
		{"a dead connection", keys, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := newIssuer(t, false)
			k := newKey(t, "1", jose.ES256)
			i.rotate(k)
			i.answers(c.path, c.answer)
			v, clock, log := i.verifier(t, nil)
			token := sign(t, k, i.claims(nil))
			for range 20 {
				if got := verdict(v, token); got != "transient" {
					t.Fatalf("got %s, want transient", got)
				}
			}
			if n := i.asked(discovery); n != 1 {
				t.Errorf("asked %d times, want once", n)
			}
			if strings.Count(log.String(), "level=WARN") != 1 {
				t.Errorf("the log has\n%s\nwant one warning", log)
			}
			i.answers(c.path, nil)
			clock.advance(pause)
			if got := verdict(v, token); got != "alice@example.org" {
				t.Errorf("when it is back: %s", got)
			}
		})
	}
}

func TestIssuerThatGoesAwayIsRemembered(t *testing.T) {
	i := newIssuer(t, false)
	k := newKey(t, "1", jose.ES256)
	i.rotate(k)
	v, clock, log := i.verifier(t, nil)
	token := sign(t, k, i.claims(claims{"exp": time.Now().Add(100 * time.Hour).Unix()}))
	unknown := sign(t, newKey(t, "2", jose.ES256), i.claims(claims{"exp": time.Now().Add(100 * time.Hour).Unix()}))
	if got := verdict(v, token); got != "alice@example.org" {
		t.Fatal(got)
	}
	i.Close()
	clock.advance(pause)
	if got := verdict(v, unknown); got != "transient" { // it may be a new key's
		t.Errorf("a token of an unknown key: %s, want transient", got)
	}
	if got := strings.Count(log.String(), "level=WARN"); got != 1 {
		t.Errorf("%d warnings, want 1:\n%s", got, log)
	}
	clock.advance(stale - 2*pause)
	if got := verdict(v, token); got != "alice@example.org" {
		t.Errorf("nearly a day later: %s", got)
	}
	clock.advance(2 * pause)
	if got := verdict(v, token); got != "transient" {
		t.Errorf("a day later: %s, want transient", got)
	}
}

func TestIssuerThatStaysAwayIsLoggedFromTimeToTime(t *testing.T) {
	i := newIssuer(t, false)
	k := newKey(t, "1", jose.ES256)
	i.rotate(k)
	i.answers("/keys", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	v, clock, log := i.verifier(t, nil)
	token := sign(t, k, i.claims(claims{"exp": time.Now().Add(100 * time.Hour).Unix()}))
	for range 2 * remind / pause {
		if got := verdict(v, token); got != "transient" {
			t.Fatalf("got %s, want transient", got)
		}
		clock.advance(pause)
	}
	if got := strings.Count(log.String(), "level=WARN"); got != 2 || strings.Count(log.String(), "\n") != 2 {
		t.Errorf("the log has\n%s\nwant two warnings for %v", log, 2*remind)
	}
	i.answers("/keys", nil)
	for range 3 {
		if got := verdict(v, token); got != "alice@example.org" {
			t.Errorf("when it is back: %s", got)
		}
	}
	if got := strings.Count(log.String(), "level=INFO"); got != 1 {
		t.Errorf("%d lines say that it is back, want 1", got)
	}
}

func TestClientThatGoesAwayDoesNotWait(t *testing.T) {
	i := newIssuer(t, false)
	k := newKey(t, "1", jose.ES256)
	i.rotate(k)
	asked := make(chan struct{}, 10)
	release := make(chan struct{})
	i.answers("/keys", func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	t.Cleanup(func() { close(release) })
	v, _, _ := i.verifier(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if _, err := v.Verify(ctx, sign(t, k, i.claims(nil))); !fault.Is(err, fault.Transient) {
				t.Errorf("got %v, want transient", err)
			}
		})
	}
	<-asked
	cancel()
	all.Wait()
	i.answers("/keys", nil)
	if got := verdict(v, sign(t, k, i.claims(nil))); got != "alice@example.org" {
		t.Errorf("the next one: %s", got)
	}
}

func TestPrivateAuthority(t *testing.T) {
	i := newIssuer(t, true)
	k := newKey(t, "1", jose.ES256)
	i.rotate(k)
	token := sign(t, k, i.claims(nil))
	v, _, _ := i.verifier(t, func(o *Options) { o.CAFile = i.caFile(t) })
	if got := verdict(v, token); got != "alice@example.org" {
		t.Errorf("with its CA file: %s", got)
	}
	v, _, _ = i.verifier(t, nil)
	if got := verdict(v, token); got != "transient" {
		t.Errorf("without: %s, want transient", got)
	}
	v, _, _ = i.verifier(t, func(o *Options) { o.Client = i.Client() })
	if got := verdict(v, token); got != "alice@example.org" {
		t.Errorf("with a client that knows it: %s", got)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    Options
		ok   bool
	}{
		{"https", Options{Issuer: "https://login.example.org/realms/mail", Audience: "a"}, true},
		{"http on loopback", Options{Issuer: "http://127.0.0.1:8080", Audience: "a"}, true},
		{"http on loopback, IPv6", Options{Issuer: "http://[::1]:8080", Audience: "a"}, true},
		{"http on localhost", Options{Issuer: "http://localhost", Audience: "a"}, true},
		{"http", Options{Issuer: "http://login.example.org", Audience: "a"}, false},
		{"http on nearly localhost", Options{Issuer: "http://localhost.example.org", Audience: "a"}, false},
		{"no scheme", Options{Issuer: "login.example.org", Audience: "a"}, false},
		{"file", Options{Issuer: "file:///etc/passwd", Audience: "a"}, false},
		{"a query", Options{Issuer: "https://login.example.org?x=1", Audience: "a"}, false},
		{"a fragment", Options{Issuer: "https://login.example.org#x", Audience: "a"}, false},
		{"a password", Options{Issuer: "https://a:b@login.example.org", Audience: "a"}, false},
		{"nothing", Options{Audience: "a"}, false},
		{"no audience", Options{Issuer: "https://login.example.org"}, false},
		{"a CA file that is not there", Options{Issuer: "https://login.example.org", Audience: "a", CAFile: notPEM + "x"}, false},
		{"a CA file that is none", Options{Issuer: "https://login.example.org", Audience: "a", CAFile: notPEM}, false},
	} {
		_, err := New(c.o)
		if (err == nil) != c.ok || err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want ok %v", c.name, err, c.ok)
		}
	}
}

func FuzzVerify(f *testing.F) {
	i := newIssuer(f, false)
	k := newKey(f, "1", jose.ES256)
	i.rotate(k)
	v, _, _ := i.verifier(f, nil)
	good := sign(f, k, i.claims(nil))
	f.Add(good)
	f.Add("..")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(`{"payload":"e30","signatures":[]}`)
	f.Fuzz(func(t *testing.T, token string) {
		name, err := v.Verify(t.Context(), token)
		if err == nil && name != "alice@example.org" {
			t.Errorf("%q is taken for %s's", token, name)
		}
		if err != nil && !fault.Is(err, fault.Denied) {
			t.Errorf("got %v, want denied", err)
		}
	})
}
