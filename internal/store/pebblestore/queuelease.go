package pebblestore

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// leaseScan looks for the rows of one lease. The leases' mutex is held.
type leaseScan struct {
	leases *rowLeases
	it     *pebble.Iterator
	prefix []byte // of the destination's places
	now    int64
	limit  int

	fresh, tried [][]byte
	stops        []classStop
}

// classStop is how far the scan of a class came.
type classStop struct {
	class byte
	next  []byte // the first place not looked at; nil: the class has no more
}

// classKey returns the beginning of a class, and the end of the one before.
func (s *leaseScan) classKey(class byte) []byte { return append(slices.Clip(s.prefix), class) }

// run looks through the classes of the destination, until there is enough.
func (s *leaseScan) run() error {
	for ok := s.leases.holes.seek(s.it, s.prefix); ok; {
		if len(s.it.Key()) == len(s.prefix) { // malformed: Check takes it away
			ok = s.it.Next()
			continue
		}
		class := s.it.Key()[len(s.prefix)]
		list := &s.fresh
		if isTried(class) {
			list = &s.tried
		}
		if len(*list) < s.limit {
			s.scan(class, list)
		}
		if len(s.fresh)+len(s.tried) >= s.limit && len(s.tried) >= s.limit/5 {
			break
		}
		if class == 0xff {
			break
		}
		ok = s.leases.holes.seek(s.it, s.classKey(class+1))
	}
	return indexFault("lease rows", s.it.Error())
}

// scan gathers rows of one class that are due; the iterator stands at the first
// place of it that is in no hole.
func (s *leaseScan) scan(class byte, list *[][]byte) {
	at := len(s.prefix)
	for ok := true; ok; ok = s.it.Next() {
		key := s.it.Key()
		if key[at] != class {
			break
		}
		p, good := keyPlan(key)
		if !good {
			continue // Check takes it away
		}
		if p.due > s.now || len(*list) >= s.limit {
			s.stops = append(s.stops, classStop{class, bytes.Clone(key)})
			return
		}
		if !s.leases.isLive(p.row) {
			*list = append(*list, bytes.Clone(key))
		}
	}
	s.stops = append(s.stops, classStop{class: class})
}

// choose returns the places that are given out, in order, and leaves the others in
// the lists: the first ones go, but a fifth are such that were tried, if there are
// so many.
func (s *leaseScan) choose() [][]byte {
	fresh, tried := 0, 0
	for fresh+tried < s.limit {
		switch {
		case fresh < len(s.fresh) && (tried == len(s.tried) || bytes.Compare(s.fresh[fresh], s.tried[tried]) < 0):
			fresh++
			continue
		case tried < len(s.tried):
			tried++
			continue
		}
		break // there are no more
	}
	if share := min(s.limit/5, len(s.tried)); tried < share {
		tried, fresh = share, min(s.limit-share, len(s.fresh))
	}
	all := slices.Concat(s.fresh[:fresh], s.tried[:tried])
	slices.SortFunc(all, bytes.Compare)
	s.fresh, s.tried = s.fresh[fresh:], s.tried[tried:]
	return all
}

// dig notes as holes what lies before the first rows that were left.
func (s *leaseScan) dig() {
	for _, stop := range s.stops {
		left := s.fresh
		if isTried(stop.class) {
			left = s.tried
		}
		start := s.classKey(stop.class)
		end := stop.next
		if end == nil {
			end = s.classKey(stop.class + 1)
		}
		for _, key := range left {
			if bytes.HasPrefix(key, start) {
				end = key
				break
			}
		}
		s.leases.holes.set(start, end)
	}
}

// Lease implements store.Queue.
func (s *Store) Lease(ctx context.Context, q store.LeaseQuery) ([]store.Leased, error) {
	const op = "lease rows"
	if err := s.enter(ctx, op); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	plans, fences, err := s.leasePlans(&q)
	if err != nil || len(plans) == 0 {
		return nil, fault.Wrap(op, err)
	}
	all, err := s.leased(plans, fences)
	if err != nil {
		var rows []store.RowLease
		for i, key := range plans {
			p, _ := keyPlan(key)
			rows = append(rows, store.RowLease{Row: p.row, Fence: fences[i]})
		}
		s.unlease(rows)
		return nil, fault.Wrap(op, err)
	}
	return all, nil
}

// leasePlans leases rows, named by their places, without reading them.
func (s *Store) leasePlans(q *store.LeaseQuery) (plans [][]byte, fences []uint64, err error) {
	leases := &s.rowLeases
	leases.mu.Lock()
	defer leases.mu.Unlock()
	leases.expire(q.Now)
	if leases.frozen[q.Destination] {
		return nil, nil, nil
	}
	prefix := appendDestination(nil, q.Destination)
	it, err := span(s.db, prefix, after(prefix))
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	scan := leaseScan{leases: leases, it: it, prefix: prefix, now: q.Now.UnixMilli(), limit: max(q.Limit, 1)}
	if err := scan.run(); err != nil {
		return nil, nil, err
	}
	plans = scan.choose()
	fences = make([]uint64, len(plans))
	for i, key := range plans {
		p, _ := keyPlan(key)
		fences[i] = leases.take(p.row, key, q.Until)
	}
	scan.dig()
	return plans, fences, nil
}

// queuedMessage returns a message without its rows.
func (s *Store) queuedMessage(from getter, id mail.ID) (store.QueuedMessage, error) {
	q, err := findQueued(from, id)
	if err != nil {
		return store.QueuedMessage{ID: id}, err
	}
	msg, err := q.message()
	if err != nil {
		return store.QueuedMessage{ID: id}, fault.New(fault.Corrupt, whereQueued(id), err)
	}
	return msg, nil
}

// badLease is the lease of a row that can't be read, or whose message can't.
func badLease(row store.RowID, fence uint64, err error) store.Leased {
	return store.Leased{
		Message: store.QueuedMessage{ID: row.Message, Rows: []store.Row{{Index: row.Index, Leased: true}}},
		Fences:  []uint64{fence},
		Err:     fault.New(fault.Corrupt, "lease "+whereRow(row), err),
	}
}

// LeaseRows implements store.Queue.
func (s *Store) LeaseRows(ctx context.Context, id mail.ID, rows []int, until time.Time) (store.Leased, error) {
	op := "lease rows of " + whereQueued(id)
	if err := s.enter(ctx, op); err != nil {
		return store.Leased{}, err
	}
	defer s.gate.leave()
	l, err := s.leaseRows(id, ascendingRows(rows), until)
	return l, fault.Wrap(op, err)
}

func (s *Store) leaseRows(id mail.ID, rows []int, until time.Time) (store.Leased, error) {
	leases := &s.rowLeases
	leases.mu.Lock()
	defer leases.mu.Unlock()
	leases.expire(s.o.Now())
	msg, err := s.queuedMessage(s.db, id)
	if err != nil {
		return store.Leased{}, err
	}
	var found []queueRow
	var bad error
	err = eachRow(s.db, id, func(row queueRow, err error) error {
		if _, named := slices.BinarySearch(rows, row.id.Index); len(rows) > 0 && !named {
			return nil
		}
		if leases.isLive(row.id) {
			err = fault.Newf(fault.Busy, "lease", "%s is being tried", whereRow(row.id))
		}
		if bad == nil {
			bad = err
		}
		found = append(found, row)
		return nil
	})
	switch {
	case err != nil:
		return store.Leased{}, err
	case len(found) < len(rows) || len(found) == 0:
		return store.Leased{}, fault.Newf(fault.NotFound, "lease", "one of the rows is not there")
	case bad != nil:
		return store.Leased{}, bad
	}
	l := store.Leased{Message: msg}
	for i := range found {
		var plan []byte
		if found[i].state == store.RowWaiting {
			plan = found[i].appendPlan(nil)
		}
		l.Fences = append(l.Fences, leases.take(found[i].id, plan, until))
		l.Message.Rows = append(l.Message.Rows, found[i].row(true))
	}
	return l, nil
}

// ascendingRows returns the indices in order, each once.
func ascendingRows(rows []int) []int {
	sorted := slices.Clone(rows)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// eachRow calls f with the rows of a message by ascending index; err is of kind
// Corrupt for one that can't be read.
func eachRow(from getter, id mail.ID, f func(row queueRow, err error) error) error {
	var k keyBuf
	return each(from, k.row(store.RowID{Message: id})[:17], func(key, v []byte) (bool, error) {
		rowID, ok := keyRow(key)
		if !ok {
			return true, nil // Check tells
		}
		row, err := decodeRow(rowID, v)
		if err != nil {
			err = fault.New(fault.Corrupt, whereRow(rowID), err)
		}
		row.id = rowID
		err = f(row, err)
		return err == nil, err
	})
}

// Unlease implements store.Queue.
func (s *Store) Unlease(ctx context.Context, rows []store.RowLease) {
	if s.enter(ctx, "give leases back") != nil {
		return
	}
	defer s.gate.leave()
	s.unlease(rows)
}

func (s *Store) unlease(rows []store.RowLease) {
	s.rowLeases.mu.Lock()
	defer s.rowLeases.mu.Unlock()
	for _, r := range rows {
		if l := s.rowLeases.held(r); l != nil && !l.claimed {
			s.rowLeases.end(l)
		}
	}
}
