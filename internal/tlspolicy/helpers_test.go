package tlspolicy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"postrider/internal/resolver"
	"postrider/internal/resolver/zonetest"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
	"postrider/internal/tlspolicy"
)

// authority issues certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "tests"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	key := newKey(t)
	return &authority{sign(t, template, template, key, key), key}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = serial
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(1000*time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// issue returns a certificate for names; a function may change it before.
func (a *authority) issue(t testing.TB, change func(*x509.Certificate), names ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "leaf"}, DNSNames: names,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	key := newKey(t)
	leaf := sign(t, template, a.cert, key, a.key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, a.cert.Raw}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

// house is a zone, a store and the policies over them.
type house struct {
	*tlspolicy.Policies
	zone    *zonetest.Zone
	resolve *resolver.Resolver
	records store.Store
	ca      *authority
	options tlspolicy.Options
}

const baseZone = `
$ORIGIN example.test.
@       SOA ns hostmaster 1 3600 600 86400 30
@       MX 10 mx1
@       MX 20 mx2.other.test.
mx1     A 192.0.2.11
mx2.other.test. A 192.0.2.12
web     A 192.0.2.80
`

// newHouse makes one; change may change the options.
func newHouse(t testing.TB, zone string, change func(*tlspolicy.Options)) *house {
	t.Helper()
	h := &house{zone: zonetest.New(t, zone), ca: newAuthority(t), records: storetest.NewModel()}
	h.zone.Secure()
	h.resolve = h.zone.Resolver(t)
	h.options = tlspolicy.Options{
		Resolver: h.resolve, Records: h.records, Roots: h.ca.pool(), Log: slog.New(slog.DiscardHandler),
		AllowAddress: func(netip.Addr) bool { return true },
		Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("nobody is there")
		},
	}
	if change != nil {
		change(&h.options)
	}
	h.Policies = tlspolicy.New(h.options)
	return h
}

// domain asks for a destination as the outbound side does.
func (h *house) domain(t testing.TB, name string) *tlspolicy.Domain {
	t.Helper()
	mx, err := h.resolve.MX(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	d, err := h.Domain(t.Context(), name, mx)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (h *house) host(t testing.TB, d *tlspolicy.Domain, name string) tlspolicy.Host {
	t.Helper()
	a, err := h.resolve.Addresses(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	host, err := d.Host(t.Context(), name, a, 25)
	if err != nil {
		t.Fatal(err)
	}
	return host
}

// shake does a handshake with a server that has a certificate.
func shake(t testing.TB, c *tls.Config, cert tls.Certificate) (tls.ConnectionState, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		s := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{cert}})
		if s.Handshake() == nil {
			_, _ = io.Copy(io.Discard, s)
		}
	}()
	conn := tls.Client(near, c)
	err := conn.Handshake()
	state := conn.ConnectionState()
	_ = near.Close()
	<-done
	return state, err
}
