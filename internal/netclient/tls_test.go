package netclient

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/sinktest"
	"postrider/internal/smtp"
)

// authority is who vouches for certificates in a test.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T) *authority {
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = sign(t, template, template, a.key, a.key)
	return a
}

func sign(t *testing.T, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// server returns a certificate for a name that ends at a time; without an
// authority it signs itself.
func (a *authority) server(t *testing.T, name string, until time.Time) *tls.Config {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	parent, by := template, key
	if a != nil {
		parent, by = a.cert, a.key
	}
	cert := sign(t, template, parent, key, by)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}}}
}

// client returns the configuration of who trusts the authority.
func (a *authority) client() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, ServerName: "mx.test"}
}

// deliver sends one message to a sink.
func deliver(t *testing.T, sink *sinktest.Sink, c smtp.ClientOptions, o Options) (*smtp.Result, error) {
	t.Helper()
	nc, err := Dial(t.Context(), sink.Addr(), DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Hostname = "me.test"
	s := &source{waiting: nil}
	s.waiting = append(s.waiting, outgoing(hello, "b@x.test"))
	err = Converse(t.Context(), nc, smtp.NewClient(c, s), o)
	if len(s.results) != 1 {
		t.Fatalf("got %d results (%v), want 1", len(s.results), err)
	}
	return s.results[0], err
}

func TestMailGoesOverTLS(t *testing.T) {
	a := newAuthority(t)
	for _, implicit := range []bool{false, true} {
		sink := sinktest.Start(t, sinktest.Options{TLS: a.server(t, "mx.test", time.Now().Add(time.Hour)), Implicit: implicit})
		var seen *tls.ConnectionState
		r, err := deliver(t, sink, smtp.ClientOptions{TLS: smtp.TLSMust, Verified: true}, Options{
			TLS: a.client(), Implicit: implicit, OnHandshake: func(cs *tls.ConnectionState) { seen = cs },
		})
		if err != nil || summarize([]*smtp.Result{r}) != "250 0.0 end of data" {
			t.Errorf("implicit %v: got %v, %+v", implicit, err, r)
		}
		m := sink.Wait(1)
		if !m[0].TLS || string(m[0].Data) != hello || seen == nil || len(seen.VerifiedChains) == 0 {
			t.Errorf("implicit %v: got %+v", implicit, m[0])
		}
		if lines := sink.Lines(1); !implicit && (lines[0] != "EHLO me.test" || lines[1] != "STARTTLS" || lines[2] != "EHLO me.test") {
			t.Errorf("got %q", lines)
		}
	}
}

// TestBadCertificatesAreToldApart: nothing is sent, and the reason is kept.
func TestBadCertificatesAreToldApart(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	soon := time.Now().Add(time.Hour)
	for _, tt := range []struct {
		name   string
		server *tls.Config
		want   Reason
	}{
		{"expired", a.server(t, "mx.test", time.Now().Add(-time.Hour)), ReasonExpired},
		{"another name", a.server(t, "other.test", soon), ReasonName},
		{"self-signed", (*authority)(nil).server(t, "mx.test", soon), ReasonSelfSigned},
		{"an unknown authority", stranger.server(t, "mx.test", soon), ReasonUntrusted},
		{"an old version", old(a.server(t, "mx.test", soon)), ReasonVersion},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sink := sinktest.Start(t, sinktest.Options{TLS: tt.server})
			r, err := deliver(t, sink, smtp.ClientOptions{}, Options{TLS: a.client()})
			var h *HandshakeError
			if !errors.As(err, &h) || h.Reason != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if got, want := summarize([]*smtp.Result{r}), "?, lost STARTTLS"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if len(sink.Messages()) > 0 {
				t.Error("a message was sent")
			}
		})
	}
}

// old makes a server that knows no version that is still good.
func old(c *tls.Config) *tls.Config {
	c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	return c
}

// TestPlaintextInjectedBehindTheReplyEndsIt: CVE-2011-0411, from the client's
// side.
func TestPlaintextInjectedBehindTheReplyEndsIt(t *testing.T) {
	a := newAuthority(t)
	sink := sinktest.Start(t, sinktest.Options{
		TLS: a.server(t, "mx.test", time.Now().Add(time.Hour)),
		On: func(c sinktest.Command) sinktest.Answer {
			if c.Verb == "STARTTLS" {
				return sinktest.Answer{Raw: "220 go\r\n250-mx.test\r\n250 AUTH PLAIN\r\n"}
			}
			return sinktest.Answer{}
		},
	})
	r, err := deliver(t, sink, smtp.ClientOptions{}, Options{TLS: a.client()})
	if !errors.Is(err, ErrInjected) || r.Lost != smtp.StageTLS || len(sink.Messages()) > 0 {
		t.Errorf("got %v, %+v", err, r)
	}
}

// TestAHandshakeThatStallsEndsByItsDeadline and so does one with a peer that
// speaks no TLS.
func TestAHandshakeThatStallsEndsByItsDeadline(t *testing.T) {
	for _, tt := range []struct {
		say  string
		want Reason
	}{{"", ReasonTimeout}, {"500 what?\r\n", ReasonNotTLS}} {
		ours, theirs := pair(t)
		defer theirs.Close()
		s := &source{}
		s.waiting = append(s.waiting, outgoing(hello, "b@x.test"))
		ended := make(chan error, 1)
		go func() {
			ended <- Converse(context.Background(), ours, smtp.NewClient(smtp.ClientOptions{Hostname: "me.test"}, s), Options{
				TLS: &tls.Config{ServerName: "mx.test"}, HandshakeWait: 50 * time.Millisecond,
			})
		}()
		exchange(t, theirs, "220 x\r\n", "EHLO me.test\r\n")
		exchange(t, theirs, "250-x\r\n250 STARTTLS\r\n", "STARTTLS\r\n")
		exchange(t, theirs, "220 go\r\n", "\x16\x03\x01")
		_, _ = theirs.Write([]byte(tt.say))
		var h *HandshakeError
		if err := <-ended; !errors.As(err, &h) || h.Reason != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
		if got, want := summarize(s.results), "?, lost STARTTLS"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestNoSessionIsResumed: no ticket is kept or shown (RFC 5077, RFC 8446 §2.2), so
// that it does not matter when a server forgets its keys.
func TestNoSessionIsResumed(t *testing.T) {
	const sessionTicket, preSharedKey = 35, 41 // RFC 5077 §3.2, RFC 8446 §4.2
	a := newAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server := a.server(t, "mx.test", time.Now().Add(time.Hour))
		server.MinVersion, server.MaxVersion = version, version
		hellos := make(chan []uint16, 1)
		server.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			hellos <- hello.Extensions
			return nil, nil
		}
		sink := sinktest.Start(t, sinktest.Options{TLS: server, Implicit: true})
		cfg := a.client()
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		for i := range 2 {
			server.SetSessionTicketKeys([][32]byte{{byte(i)}})
			if _, err := deliver(t, sink, smtp.ClientOptions{}, Options{TLS: cfg, Implicit: true}); err != nil {
				t.Fatal(err)
			}
			if got := <-hellos; slices.Contains(got, sessionTicket) || slices.Contains(got, preSharedKey) {
				t.Errorf("%s: a ticket was asked for or shown: extensions %v", tls.VersionName(version), got)
			}
		}
		sink.Wait(2)
		for i, want := range []bool{false, true} { // the server has tickets for those who want them
			if got := resumes(t, sink, cfg); got != want {
				t.Errorf("%s, connection %d of another client: resumed %v", tls.VersionName(version), i, got)
			}
			<-hellos
		}
	}
}

// resumes connects to a sink as other clients do, and reports whether a session was
// resumed.
func resumes(t *testing.T, sink *sinktest.Sink, cfg *tls.Config) bool {
	t.Helper()
	tc, err := tls.Dial("tcp", sink.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer tc.Close()
	// With TLS 1.3 the tickets come before the greeting.
	if _, err := tc.Read(make([]byte, 512)); err != nil {
		t.Fatal(err)
	}
	return tc.ConnectionState().DidResume
}

// TestLoginsAreBoundToTheConnection: what the session is told of the channel is
// what the server sees.
func TestLoginsAreBoundToTheConnection(t *testing.T) {
	a := newAuthority(t)
	server := a.server(t, "mx.test", time.Now().Add(time.Hour))
	ours, theirs := net.Pipe()
	tc := tls.Server(theirs, server)
	go func() { _ = tc.Handshake() }()
	c := &conn{opts: Options{TLS: a.client()}.withDefaults(), raw: ours, nc: ours}
	c.info.Context = t.Context()
	if err := c.secure(time.Minute); err != nil {
		t.Fatal(err)
	}
	cs := tc.ConnectionState()
	want, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.info.TLS.Binding("tls-exporter"); string(got) != string(want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if got := c.info.TLS.Binding("tls-server-end-point"); len(got) != 32 || c.info.TLS.Binding("tls-unique") != nil {
		t.Errorf("got %x", got)
	}
	if c.info.TLS.Version != "TLSv1.3" || c.info.TLS.ServerName != "mx.test" || !strings.HasPrefix(c.info.TLS.Cipher, "TLS_") {
		t.Errorf("got %+v", c.info.TLS)
	}
	ours.Close()
}
