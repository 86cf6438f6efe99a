package netserver

import (
	"bytes"
	"crypto"
	_ "crypto/sha256" // for hashOf
	_ "crypto/sha512" // for hashOf
	"crypto/tls"
	"crypto/x509"
)

// binding returns the connection's channel binding of a type, nil if it has none.
func (h *handshake) binding(kind string) []byte {
	switch kind {
	case "tls-exporter":
		// RFC 9266 §2. Without TLS 1.3 or an extended master secret crypto/tls
		// refuses, as RFC 9266 §3 demands.
		cs := h.conn.ConnectionState()
		key, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err != nil {
			return nil
		}
		return key
	case "tls-server-end-point":
		return h.endPoint(h.conn.ConnectionState().DidResume)
	}
	return nil
}

// endPoint returns the binding to our certificate: the one that was sent on this
// connection or, on a resumed one, when the session began.
func (h *handshake) endPoint(resumed bool) []byte {
	if resumed {
		return h.fromTicket
	}
	return endPointOf(h.sent)
}

// endPointOf hashes a certificate as RFC 5929 §4.1 says.
func endPointOf(cert *tls.Certificate) []byte {
	if cert == nil || len(cert.Certificate) == 0 {
		return nil
	}
	leaf := cert.Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil
		}
	}
	hash := hashOf(leaf.SignatureAlgorithm)
	if !hash.Available() {
		return nil
	}
	sum := hash.New()
	sum.Write(cert.Certificate[0]) // never fails (hash.Hash)
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

// endPointMark tells our extra data in a session ticket from that of others.
var endPointMark = []byte("postrider tls-server-end-point ")

// wrap makes a session ticket that remembers which certificate was sent, which
// may have been renewed when the session is resumed.
func (h *handshake) wrap(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
	if sum := h.endPoint(cs.DidResume); sum != nil {
		ss.Extra = append(ss.Extra, append(bytes.Clone(endPointMark), sum...))
	}
	if h.base.WrapSession != nil {
		return h.base.WrapSession(cs, ss)
	}
	return h.base.EncryptTicket(cs, ss)
}

// unwrap opens a session ticket. The keys are those of the listener's
// configuration, which all its connections share.
func (h *handshake) unwrap(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
	open := h.base.DecryptTicket
	if h.base.UnwrapSession != nil {
		open = h.base.UnwrapSession
	}
	ss, err := open(identity, cs)
	if ss == nil || err != nil {
		return nil, err
	}
	h.fromTicket = nil
	for _, extra := range ss.Extra {
		if sum, ok := bytes.CutPrefix(extra, endPointMark); ok {
			h.fromTicket = sum
		}
	}
	return ss, nil
}
