package pebblestore

import (
	"bytes"
	"slices"
	"sort"

	"github.com/cockroachdb/pebble/v2"
)

// holes are spans of the schedule in which nothing waits that is not leased: what
// was there is leased, or gone. Rows go at the head of their class, and each
// leaves a tombstone in Pebble until a compaction; a look-up that had to step over
// them would cost ever more. A hole is forgotten without harm.
//
// There is at most one in a class of a destination, from the class's beginning on.
type holes struct{ all []hole } // ascending

// hole is a span from start to before end.
type hole struct{ start, end []byte }

// maxHoles bounds the holes, of some 150 octets each.
const maxHoles = 4096

// from returns the place of the first hole that begins after key.
func (h *holes) from(key []byte) int {
	return sort.Search(len(h.all), func(i int) bool { return bytes.Compare(h.all[i].start, key) > 0 })
}

// skip returns where to look for a key or what follows it, and the beginning of
// the next hole, nil if there is none.
func (h *holes) skip(key []byte) (from, next []byte) {
	i := h.from(key)
	if i > 0 && bytes.Compare(key, h.all[i-1].end) < 0 {
		key = h.all[i-1].end
	}
	if i < len(h.all) {
		next = h.all[i].start
	}
	return key, next
}

// set makes the hole of a class, which is named by its beginning.
func (h *holes) set(start, end []byte) {
	i := h.from(start)
	if i > 0 && bytes.Equal(h.all[i-1].start, start) {
		h.all[i-1].end = bytes.Clone(end)
		return
	}
	if len(h.all) >= maxHoles {
		// One goes, in no order that a pattern of destinations could meet.
		victim := int(checksum(start)) % len(h.all)
		h.all = slices.Delete(h.all, victim, victim+1)
		i = h.from(start)
	}
	h.all = slices.Insert(h.all, i, hole{bytes.Clone(start), bytes.Clone(end)})
}

// lower takes out of the holes what begins with a key at which a row waits.
func (h *holes) lower(key []byte) {
	if key == nil {
		return
	}
	i := h.from(key)
	if i > 0 && bytes.Compare(key, h.all[i-1].end) < 0 {
		h.all[i-1].end = bytes.Clone(key)
	}
}

// seek moves an iterator over the schedule to the first place from key on that is
// in no hole; it reports whether there is one within the iterator's bounds.
func (h *holes) seek(it *pebble.Iterator, key []byte) bool {
	for {
		from, next := h.skip(key)
		if next == nil {
			return it.SeekGE(from)
		}
		switch it.SeekGEWithLimit(from, next) {
		case pebble.IterExhausted:
			return false
		case pebble.IterValid:
			if bytes.Compare(it.Key(), next) < 0 {
				return true
			}
		}
		key = next
	}
}
