package netserver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"postrider/internal/session"
	"postrider/internal/wire"
)

// conn is one connection: its session, and what drives it. Only its own
// goroutine touches it, but for what mu guards and since.
type conn struct {
	srv  *Server
	l    *listener
	nc   net.Conn // changed under mu by the TLS handshake
	sess session.Session
	info session.Conn

	split  wire.Splitter
	telnet *wire.Telnet // on teach listeners
	dots   wire.DotReader
	in     input
	out    output

	octetsIn, octetsOut int64
	refused             refusal // the newcomer is to hear session.Shed at once
	started             bool    // the session's Start was called
	broken              bool    // a write failed
	hurry               bool    // only the last word is left to say
	asked               bool    // session.Shutdown was given since the last input
	why                 string  // the reason of the end, for the log

	// since is when the wait for the peer began (Server.stamp), zero when there
	// is none that shedding may end.
	since atomic.Int64

	mu                    sync.Mutex
	phase                 phase
	isShed, isCut         bool
	readUntil, writeUntil time.Time // the deadlines as set; zero: unknown

	counted bool    // against the limits of connections; guarded by srv.mu
	addrKey addrKey // what it counts for in srv.perAddr, if that; guarded by srv.mu
}

// newConn returns a connection that has not begun.
func newConn(s *Server, l *listener, nc net.Conn) *conn {
	c := &conn{srv: s, l: l, nc: nc}
	c.info = session.Conn{
		ID:       s.newID(),
		Remote:   addrPort(nc.RemoteAddr()),
		Local:    addrPort(nc.LocalAddr()),
		Listener: &l.Listener.Listener,
		Now:      s.opts.Now,
	}
	c.split = wire.Splitter{Limit: l.MaxLine, Teach: l.Teach}
	if l.Teach {
		c.telnet = new(wire.Telnet)
	}
	return c
}

// addrPort returns a TCP address without the disguise of an IPv4 address as
// IPv6; the zero AddrPort for other networks.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
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
	c.out.release()
	if polite {
		c.srv.uncount(c)
		c.drain()
	}
	c.cut()
	c.in.release()
	c.l.metrics.octetsIn.Add(float64(c.octetsIn))
	c.l.metrics.octetsOut.Add(float64(c.octetsOut))
	c.srv.log.LogAttrs(context.Background(), slog.LevelInfo, "connection closed",
		slog.String("conn", c.info.ID),
		slog.String("listener", c.l.Name),
		slog.Any("remote", c.info.Remote),
		slog.Duration("duration", time.Since(begin)),
		slog.Int64("octets_in", c.octetsIn),
		slog.Int64("octets_out", c.octetsOut),
		slog.String("why", c.why))
	c.srv.remove(c)
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
			"conn", c.info.ID, "listener", c.l.Name, "panic", panicText(recover()), "stack", string(debug.Stack()))
	}()
	f()
	return true
}

// panicText returns what a panic says of itself if the runtime said it, and
// only the kind of value otherwise.
func panicText(v any) string {
	if err, ok := v.(interface {
		error
		RuntimeError()
	}); ok {
		return err.Error()
	}
	return "not a runtime error"
}

// converse runs the session, and reports whether its last word was sent, so
// that the peer should be given time to read it.
func (c *conn) converse() (polite bool) {
	c.call(func() {
		err := c.run()
		polite = err == nil
		if err != nil && c.why == "" {
			c.why = reason(err)
		}
	})
	return polite
}

// run opens the conversation, and goes from step to step until the session
// closes it (nil) or it fails.
func (c *conn) run() error {
	step, err := c.open()
	if err != nil {
		return err
	}
	for {
		if step.Log != "" && step.Next != session.Close {
			c.logStep(step.Log)
		}
		if err := c.answer(&step); err != nil {
			return err
		}
		switch step.Next {
		case session.Line, session.SecretLine:
			err = c.nextLine(&step)
		case session.Dots:
			c.dots.Reset(step.Sink)
			err = c.content(&step, &c.dots)
		case session.Octets:
			err = c.content(&step, &octetReader{sink: step.Sink, left: step.N})
		case session.StartTLS:
			err = c.startTLS(&step)
		default:
			if c.why == "" {
				c.why = step.Log
			}
			if c.why == "" {
				c.why = "session ended"
			}
			return c.flush()
		}
		if err != nil {
			return err
		}
	}
}

// open starts the session, or lets it refuse a newcomer.
func (c *conn) open() (session.Step, error) {
	if c.refused == admitted {
		if err := c.readHeader(); err != nil {
			return session.Step{}, err
		}
		c.refused = c.srv.admitAddr(c)
	}
	c.srv.log.LogAttrs(c.info.Context, slog.LevelDebug, "connection opened",
		slog.String("conn", c.info.ID), slog.String("listener", c.l.Name), slog.Any("remote", c.info.Remote))
	c.sess = c.l.New()
	c.started = true
	step := c.sess.Start(&c.info)
	if c.refused != admitted {
		// The greeting is not sent: the refusal stands in its place.
		c.last(&step, session.Shed, "refused: too many connections")
	}
	return step, nil
}

// last gives the session an event after which it must close, and makes sure
// that it does.
func (c *conn) last(step *session.Step, e session.Event, why string) {
	c.hurry = true
	c.why = why
	*step = c.sess.Event(e)
	step.Next = session.Close
}

// nextLine waits for a line and replaces the step with the session's answer to
// it, or to an event.
func (c *conn) nextLine(step *session.Step) error {
	secret := step.Next == session.SecretLine
	wait := orDefault(step.Wait, c.l.Wait)
	var since time.Time
	for {
		if c.eventDue(step) {
			return nil
		}
		line, got, err := c.bufferedLine()
		switch {
		case err != nil:
			return err
		case got == wire.HaveLine:
			c.asked = false
			*step = c.sess.Line(line)
			if secret {
				clear(line.Bytes)
			}
			return nil
		case got == wire.Flooded:
			c.last(step, session.Flood, "no end of line")
			return nil
		}
		if err := c.flush(); err != nil {
			return err
		}
		if since.IsZero() {
			since = time.Now()
		}
		until := since.Add(wait)
		err = c.read(inLine, smallSize, since, until)
		switch {
		case err == nil, errors.Is(err, errInterrupted):
		case errors.Is(err, os.ErrDeadlineExceeded):
			if !time.Now().Before(until) {
				c.timeout(step, "timeout")
				return nil
			}
		default:
			return err
		}
	}
}

// bufferedLine looks for a line in the input, and sends what telnet has to be
// told.
func (c *conn) bufferedLine() (wire.Line, wire.Progress, error) {
	if c.telnet == nil {
		line, got := c.in.line(&c.split)
		return line, got, nil
	}
	line, got, answer := c.in.typedLine(&c.split, c.telnet)
	return line, got, c.buffer(answer)
}

// eventDue gives the session an event if one is due.
func (c *conn) eventDue(step *session.Step) bool {
	c.mu.Lock()
	shed, shutdown := c.isShed, c.shutdownDue()
	c.mu.Unlock()
	switch {
	case shed:
		c.last(step, session.Shed, "shed: too many connections")
	case shutdown:
		c.asked = true
		*step = c.sess.Event(session.Shutdown)
		if step.Next == session.Close {
			c.hurry = true
			c.why = "shutdown"
		}
	}
	return shed || shutdown
}

// timeout tells the session that its peer is silent.
func (c *conn) timeout(step *session.Step, why string) {
	c.l.metrics.timeouts.Inc()
	c.last(step, session.Timeout, why)
}

// read waits for input and reads it into a buffer of size, which an unfinished
// line may make larger.
func (c *conn) read(p phase, size int, since, until time.Time) error {
	room := c.in.ready(size)
	if err := c.beginRead(p, since, until); err != nil {
		return err
	}
	n, err := c.nc.Read(room)
	c.endWait()
	c.in.w += n
	c.octetsIn += int64(n)
	if n > 0 {
		return nil // an error comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// startTLS makes the handshake, and forgets what came before it in plaintext
// (RFC 3207 §4.2).
func (c *conn) startTLS(step *session.Step) error {
	if c.l.StartTLS == nil {
		c.srv.log.Error("session asked for TLS where there is none", "conn", c.info.ID, "listener", c.l.Name)
		return errNoTLS
	}
	if err := c.flush(); err != nil {
		return err
	}
	c.in.reset()
	c.split = wire.Splitter{Limit: c.l.MaxLine, Teach: c.l.Teach}
	now := time.Now()
	until := now.Add(orDefault(step.Wait, c.l.Wait))
	if err := c.beginRead(inSetup, now, until); err != nil {
		return err
	}
	_ = c.nc.SetWriteDeadline(until) // an error here comes back from the handshake
	nc, facts, err := c.l.StartTLS(c.nc)
	c.endWait()
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.nc = nc
	c.readUntil, c.writeUntil = time.Time{}, time.Time{}
	cut := c.isCut
	c.mu.Unlock()
	if cut {
		return net.ErrClosed
	}
	c.info.TLS = facts
	c.asked = false
	*step = c.sess.Event(session.TLSReady)
	return nil
}

// logStep writes down what a session wants the operator to see.
func (c *conn) logStep(text string) {
	c.srv.log.LogAttrs(c.info.Context, slog.LevelInfo, text,
		slog.String("conn", c.info.ID), slog.String("listener", c.l.Name), slog.Any("remote", c.info.Remote))
}

// drain ends the sending half and reads what the peer still sends, for a
// moment, so that the last word reaches it: a connection closed with input
// unread is reset, and the peer's system may drop what it had for it.
func (c *conn) drain() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(drainTime))
	c.in.release()
	for n := 0; n < drainMax; {
		k, err := c.nc.Read(c.in.b)
		if err != nil {
			return
		}
		n += k
	}
}
