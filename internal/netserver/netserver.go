// Package netserver drives protocol sessions over the network: it accepts
// connections, reads lines and content for a session.Session, sends what it
// answers, and keeps every connection within its limits. It knows no protocol.
//
// A connection is one goroutine that reads, calls the session and writes, in
// that order. While it waits for a line it holds a read buffer of 512 octets and
// nothing else, but for what crypto/tls holds of a connection with TLS; larger
// buffers are borrowed while there is content or output.
package netserver

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/session"
)

// What holds where Options or a Listener says nothing.
const (
	DefaultMaxConns        = 10_000 // connections in all
	DefaultMaxConnsPerAddr = 50     // connections of one address to one listener
	DefaultGrace           = 30 * time.Second
	DefaultWait            = 5 * time.Minute // RFC 5321 §4.5.3.2.7
	DefaultWriteWait       = 5 * time.Minute
	DefaultContentTime     = time.Hour
	DefaultHandshakeWait   = 30 * time.Second
)

// Limits that are no settings.
const (
	// shedAge is how long a connection must have waited for its peer before it
	// may be shed for another.
	shedAge = 5 * time.Second
	// contentPace is how many octets of content count as a sign of life: a peer
	// that takes longer than shedAge for them may be shed. 16 KiB in 5 seconds
	// is about what a telephone line brings.
	contentPace = 16 << 10
	// maxLeaving is how many connections at once may be hearing their last word
	// because of overload; newcomers beyond it are closed without one.
	maxLeaving = 256
	// farewellWait is how long the last word may take.
	farewellWait = 5 * time.Second
	// drainTime and drainMax, in octets, bound what is read and dropped after
	// the last word, so that the peer can read it before the connection is reset.
	drainTime = time.Second
	drainMax  = 1 << 20
	// headerWait is how long a proxy may take for its PROXY header.
	headerWait = 10 * time.Second
	// cutWait is how long Shutdown waits for sessions whose connections it cut.
	cutWait = 5 * time.Second
)

// Options are a server's settings. The zero value is usable.
type Options struct {
	// Logger gets one line at Info when a connection ends. Nil drops all.
	Logger *slog.Logger
	// Registerer takes the metrics. Nil: they are kept and shown nowhere.
	Registerer prometheus.Registerer
	// MaxConns limits the connections of all listeners. Zero is
	// DefaultMaxConns, negative is no limit. At the limit, the connection that
	// has waited longest for its peer has to go; see session.Shed.
	MaxConns int
	// MaxConnsPerAddr limits the connections of one IPv4 address or one IPv6
	// /64 to one listener. Zero is DefaultMaxConnsPerAddr, negative no limit.
	MaxConnsPerAddr int
	// Grace is how long Shutdown lets transactions finish. Zero is
	// DefaultGrace, negative not at all.
	Grace time.Duration
	// WriteWait is how long one write to a peer that does not read may take.
	// Zero is DefaultWriteWait.
	WriteWait time.Duration
	// ContentTime is how long the content of one Dots or Octets step may take
	// in all, against peers that send an octet now and then. Zero is
	// DefaultContentTime.
	ContentTime time.Duration
	// HandshakeWait is how long a TLS handshake may take. Zero is
	// DefaultHandshakeWait.
	HandshakeWait time.Duration
	// Now is the clock that sessions see. Nil is time.Now. Deadlines go by
	// time.Now always.
	Now func() time.Time
}

// Listener says what is served on a net.Listener, and how.
type Listener struct {
	session.Listener
	// MaxConns limits the listener's connections. Zero: only Options.MaxConns
	// counts.
	MaxConns int
	// MaxConnsPerAddr is for this listener what it is in Options; zero means
	// what stands there.
	MaxConnsPerAddr int
	// ProxyFrom are the peers that must begin with a PROXY header (version 1 or
	// 2). From any other peer such a header is input like any other.
	ProxyFrom []netip.Prefix
	// Wait is how long a peer may take for a line, or be silent within content,
	// if the session does not say. Zero is DefaultWait.
	Wait time.Duration
	// MaxLine is the longest line in octets, CRLF included, at most 32,768. Zero
	// is wire.MaxLine.
	MaxLine int
	// TLS is the configuration for handshakes. Nil: the listener has no TLS, and
	// neither session.Listener.StartTLS nor Implicit may be set. Certificates that
	// change come from its GetCertificate or GetConfigForClient; the keys of
	// session tickets are its own. NameToCertificate, which is deprecated, is not
	// looked at. See StrictALPN for application protocols.
	TLS *tls.Config
	// Implicit makes the handshake before the session begins (RFC 8314 §3). A
	// newcomer for whom there is no room is then closed without a word.
	Implicit bool
	// New makes the session of a new connection.
	New func() session.Session
}

// orDefault returns v, or def if v is zero.
func orDefault[T ~int | ~int64](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}
