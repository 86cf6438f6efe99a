package netserver

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// accept is Serve's loop.
func (s *Server) accept(ln net.Listener, l *listener) error {
	var failing backoff
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			failing = backoff{}
			s.receive(nc, l)
		case s.stopping.Load():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serve %s: %w", l.Name, err)
		default:
			if failing.quietFor(time.Second) {
				s.log.Error("accept failed", "listener", l.Name, "error", err)
			}
			failing.wait(s.stopped)
		}
	}
}

// backoff spaces attempts that fail.
type backoff struct {
	delay  time.Duration
	logged time.Time
}

// quietFor reports whether nothing was logged for d, and notes that now
// something is.
func (b *backoff) quietFor(d time.Duration) bool {
	now := time.Now()
	if now.Sub(b.logged) < d {
		return false
	}
	b.logged = now
	return true
}

// wait waits for twice as long as last time, from 5 ms to 1 s, or until stop.
func (b *backoff) wait(stop <-chan struct{}) {
	b.delay = min(max(2*b.delay, 5*time.Millisecond), time.Second)
	t := time.NewTimer(b.delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-stop:
	}
}
