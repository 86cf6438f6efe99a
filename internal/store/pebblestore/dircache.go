package pebblestore

import (
	"sync"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// What the directory's cache holds at most.
const (
	maxDirectoryCached = 16384 // records of each kind
	maxTargetsCached   = 16    // an alias with more is not kept
)

// directoryCache holds records of the directory that were looked up: every
// recipient of every message asks for some. The counters of accounts are not in
// it, they change with each delivery.
type directoryCache struct {
	domains  records[string, store.Domain]
	entries  records[string, store.Entry]
	accounts records[mail.AccountID, store.Account]
}

// change empties the cache, and keeps it so until f, which changes the directory,
// has returned.
func (c *directoryCache) change(f func() error) error {
	c.domains.begin()
	c.entries.begin()
	c.accounts.begin()
	defer func() {
		c.domains.end()
		c.entries.end()
		c.accounts.end()
	}()
	return f()
}

// records are the cached records of one kind. The zero value is empty. It never
// shows what a reader of the index would not see: while something changes it is
// empty, and what was read before a change began, or during it, is not put in
// after it.
type records[K comparable, V any] struct {
	mu         sync.RWMutex
	changing   int    // changes under way
	generation uint64 // one more with each beginning and end of a change
	all        map[K]V
}

// get returns a record, and the generation that put needs if it is not there.
func (r *records[K, V]) get(key K) (v V, generation uint64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	v, ok = r.all[key]
	return v, r.generation, ok
}

// put keeps what was read since get, unless it may have changed.
func (r *records[K, V]) put(key K, v V, generation uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changing > 0 || r.generation != generation {
		return
	}
	if r.all == nil {
		r.all = make(map[K]V)
	}
	if len(r.all) >= maxDirectoryCached {
		for other := range r.all { // whichever comes first makes room
			delete(r.all, other)
			break
		}
	}
	r.all[key] = v
}

func (r *records[K, V]) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changing++
	r.generation++
	r.all = nil
}

func (r *records[K, V]) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changing--
	r.generation++
}
