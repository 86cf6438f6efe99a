package netclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"time"

	"postrider/internal/netconn"
	"postrider/internal/session"
	"postrider/internal/tlsfacts"
	"postrider/internal/wire"
)

// startTLS makes the handshake that a session asked for.
func (c *conn) startTLS(step *session.Step) error {
	err := c.out.Flush()
	switch {
	case err != nil:
	case c.opts.TLS == nil || c.info.TLS != nil:
		err = &Error{Stage: StageSession, Err: errNoTLS}
	case c.in.buffered() > 0:
		err = &Error{Stage: StageHandshake, Err: ErrInjected}
	default:
		wait := c.opts.HandshakeWait
		if step.Wait > 0 {
			wait = min(wait, step.Wait)
		}
		err = c.secure(wait)
	}
	if err != nil {
		// It may say nothing more.
		c.sess.Event(session.TLSFailed)
		return err
	}
	c.asked = false
	*step = c.sess.Event(session.TLSReady)
	return nil
}

// secure makes the handshake within the time given, and lets the session learn
// what protects it.
func (c *conn) secure(wait time.Duration) error {
	if c.opts.TLS == nil {
		return &Error{Stage: StageSession, Err: errNoTLS}
	}
	c.in.release()
	c.split = wire.Splitter{}
	cfg := c.opts.TLS.Clone()
	// Mail is sent in whole buffers, and nobody waits for its first octet.
	cfg.DynamicRecordSizingDisabled = true
	cfg.ClientSessionCache = nil
	// What comes after the handshake sets its own deadlines.
	c.readUntil, c.writeUntil = time.Time{}, time.Time{}
	until := time.Now().Add(wait)
	if err := c.raw.SetDeadline(until); err != nil {
		return &Error{Stage: StageHandshake, Err: err}
	}
	ctx, cancel := context.WithDeadline(c.info.Context, until)
	defer cancel()
	tc := tls.Client(c.raw, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return &Error{Stage: StageHandshake, Err: &HandshakeError{Reason: handshakeReason(err), Err: err}}
	}
	c.nc = tc
	cs := tc.ConnectionState()
	c.info.TLS = facts(tc, &cs)
	if c.opts.OnHandshake != nil {
		c.opts.OnHandshake(&cs)
	}
	return nil
}

// facts returns what a session may know of its connection.
func facts(tc *tls.Conn, cs *tls.ConnectionState) *session.TLS {
	return &session.TLS{
		Version:    tlsfacts.Version(cs.Version),
		Cipher:     tls.CipherSuiteName(cs.CipherSuite),
		ServerName: cs.ServerName,
		Binding: func(kind string) []byte {
			cs := tc.ConnectionState()
			switch kind {
			case tlsfacts.KindExporter:
				return tlsfacts.Exporter(&cs)
			case tlsfacts.KindEndPoint:
				return tlsfacts.EndPoint(cs.PeerCertificates[0])
			}
			return nil
		},
	}
}

// HandshakeError is a handshake that has failed.
type HandshakeError struct {
	Reason Reason
	Err    error
}

// Error implements error. What crypto/tls says beside the reason is given only
// where the reason does not say it, and made safe to show: it may have a part of
// the server's certificate.
func (e *HandshakeError) Error() string {
	switch e.Reason {
	case ReasonCertificate, ReasonAlert, ReasonOther:
		return string(e.Reason) + ": " + shown(reason(e.Err))
	}
	return string(e.Reason)
}

// maxWords is how many octets of another's error text are shown.
const maxWords = 200

// shown makes a text safe to show.
func shown(text string) string {
	b := []byte(text[:min(len(text), maxWords)])
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}

// Unwrap returns what crypto/tls said, or what verified the server.
func (e *HandshakeError) Unwrap() error { return e.Err }

// Reason is why a handshake failed.
type Reason string

// The reasons. The first five are about the server's certificate.
const (
	ReasonExpired     Reason = "the certificate has expired, or is not valid yet"
	ReasonName        Reason = "the certificate is for another name"
	ReasonSelfSigned  Reason = "the certificate is self-signed"
	ReasonUntrusted   Reason = "nobody that is trusted vouches for the certificate"
	ReasonCertificate Reason = "the certificate is not acceptable"
	ReasonVersion     Reason = "there is no common version of TLS"
	ReasonCipher      Reason = "there is no common cipher suite"
	ReasonNotTLS      Reason = "the other side does not speak TLS"
	ReasonAlert       Reason = "the other side refused"
	ReasonTimeout     Reason = "timeout"
	ReasonClosed      Reason = "the other side closed the connection"
	ReasonOther       Reason = "failed"
)

// handshakeReason classifies an error of crypto/tls.
func handshakeReason(err error) Reason {
	var unverified *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	var op *net.OpError
	if r := certificateReason(err); r != "" {
		return r
	}
	switch {
	case errors.As(err, &unverified):
		return ReasonCertificate
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return ReasonTimeout
	case errors.As(err, &notTLS):
		return ReasonNotTLS
	case errors.As(err, &op) && op.Op == "remote error":
		return alertReason(op.Err.Error())
	case errors.As(err, &op) && op.Op != "local error", netconn.IsClosed(err):
		return ReasonClosed
	case strings.Contains(err.Error(), "unsupported protocol version"), strings.Contains(err.Error(), "unsupported versions"):
		return ReasonVersion
	}
	return ReasonOther
}

// certificateReason returns what is wrong with a certificate; empty if the error
// is about something else.
func certificateReason(err error) Reason {
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &name):
		return ReasonName
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ReasonExpired
	case errors.As(err, &invalid):
		return ReasonCertificate
	case errors.As(err, &authority):
		if cert := authority.Cert; cert != nil && string(cert.RawIssuer) == string(cert.RawSubject) {
			return ReasonSelfSigned
		}
		return ReasonUntrusted
	}
	return ""
}

// alertReason classifies an alert of the server (RFC 8446 §6.2).
func alertReason(text string) Reason {
	switch {
	case strings.Contains(text, "protocol version"):
		return ReasonVersion
	case strings.Contains(text, "handshake failure"), strings.Contains(text, "insufficient security"):
		return ReasonCipher
	}
	return ReasonAlert
}
