// Package session is the contract between a driver, which does all input and
// output, and a protocol, which does none.
//
// A protocol is a value that is fed and answers. The driver (package netserver,
// or a test) calls it from one goroutine, in this order:
//
//	Start                       once; the answer is the greeting
//	Line | Data | Event         as often as input comes, one at a time
//	Event(Closed)               once, last, whatever happened before
//
// Each call returns a Step: what to send now, and what to read next. The
// session may block in a call while its backend works (a commit, a password
// check); nothing else of that connection goes on meanwhile.
//
// What the driver promises:
//
//   - Reply, then Body, are sent in order; they are flushed when no whole line is
//     waiting to be read, so that a pipelined group gets its answers in one packet
//     (RFC 2920 §3.2), and always before the driver waits for the peer.
//   - In Line and SecretLine it reads one line, in Dots everything up to
//     CRLF.CRLF, in Octets exactly N octets, and then makes one call. However
//     wrong the content is, the driver stays in step: it reads on to the end
//     and reports.
//   - What Dots and Octets read goes to Sink as it comes, without the stuffing.
//     When Sink fails it is written to no more; the octets are read and dropped,
//     and Data gets Sink's error.
//   - At StartTLS whatever plaintext arrived after the command is thrown away,
//     here and nowhere else (RFC 3207 §4.2, CVE-2011-0411).
//   - A peer that sends nothing for Wait gets Event(Timeout). A server that stops
//     gives Event(Shutdown), never within Dots or Octets. One that is overloaded
//     gives Event(Shed), within Dots or Octets too if the peer is slow there.
//   - Event(Closed) comes exactly once. Its Step is ignored.
//   - A line is remembered for the transcript unless the mode was SecretLine or
//     the answer's Secret is set; its octets are then wiped from memory.
//   - On a listener with TLS from the first octet Start comes after the handshake,
//     with Conn.TLS set.
//   - When a Step has Become, what there is to send is sent, and the connection
//     goes on with that session: the one before gets Event(Closed), the new one
//     Start, and what the peer has sent already. If the connection fails meanwhile
//     the new one gets Event(Closed) alone. It can't ask for StartTLS, in which the
//     driver would play the wrong part.
//
// A client is a session too: its Start sends nothing and waits for the greeting,
// its lines are replies, its replies are commands. Its driver (package netclient)
// keeps the same promises, but for these: there is no Shed; at StartTLS it makes
// the client's part of the handshake, and if plaintext had arrived behind the
// reply that agreed to it, or if the handshake fails, the session gets
// Event(TLSFailed), says nothing more and closes; if a handshake before Start fails,
// it gets Event(Closed) alone; and when the connection takes no more of a Body, the
// session still gets the lines that the peer has sent.
//
// What a session promises: it keeps no reference to a line after the call, it
// starts no goroutine, reads no clock but Conn.Now, and holds nothing (lock,
// spool) after Event(Closed).
package session

import (
	"context"
	"io"
	"net/netip"
	"time"

	"postrider/internal/wire"
)

// Session is one connection's side of a protocol.
type Session interface {
	// Start begins the session. Conn stays valid, and the same, until
	// Event(Closed).
	Start(c *Conn) Step
	// Line takes one line, whose bytes are valid during the call only.
	Line(line wire.Line) Step
	// Data says that what Dots or Octets asked for has been read: n octets have
	// gone to Sink. Err is nil, wire.ErrBareCR or wire.ErrBareLF (in Dots), or
	// the first error of Sink.
	Data(n int64, err error) Step
	// Event tells what happened beside the input.
	Event(e Event) Step
}

// Conn is what a session knows about its connection.
type Conn struct {
	// ID stands in every log line about the connection.
	ID string
	// Context ends when the connection is closed or the server stops waiting for it.
	Context context.Context
	// Remote and Local are the ends of the connection; those that a PROXY header
	// of a trusted peer named, if there was one.
	Remote, Local netip.AddrPort
	Listener      *Listener
	// TLS is nil on a plaintext connection; it is set before Event(TLSReady).
	TLS *TLS
	// Now returns the time.
	Now func() time.Time
}

// Listener is the part of a listener's configuration that protocols look at.
type Listener struct {
	// Name is the configuration's name for it, as in logs and metrics.
	Name string
	// Protocol is "smtp", "pop3", …; Role is what it is for: "mx" for SMTP.
	Protocol, Role string
	// Teach makes a listener kind to people who type (promise 5 in
	// docs/ARCHITECTURE.md): bare LF in commands, telnet's ways, patience with
	// mistakes, hints.
	Teach bool
	// Hostname is the name the server greets with.
	Hostname string
	// StartTLS says that a session of a plaintext connection may ask for TLS.
	StartTLS bool
	// PlaintextAuth allows passwords to be sent as they are on a connection
	// without TLS.
	PlaintextAuth bool
	// PopBeforeSMTP, if not zero, is for how long who has logged in by POP3 may
	// submit from the same address without a login. TrustedNetworks, if there are
	// any, are the only ones in which an address is trusted so.
	PopBeforeSMTP   time.Duration
	TrustedNetworks []netip.Prefix
}

// TLS is what a session knows about the protection of its connection.
type TLS struct {
	Version, Cipher string // for the Received field and logs
	ServerName      string // SNI
	// ClientNames are the mail addresses (rfc822Name) in the client's certificate,
	// if one was given that the listener's client authorities vouch for.
	ClientNames []string
	// Binding returns the connection's channel binding of a type, "tls-exporter"
	// (RFC 9266) or "tls-server-end-point" (RFC 5929 §4); nil if there is none.
	Binding func(kind string) []byte
}

// Mode says what the driver reads next.
type Mode uint8

// The modes.
const (
	Line       Mode = iota // a line
	SecretLine             // a line that no transcript or log may keep
	Dots                   // octets up to CRLF.CRLF, without dot-stuffing
	Octets                 // N octets
	StartTLS               // nothing: the TLS handshake, then Event(TLSReady)
	Close                  // nothing: send what there is and close
)

// Step is a session's answer.
type Step struct {
	// Reply is sent as it is: whole lines with CRLF. It belongs to the session
	// again at the next call.
	Reply []byte
	// Body, if not nil, is sent after Reply. It writes the exact octets of the
	// wire, its terminator included. An error from it closes the connection,
	// since the peer can't be told any more. The writer that it gets may have a method
	// Flush() error, which sends what was kept.
	Body io.WriterTo
	// Next is what to read next.
	Next Mode
	// N is the number of octets for Octets.
	N int64
	// Sink takes the content in Dots and Octets. Nil drops it.
	Sink io.Writer
	// Wait is how long the peer may be silent; in Dots and Octets, between two
	// reads. Zero is the listener's default.
	Wait time.Duration
	// Become, if not nil, is who goes on with the connection once Reply has been
	// sent (ATRN, RFC 2645). Next is not looked at.
	Become Session
	// Secret says that the line just given held a secret: the driver forgets it,
	// as if it had been read in mode SecretLine.
	Secret bool
	// Log, if not empty, says why a connection is closed or what else the
	// operator should see; it never holds a secret.
	Log string
}

// Event is something other than input.
type Event uint8

// The events.
const (
	// Timeout: the peer was silent for longer than Wait. The session may say a
	// last word; it must close.
	Timeout Event = iota
	// Shutdown: the server stops. A session that owes nothing says so and closes;
	// one within a transaction may go on, and is asked again after each step.
	Shutdown
	// Shed: the server has too many connections, and this one was the slowest.
	// The session says a last word and closes.
	Shed
	// TLSReady: the handshake succeeded; Conn.TLS is set. The session has
	// forgotten everything it learnt before.
	TLSReady
	// TLSFailed: the handshake that a client's session asked for has failed. The
	// session may say nothing more, and closes.
	TLSFailed
	// StoreChanged: something the session watches has changed (IMAP IDLE).
	StoreChanged
	// Flood: the peer sent more than wire.MaxSkip octets without an end of line.
	// The session says a last word and closes.
	Flood
	// Closed: the connection is gone. Release everything.
	Closed
)
