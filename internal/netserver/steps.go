package netserver

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"postrider/internal/session"
	"postrider/internal/wire"
)

// converse runs the session, and reports whether its last word was sent, so
// that the peer should be given time to read it.
func (c *conn) converse() (polite bool) {
	c.call(func() {
		err := c.run()
		polite = err == nil
		if err != nil {
			c.why = c.explain(err)
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
		if step.Become != nil {
			if step, err = c.become(&step); err != nil {
				return err
			}
			continue
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
			return c.out.Flush()
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
		if err := c.srv.admitAddr(c); err != nil {
			return session.Step{}, err
		}
	}
	c.srv.log.LogAttrs(c.info.Context, slog.LevelDebug, "connection opened",
		slog.String("conn", c.info.ID), slog.String("listener", c.l.Name), slog.Any("remote", c.info.Remote))
	if c.l.Implicit {
		if err := c.secureFirst(); err != nil {
			return session.Step{}, err
		}
	}
	c.sess = c.l.New()
	c.started = true
	step := c.sess.Start(&c.info)
	if c.refused != admitted {
		// The greeting is not sent: the refusal stands in its place.
		c.last(&step, session.Shed, "refused: too many connections")
	}
	return step, nil
}

// become goes on with another session, once all has been sent that there is. What
// the peer has sent already is for the new one. If the connection fails meanwhile the
// new one is started no more, and hears of the end all the same.
func (c *conn) become(step *session.Step) (session.Step, error) {
	if err := c.handOver(step); err != nil {
		return session.Step{}, err
	}
	return c.sess.Start(&c.info), nil
}

// handOver sends the last word of the session before, and then the connection is the
// new one's: also if the last word fails, or panics, so that serve closes it.
func (c *conn) handOver(step *session.Step) error {
	defer func() {
		before := c.sess
		c.sess, c.asked, c.turned = step.Become, false, true
		before.Event(session.Closed)
	}()
	if err := c.answer(step); err != nil {
		return err
	}
	return c.out.Flush()
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
			if secret || step.Secret {
				c.in.wipe()
			}
			return nil
		case got == wire.Flooded:
			c.last(step, session.Flood, "no end of line")
			return nil
		}
		if err := c.out.Flush(); err != nil {
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
	_, err := c.out.Write(answer)
	return line, got, err
}

// eventDue gives the session an event if one is due.
func (c *conn) eventDue(step *session.Step) bool {
	c.mu.Lock()
	shed, shutdown := c.isShed, c.shutdownDue()
	c.mu.Unlock()
	switch {
	case shed:
		c.last(step, session.Shed, whyShed)
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

// logStep writes down what a session wants the operator to see.
func (c *conn) logStep(text string) {
	c.srv.log.LogAttrs(c.info.Context, slog.LevelInfo, text,
		slog.String("conn", c.info.ID), slog.String("listener", c.l.Name), slog.Any("remote", c.info.Remote))
}
