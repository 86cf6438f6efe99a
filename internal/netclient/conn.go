package netclient

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"postrider/internal/netconn"
	"postrider/internal/session"
	"postrider/internal/wire"
)

// conn is one conversation. Only its caller's goroutine touches it, but for
// what mu guards.
type conn struct {
	opts Options
	raw  net.Conn // for deadlines
	nc   net.Conn // to read and write: raw, or TLS on it
	sess session.Session
	info session.Conn

	split wire.Splitter
	in    input
	out   netconn.Output // to be sent

	early                 bool      // what is buffered had come before the last command was sent
	broken                bool      // a write failed
	asked                 bool      // session.Shutdown was given since the last input
	readUntil, writeUntil time.Time // the deadlines as set; zero: unknown
	latest                time.Time // when the body of the step must have been sent

	mu       sync.Mutex
	waiting  bool // for a line: may be interrupted
	stopping bool
}

// Converse runs a client's session on a connection, which it closes at the end.
// It returns nil if the session has ended the conversation, though it may have
// done so because the peer spoke nonsense; otherwise an *Error. The end of ctx
// cuts the connection.
func Converse(ctx context.Context, nc net.Conn, s session.Session, o Options) error {
	c := &conn{opts: o.withDefaults(), raw: nc, nc: nc, sess: s}
	c.out.Send = c.write
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	if o.Stop != nil {
		defer context.AfterFunc(o.Stop, c.interrupt)()
	}
	c.info = session.Conn{
		ID: o.ID, Context: ctx,
		Remote: netconn.AddrPort(nc.RemoteAddr()), Local: netconn.AddrPort(nc.LocalAddr()),
		Listener: c.opts.Listener, Now: c.opts.Now,
	}
	err := c.call(c.run)
	if closeErr := c.call(func() error { s.Event(session.Closed); return nil }); err == nil {
		err = closeErr
	}
	if ctx.Err() != nil && err != nil {
		err = &Error{Stage: StageSession, Err: context.Cause(ctx)}
	}
	c.in.release()
	c.out.Release()
	_ = c.nc.Close() // with TLS this says goodbye; whatever fails now changes nothing
	return err
}

// call calls f. A panic goes no further: it becomes an error.
func (c *conn) call(f func() error) (err error) {
	ok := false
	defer func() {
		if !ok {
			err = &Error{Stage: StageSession, Err: &PanicError{Value: netconn.PanicText(recover()), Stack: string(debug.Stack())}}
		}
	}()
	err = f()
	ok = true
	return err
}

// PanicError is a session that has panicked.
type PanicError struct {
	// Value is what the runtime said, or that somebody else said it: that could hold
	// a part of the conversation.
	Value string
	Stack string
}

// Error implements error.
func (e *PanicError) Error() string { return "panic: " + e.Value }

// run goes from step to step until the session closes (nil) or it fails.
func (c *conn) run() error {
	if c.opts.Implicit {
		if err := c.secure(c.opts.HandshakeWait); err != nil {
			return err
		}
	}
	step := c.sess.Start(&c.info)
	for {
		if err := c.answer(&step); err != nil {
			return err
		}
		var err error
		switch step.Next {
		case session.Line, session.SecretLine:
			err = c.nextLine(&step)
		case session.StartTLS:
			err = c.startTLS(&step)
		case session.Close:
			return c.out.Flush()
		default:
			err = &Error{Stage: StageSession, Err: errMode}
		}
		if err != nil {
			return err
		}
	}
}

// nextLine waits for a line and replaces the step with the session's answer to
// it, or to an event.
func (c *conn) nextLine(step *session.Step) error {
	secret := step.Next == session.SecretLine
	wait := orDefault(step.Wait, c.opts.Wait)
	var until time.Time
	for {
		if c.shutdownDue() {
			c.asked = true
			*step = c.sess.Event(session.Shutdown)
			return nil
		}
		switch line, got := c.in.line(&c.split); got {
		case wire.HaveLine:
			c.asked = false
			if c.early {
				line.Flaws |= wire.Early
				c.early = false
			}
			*step = c.sess.Line(line)
			if secret || step.Secret {
				c.in.wipe()
			}
			return nil
		case wire.Flooded:
			return c.last(session.Flood, errFlood)
		}
		if err := c.out.Flush(); err != nil {
			return err
		}
		if until.IsZero() {
			until = time.Now().Add(wait)
		}
		err := c.read(wait, until)
		switch {
		case err == nil, errors.Is(err, errInterrupted):
		case errors.Is(err, os.ErrDeadlineExceeded):
			if !time.Now().Before(until) {
				return c.last(session.Timeout, errTimeout)
			}
		default:
			return &Error{Stage: StageRead, Err: err}
		}
	}
}

// last gives the session an event after which it can only close, and sends its
// last word.
func (c *conn) last(e session.Event, why error) error {
	step := c.sess.Event(e)
	if c.answer(&step) == nil {
		_ = c.out.Flush() // it is the reason that counts
	}
	return &Error{Stage: StageRead, Err: why}
}

var errInterrupted = errors.New("an event is due")

// aLongTimeAgo is a deadline that ends a read at once.
var aLongTimeAgo = time.Unix(1, 0)

// slack is how much later than asked for a deadline may be. It saves setting
// one for each line.
func slack(wait time.Duration) time.Duration { return wait / 16 }

// read waits for input until a time.
func (c *conn) read(wait time.Duration, until time.Time) error {
	room := c.in.ready()
	c.mu.Lock()
	if c.stopping && !c.asked {
		c.mu.Unlock()
		return errInterrupted
	}
	if early := c.readUntil.Sub(until); early < 0 || early > slack(wait) {
		c.readUntil = until.Add(slack(wait))
		if err := c.raw.SetReadDeadline(c.readUntil); err != nil {
			c.mu.Unlock()
			return err
		}
	}
	c.waiting = true
	c.mu.Unlock()
	n, err := c.nc.Read(room)
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
	c.in.w += n
	switch {
	case n > 0:
		return nil // an error comes again
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

// interrupt makes a conversation that waits for a line look for the event.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	if c.waiting {
		c.readUntil = time.Time{}
		_ = c.raw.SetReadDeadline(aLongTimeAgo)
	}
}

// shutdownDue reports whether the session has to hear that it is to end.
func (c *conn) shutdownDue() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping && !c.asked
}

// reason returns an error in words, without the addresses of the connection.
func reason(err error) string {
	var op *net.OpError
	var sys *os.SyscallError
	switch {
	case netconn.IsClosed(err):
		return "the connection was closed by the other side"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.As(err, &sys):
		return sys.Err.Error()
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}
