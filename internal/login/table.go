package login

// table is a map that holds at most a number of entries: beyond it, those that
// were not touched for the longest time are forgotten. The zero value is not
// usable.
type table[K comparable, V any] struct {
	most    int
	entries map[K]*entry[K, V]
	// root is the ring's beginning: root.next is the entry touched last, root.prev
	// the one not touched for the longest time.
	root entry[K, V]
}

// entry is what a table has under a key. Who has it may use value also after the
// table has forgotten it.
type entry[K comparable, V any] struct {
	key        K
	value      V
	prev, next *entry[K, V]
}

func newTable[K comparable, V any](most int) *table[K, V] {
	t := &table[K, V]{most: most, entries: map[K]*entry[K, V]{}}
	t.root.prev, t.root.next = &t.root, &t.root
	return t
}

func (t *table[K, V]) len() int { return len(t.entries) }

// get returns the entry of a key, or nil.
func (t *table[K, V]) get(k K) *entry[K, V] { return t.entries[k] }

// touch returns the entry of a key, which it makes if need be, as the newest.
func (t *table[K, V]) touch(k K) *entry[K, V] {
	e := t.entries[k]
	if e == nil {
		e = &entry[K, V]{key: k}
		t.entries[k] = e
	} else {
		e.unlink()
	}
	e.prev, e.next = &t.root, t.root.next
	e.prev.next, e.next.prev = e, e
	if len(t.entries) > t.most {
		t.remove(t.root.prev)
	}
	return e
}

// remove forgets an entry; one that is forgotten already stays so.
func (t *table[K, V]) remove(e *entry[K, V]) {
	if t.entries[e.key] != e {
		return
	}
	e.unlink()
	delete(t.entries, e.key)
}

func (e *entry[K, V]) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

// oldest returns the entry that was not touched for the longest time, or nil.
func (t *table[K, V]) oldest() *entry[K, V] {
	if len(t.entries) == 0 {
		return nil
	}
	return t.root.prev
}

// all yields the entries, the newest first. The one yielded may be removed.
func (t *table[K, V]) all(yield func(*entry[K, V]) bool) {
	for e := t.root.next; e != &t.root; {
		next := e.next
		if !yield(e) {
			return
		}
		e = next
	}
}
