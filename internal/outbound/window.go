package outbound

import (
	"container/heap"
	"time"
)

// window is the destinations that are due next, each once.
type window struct {
	max    int
	order  order
	places map[string]*entry
	// horizon, if not zero, is the earliest time of what had no room: from then on
	// the store has to be asked for more.
	horizon time.Time
}

type entry struct {
	name  string
	due   time.Time
	place int
}

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
		if due.Before(e.due) {
			e.due = due
			heap.Fix(&w.order, e.place)
		}
		return
	}
	if len(w.order) >= w.max && !w.makeRoom(due) {
		return
	}
	e := &entry{name: name, due: due}
	w.places[name] = e
	heap.Push(&w.order, e)
}

// makeRoom drops a late entry for one that is due at a time, and notes the
// earlier of what was dropped and what has no room. It drops the last leaf, which
// is among the later half: exactness is not worth a second heap.
func (w *window) makeRoom(due time.Time) bool {
	last := w.order[len(w.order)-1]
	if !due.Before(last.due) {
		w.beyond(due)
		return false
	}
	w.beyond(last.due)
	heap.Remove(&w.order, last.place)
	delete(w.places, last.name)
	return true
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
	case len(w.order) == 0:
		return w.horizon, !w.horizon.IsZero()
	case !w.horizon.IsZero() && w.horizon.Before(w.order[0].due):
		return w.horizon, true
	}
	return w.order[0].due, true
}

// pop takes out the first destination if it is due.
func (w *window) pop(now time.Time) (string, bool) {
	if len(w.order) == 0 || w.order[0].due.After(now) {
		return "", false
	}
	e := heap.Pop(&w.order).(*entry)
	delete(w.places, e.name)
	return e.name, true
}

// stale reports whether what had no room may be due.
func (w *window) stale(now time.Time) bool {
	if w.horizon.IsZero() || w.horizon.After(now) {
		return false
	}
	return len(w.order) == 0 || !w.order[0].due.Before(w.horizon)
}

// begin empties the window before the store is asked anew.
func (w *window) begin() { *w = newWindow(w.max) }
