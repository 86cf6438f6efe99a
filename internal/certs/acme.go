package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"postrider/internal/fault"
	"postrider/internal/store"
)

const (
	// maxHostName is the longest host name, in octets (RFC 1035 §2.3.4).
	maxHostName = 253
	// renewTime is how long Renew waits for an authority.
	renewTime = 5 * time.Minute
	// againTime is how long after a failed Renew the library tries by itself.
	againTime = time.Minute
	// stopTime is how long stop waits for the library.
	stopTime = time.Second
)

// ACME is an authority that gives certificates (RFC 8555). To name it here is to
// agree to its terms of service.
type ACME struct {
	// Directory is the https URL of the authority's directory.
	Directory string
	// CAFile are the roots that vouch for the authority's own server, as PEM.
	// Empty: the system's.
	CAFile string
	// Email is where the authority may write to. It may be empty.
	Email string
	// Names are the host names, each of which gets a certificate of its own.
	Names []string
	// HTTP and TLSALPN are the addresses (host:port) to listen on for the
	// authority's requests: HTTP-01 (RFC 8555 §8.3), which come to port 80, and
	// TLS-ALPN-01 (RFC 8737), which come to port 443. Empty: not this way. One at
	// least must be there.
	HTTP, TLSALPN string
}

// authority obtains and renews certificates with the ACME library. Only what it
// has stored is served, by the manager's table.
type authority struct {
	m       *Manager
	o       ACME
	names   []string // in lower case
	roots   *x509.CertPool
	storage *storage
	every   time.Duration // between looks for what must be renewed; zero: the library's choice

	renewals sync.WaitGroup // calls of renew under way

	// mu protects what is there between start and stop.
	mu        sync.Mutex
	cache     *certmagic.Cache
	config    *certmagic.Config // nil before and after
	listeners []*challengeListener
	quiet     *atomic.Bool
	ctx       context.Context
	cancel    context.CancelFunc
	managed   map[string]context.CancelFunc // ends the library's tries for a name
}

// newAuthority checks the settings. The error says what to do.
func newAuthority(m *Manager, o ACME) (*authority, error) {
	a := &authority{m: m, o: o}
	bad := func(format string, args ...any) error {
		return fault.Newf(fault.Invalid, "set up ACME", format, args...)
	}
	u, err := url.Parse(o.Directory)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, bad("directory %q must be an https URL, as https://acme-v02.api.letsencrypt.org/directory", o.Directory)
	}
	for _, n := range o.Names {
		n = strings.ToLower(strings.TrimSuffix(n, "."))
		if why := badHostName(n); why != "" {
			return nil, bad("name %q: %s", n, why)
		}
		if key := certmagic.StorageKeys.SiteMeta(issuerKey(o.Directory), n); !validKey(key) {
			return nil, bad("name %q is too long to keep its certificate: %d octets less would do", n, len(acmePrefix+key)-store.MaxRecordKey)
		}
		if !slices.Contains(a.names, n) {
			a.names = append(a.names, n)
		}
	}
	switch {
	case len(a.names) == 0:
		return nil, bad("there are no names to obtain certificates for")
	case o.HTTP == "" && o.TLSALPN == "":
		return nil, bad("there is no address for the authority's requests: set one for HTTP (port 80), TLS-ALPN (port 443) or both")
	}
	for _, addr := range []string{o.HTTP, o.TLSALPN} {
		if _, _, err := net.SplitHostPort(addr); addr != "" && err != nil {
			return nil, bad("address %q must be host:port or :port", addr)
		}
	}
	if a.roots, err = readRoots(o.CAFile); err != nil {
		return nil, err
	}
	a.storage = newStorage(m.o.Records, m.now)
	return a, nil
}

// badHostName says why no certificate can be obtained for a name, "" if one can.
func badHostName(n string) string {
	switch {
	case strings.HasPrefix(n, "*."):
		return "a wildcard needs the DNS challenge, which is not there: write each name"
	case net.ParseIP(n) != nil:
		return "an address is no host name"
	case len(n) > maxHostName || !strings.Contains(n, "."):
		return "it must be a whole host name, as mail.example.org"
	}
	for label := range strings.SplitSeq(n, ".") {
		ok := label != "" && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-'
		if !ok || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return "only letters, digits and hyphens may stand between the dots (of other scripts, the xn-- form)"
		}
	}
	return ""
}

func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	b, _, err := readFile("CA", path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		return nil, fault.Newf(fault.Invalid, "CA file "+path, "there is no certificate in it: it must be PEM, with BEGIN CERTIFICATE")
	}
	return roots, nil
}

// start listens for challenges, and begins to obtain and renew.
func (a *authority) start(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ctx, a.cancel = context.WithCancel(ctx)
	a.quiet, a.managed = &atomic.Bool{}, map[string]context.CancelFunc{}
	log := zap.New(zapToSlog{log: a.m.log, muted: a.quiet})
	var cfg atomic.Pointer[certmagic.Config]
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return cfg.Load(), nil },
		RenewCheckInterval: a.every,
		Logger:             log,
	})
	a.config = certmagic.New(a.cache, certmagic.Config{
		Storage: a.storage,
		// The library only obtains; it serves no handshake but the authority's.
		OCSP:                certmagic.OCSPConfig{DisableStapling: true},
		DisableStorageCheck: true,
		KeySource:           certmagic.StandardKeyGenerator{KeyType: certmagic.P256},
		Issuers:             []certmagic.Issuer{},
		OnEvent:             a.event,
		Logger:              log,
	})
	cfg.Store(a.config)
	if err := a.listen(log); err != nil {
		a.end()
		return err
	}
	a.storage.open()
	for _, name := range a.names {
		a.m.announce(name)
		a.manage(name, 0)
	}
	return nil
}

// manage has the library obtain a name's certificate if there is none, and renew
// it in time, with its tries again; from after a while on. The caller holds mu.
func (a *authority) manage(name string, after time.Duration) {
	cfg := a.config
	ctx, cancel := context.WithCancel(a.ctx)
	a.managed[name] = cancel
	time.AfterFunc(after, func() {
		if ctx.Err() == nil {
			_ = cfg.ManageAsync(ctx, []string{name}) // it reports what goes wrong to event
		}
	})
}

// listen opens the listeners, and makes for each the issuer that uses it.
func (a *authority) listen(log *zap.Logger) error {
	for _, kind := range []challengeKind{http01, tlsALPN01} {
		addr := a.o.HTTP
		if kind == tlsALPN01 {
			addr = a.o.TLSALPN
		}
		if addr == "" {
			continue
		}
		l, err := listenForChallenges(kind, addr, a.m.log)
		if err != nil {
			return err
		}
		a.listeners = append(a.listeners, l)
		host, port := l.hostPort()
		issuer := certmagic.NewACMEIssuer(a.config, certmagic.ACMEIssuer{
			CA: a.o.Directory, Email: a.o.Email, Agreed: true, TrustedRoots: a.roots,
			DisableHTTPChallenge:      kind != http01,
			DisableTLSALPNChallenge:   kind != tlsALPN01,
			DisableDistributedSolvers: true,
			ListenHost:                host, AltHTTPPort: port, AltTLSALPNPort: port,
			Logger: log,
		})
		a.config.Issuers = append(a.config.Issuers, renewer{issuer})
		l.serve(a.config, issuer)
	}
	return nil
}

// renewer is an issuer that doesn't tell the authority which certificate a new
// one replaces (RFC 9773 §5). The authority would refuse the order when the
// former certificate was another account's, as after a change of Email, and the
// library would ask the same again until the end.
type renewer struct{ *certmagic.ACMEIssuer }

// stop ends what start began. Afterwards the records are used no more.
func (a *authority) stop() {
	a.mu.Lock()
	a.cancel()
	a.mu.Unlock()
	a.renewals.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end()
}

// end stops everything. The caller holds mu.
func (a *authority) end() {
	a.cancel()
	a.storage.close()
	for _, l := range a.listeners {
		l.close()
	}
	stopped := make(chan struct{})
	go func(c *certmagic.Cache) {
		c.Stop()
		close(stopped)
	}(a.cache)
	// The library's upkeep may be waiting for the authority, without a context
	// that we could end. It has nothing left that it could change.
	select {
	case <-stopped:
	case <-time.After(stopTime):
	}
	a.quiet.Store(true)
	a.cache, a.config, a.listeners = nil, nil, nil
}

// attempt is in the context of a renewal that somebody waits for: it ends with
// its first failure and is not tried again.
type attempt struct{}

// event gets what happens in the library.
func (a *authority) event(ctx context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	switch event {
	case "cert_obtained":
		a.m.nowObtained(context.WithoutCancel(ctx), name)
	case "cert_failed":
		err, _ := data["error"].(error)
		if err == nil {
			err = errors.New("the library gave no reason")
		}
		if ctx.Err() == nil {
			a.m.notObtained(name, err)
		}
		if giveUp, ok := ctx.Value(attempt{}).(context.CancelCauseFunc); ok {
			giveUp(err)
		}
	}
	return nil
}

// renew obtains a new certificate now. It takes the place of the library's own
// tries, which may be waiting for their next.
func (a *authority) renew(ctx context.Context, name string) error {
	a.mu.Lock()
	if a.config == nil || a.ctx.Err() != nil {
		a.mu.Unlock()
		return fault.Newf(fault.Transient, "renew "+name, "the server isn't running its ACME part: start it")
	}
	cfg := a.config
	a.managed[name]()
	a.renewals.Add(1)
	defer a.renewals.Done()
	ctx, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	once, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	defer context.AfterFunc(a.ctx, func() { giveUp(errStopping) })()
	a.mu.Unlock()

	// The library's interactive way would ask questions on standard input.
	err := cfg.RenewCertAsync(context.WithValue(once, attempt{}, giveUp), name, true)
	if cause := context.Cause(once); err != nil && cause != nil {
		err = cause
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx.Err() == nil {
		a.managed[name]()
		a.manage(name, againTime)
	}
	if err == nil {
		return nil
	}
	return fault.New(fault.Transient, "renew "+name, err)
}

var errStopping = errors.New("the server is stopping")

// stored returns the certificate that is kept for a name; nil: none.
func (a *authority) stored(ctx context.Context, name string) (*entry, error) {
	key := issuerKey(a.o.Directory)
	load := func(file func(issuer, name string) string) ([]byte, error) {
		return a.storage.Load(ctx, file(key, name))
	}
	chain, err := load(certmagic.StorageKeys.SiteCert)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	private, err := load(certmagic.StorageKeys.SitePrivateKey)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	cert, err := tls.X509KeyPair(chain, private)
	if err != nil {
		return nil, fault.New(fault.Corrupt, "certificate kept for "+name, err)
	}
	return &entry{cert: &cert, source: SourceACME}, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// issuerKey is the library's name for an authority in storage.
func issuerKey(directory string) string {
	return (&certmagic.ACMEIssuer{CA: directory}).IssuerKey()
}
