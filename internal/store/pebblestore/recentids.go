package pebblestore

import (
	"bytes"

	"postrider/internal/mail"
)

// maxRecentIDs is how many IDs of Accepts are remembered in memory, of 16 octets
// each.
const maxRecentIDs = 1 << 16

// recentIDs tells most IDs, of Accepts and of queued messages, that are new without a look at the index.
// IDs are ordered by the time of their making, so that new ones are mostly greater
// than all that were there at the opening; the clock need not be right for that.
// It is the committer's own.
//
// All IDs above the floor that the index has are in the set, perhaps more.
type recentIDs struct {
	begun bool
	ready bool // false for good when the beginning failed
	floor mail.ID
	since map[mail.ID]struct{}
}

// fresh reports whether it is sure that the index has no Accept, and no queued
// message, of an ID.
func (r *recentIDs) fresh(from getter, id mail.ID) bool {
	if !r.begun {
		r.begun = true
		r.ready = r.begin(from)
	}
	if !r.ready {
		return false
	}
	if bytes.Compare(id[:], r.floor[:]) <= 0 {
		return false
	}
	_, there := r.since[id]
	return !there
}

// begin makes the greatest ID of the index the floor: a message may be held, or
// wait, for longer than the ID of its Accept is remembered. No Accept may have been prepared
// before.
func (r *recentIDs) begin(from getter) bool {
	for _, table := range []byte{tableAccept, tableHeld, tableQueued} {
		it, err := span(from, []byte{table}, after([]byte{table}))
		if err != nil {
			return false
		}
		if it.Last() && bytes.Compare(it.Key()[1:], r.floor[:]) > 0 {
			copy(r.floor[:], it.Key()[1:])
		}
		if err := it.Close(); err != nil {
			return false
		}
	}
	r.since = make(map[mail.ID]struct{})
	return true
}

// add remembers an ID, whether or not its commit will succeed. When there are too
// many the greatest becomes the floor.
func (r *recentIDs) add(id mail.ID) {
	if !r.ready || bytes.Compare(id[:], r.floor[:]) <= 0 {
		return
	}
	r.since[id] = struct{}{}
	if len(r.since) < maxRecentIDs {
		return
	}
	for other := range r.since {
		if bytes.Compare(other[:], r.floor[:]) > 0 {
			r.floor = other
		}
	}
	clear(r.since)
}
