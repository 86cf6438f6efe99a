package netserver

import (
	"errors"
	"io"
	"os"
	"time"

	"postrider/internal/session"
)

// contentReader takes content off the input: wire.DotReader and octetReader.
type contentReader interface {
	// Feed takes n octets of p and says whether the content is complete.
	Feed(p []byte) (n int, done bool)
	// Written is how many octets have gone to the sink, Err what was wrong.
	Written() int64
	Err() error
}

// octetReader takes a number of octets.
type octetReader struct {
	sink          io.Writer
	left, written int64
	failed        error
}

// Feed implements contentReader.
func (o *octetReader) Feed(p []byte) (n int, done bool) {
	p = p[:min(int64(len(p)), max(o.left, 0))]
	o.left -= int64(len(p))
	o.write(p)
	return len(p), o.left <= 0
}

func (o *octetReader) write(p []byte) {
	if len(p) == 0 || o.failed != nil {
		return
	}
	if o.sink == nil {
		o.written += int64(len(p))
		return
	}
	n, err := o.sink.Write(p)
	if n < len(p) && err == nil {
		err = io.ErrShortWrite
	}
	o.written += int64(max(n, 0))
	o.failed = err
}

// Written implements contentReader.
func (o *octetReader) Written() int64 { return o.written }

// Err implements contentReader.
func (o *octetReader) Err() error { return o.failed }

// content reads content to its end and replaces the step with the session's
// answer. It begins with a buffer of medium size, and borrows a large one when
// that was filled, so that a peer that drips holds little memory.
func (c *conn) content(step *session.Step, r contentReader) error {
	wait := orDefault(step.Wait, c.l.Wait)
	var latest time.Time
	var mark int64 // of octetsIn when c.paced was set
	for size := midSize; ; {
		n, done := r.Feed(c.in.b[c.in.r:c.in.w])
		c.in.use(n)
		if done {
			c.asked = false
			*step = c.sess.Data(r.Written(), r.Err())
			return nil
		}
		if err := c.out.Flush(); err != nil {
			return err
		}
		now := time.Now()
		first := latest.IsZero()
		if first {
			latest = now.Add(c.srv.opts.ContentTime)
		}
		if first || c.octetsIn-mark >= contentPace {
			mark, c.paced = c.octetsIn, now
		}
		until := now.Add(wait)
		if until.After(latest) {
			until = latest
		}
		switch err := c.read(inContent, size, now, until); {
		case err == nil:
		case c.toldToLeave():
			c.last(step, session.Shed, whyShed)
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.timeout(step, contentTimeout(time.Now(), latest))
			return nil
		default:
			return err
		}
		switch got := c.in.buffered(); {
		case got == len(c.in.b):
			size = bulkSize
		case got < midSize/2:
			size = midSize
		}
	}
}

// contentTimeout says which limit was hit.
func contentTimeout(now, latest time.Time) string {
	if now.Before(latest) {
		return "timeout in content"
	}
	return "content took too long"
}
