package pebblestore

import (
	"sync"
	"sync/atomic"

	"postrider/internal/mail"
)

// watchers are those who want to know when an account changes.
type watchers struct {
	count atomic.Int64
	mu    sync.Mutex
	by    map[mail.AccountID]map[chan struct{}]struct{}
}

// Watch implements store.Mailboxes.
func (s *Store) Watch(account mail.AccountID) (<-chan struct{}, func()) {
	return s.watchers.add(account)
}

func (w *watchers) add(account mail.AccountID) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by[account] == nil {
		w.by[account] = make(map[chan struct{}]struct{})
	}
	w.by[account][ch] = struct{}{}
	w.count.Add(1)
	return ch, func() { w.remove(account, ch) }
}

func (w *watchers) remove(account mail.AccountID, ch chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.by[account][ch]; !ok {
		return
	}
	delete(w.by[account], ch)
	if len(w.by[account]) == 0 {
		delete(w.by, account)
	}
	w.count.Add(-1)
}

// changed tells those who watch an account.
func (w *watchers) changed(account mail.AccountID) {
	if w.count.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.by[account] {
		select {
		case ch <- struct{}{}:
		default: // it has one waiting
		}
	}
}
