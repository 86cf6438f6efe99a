package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"postrider/internal/certs"
	"postrider/internal/config"
)

// policySite is an engine whose MTA-STS policy is to be had at two addresses.
type policySite struct {
	*engine
	https, http string
	roots       *x509.CertPool
}

// run calls f while a server runs that answers with a policy.
func (s *policySite) run(t *testing.T, f func()) {
	t.Helper()
	cfg := config.Default()
	cfg.Data, cfg.Hostname = t.TempDir(), "mail.example.org"
	cfg.Limits.Grace = config.Second / 10
	cfg.Outbound.Enabled = false
	cfg.Publish.MTASTS, cfg.Publish.MTASTSHTTPS, cfg.Publish.MTASTSHTTP = "testing", loopback(0), loopback(0)
	ca, pair, err := certs.DemoAuthority(t.TempDir(), []string{cfg.Hostname, "mta-sts.example.org", "mta-sts.example.net"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM(pem)
	cfg.Certificates = []config.Certificate{{Chain: pair.Certificate, Key: pair.Key}}
	log, w := io.Pipe()
	if s.engine, err = newEngine(cfg, slog.New(slog.NewJSONHandler(w, nil))); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.directory.AddDomain(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- s.engine.run(ctx, nil, func() {})
		w.Close()
	}()
	lines := json.NewDecoder(log)
	s.https, s.http = awaitLog(t, lines, "listening"), awaitLog(t, lines, "listening")
	go io.Copy(io.Discard, io.MultiReader(lines.Buffered(), log))
	f()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// get asks for an address; the connection goes to where the site is.
func (s *policySite) get(t *testing.T, url string) (status int, text string, err error) {
	t.Helper()
	address := s.http
	if strings.HasPrefix(url, "https:") {
		address = s.https
	}
	c := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.roots}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	r, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return r.StatusCode, string(b), err
}

// TestTheServerAnswersWithThePolicyOfItsDomains is RFC 8461 §3.3, over TCP and TLS.
func TestTheServerAnswersWithThePolicyOfItsDomains(t *testing.T) {
	const page = "/.well-known/mta-sts.txt"
	var s policySite
	s.run(t, func() {
		want := "version: STSv1\r\nmode: testing\r\nmx: mail.example.org\r\nmax_age: 604800\r\n"
		for _, url := range []string{"https://mta-sts.example.org" + page, "http://mta-sts.example.org" + page} {
			if status, text, err := s.get(t, url); err != nil || status != 200 || text != want {
				t.Errorf("%s: got %d %q %v, want the policy", url, status, text, err)
			}
		}
		for _, url := range []string{
			"https://mta-sts.example.net" + page, // lives elsewhere
			"https://mail.example.org" + page,
			"https://mta-sts.example.org/",
			"http://mta-sts.example.org/.well-known/",
		} {
			if status, _, err := s.get(t, url); err != nil || status != 404 {
				t.Errorf("%s: got %d %v, want 404", url, status, err)
			}
		}
		if _, _, err := s.get(t, "https://mta-sts.example.com"+page); err == nil {
			t.Error("a certificate for another name was believed")
		}
	})
	if _, _, err := s.get(t, "http://mta-sts.example.org"+page); err == nil {
		t.Error("got an answer when the server has stopped")
	}
}

func TestASilentClientDoesNotKeepThePolicyServerFromStopping(t *testing.T) {
	var s policySite
	s.run(t, func() {
		for _, address := range []string{s.https, s.http} {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
		}
	})
}
