package tlsfacts

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"testing"
)

func TestHashFollowsTheSignature(t *testing.T) {
	for alg, want := range map[x509.SignatureAlgorithm]crypto.Hash{
		x509.MD5WithRSA: crypto.SHA256, x509.SHA1WithRSA: crypto.SHA256, x509.ECDSAWithSHA1: crypto.SHA256,
		x509.SHA256WithRSA: crypto.SHA256, x509.SHA384WithRSA: crypto.SHA384, x509.ECDSAWithSHA512: crypto.SHA512,
		x509.UnknownSignatureAlgorithm: 0, x509.MD2WithRSA: 0, x509.PureEd25519: 0,
	} {
		if got := hashOf(alg); got != want {
			t.Errorf("%v: got %v, want %v", alg, got, want)
		}
		bound := EndPoint(&x509.Certificate{SignatureAlgorithm: alg, Raw: []byte("x")}) != nil
		if bound != (want != 0) {
			t.Errorf("%v: got a binding %v, want %v", alg, bound, want != 0)
		}
	}
}

func TestVersionNames(t *testing.T) {
	for v, want := range map[uint16]string{tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3", tls.VersionTLS10: "TLS 1.0"} {
		if got := Version(v); got != want {
			t.Errorf("%#x: got %q, want %q", v, got, want)
		}
	}
}
