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
	empty  chan struct{} // made by close; closed when the last has left
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

// close lets nobody in any more; empty is closed when the last has left. It
// returns false if the gate was closed before.
func (g *gate) close() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.closed = true
	g.empty = make(chan struct{})
	if g.inside == 0 {
		close(g.empty)
	}
	return true
}
