package netserver

import (
	"sync"

	"postrider/internal/session"
)

// outSize is the size of an output buffer in octets.
const outSize = 64 << 10

var outBuffers = sync.Pool{New: func() any { return new([outSize]byte) }}

// output is what has been answered and not sent: b[:n]. The zero value is ready
// and holds no buffer.
type output struct {
	b *[outSize]byte
	n int
}

// release gives the buffer back, with what it holds.
func (o *output) release() {
	if o.b != nil {
		outBuffers.Put(o.b)
	}
	*o = output{}
}

// answer sends a step's reply and body, or keeps them until flush when there is
// input to go on with.
func (c *conn) answer(step *session.Step) error {
	if step.Body == nil && c.out.n == 0 && (c.in.buffered() == 0 || step.Next == session.Close) {
		return c.write(step.Reply)
	}
	if err := c.buffer(step.Reply); err != nil {
		return err
	}
	if step.Body == nil {
		return nil
	}
	_, err := step.Body.WriteTo((*bodyWriter)(c))
	if err != nil && !c.broken {
		return &bodyError{err}
	}
	return err
}

// bodyError is a failure to read what should have been sent.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "body: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// bodyWriter is the connection as a body sees it.
type bodyWriter conn

// Write keeps p or sends it on.
func (w *bodyWriter) Write(p []byte) (int, error) {
	c := (*conn)(w)
	if err := c.buffer(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush sends what was kept.
func (w *bodyWriter) Flush() error { return (*conn)(w).flush() }

// buffer keeps p; what does not fit is sent in writes as large as the buffer.
func (c *conn) buffer(p []byte) error {
	for len(p) > outSize-c.out.n {
		if c.out.n == 0 {
			return c.write(p)
		}
		k := copy(c.out.b[c.out.n:], p)
		c.out.n += k
		p = p[k:]
		if err := c.send(); err != nil {
			return err
		}
	}
	if len(p) == 0 {
		return nil
	}
	if c.out.b == nil {
		c.out.b = outBuffers.Get().(*[outSize]byte)
	}
	c.out.n += copy(c.out.b[c.out.n:], p)
	return nil
}

// flush sends what was kept and gives the buffer back.
func (c *conn) flush() error {
	err := c.send()
	c.out.release()
	return err
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

// write sends p now.
func (c *conn) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if c.broken {
		return errBroken
	}
	c.beginWrite()
	n, err := c.nc.Write(p)
	c.endWait()
	c.octetsOut += int64(n)
	c.broken = err != nil
	return err
}
