package pebblestore

import (
	"bytes"
	"context"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// walkAtOnce is how many destinations are read in one go: what the index keeps for
// a walk is given back in between.
const walkAtOnce = 256

// Destinations implements store.Queue.
func (s *Store) Destinations(ctx context.Context, after string) iter.Seq2[store.Destination, error] {
	return func(yield func(store.Destination, error) bool) {
		const op = "list destinations"
		for more := true; more; {
			some, err := s.someDestinations(ctx, op, after)
			for _, d := range some {
				if !yield(d, nil) {
					return
				}
				after = d.Name
			}
			if err != nil {
				yield(store.Destination{}, fault.Wrap(op, err))
				return
			}
			more = len(some) == walkAtOnce
		}
	}
}

func (s *Store) someDestinations(ctx context.Context, op, after string) ([]store.Destination, error) {
	if err := s.enter(ctx, op); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	first := []byte{tablePlan}
	if after != "" {
		first = append(append(first, after...), 1)
	}
	return s.walk(first, []byte{tablePlan + 1}, walkAtOnce)
}

// Destination implements store.Queue.
func (s *Store) Destination(ctx context.Context, name string) (store.Destination, error) {
	const op = "destination"
	if err := s.enter(ctx, op); err != nil {
		return store.Destination{}, err
	}
	defer s.gate.leave()
	prefix := appendDestination(nil, name)
	some, err := s.walk(prefix, after(prefix), 1)
	if err == nil && len(some) == 0 {
		err = fault.Newf(fault.NotFound, op, "nothing waits for %.100q", name)
	}
	if err != nil {
		return store.Destination{}, fault.Wrap(op, err)
	}
	return some[0], nil
}

// walk returns the first destinations with places from first to before end that
// are not leased: a look-up for each class of rows that a destination has.
func (s *Store) walk(first, end []byte, limit int) ([]store.Destination, error) {
	it, err := span(s.db, first, end)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	leases := &s.rowLeases
	leases.mu.Lock()
	leases.expire(s.o.Now())
	leases.mu.Unlock()
	var all []store.Destination
	var due int64 // of the last of all
	key := bytes.Clone(first)
	for {
		leases.mu.Lock()
		p, ok := leases.next(it, key)
		frozen := ok && leases.frozen[string(p.name)]
		leases.mu.Unlock()
		if !ok {
			return all, indexFault("walk", it.Error())
		}
		n := len(all)
		switch {
		case n == 0 || all[n-1].Name != string(p.name):
			if n == limit {
				return all, nil
			}
			due = p.due
			all = append(all, store.Destination{Name: string(p.name), Due: time.UnixMilli(due).UTC(), Frozen: frozen})
		case p.due < due:
			due = p.due
			all[n-1].Due = time.UnixMilli(due).UTC()
		}
		key = append(append(append(key[:0], tablePlan), p.name...), 0)
		if p.class == 0xff {
			key[len(key)-1] = 1
		} else {
			key = append(key, p.class+1)
		}
	}
}

// next returns the first place from key on that is not leased.
func (q *rowLeases) next(it *pebble.Iterator, key []byte) (plan, bool) {
	for ok := q.holes.seek(it, key); ok; ok = it.Next() {
		if p, good := keyPlan(it.Key()); good && !q.isLive(p.row) {
			return p, true
		}
	}
	return plan{}, false
}
