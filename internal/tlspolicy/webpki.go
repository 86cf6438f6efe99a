package tlspolicy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"
)

var errNoCertificate = errors.New("the server has no certificate")

// verifyWeb holds a server's certificate to the rules of the web: a chain to one
// of the roots (nil: the system's), at this time, and the name.
func verifyWeb(s tls.ConnectionState, name string, roots *x509.CertPool) error {
	if len(s.PeerCertificates) == 0 {
		return errNoCertificate
	}
	leaf := s.PeerCertificates[0]
	chain := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		chain.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: chain, CurrentTime: time.Now()}); err != nil {
		return err
	}
	return leaf.VerifyHostname(name)
}

// VerifyAny is what holds a connection to a server that an operator wants verified:
// like the web's rules, with any one of the names. Roots nil: the system's.
func VerifyAny(s tls.ConnectionState, names []string, roots *x509.CertPool) error {
	first := errNoCertificate
	for i, name := range names {
		err := verifyWeb(s, name, roots)
		if err == nil {
			return nil
		}
		if i == 0 {
			first = err
		}
	}
	return first
}

// hasName wants one of the names in a certificate.
func hasName(leaf *x509.Certificate, names []string) error {
	var first error
	for _, name := range names {
		err := leaf.VerifyHostname(name)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}
