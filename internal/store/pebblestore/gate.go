package pebblestore

import (
	"sync"

	"postrider/internal/fault"
)

// gate counts those who use the store, so that Close can wait for them.
type gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	empty  chan struct{} // closed when the last has left after shut
}

// enter lets a user in; the error says that the store is closed.
func (g *gate) enter(op string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errClosed(op)
	}
	g.inside++
	return nil
}

func errClosed(op string) error { return fault.Newf(fault.Invalid, op, "the store is closed") }

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.closed && g.inside == 0 {
		close(g.empty)
	}
}

// shut lets nobody in any more and waits for those inside. It returns false if
// the gate was shut before.
func (g *gate) shut() bool {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return false
	}
	g.closed = true
	g.empty = make(chan struct{})
	if g.inside == 0 {
		close(g.empty)
	}
	g.mu.Unlock()
	<-g.empty
	return true
}
