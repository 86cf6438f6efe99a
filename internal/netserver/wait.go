package netserver

import (
	"errors"
	"time"
)

// phase says what a connection waits for, and so how it may be disturbed.
type phase uint8

const (
	atWork    phase = iota // nothing: its session is called
	inLine                 // a line: may be interrupted to hear an event
	inContent              // content: may be ended to shed a peer that drips
	inWrite                // for its peer to read: may be ended
	inSetup                // a PROXY header or handshake: may be ended
)

var (
	errInterrupted = errors.New("an event is due")
	errBroken      = errors.New("the connection is broken")
)

// aLongTimeAgo is a deadline that ends a read or write at once.
var aLongTimeAgo = time.Unix(1, 0)

// slack is how much later than asked for a deadline may be. It saves setting
// one for each line.
func slack(wait time.Duration) time.Duration { return wait / 16 }

// beginRead prepares to wait for the peer's input until a time, and says since
// when it is waited for. It fails when an event is due.
func (c *conn) beginRead(p phase, since, until time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isShed || p != inContent && c.shutdownDue() {
		return errInterrupted
	}
	most := slack(until.Sub(since))
	if early := c.readUntil.Sub(until); early < 0 || early > most {
		c.readUntil = until.Add(most)
		if err := c.raw.SetReadDeadline(c.readUntil); err != nil {
			return err
		}
	}
	c.wait(p, since)
	return nil
}

// beginWrite prepares to wait for the peer to read.
func (c *conn) beginWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	d := c.srv.opts.WriteWait
	if c.hurry {
		d = min(d, farewellWait)
	}
	if left := c.writeUntil.Sub(now); left < d || left > d+slack(d) {
		c.writeUntil = now.Add(d + slack(d))
		// An error here comes back from the write.
		_ = c.raw.SetWriteDeadline(c.writeUntil)
	}
	c.wait(inWrite, now)
}

// wait notes what is waited for, and since when: in content, since the peer has
// last brought contentPace octets. It needs c.mu.
func (c *conn) wait(p phase, since time.Time) {
	c.phase = p
	if p == inContent {
		since = c.paced
	}
	c.since.Store(c.srv.stamp(since))
}

// endWait notes that the wait is over.
func (c *conn) endWait() {
	c.mu.Lock()
	c.phase = atWork
	c.since.Store(0)
	c.mu.Unlock()
}

// shutdownDue reports whether the session has to hear that the server stops.
func (c *conn) shutdownDue() bool { return c.srv.stopping.Load() && !c.asked }

// interrupt makes a connection that waits for a line look for events.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disturb()
}

// disturb ends a wait, if it may be ended. It needs c.mu.
func (c *conn) disturb() {
	switch c.phase {
	case inLine:
		c.readUntil = time.Time{}
		_ = c.raw.SetReadDeadline(aLongTimeAgo)
	case inSetup:
		c.readUntil, c.writeUntil = time.Time{}, time.Time{}
		_ = c.raw.SetDeadline(aLongTimeAgo)
	case inContent:
		if c.isShed {
			c.readUntil = time.Time{}
			_ = c.raw.SetReadDeadline(aLongTimeAgo)
		}
	case inWrite:
		if c.isShed {
			c.writeUntil = time.Time{}
			_ = c.raw.SetWriteDeadline(aLongTimeAgo)
		}
	}
}

// shed tells the connection to leave, if it still waits since the time given.
func (c *conn) shed(since int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.Load() != since {
		return false
	}
	c.isShed = true
	c.disturb()
	return true
}

// toldToLeave reports whether the connection is to make room for another.
func (c *conn) toldToLeave() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isShed
}

// cut closes the connection under its session.
func (c *conn) cut() { c.raw.Close() }
