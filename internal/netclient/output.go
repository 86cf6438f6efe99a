package netclient

import (
	"errors"
	"os"
	"time"

	"postrider/internal/session"
	"postrider/internal/wire"
)

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
	if _, err := c.out.Write(step.Reply); err != nil {
		return err
	}
	if _, err := step.Body.WriteTo(&c.out); err != nil {
		if c.broken {
			c.lastWords()
			return err
		}
		return &Error{Stage: StageBody, Err: err}
	}
	return c.out.Flush()
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
