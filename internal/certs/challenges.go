package certs

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"postrider/internal/fault"
)

// Limits of the listeners for challenges, which anybody can reach.
const (
	challengeTime     = 10 * time.Second // for a whole request or handshake
	maxChallengeConns = 100
	maxChallengeHead  = 16 << 10 // octets of a request's header
)

// acmeALPN is the protocol of TLS-ALPN-01 (RFC 8737 §6.2).
const acmeALPN = "acme-tls/1"

// challengeKind is a way to prove that a name is ours.
type challengeKind string

const (
	http01    challengeKind = "HTTP-01"
	tlsALPN01 challengeKind = "TLS-ALPN-01"
)

// challengeListener answers an authority's requests. It holds its address all the
// time, so that no other program has it when it is needed; strangers learn
// nothing.
type challengeListener struct {
	net.Listener
	kind challengeKind
	log  *slog.Logger
	host string // as configured

	free chan struct{} // a value for each connection that may still come
	done sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]struct{} // of TLS-ALPN-01
	http   *http.Server          // of HTTP-01
}

// listenForChallenges opens a listener.
func listenForChallenges(kind challengeKind, addr string, log *slog.Logger) (*challengeListener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "listen for ACME's "+string(kind)+" on "+addr,
			"%w: free the address, or give another to which the authority's requests are led", err)
	}
	host, _, _ := net.SplitHostPort(addr)
	l := &challengeListener{
		Listener: ln, kind: kind, log: log, host: host,
		free: make(chan struct{}, maxChallengeConns), open: map[net.Conn]struct{}{},
	}
	for range maxChallengeConns {
		l.free <- struct{}{}
	}
	return l, nil
}

// hostPort returns where the listener is, with the host as it was configured.
func (l *challengeListener) hostPort() (host string, port int) {
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		port = a.Port
	}
	return l.host, port
}

// Accept waits for a connection and closes those that are too many.
func (l *challengeListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case <-l.free:
			return &challengeConn{Conn: c, l: l}, nil
		default:
			c.Close()
		}
	}
}

// challengeConn gives its place back when it is closed.
type challengeConn struct {
	net.Conn
	l    *challengeListener
	once sync.Once
}

func (c *challengeConn) Close() error {
	c.once.Do(func() { c.l.free <- struct{}{} })
	return c.Conn.Close()
}

// serve begins to answer for an issuer.
func (l *challengeListener) serve(cfg *certmagic.Config, issuer *certmagic.ACMEIssuer) {
	l.done.Go(func() {
		if l.kind == http01 {
			l.serveHTTP(issuer)
			return
		}
		l.serveTLS(cfg)
	})
}

// close ends the listener and its connections, and waits for them.
func (l *challengeListener) close() {
	l.Listener.Close()
	l.mu.Lock()
	l.closed = true
	if l.http != nil {
		l.http.Close()
	}
	for c := range l.open {
		c.Close()
	}
	l.mu.Unlock()
	l.done.Wait()
}

// serveHTTP answers what the library has told the authority to ask for. It is
// asked only about names that are being proven now.
func (l *challengeListener) serveHTTP(issuer *certmagic.ACMEIssuer) {
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !underWay(r.Host) || !issuer.HandleHTTPChallenge(w, r) {
				http.NotFound(w, r)
			}
		}),
		ReadTimeout: challengeTime, WriteTimeout: challengeTime, IdleTimeout: challengeTime,
		MaxHeaderBytes: maxChallengeHead,
		ErrorLog:       slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
	}
	s.SetKeepAlivesEnabled(false) // a request each: strangers can't keep the places
	l.mu.Lock()
	l.http = s
	l.mu.Unlock()
	if err := s.Serve(l); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		l.log.Error("the listener for ACME's requests has failed: certificates can't be renewed until the server starts anew", "error", err)
	}
}

// serveTLS answers handshakes that ask for acme-tls/1.
func (l *challengeListener) serveTLS(cfg *certmagic.Config) {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{acmeALPN},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if !slices.Equal(hello.SupportedProtos, []string{acmeALPN}) || !underWay(hello.ServerName) {
				return nil, fault.New(fault.Denied, "answer a challenge", nil)
			}
			return cfg.GetCertificate(hello)
		},
	}
	for {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.log.Warn("the listener for ACME's requests got no connection", "error", err)
			time.Sleep(time.Second) // out of descriptors, most likely
			continue
		}
		l.done.Go(func() { l.shake(nc, c) })
	}
}

// shake makes one handshake; there is nothing behind it (RFC 8737 §3).
func (l *challengeListener) shake(nc net.Conn, c *tls.Config) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		nc.Close()
		return
	}
	l.open[nc] = struct{}{}
	l.mu.Unlock()
	defer func() {
		nc.Close()
		l.mu.Lock()
		delete(l.open, nc)
		l.mu.Unlock()
	}()
	if nc.SetDeadline(time.Now().Add(challengeTime)) != nil {
		return
	}
	if err := tls.Server(nc, c).Handshake(); err != nil {
		l.log.Debug("a handshake for ACME's TLS-ALPN-01 failed", "peer", nc.RemoteAddr().String(), "error", err)
	}
}

// underWay reports whether the library has a challenge for a name, which may
// have a port. It must be written as the library knows it: of another one the
// library would answer for any token.
func underWay(name string) bool {
	_, ok := certmagic.GetACMEChallenge(name)
	return ok
}
