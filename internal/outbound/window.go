package outbound

import (
	"container/heap"
	"slices"
	"time"
)

// window is the destinations that are due next, each once.
type window struct {
	max   int
	order order
	// urgent are those that something has just come for: they go first, so that mail
	// for a host that is well does not wait for a million others that are due.
	urgent order
	places map[string]*entry
	// horizon, if not zero, is the earliest time of what had no room: from then on
	// the store has to be asked for more.
	horizon time.Time
}

type entry struct {
	name   string
	due    time.Time
	place  int
	urgent bool
}

// urgentShare is which part of the window those that go first may be.
const urgentShare = 5

// order is a heap by time.
type order []*entry

func (o order) Len() int           { return len(o) }
func (o order) Less(i, j int) bool { return o[i].due.Before(o[j].due) }
func (o order) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].place, o[j].place = i, j
}

func (o *order) Push(x any) {
	e := x.(*entry)
	e.place = len(*o)
	*o = append(*o, e)
}

func (o *order) Pop() any {
	old := *o
	n := len(old) - 1
	e := old[n]
	old[n] = nil
	*o = old[:n]
	return e
}

func newWindow(limit int) window {
	return window{max: limit, places: map[string]*entry{}}
}

// add notes that a destination has rows that are due at a time. A time that is
// later than the one known changes nothing.
func (w *window) add(name string, due time.Time) {
	if e := w.places[name]; e != nil {
		if due.Before(e.due) && !e.urgent {
			e.due = due
			heap.Fix(&w.order, e.place)
		}
		return
	}
	if len(w.order) >= w.max {
		w.halve()
	}
	if len(w.order) >= w.max/2 && !w.horizon.IsZero() && !due.Before(w.horizon) {
		return // it is found when the store is asked again
	}
	e := &entry{name: name, due: due}
	w.places[name] = e
	heap.Push(&w.order, e)
}

// hurry notes that something has just come for a destination.
func (w *window) hurry(name string, now time.Time) {
	e := w.places[name]
	switch {
	case e != nil && e.urgent:
		return
	case len(w.urgent) >= w.max/urgentShare:
		w.add(name, now)
		return
	case e != nil:
		heap.Remove(&w.order, e.place)
	}
	e = &entry{name: name, due: now, urgent: true}
	w.places[name] = e
	heap.Push(&w.urgent, e)
}

// soon notes that a destination has more that is due, for a hop that may be nil: if
// that is known to take mail it does not wait for those that may not.
func (w *window) soon(name string, now time.Time, h *hop) {
	if h != nil && h.alive {
		w.hurry(name, now)
		return
	}
	w.add(name, now)
}

// halve drops the later half, which the store has to be asked for again when the
// other is done. It is much at once, so that it is little for each.
func (w *window) halve() {
	slices.SortFunc(w.order, func(a, b *entry) int { return a.due.Compare(b.due) }) // which is a heap
	n := len(w.order) / 2
	w.beyond(w.order[n].due)
	for _, e := range w.order[n:] {
		delete(w.places, e.name)
	}
	clear(w.order[n:])
	w.order = w.order[:n]
	for i, e := range w.order {
		e.place = i
	}
}

func (w *window) beyond(due time.Time) {
	if w.horizon.IsZero() || due.Before(w.horizon) {
		w.horizon = due
	}
}

// next returns when the first destination is due, or when the store has to be
// asked again; false if there is nothing.
func (w *window) next() (time.Time, bool) {
	switch {
	case len(w.urgent) > 0:
		return w.urgent[0].due, true
	case len(w.order) == 0:
		return w.horizon, !w.horizon.IsZero()
	case !w.horizon.IsZero() && w.horizon.Before(w.order[0].due):
		return w.horizon, true
	}
	return w.order[0].due, true
}

// pop takes out the first destination if it is due, but none that goes first.
func (w *window) pop(now time.Time) (string, bool) {
	if len(w.order) == 0 || w.order[0].due.After(now) {
		return "", false
	}
	return w.take(&w.order), true
}

// popUrgent takes out the first of those that go first.
func (w *window) popUrgent() (string, bool) {
	if len(w.urgent) == 0 {
		return "", false
	}
	return w.take(&w.urgent), true
}

func (w *window) take(from *order) string {
	e := heap.Pop(from).(*entry)
	delete(w.places, e.name)
	return e.name
}

// stale reports whether what had no room may be due.
func (w *window) stale(now time.Time) bool {
	if w.horizon.IsZero() || w.horizon.After(now) {
		return false
	}
	return len(w.order) == 0 || w.order[0].due.After(w.horizon)
}

// begin empties the window, but for what goes first, before the store is asked
// anew.
func (w *window) begin() {
	anew := newWindow(w.max)
	anew.urgent = w.urgent
	for _, e := range anew.urgent {
		anew.places[e.name] = e
	}
	*w = anew
}
