package pebblestore

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// whereQueued names a queued message in errors and findings, whereRow a row.
func whereQueued(id mail.ID) string { return "queued message " + id.String() }

func whereRow(r store.RowID) string {
	return fmt.Sprintf("queued message %s, row %d", r.Message, r.Index)
}

// openQueue learns what an open queue has in memory.
func (s *Store) openQueue() error {
	totals, err := findTotals(s.db)
	if err != nil && !isMissing(err) {
		return err
	}
	s.stats.queued.Store(totals.messages)
	s.stats.rows.Store(totals.rows)
	return each(s.db, []byte{tableFrozen}, func(key, _ []byte) (bool, error) {
		s.rowLeases.frozen[string(key[1:])] = true
		return true, nil
	})
}

// checkOnward checks what an Accept says of the queue by itself.
func (op *acceptOp) checkOnward() error {
	const name = "accept"
	op.onward = 0
	for _, p := range op.a.Onward {
		if len(p.Messages()) > 0 && !p.Warrant().Valid() {
			return fault.Newf(fault.Denied, name, "nobody vouches for it")
		}
		op.onward += len(p.Messages())
	}
	if len(op.a.Deliveries) == 0 && op.onward == 0 {
		return fault.Newf(fault.Invalid, name, "it goes nowhere")
	}
	if len(op.a.Settle) > settleAtOnce {
		return fault.Newf(fault.TooLarge, name, "%d settlements", len(op.a.Settle))
	}
	if op.onward < 2 {
		return nil
	}
	seen := make(map[mail.ID]struct{}, op.onward)
	for _, p := range op.a.Onward {
		for i := range p.Messages() {
			id := p.Messages()[i].ID
			if _, there := seen[id]; there {
				return fault.Newf(fault.Invalid, name, "two messages have the id %s", id)
			}
			seen[id] = struct{}{}
		}
	}
	return nil
}

// prepareQueue checks what the Accept wants of the queue, and claims the rows that
// it settles; enqueue does it.
func (op *acceptOp) prepareQueue(t *tx) error {
	if op.onward == 0 && len(op.a.Settle) == 0 {
		return nil
	}
	if err := t.readTotals(); err != nil {
		return err
	}
	for _, p := range op.a.Onward {
		for i := range p.Messages() {
			id := p.Messages()[i].ID
			if _, there := t.queue.onward[id]; there {
				return errAgain
			}
			if !t.s.recent.fresh(t.s.db, id) && t.s.has(t.key.queued(id)) {
				return fault.Newf(fault.Exists, "accept", "%s is there already", whereQueued(id))
			}
		}
	}
	return t.settleRows(op.a.Settle, true)
}

// enqueue puts the Accept's messages into the queue and settles its rows; their
// prefixes stand in the record from prefixOff on.
func (op *acceptOp) enqueue(t *tx, prefixOff uint32) {
	for _, p := range op.a.Onward {
		for i := range p.Messages() {
			m := &p.Messages()[i]
			op.enqueueOne(t, m, p.Warrant(), prefixOff)
			if len(m.Prefix) > 0 {
				prefixOff += prefixCRCSize + uint32(len(m.Prefix))
			}
		}
	}
	if len(op.a.Settle) > 0 {
		t.applyRows()
	}
}

func (op *acceptOp) enqueueOne(t *tx, m *store.Onward, w store.Warrant, prefixOff uint32) {
	e := m.Envelope
	e.ID, e.Recipients, e.Hold = m.ID, nil, time.Time{}
	t.queue.envelope = appendEnvelope(t.queue.envelope[:0], &e)
	q := queued{
		id: m.ID, acceptID: op.a.ID, accepted: op.a.Received.Unix(), blob: op.record.blob, body: op.record.body,
		prefixOff: prefixOff, prefixLen: uint32(len(m.Prefix)), rows: len(m.Envelope.Recipients),
		warrant: w, notify: m.Notify, envelope: t.queue.envelope,
	}
	t.val = q.append(t.val[:0])
	_ = t.set(t.key.queued(m.ID)) // a batch that is not indexed takes everything
	row := queueRow{id: store.RowID{Message: m.ID}, priority: m.Envelope.Priority, due: m.Due.UnixMilli()}
	for i := range m.Envelope.Recipients {
		row.id.Index, row.recipient = i, m.Envelope.Recipients[i]
		t.putRow(&row, nil)
	}
	t.queue.onward[m.ID] = struct{}{}
	t.s.recent.add(m.ID)
	t.count(1, int64(q.rows), q.size())
}

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

// OpenQueued implements store.Queue.
func (s *Store) OpenQueued(ctx context.Context, id mail.ID) (store.Reader, error) {
	op := "open " + whereQueued(id)
	if err := s.enter(ctx, op); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	var p pin
	s.pins.hold(&p)
	defer s.pins.release(&p)
	q, err := findQueued(s.db, id)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	msg := q.copied()
	return s.openCopy(s.db, &copyName{queued: id}, &msg, &p)
}

// QueuedMessage implements store.Queue.
func (s *Store) QueuedMessage(ctx context.Context, id mail.ID) (store.QueuedMessage, error) {
	op := "look up " + whereQueued(id)
	if err := s.enter(ctx, op); err != nil {
		return store.QueuedMessage{}, err
	}
	defer s.gate.leave()
	snapshot := s.db.NewSnapshot()
	defer snapshot.Close()
	s.expireLeases()
	msg, err := s.showQueued(snapshot, id)
	return msg, fault.Wrap(op, err)
}

func (s *Store) expireLeases() {
	s.rowLeases.mu.Lock()
	defer s.rowLeases.mu.Unlock()
	s.rowLeases.expire(s.o.Now())
}

// showQueued returns a message with its rows; after an error its ID only.
func (s *Store) showQueued(from getter, id mail.ID) (store.QueuedMessage, error) {
	msg, err := s.queuedMessage(from, id)
	if err != nil {
		return msg, err
	}
	err = eachRow(from, id, func(row queueRow, err error) error {
		msg.Rows = append(msg.Rows, row.row(s.isLeased(row.id)))
		return err
	})
	if err != nil {
		return store.QueuedMessage{ID: id}, err
	}
	return msg, nil
}

// isLeased reports whether a row is being tried.
func (s *Store) isLeased(row store.RowID) bool {
	s.rowLeases.mu.Lock()
	defer s.rowLeases.mu.Unlock()
	l := s.rowLeases.rows[row]
	return l != nil && l.at >= 0
}

// Queued implements store.Queue.
func (s *Store) Queued(ctx context.Context, after mail.ID) iter.Seq2[store.QueuedMessage, error] {
	return func(yield func(store.QueuedMessage, error) bool) {
		const op = "list queued messages"
		if err := s.enter(ctx, op); err != nil {
			yield(store.QueuedMessage{}, err)
			return
		}
		defer s.gate.leave()
		snapshot := s.db.NewSnapshot()
		defer snapshot.Close()
		s.expireLeases()
		err := s.eachQueued(ctx, snapshot, after, func(msg store.QueuedMessage, err error) bool {
			return yield(msg, fault.Wrap(op, err))
		})
		if err != nil {
			yield(store.QueuedMessage{}, fault.Wrap(op, err))
		}
	}
}

// eachQueued calls f with the messages after an ID, until it returns false; what it
// returns is an error that f has not seen.
func (s *Store) eachQueued(ctx context.Context, from getter, id mail.ID, f func(store.QueuedMessage, error) bool) error {
	var k keyBuf
	it, err := span(from, append(bytes.Clone(k.queued(id)), 0), []byte{tableQueued + 1})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return fault.New(fault.Transient, "list", err)
		}
		id, ok := keyHeld(it.Key())
		if !ok || len(it.Key()) != 17 {
			continue // Check tells
		}
		if !f(s.showQueued(from, id)) {
			return nil
		}
	}
	return indexFault("list", it.Error())
}

// ChangeRows implements store.Queue.
func (s *Store) ChangeRows(ctx context.Context, id mail.ID, rows []int, do store.RowChange, now time.Time) (int, error) {
	op := "change rows of " + whereQueued(id)
	if err := s.enter(ctx, op); err != nil {
		return 0, err
	}
	defer s.gate.leave()
	s.rowLeases.mu.Lock()
	s.rowLeases.expire(now)
	s.rowLeases.mu.Unlock()
	o := &changeRowsOp{id: id, rows: ascendingRows(rows), do: do, now: now.UnixMilli()}
	if err := s.do(o); err != nil {
		return 0, fault.Wrap(op, err)
	}
	return o.changed, nil
}

// QueueUsage implements store.Queue.
func (s *Store) QueueUsage(ctx context.Context) (store.QueueUsage, error) {
	const op = "queue usage"
	if err := s.enter(ctx, op); err != nil {
		return store.QueueUsage{}, err
	}
	defer s.gate.leave()
	q, err := findTotals(s.db)
	return store.QueueUsage{Messages: q.messages, Rows: q.rows, Octets: q.octets}, fault.Wrap(op, err)
}
