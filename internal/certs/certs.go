// Package certs has the server's certificates: those in files, those from an
// ACME authority, and one signed by itself where there is no other.
//
// A Manager chooses among them at each handshake. Files are read again when they
// change, certificates of an authority are obtained and renewed while Run runs,
// and nothing of that interrupts a connection.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/fault"
	"postrider/internal/store"
)

const (
	// lookInterval is how often the files are looked at, at most.
	lookInterval = 5 * time.Second
	// renewAgain is how long after its failure the renewal of a self-signed
	// certificate is tried again; a third of its life is left.
	renewAgain = time.Hour
)

// Options are a manager's settings.
type Options struct {
	// Files are the certificates in files. A client that names a host (SNI) gets
	// the first that is made for it, others get the first of all.
	Files []Pair
	// ACME is an authority to obtain certificates from; nil: none.
	ACME *ACME
	// Names are the server's host names, for the self-signed certificate.
	Names []string
	// SelfSigned makes a certificate that the server signs itself, when there is
	// no other. It is kept, so that its fingerprint lasts.
	SelfSigned bool
	// Records keeps what comes from the authority, and the self-signed
	// certificate. Only they need it.
	Records store.Records
	// MinVersion is the oldest version of TLS, tls.VersionTLS12 at least.
	MinVersion uint16
	// Logger gets what happens to certificates. Nil drops all.
	Logger *slog.Logger
	// Registerer takes the metrics. Nil: they are kept and shown nowhere.
	Registerer prometheus.Registerer
	// Now is the clock by which validity is judged; nil is time.Now. The ACME
	// library goes by time.Now always.
	Now func() time.Time
}

// Pair are the files of a certificate, both PEM: the chain, the server's own
// certificate first, and its private key.
type Pair struct{ Certificate, Key string }

// Manager has the server's certificates. Its methods may be called from several
// goroutines.
type Manager struct {
	o       Options
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics
	tickets *tls.Config // holds the keys of session tickets, shared by listeners
	acme    *authority  // nil: none

	table  atomic.Pointer[table]
	looked atomic.Int64 // when the files were last looked at, Unix nanoseconds

	// mu protects what the table is made from.
	mu         sync.Mutex
	files      []*pairFile
	obtained   map[string]*entry // by the name they were obtained for
	failed     map[string]string // why a name has none, or no newer one
	selfSigned *entry
	failedAt   time.Time // when selfSigned could not be renewed; zero: it could
}

// New loads the certificates that there are, and makes a self-signed one if it
// must. It never touches the network. The error is of kind Invalid when a file
// or a setting can't be used, and says which and what to do.
func New(o Options) (*Manager, error) {
	m := &Manager{
		o: o, log: o.Logger, now: o.Now, tickets: &tls.Config{},
		obtained: map[string]*entry{}, failed: map[string]string{},
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if m.now == nil {
		m.now = time.Now
	}
	m.o.MinVersion = max(o.MinVersion, tls.VersionTLS12)
	if (o.ACME != nil || o.SelfSigned) && o.Records == nil {
		return nil, fault.Newf(fault.Invalid, "set up certificates", "ACME and a self-signed certificate need a store")
	}
	m.metrics = newMetrics(m.List)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.load(context.Background()); err != nil {
		return nil, err
	}
	if o.Registerer != nil {
		if err := o.Registerer.Register(m.metrics); err != nil {
			return nil, fault.Wrap("register the metrics of certificates", err)
		}
	}
	return m, nil
}

// load reads everything for the first time. The caller holds mu.
func (m *Manager) load(ctx context.Context) error {
	var errs []error
	for _, p := range m.o.Files {
		f := &pairFile{pair: p}
		if err := f.read(m.now()); err != nil {
			errs = append(errs, err)
			continue
		}
		m.warn(f.current)
		m.files = append(m.files, f)
	}
	if len(errs) > 0 {
		return fault.New(fault.Invalid, "load certificates", errors.Join(errs...))
	}
	if m.o.ACME != nil {
		a, err := newAuthority(m, *m.o.ACME)
		if err != nil {
			return err
		}
		m.acme = a
		for _, name := range a.names {
			m.loadObtained(ctx, name)
		}
	}
	return m.rebuild(ctx)
}

// warn logs what is wrong with a certificate from a file.
func (m *Manager) warn(e *entry) {
	for _, p := range e.problems(m.now()) {
		m.log.Warn("a certificate has a problem: "+p, "names", e.names(), "file", e.pair.Certificate)
	}
}

// rebuild makes the table from what there is, and a self-signed certificate if
// there is nothing else. The caller holds mu.
func (m *Manager) rebuild(ctx context.Context) error {
	var all []*entry
	for _, f := range m.files {
		all = append(all, f.current)
	}
	if m.acme != nil {
		for _, name := range m.acme.names {
			if e := m.obtained[name]; e != nil {
				all = append(all, e)
			}
		}
	}
	if len(all) == 0 && m.o.SelfSigned {
		if err := m.keepSelfSigned(ctx, false); err != nil {
			return err
		}
		all = append(all, m.selfSigned)
	}
	m.table.Store(newTable(all))
	return nil
}

// Run obtains and renews certificates and looks at the files until the context
// ends. Nothing that it has started runs any more, and the records are used no
// more, when it returns. It returns an error when it can't listen where the
// authority's requests are to come.
func (m *Manager) Run(ctx context.Context) error {
	if m.acme != nil {
		if err := m.acme.start(ctx); err != nil {
			return err
		}
		defer m.acme.stop()
	}
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			m.tend(ctx)
		}
	}
}

// tend looks after what ends or changes by itself.
func (m *Manager) tend(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lookAtFiles()
	if m.selfSigned == nil || !m.table.Load().has(m.selfSigned) {
		return
	}
	now := m.now()
	if since := now.Sub(m.failedAt); !m.failedAt.IsZero() && since >= 0 && since < renewAgain {
		return
	}
	m.failedAt = time.Time{}
	if err := m.rebuild(ctx); err != nil {
		m.failedAt = now
		m.log.Error("the self-signed certificate could not be renewed; it will be tried again", "error", err)
	}
}

// Reload reads the files again. Where that fails the certificate stays as it
// was, and the error says which file it is.
func (m *Manager) Reload() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, f := range m.files {
		errs = append(errs, m.reload(f))
	}
	m.rebuildFiles()
	if err := errors.Join(errs...); err != nil {
		return fault.New(fault.Invalid, "load certificates", err)
	}
	return nil
}

// protocols are the ALPN names of what is spoken here (IANA, RFC 7301 §6). SMTP
// has none.
var protocols = map[string][]string{"pop3": {"pop3"}, "imap": {"imap"}}

// Config returns the configuration of a listener that speaks the protocol. Its
// clients may show certificates of clientCAs, or none; without clientCAs they
// are not asked.
func (m *Manager) Config(protocol string, clientCAs *x509.CertPool) *tls.Config {
	c := &tls.Config{
		GetCertificate: m.certificate,
		MinVersion:     m.o.MinVersion,
		NextProtos:     protocols[protocol],
	}
	if clientCAs != nil {
		// What a ticket says of a client's certificate is worth nothing on a
		// listener with other authorities: these share no keys.
		c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, clientCAs
		return c
	}
	shareTickets(c, m.tickets, protocol)
	return c
}

// Ready reports whether there is any certificate: an authority may not have given
// the first one yet.
func (m *Manager) Ready() bool { return len(m.table.Load().all) > 0 }

// certificate chooses for a handshake.
func (m *Manager) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	m.glance()
	e := m.table.Load().choose(hello)
	if e == nil {
		return nil, fault.Newf(fault.NotFound, "choose a certificate", "there is none yet")
	}
	return e.cert, nil
}

// glance looks at the files if nobody has for a while. It waits for nobody.
func (m *Manager) glance() {
	now, last := m.now().UnixNano(), m.looked.Load()
	if len(m.o.Files) == 0 || now-last < int64(lookInterval) || !m.mu.TryLock() {
		return
	}
	defer m.mu.Unlock()
	m.lookAtFiles()
}
