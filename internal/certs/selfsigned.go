package certs

import (
	"context"
	"crypto/tls"
	"slices"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// selfSignedRecord holds the self-signed certificate and its key as PEM.
const selfSignedRecord = "certs/self-signed"

// keepSelfSigned sees to it that there is a self-signed certificate for the
// server's names with a third of its life left: the one that is kept or, if that
// won't do or anew is set, one that it makes and keeps. It is never silent about
// one that it begins to serve. The caller holds mu.
func (m *Manager) keepSelfSigned(ctx context.Context, anew bool) error {
	names := withLoopback(m.o.Names)
	good := func(c *tls.Certificate) bool {
		return c != nil && !anew && !due(c.Leaf, m.now()) && madeFor(c.Leaf, names)
	}
	if m.selfSigned != nil && good(m.selfSigned.cert) {
		return nil
	}
	cert, err := m.storedSelfSigned(ctx)
	if err != nil {
		return err
	}
	made := !good(cert)
	if made {
		cert, err = m.makeSelfSigned(ctx, names)
		m.metrics.renewed(SourceSelfSigned, err)
		if err != nil {
			return err
		}
	}
	m.selfSigned = &entry{cert: cert, source: SourceSelfSigned}
	m.log.Warn("the server uses a certificate that it has signed itself: clients can't tell it from an impostor's "+
		"unless they are told its fingerprint", "names", names, "made_now", made,
		"sha256", Fingerprint(cert.Leaf.Raw), "not_after", cert.Leaf.NotAfter)
	return nil
}

// storedSelfSigned returns the certificate that is kept, nil if there is none
// that can be read.
func (m *Manager) storedSelfSigned(ctx context.Context) (*tls.Certificate, error) {
	r, err := m.o.Records.Record(ctx, selfSignedRecord)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, nil
	case err != nil && !fault.Is(err, fault.Corrupt):
		return nil, fault.Wrap("read the self-signed certificate", err)
	}
	var cert tls.Certificate
	if err == nil {
		cert, err = tls.X509KeyPair(r.Value, r.Value)
	}
	if err != nil {
		m.log.Error("the self-signed certificate that was kept can't be read; a new one with another fingerprint is made", "error", err)
		return nil, nil
	}
	return &cert, nil
}

func (m *Manager) makeSelfSigned(ctx context.Context, names []string) (*tls.Certificate, error) {
	made, err := issue(serverTemplate(names, m.now()), nil)
	if err != nil {
		return nil, err
	}
	key, err := made.keyPEM()
	if err != nil {
		return nil, err
	}
	r := store.Record{Key: selfSignedRecord, Value: slices.Concat(made.certPEM(), key), Changed: m.now()}
	if err := m.o.Records.PutRecord(ctx, r); err != nil {
		return nil, fault.Wrap("keep the self-signed certificate", err)
	}
	return &tls.Certificate{Certificate: [][]byte{made.cert.Raw}, PrivateKey: made.key, Leaf: made.cert}, nil
}
