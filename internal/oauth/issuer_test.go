package oauth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer is an OpenID Connect issuer on this machine.
type issuer struct {
	*httptest.Server
	mu         sync.Mutex
	keys       []jose.JSONWebKey
	algorithms []string
	requests   map[string]int
	// instead, if not nil, answers for a path.
	instead map[string]http.HandlerFunc
}

const audience = "postrider"

func newIssuer(t testing.TB, private bool) *issuer {
	t.Helper()
	i := &issuer{algorithms: []string{"RS256", "ES256", "EdDSA", "HS256", "none"}, requests: map[string]int{}}
	i.instead = map[string]http.HandlerFunc{}
	if private {
		i.Server = httptest.NewTLSServer(i)
	} else {
		i.Server = httptest.NewServer(i)
	}
	i.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.requests[r.URL.Path]++
	instead := i.instead[r.URL.Path]
	var answer any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answer = map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": i.algorithms,
		}
	case "/keys":
		var public jose.JSONWebKeySet
		for _, k := range i.keys {
			public.Keys = append(public.Keys, k.Public())
		}
		answer = public
	}
	i.mu.Unlock()
	if instead != nil {
		instead(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// answers makes the issuer answer so for a path; nil: as always.
func (i *issuer) answers(path string, with http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.instead[path] = with
}

func (i *issuer) asked(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests[path]
}

// rotate gives the issuer a key in place of those that it had.
func (i *issuer) rotate(k jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = []jose.JSONWebKey{k}
}

func newKey(t testing.TB, id string, algorithm jose.SignatureAlgorithm) jose.JSONWebKey {
	t.Helper()
	var key crypto.PrivateKey
	var err error
	switch algorithm {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: key, KeyID: id, Algorithm: string(algorithm), Use: "sig"}
}

type claims map[string]any

// claims are those of a token that is good, with changes; nil takes a claim away.
func (i *issuer) claims(changes claims) claims {
	now := time.Now()
	c := claims{
		"iss": i.URL, "aud": audience, "sub": "1234", "email": "alice@example.org", "email_verified": true,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for name, value := range changes {
		c[name] = value
		if value == nil {
			delete(c, name)
		}
	}
	return c
}

// sign makes a token.
func sign(t testing.TB, k jose.JSONWebKey, c claims) string {
	t.Helper()
	return signWith(t, jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Algorithm), Key: k}, c)
}

func signWith(t testing.TB, k jose.SigningKey, c claims) string {
	t.Helper()
	s, err := jose.NewSigner(k, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// verifier is a Verifier for the issuer, with its clock and its log.
func (i *issuer) verifier(t testing.TB, change func(*Options)) (*Verifier, *clock, *bytes.Buffer) {
	t.Helper()
	c, log := &clock{now: time.Now()}, &bytes.Buffer{}
	o := Options{Issuer: i.URL, Audience: audience, Now: c.Now, Logger: slog.New(slog.NewTextHandler(log, nil))}
	if change != nil {
		change(&o)
	}
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v, c, log
}

// caFile writes the certificate of an issuer that has TLS into a file.
func (i *issuer) caFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw})
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
