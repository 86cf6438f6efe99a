package netserver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"postrider/internal/netconn"
	"postrider/internal/session"
	"postrider/internal/wire"
)

// conn is one connection: its session, and what drives it. Only its own
// goroutine touches it, but for what mu guards and since.
type conn struct {
	srv  *Server
	l    *listener
	raw  net.Conn // as accepted: for deadlines, and for cutting by others
	nc   net.Conn // to read and write: raw, or TLS on it
	sess session.Session
	info session.Conn

	split  wire.Splitter
	telnet *wire.Telnet // on teach listeners
	dots   wire.DotReader
	in     input
	out    netconn.Output // answered, and not sent

	octetsIn, octetsOut int64
	refused             refusal   // the newcomer is to hear session.Shed at once
	started             bool      // the session is to hear session.Closed
	turned              bool      // another session goes on (session.Step.Become)
	broken              bool      // a write failed
	paced               time.Time // in content: when it last had contentPace octets more
	hurry               bool      // only the last word is left to say
	asked               bool      // session.Shutdown was given since the last input
	why                 string    // the reason of the end, for the log

	// since is when the wait for the peer began (Server.stamp), or in content when
	// paced was; zero when there is none that shedding may end.
	since atomic.Int64

	mu                    sync.Mutex
	readUntil, writeUntil time.Time // the deadlines as set; zero: unknown
	phase                 phase
	isShed                bool

	// Guarded by srv.mu.
	counted bool       // against the limits of connections
	leaving bool       // in srv.leaving
	addr    netip.Addr // what it counts for in srv.perAddr, if valid
}

// newConn returns a connection that has not begun.
func newConn(s *Server, l *listener, nc net.Conn) *conn {
	c := &conn{srv: s, l: l, raw: nc, nc: nc}
	c.info = session.Conn{
		ID:       s.newID(),
		Remote:   netconn.AddrPort(nc.RemoteAddr()),
		Local:    netconn.AddrPort(nc.LocalAddr()),
		Listener: &l.Listener.Listener,
		Now:      s.opts.Now,
	}
	c.out.Send = c.write
	c.split = wire.Splitter{Limit: l.MaxLine, Teach: l.Teach}
	if l.Teach {
		c.telnet = new(wire.Telnet)
	}
	return c
}

// serve is the life of a connection.
func (c *conn) serve() {
	begin := time.Now()
	ctx, cancel := context.WithCancel(c.srv.ctx)
	c.info.Context = ctx
	polite := c.converse()
	if c.started {
		c.call(func() { c.sess.Event(session.Closed) })
	}
	cancel()
	c.out.Release()
	if polite {
		c.srv.uncount(c)
		c.drain()
	}
	c.raw.Close()
	c.in.release()
	c.l.metrics.octetsIn.Add(float64(c.octetsIn))
	c.l.metrics.octetsOut.Add(float64(c.octetsOut))
	c.logEnd(begin)
	c.srv.remove(c)
}

// logEnd writes the one line about a connection.
func (c *conn) logEnd(begin time.Time) {
	version := "" // none: plaintext
	if c.info.TLS != nil {
		version = c.info.TLS.Version
	}
	c.srv.log.LogAttrs(context.Background(), slog.LevelInfo, "connection closed",
		slog.String("conn", c.info.ID),
		slog.String("listener", c.l.Name),
		slog.Any("remote", c.info.Remote),
		slog.Duration("duration", time.Since(begin)),
		slog.Int64("octets_in", c.octetsIn),
		slog.Int64("octets_out", c.octetsOut),
		slog.String("tls", version),
		slog.String("why", c.why))
}

// call calls f and reports whether it returned; a panic is logged and counted,
// and goes no further.
func (c *conn) call(f func()) (ok bool) {
	defer func() {
		if ok {
			return
		}
		c.why = "panic"
		c.l.metrics.panics.Inc()
		// The value could hold content of the connection; its type can't.
		c.srv.log.Error("session panicked",
			"conn", c.info.ID, "listener", c.l.Name, "panic", netconn.PanicText(recover()), "stack", string(debug.Stack()))
	}()
	f()
	return true
}

// explain words the failure that ended the conversation.
func (c *conn) explain(err error) string {
	switch {
	case c.why != "":
		return c.why
	case c.toldToLeave():
		return whyShed
	case errors.Is(err, errInterrupted):
		return "shutdown"
	}
	return reason(err)
}

// drain ends the sending half and reads what the peer still sends, for a
// moment, so that the last word reaches it: a connection closed with input
// unread is reset, and the peer's system may drop what it had for it.
// Over TLS the peer is told by close_notify (RFC 8446 §6.1) as well; nothing it
// still sends is deciphered.
func (c *conn) drain() {
	if over, ok := c.nc.(*tls.Conn); ok {
		_ = over.CloseWrite() // a peer that is gone misses nothing
	}
	half, ok := c.raw.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.raw.SetReadDeadline(time.Now().Add(drainTime))
	c.in.release()
	for n := 0; n < drainMax; {
		k, err := c.raw.Read(c.in.b)
		if err != nil {
			return
		}
		n += k
	}
}
