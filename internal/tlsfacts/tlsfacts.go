// Package tlsfacts says what the two drivers tell of a connection's TLS: the
// names of versions, and channel bindings.
package tlsfacts

import (
	"crypto"
	_ "crypto/sha256" // for hashOf
	_ "crypto/sha512" // for hashOf
	"crypto/tls"
	"crypto/x509"
)

// The channel bindings there are.
const (
	KindExporter = "tls-exporter"         // RFC 9266
	KindEndPoint = "tls-server-end-point" // RFC 5929 §4
)

// Version returns a version of TLS as Received fields and logs have it.
func Version(v uint16) string {
	switch v {
	case tls.VersionTLS12:
		return "TLSv1.2"
	case tls.VersionTLS13:
		return "TLSv1.3"
	}
	return tls.VersionName(v)
}

// Exporter returns the channel binding of RFC 9266 §2; nil if the connection has
// none: without TLS 1.3 or an extended master secret crypto/tls refuses, as
// RFC 9266 §3 demands.
func Exporter(cs *tls.ConnectionState) []byte {
	key, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		return nil
	}
	return key
}

// EndPoint hashes the server's certificate as RFC 5929 §4.1 says; nil if that
// does not say how.
func EndPoint(cert *x509.Certificate) []byte {
	hash := hashOf(cert.SignatureAlgorithm)
	if !hash.Available() {
		return nil
	}
	sum := hash.New()
	sum.Write(cert.Raw) // never fails (hash.Hash)
	return sum.Sum(nil)
}

// hashOf returns the hash function for the binding to a certificate: that of its
// signature, SHA-256 in place of MD5 and SHA-1, and zero if the signature uses
// none by itself (Ed25519), for which RFC 5929 §4.1 leaves it undefined.
func hashOf(a x509.SignatureAlgorithm) crypto.Hash {
	switch a {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.DSAWithSHA256, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS:
		return crypto.SHA256
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		return crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		return crypto.SHA512
	}
	return 0
}
