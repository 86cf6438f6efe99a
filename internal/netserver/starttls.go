package netserver

import (
	"time"

	"postrider/internal/session"
	"postrider/internal/wire"
)

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
	_ = c.raw.SetWriteDeadline(until) // an error here comes back from the handshake
	nc, facts, err := c.l.StartTLS(c.nc)
	c.endWait()
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.readUntil, c.writeUntil = time.Time{}, time.Time{}
	c.mu.Unlock()
	c.nc = nc
	c.info.TLS = facts
	c.asked = false
	*step = c.sess.Event(session.TLSReady)
	return nil
}
