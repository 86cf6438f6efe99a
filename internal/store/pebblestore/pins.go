package pebblestore

import "sync"

// pins keeps what readers may still want from being used again or removed.
//
// Each pin holds the epoch of its making. What becomes free is stamped with
// the epoch of that moment and ends it; it may be used again when no pin of
// that epoch or an older one is left. A pin must be made before the index is
// looked at.
type pins struct {
	mu    sync.Mutex
	epoch uint64
	// oldest and newest end a list in the order of epochs.
	oldest, newest *pin
}

// pin is one reader's hold. The zero value is not held.
type pin struct {
	epoch      uint64
	prev, next *pin
	held       bool
}

// hold begins p's hold.
func (s *pins) hold(p *pin) {
	s.mu.Lock()
	*p = pin{epoch: s.epoch, prev: s.newest, held: true}
	if s.newest == nil {
		s.oldest = p
	} else {
		s.newest.next = p
	}
	s.newest = p
	s.mu.Unlock()
}

// share begins p's hold as of the time of another, which may end before it.
func (s *pins) share(p, of *pin) {
	s.mu.Lock()
	if !of.held {
		s.mu.Unlock()
		s.hold(p)
		return
	}
	*p = pin{epoch: of.epoch, prev: of, next: of.next, held: true}
	if of.next == nil {
		s.newest = p
	} else {
		of.next.prev = p
	}
	of.next = p
	s.mu.Unlock()
}

// release ends p's hold. A second time it does nothing.
func (s *pins) release(p *pin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.held {
		return
	}
	if p.prev == nil {
		s.oldest = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		s.newest = p.prev
	} else {
		p.next.prev = p.prev
	}
	*p = pin{}
}

// free ends the epoch and returns it: the stamp of what became free in it.
func (s *pins) free() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	return s.epoch - 1
}

// clear reports whether no pin is left that could want what was stamped.
func (s *pins) clear(stamp uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.oldest == nil || s.oldest.epoch > stamp
}
