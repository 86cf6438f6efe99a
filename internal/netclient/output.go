package netclient

import (
	"errors"
	"os"
	"sync"
	"time"

	"postrider/internal/session"
	"postrider/internal/wire"
)

// outSize is the size of an output buffer, and the most that one write has, in
// octets.
const outSize = 64 << 10

var outBuffers = sync.Pool{New: func() any { return new([outSize]byte) }}

// output is what is to be sent and was not: b[:n]. The zero value is ready and
// holds no buffer.
type output struct {
	b *[outSize]byte
	n int
}

// release gives the buffer back.
func (o *output) release() {
	if o.b != nil {
		outBuffers.Put(o.b)
	}
	*o = output{}
}

var errBroken = errors.New("the connection is broken")

// answer sends a step's commands and body.
func (c *conn) answer(step *session.Step) error {
	if len(step.Reply) > 0 || step.Body != nil {
		c.early = c.in.buffered() > 0
	}
	if step.Body == nil {
		return c.write(step.Reply)
	}
	c.latest = time.Now().Add(c.opts.ContentTime)
	defer func() { c.latest = time.Time{} }()
	if err := c.buffer(step.Reply); err != nil {
		return err
	}
	if _, err := step.Body.WriteTo((*bodyWriter)(c)); err != nil {
		if c.broken {
			c.lastWords()
			return err
		}
		return &Error{Stage: StageBody, Err: err}
	}
	return c.flush()
}

// lastWait is how long a peer that takes no more of a body is listened to.
const lastWait = time.Second

// lastWords lets the session hear what a peer has said that takes no more of a
// body: why, mostly. What the session answers is sent to nobody.
func (c *conn) lastWords() {
	until := time.Now().Add(lastWait)
	for {
		switch line, got := c.in.line(&c.split); got {
		case wire.HaveLine:
			if step := c.sess.Line(line); step.Next != session.Line || len(step.Reply) > 0 || step.Body != nil {
				return
			}
			continue
		case wire.Flooded:
			return
		}
		if c.read(lastWait, until) != nil {
			return
		}
	}
}

// bodyWriter is the connection as a body sees it.
type bodyWriter conn

// Write keeps p or sends it on.
func (w *bodyWriter) Write(p []byte) (int, error) {
	if err := (*conn)(w).buffer(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush sends what was kept.
func (w *bodyWriter) Flush() error { return (*conn)(w).flush() }

// buffer keeps p; what does not fit is sent in blocks of the buffer's size.
func (c *conn) buffer(p []byte) error {
	for len(p) > 0 {
		if c.out.b == nil {
			c.out.b = outBuffers.Get().(*[outSize]byte)
		}
		n := copy(c.out.b[c.out.n:], p)
		c.out.n += n
		p = p[n:]
		if c.out.n < outSize {
			break
		}
		if err := c.send(); err != nil {
			return err
		}
	}
	return nil
}

// send sends what was kept.
func (c *conn) send() error {
	n := c.out.n
	c.out.n = 0
	if n == 0 {
		return nil
	}
	return c.write(c.out.b[:n])
}

// flush sends what was kept and gives the buffer back.
func (c *conn) flush() error {
	err := c.send()
	c.out.release()
	return err
}

// write sends p now.
func (c *conn) write(p []byte) error {
	switch {
	case len(p) == 0:
		return nil
	case c.broken:
		return &Error{Stage: StageWrite, Err: errBroken}
	}
	now := time.Now()
	d := c.opts.WriteWait
	if !c.latest.IsZero() {
		d = min(d, max(c.latest.Sub(now), 0))
	}
	if left := c.writeUntil.Sub(now); left < d || left > d+slack(d) {
		c.writeUntil = now.Add(d + slack(d))
		// An error here comes back from the write.
		_ = c.raw.SetWriteDeadline(c.writeUntil)
	}
	_, err := c.nc.Write(p)
	if err == nil {
		return nil
	}
	c.broken = true
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errTimeout
	}
	return &Error{Stage: StageWrite, Err: err}
}
