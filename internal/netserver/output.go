package netserver

import "postrider/internal/session"

// answer sends a step's reply and body, or keeps them until flush when there is
// input to go on with.
func (c *conn) answer(step *session.Step) error {
	if step.Body == nil && c.out.Empty() && (c.in.buffered() == 0 || step.Next == session.Close) {
		return c.write(step.Reply)
	}
	if _, err := c.out.Write(step.Reply); err != nil {
		return err
	}
	if step.Body == nil {
		return nil
	}
	_, err := step.Body.WriteTo(&c.out)
	if err != nil && !c.broken {
		return &bodyError{err}
	}
	return err
}

// bodyError is a failure to read what should have been sent.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "body: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

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
