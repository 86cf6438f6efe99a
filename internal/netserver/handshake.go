package netserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"postrider/internal/session"
	"postrider/internal/wire"
)

var (
	errNoTLS    = errors.New("TLS is not set up here")
	errTLSTwice = errors.New("TLS is on already")
	errTurned   = errors.New("the session that accepted the connection has handed it on")
)

// startTLS makes the handshake that a session asked for, and forgets what came
// before it in plaintext (RFC 3207 §4.2).
func (c *conn) startTLS(step *session.Step) error {
	if err := c.mayStartTLS(); err != nil {
		c.srv.log.Error("session asked for TLS where it can't be", "conn", c.info.ID, "listener", c.l.Name, "error", err)
		return err
	}
	if err := c.out.Flush(); err != nil {
		return err
	}
	c.dropPlaintext()
	wait := c.srv.opts.HandshakeWait
	if step.Wait > 0 {
		wait = min(wait, step.Wait)
	}
	if err := c.secure(nil, wait); err != nil {
		return err
	}
	c.asked = false
	*step = c.sess.Event(session.TLSReady)
	return nil
}

// mayStartTLS reports what speaks against a handshake.
func (c *conn) mayStartTLS() error {
	switch {
	case c.turned:
		return errTurned
	case c.l.TLS == nil || !c.l.StartTLS:
		return errNoTLS
	case c.info.TLS != nil:
		return errTLSTwice
	}
	return nil
}

// dropPlaintext throws away what the peer, or someone between, sent behind the
// command that asked for TLS (CVE-2011-0411). What comes later still is read as
// a part of the handshake, which fails by it.
func (c *conn) dropPlaintext() {
	n := c.in.discard()
	c.split = wire.Splitter{Limit: c.l.MaxLine, Teach: c.l.Teach}
	if n == 0 {
		return
	}
	c.l.metrics.discards.Inc()
	c.srv.log.Warn("plaintext behind the command for TLS thrown away",
		"conn", c.info.ID, "listener", c.l.Name, "remote", c.info.Remote, "octets", n)
}

// secureFirst makes the handshake of a listener with TLS from the first octet
// (RFC 8314 §3). What was read behind a PROXY header belongs to it.
func (c *conn) secureFirst() error {
	if c.refused != admitted {
		return errCrowded // a handshake would cost more than the last word is worth
	}
	head := append([]byte(nil), c.in.b[c.in.r:c.in.w]...)
	c.octetsIn -= int64(len(head))
	c.in.reset()
	return c.secure(head, c.srv.opts.HandshakeWait)
}

// secure makes the handshake, of which head was read already, within the time
// given, and lets the session learn what protects it.
func (c *conn) secure(head []byte, wait time.Duration) error {
	until, err := c.beginHandshake(wait)
	if err != nil {
		return err
	}
	h := &handshake{base: c.l.TLS, heard: &heard{Conn: c.raw, head: head}}
	ctx, cancel := context.WithDeadline(context.WithValue(c.info.Context, handshakeKey{}, h), until)
	defer cancel()
	h.conn = tls.Server(h.heard, c.l.handshakes)
	err = h.conn.HandshakeContext(ctx)
	c.endWait()
	if err != nil {
		return c.handshakeFailed(h, err)
	}
	c.nc = h.conn
	c.info.TLS = h.facts()
	c.countHandshake(h.result(), c.info.TLS.Version)
	return nil
}

// beginHandshake prepares to wait for the peer's part in a handshake, and
// returns the deadline. It fails when the connection has to go.
func (c *conn) beginHandshake(wait time.Duration) (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isShed || c.srv.stopping.Load() {
		return time.Time{}, errInterrupted
	}
	now := time.Now()
	until := now.Add(wait)
	// What comes after the handshake sets its own deadlines.
	c.readUntil, c.writeUntil = time.Time{}, time.Time{}
	c.wait(inSetup, now)
	return until, c.raw.SetDeadline(until)
}

// handshake is what is kept about one connection's TLS.
type handshake struct {
	base *tls.Config // the listener's, whose keys seal tickets
	conn *tls.Conn
	// heard is what conn reads from.
	heard *heard
	// name is the server name the client asked for, made safe to log.
	name string
	// sent is the certificate chosen for this connection, and certErr why there
	// is none. A resumed session has sent none; its ticket told of the first one.
	sent       *tls.Certificate
	certErr    error
	fromTicket []byte
}

// handshakeKey is where the context of a handshake holds it.
type handshakeKey struct{}

// configure returns what all handshakes of a listener begin with. One shared
// configuration finds the connection by the hello's context and makes its own.
func configure(base *tls.Config) *tls.Config {
	if base == nil {
		return nil
	}
	shared := base.Clone()
	shared.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		h, ok := hello.Context().Value(handshakeKey{}).(*handshake)
		if !ok {
			return nil, fmt.Errorf("configure handshake: no connection in context")
		}
		return h.config(hello)
	}
	return shared
}

// config returns the configuration of one connection: the listener's, or what
// that has for this client, and noting the certificate.
func (h *handshake) config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	h.name = serverName(hello.ServerName)
	from := h.base
	if h.base.GetConfigForClient != nil {
		own, err := h.base.GetConfigForClient(hello)
		if err != nil {
			return nil, err
		}
		if own != nil {
			from = own
		}
	}
	cfg := from.Clone()
	cfg.GetConfigForClient = nil
	cfg.Certificates = nil
	cfg.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		h.sent, h.certErr = choose(from, hello)
		// Without an error crypto/tls answers with the alert unrecognized_name.
		return h.sent, nil
	}
	cfg.WrapSession, cfg.UnwrapSession = h.wrap, h.unwrap
	cfg.SessionTicketsDisabled = from.SessionTicketsDisabled || h.base.SessionTicketsDisabled
	// Mail is sent in whole buffers, and nobody waits for its first octet.
	cfg.DynamicRecordSizingDisabled = true
	return cfg, nil
}

var errNoCertificate = errors.New("no certificate is set up")

// choose returns the certificate that crypto/tls would choose by itself.
func choose(c *tls.Config, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	n := len(c.Certificates)
	if c.GetCertificate != nil && (n == 0 || hello.ServerName != "") {
		if cert, err := c.GetCertificate(hello); cert != nil || err != nil {
			return cert, err
		}
	}
	if n == 0 {
		return nil, errNoCertificate
	}
	for i := range c.Certificates {
		if n == 1 || hello.SupportsCertificate(&c.Certificates[i]) == nil {
			return &c.Certificates[i], nil
		}
	}
	return &c.Certificates[0], nil
}
