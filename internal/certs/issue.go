package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"slices"
	"strings"
	"time"

	"postrider/internal/fault"
)

const (
	// leafLife is how long a certificate that we sign is good for.
	leafLife = 365 * 24 * time.Hour
	// skew is how far the clocks of clients may be behind.
	skew = time.Hour
	// maxCommonName is X.520's limit, in characters.
	maxCommonName = 64
)

// epoch is before any time that a clock shows which is right. One that was reset
// at start says nothing of a certificate.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// due reports whether two thirds of a certificate's life are over, or it is not
// valid yet.
func due(c *x509.Certificate, now time.Time) bool {
	if now.Before(epoch) {
		return false
	}
	life := c.NotAfter.Sub(c.NotBefore)
	return now.Before(c.NotBefore) || !now.Before(c.NotBefore.Add(life/3*2))
}

// withLoopback returns the names in lower case, and those by which the machine
// speaks to itself.
func withLoopback(names []string) []string {
	var all []string
	for _, n := range slices.Concat(names, []string{"localhost", "127.0.0.1", "::1"}) {
		n = strings.ToLower(strings.TrimSuffix(n, "."))
		if ip := net.ParseIP(n); ip != nil {
			n = ip.String()
		}
		if n != "" && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// serverTemplate is a server's certificate for the names, which withLoopback has
// returned.
func serverTemplate(names []string, now time.Time) *x509.Certificate {
	c := &x509.Certificate{
		NotBefore: now.Add(-skew), NotAfter: now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// What it may not sign is said, too.
		BasicConstraintsValid: true,
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
			continue
		}
		c.DNSNames = append(c.DNSNames, n)
	}
	c.Subject = subject(names[0])
	return c
}

func subject(name string) pkix.Name {
	if len(name) > maxCommonName {
		name = "postrider"
	}
	return pkix.Name{Organization: []string{"postrider"}, CommonName: name}
}

// madeFor reports whether a certificate is for these names and no others.
func madeFor(c *x509.Certificate, names []string) bool {
	a, b := slices.Clone(namesOf(c)), slices.Clone(names)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// issued is a certificate that was signed here, and its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a key and a certificate for it, signed by parent or, if that is
// nil, by itself. The serial number is random.
func issue(template *x509.Certificate, parent *issued) (*issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fault.New(fault.Internal, "make a key", err)
	}
	signer, by := key, template
	if parent != nil {
		signer, by = parent.key, parent.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, signer)
	if err != nil {
		return nil, fault.New(fault.Invalid, "make a certificate for "+strings.Join(template.DNSNames, ", "), err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fault.New(fault.Internal, "make a certificate", err)
	}
	return &issued{cert: cert, key: key}, nil
}

func (i *issued) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
}

func (i *issued) keyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		return nil, fault.New(fault.Internal, "encode a key", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
