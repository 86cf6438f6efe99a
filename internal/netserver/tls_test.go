package netserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"postrider/internal/session"
)

// authority signs certificates that are valid in the real year and in that of
// testing/synctest.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pool *x509.CertPool
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newAuthority makes an authority that signs with key.
func newAuthority(t testing.TB, key crypto.Signer) *authority {
	t.Helper()
	template := validCert(1)
	template.Subject = pkix.Name{CommonName: "test authority"}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cert: cert, key: key, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

func validCert(serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		NotBefore:    time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// issue makes a certificate for hosts, signed with an algorithm (zero: what the
// key takes), and for mail addresses.
func (a *authority) issue(t testing.TB, alg x509.SignatureAlgorithm, host string, mail ...string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := validCert(time.Now().UnixNano())
	template.SignatureAlgorithm = alg
	template.EmailAddresses = mail
	if host != "" {
		template.DNSNames = []string{host}
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// ends are both ends' configurations of a listener called mail.example.
func ends(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	a := newAuthority(t, newKey(t))
	server = &tls.Config{Certificates: []tls.Certificate{a.issue(t, 0, "mail.example")}}
	client = &tls.Config{RootCAs: a.pool, ServerName: "mail.example"}
	return server, client
}

func implicit(c *tls.Config) Listener { return Listener{TLS: c, Implicit: true} }

func upgrading(c *tls.Config) Listener {
	return Listener{TLS: c, Listener: session.Listener{StartTLS: true}}
}

// ways are how a connection comes to have TLS: the listener, and what a client
// does before its handshake.
var ways = []struct {
	name     string
	listener func(*tls.Config) Listener
	before   func(c *client)
}{
	{"implicit", implicit, func(*client) {}},
	{"upgrade", upgrading, func(c *client) { c.askTLS("") }},
}

// askTLS asks for TLS, with more behind the command, and reads the answer.
func (c *client) askTLS(more string) {
	c.t.Helper()
	c.read("hi\r\n")
	c.send("tls\r\n" + more)
	c.read("go ahead\r\n")
}

// read reads what must come now, of a client that does not read by itself.
func (c *client) read(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c.nc, got); string(got[:n]) != want {
		c.t.Fatalf("got %q, %v; want %q", got[:n], err, want)
	}
}

// secure makes the client's handshake and reads what comes from then on.
func (c *client) secure(cfg *tls.Config) tls.ConnectionState {
	c.t.Helper()
	// Either side may have to say two things at once, which a bare pipe can't.
	over := tls.Client(pump(c.nc), cfg)
	if err := over.Handshake(); err != nil {
		c.t.Fatalf("handshake: %v; log: %s", err, c.log)
	}
	c.nc = over
	go c.readAll()
	return over.ConnectionState()
}

// dialTLS connects to a listener with implicit TLS.
func (w *world) dialTLS(cfg *tls.Config) (*client, tls.ConnectionState) {
	w.t.Helper()
	c := w.dialMute("192.0.2.9:1000")
	return c, c.secure(cfg)
}

// helloOf returns the first flight of a client.
func helloOf(t testing.TB, cfg *tls.Config) string {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go tls.Client(far, cfg).Handshake()
	b := make([]byte, 1<<14)
	n, err := near.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}
