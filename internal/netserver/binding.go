package netserver

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"

	"postrider/internal/tlsfacts"
)

// binding returns the connection's channel binding of a type, nil if it has none.
func (h *handshake) binding(kind string) []byte {
	switch kind {
	case tlsfacts.KindExporter:
		cs := h.conn.ConnectionState()
		return tlsfacts.Exporter(&cs)
	case tlsfacts.KindEndPoint:
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
	return tlsfacts.EndPoint(leaf)
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
