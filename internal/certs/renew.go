package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"slices"
	"strings"

	"postrider/internal/fault"
)

// Renew renews the certificates that have a name, or all for the name "": files
// are read again, an authority is asked for a new certificate now, a self-signed
// one is made anew. It returns them as they are afterwards. What failed stays as
// it was, and the error says what; NotFound: no certificate has the name.
func (m *Manager) Renew(ctx context.Context, name string) ([]Info, error) {
	name = strings.ToLower(name)
	var errs []error
	found, err := m.renewHere(ctx, name)
	errs = append(errs, err)
	if m.acme != nil {
		for _, n := range m.acme.names {
			if name == "" || name == n {
				found = true
				errs = append(errs, m.acme.renew(ctx, n))
			}
		}
	}
	if !found {
		return nil, fault.Newf(fault.NotFound, "renew "+name, "there is no certificate of that name")
	}
	all := slices.DeleteFunc(m.List(), func(i Info) bool { return name != "" && !slices.Contains(i.Names, name) })
	return all, errors.Join(errs...)
}

// renewHere renews what needs no authority, and reports whether there was any.
func (m *Manager) renewHere(ctx context.Context, name string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	found := false
	for _, f := range m.files {
		if name == "" || slices.Contains(f.current.names(), name) {
			found = true
			errs = append(errs, m.reload(f))
		}
	}
	m.rebuildFiles()
	// With an authority, a self-signed certificate only fills in, and who has been
	// told its fingerprint keeps it.
	e := m.selfSigned
	if m.acme == nil && e != nil && m.table.Load().has(e) && (name == "" || slices.Contains(e.names(), name)) {
		found = true
		err := m.keepSelfSigned(ctx, true)
		if err == nil {
			err = m.rebuild(ctx)
		}
		errs = append(errs, err)
	}
	return found, errors.Join(errs...)
}

// loadObtained takes what is kept of a name's certificate, and reports whether
// there was any. The caller holds mu and rebuilds the table.
func (m *Manager) loadObtained(ctx context.Context, name string) bool {
	e, err := m.acme.stored(ctx, name)
	if err != nil {
		m.failed[name] = err.Error()
		m.log.Error("the certificate that was obtained can't be used; \"postrider cert renew\" obtains another", "name", name, "error", err)
		return false
	}
	if e != nil {
		m.obtained[name] = e
	}
	return e != nil
}

// announce warns when a name has no certificate yet.
func (m *Manager) announce(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.obtained[name] != nil {
		return
	}
	serves := "none: TLS handshakes fail"
	if t := m.table.Load(); len(t.all) > 0 {
		serves = string(t.all[0].source)
	}
	m.log.Warn("no certificate has been obtained for a name yet; until then another serves",
		"name", name, "authority", m.o.ACME.Directory, "serves", serves)
}

// nowObtained takes a certificate that has just been obtained.
func (m *Manager) nowObtained(ctx context.Context, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.failed, name)
	if !m.loadObtained(ctx, name) {
		return
	}
	e := m.obtained[name]
	m.metrics.renewed(SourceACME, nil)
	m.log.Info("certificate obtained", "name", name, "not_after", e.cert.Leaf.NotAfter, "sha256", Fingerprint(e.cert.Leaf.Raw))
	if err := m.rebuild(ctx); err != nil {
		m.log.Error("certificates could not be put in place", "error", err)
	}
}

// notObtained remembers why a name has no new certificate.
func (m *Manager) notObtained(name string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed[name] = cut(err.Error())
	m.metrics.renewed(SourceACME, err)
	m.log.Error("no certificate could be obtained; it will be tried again: "+remedy(err),
		"name", name, "authority", m.o.ACME.Directory, "error", m.failed[name])
}

// remedy says what to do about an authority that has given no certificate.
func remedy(err error) string {
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		return "the authority's own server isn't trusted; if it is a private one, see that ca_file is right"
	case unreachable(err):
		return "the authority can't be reached; see that its directory is right, and that this machine's requests to it get through"
	}
	return "see that the name leads here, and that the authority's " +
		"requests to port 80 (HTTP-01) or 443 (TLS-ALPN-01) reach the addresses set for them"
}

// unreachable reports whether a request to the authority got no answer.
func unreachable(err error) bool {
	var request *url.Error
	return errors.As(err, &request)
}
