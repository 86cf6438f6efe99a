// Package netclient drives a client's session over a network connection: it
// reads replies, sends commands and content, makes the handshake of TLS, and
// keeps the connection within its limits. It knows no protocol, and is to
// clients what package netserver is to servers.
//
// A conversation runs in its caller's goroutine. While it waits it holds a read
// buffer of 512 octets and nothing else, but for what crypto/tls holds; larger
// buffers are borrowed while there is a long line or content.
package netclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"time"

	"postrider/internal/session"
)

// What holds where Options say nothing.
const (
	DefaultWait          = 5 * time.Minute // RFC 5321 §4.5.3.2
	DefaultWriteWait     = 3 * time.Minute // RFC 5321 §4.5.3.2.5
	DefaultContentTime   = time.Hour
	DefaultHandshakeWait = 30 * time.Second
	DefaultDialWait      = 30 * time.Second
)

// Options are how a conversation is driven. Zero times mean the defaults.
type Options struct {
	// ID stands in log lines about the connection; it becomes session.Conn.ID.
	ID string
	// Listener becomes session.Conn.Listener; nil is one without properties.
	Listener *session.Listener
	// TLS is for the handshake that the session asks for; nil: there is none, and a
	// session that asks for it fails. Its ServerName and whatever verifies the
	// server are the caller's. No session of TLS is resumed.
	TLS *tls.Config
	// Implicit makes the handshake before the session begins (RFC 8314 §3).
	Implicit bool
	// OnHandshake, if not nil, is told of a handshake that has succeeded, before the
	// session is.
	OnHandshake func(cs *tls.ConnectionState)
	// Stop, when it ends, gives the session session.Shutdown.
	Stop context.Context
	// Wait is how long the peer may take for a line if the session does not say.
	Wait time.Duration
	// WriteWait is how long the peer may take for one block of up to 64 KiB;
	// ContentTime, for the whole body of one step.
	WriteWait, ContentTime time.Duration
	// HandshakeWait is how long a handshake may take.
	HandshakeWait time.Duration
	// Now is the clock that sessions see. Nil is time.Now. Deadlines go by
	// time.Now always.
	Now func() time.Time
}

// withDefaults returns the options with what is not set.
func (o Options) withDefaults() Options {
	o.Wait = orDefault(o.Wait, DefaultWait)
	o.WriteWait = orDefault(o.WriteWait, DefaultWriteWait)
	o.ContentTime = orDefault(o.ContentTime, DefaultContentTime)
	o.HandshakeWait = orDefault(o.HandshakeWait, DefaultHandshakeWait)
	if o.Listener == nil {
		o.Listener = &session.Listener{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// orDefault returns d, or def if d is zero.
func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// DialOptions are how a connection is made.
type DialOptions struct {
	// Local is the address to connect from; the zero Addr leaves it to the system.
	Local netip.Addr
	// Timeout is how long it may take; zero is DefaultDialWait.
	Timeout time.Duration
}

// Dial connects to a TCP address.
func Dial(ctx context.Context, to netip.AddrPort, o DialOptions) (net.Conn, error) {
	d := net.Dialer{Timeout: orDefault(o.Timeout, DefaultDialWait)}
	if o.Local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.Local, 0))
	}
	nc, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, &Error{Stage: StageDial, Err: err}
	}
	return nc, nil
}

// Stage is what a conversation was at when it failed.
type Stage string

// The stages.
const (
	StageDial      Stage = "connect"
	StageRead      Stage = "read"
	StageWrite     Stage = "write"
	StageBody      Stage = "content" // what was to be sent could not be read
	StageHandshake Stage = "TLS handshake"
	StageSession   Stage = "session" // it has broken its contract
)

// Error is a conversation, or an attempt to have one, that has failed.
type Error struct {
	Stage Stage
	Err   error
}

// Error implements error. It does not name the ends of the connection.
func (e *Error) Error() string { return string(e.Stage) + ": " + reason(e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrInjected says that plaintext had arrived behind the reply that agreed to TLS. It
// comes from the peer, or from somebody between (CVE-2011-0411).
var ErrInjected = errors.New("plaintext was injected before the TLS handshake")

// Other causes that are not the network's.
var (
	errTimeout = errors.New("timeout")            // the peer was silent for too long, or did not read
	errFlood   = errors.New("a line without end") // wire.MaxSkip octets of it

	errNoTLS = errors.New("TLS is not set up for this conversation")
	errMode  = errors.New("the session asks for what a client does not read")
)
