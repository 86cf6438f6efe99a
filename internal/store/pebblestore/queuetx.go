package pebblestore

import (
	"postrider/internal/mail"
	"postrider/internal/store"
)

// queueTx is the part of a commit that is about the queue. The leases of its rows
// are claimed until it ends.
type queueTx struct {
	claims []*rowLease
	plans  []byte // places at which rows wait now, one after the other
	ends   []int  // of each place
	onward map[mail.ID]struct{}
	totals queueTotals
	known  bool // totals are what the index has, or will have
	change bool // of totals
	frozen map[string]bool

	changes  []rowChange // of the operation being prepared
	gone     []goneMessage
	messages map[mail.ID]struct{} // of changes
	envelope []byte
}

// applyRows puts the changes of the operation being prepared into the commit;
// nothing can fail any more but memory.
func (t *tx) applyRows() {
	q := &t.queue
	for i := range q.changes {
		c := &q.changes[i]
		q.claims = append(q.claims, c.lease)
		if c.remove {
			_ = t.batch.Delete(t.key.row(c.id), nil) // a batch that is not indexed takes everything
			if c.lease.plan != nil {
				_ = t.batch.Delete(c.lease.plan, nil)
			}
			t.count(0, -1, 0)
			continue
		}
		t.putRow(&c.put, c.lease.plan)
	}
	for i := range q.gone {
		t.dropQueued(&q.gone[i])
	}
	q.changes, q.gone = q.changes[:0], q.gone[:0]
}

// putRow keeps a row's record, and its place in the schedule if it waits; it had
// the place old, or none.
func (t *tx) putRow(r *queueRow, old []byte) {
	t.val = r.append(t.val[:0])
	_ = t.set(t.key.row(r.id)) // a batch that is not indexed takes everything
	if old != nil {
		_ = t.batch.Delete(old, nil)
	}
	if r.state == store.RowWaiting {
		t.plan(r)
	}
}

// plan puts a row into the schedule.
func (t *tx) plan(r *queueRow) {
	q := &t.queue
	from := len(q.plans)
	q.plans = r.appendPlan(q.plans)
	q.ends = append(q.ends, len(q.plans))
	_ = t.batch.Set(q.plans[from:], nil, nil)
}

// dropQueued takes a message without rows away, and its reference to the content.
func (t *tx) dropQueued(m *goneMessage) {
	if m.lost {
		return
	}
	_ = t.batch.Delete(t.key.queued(m.id), nil) // a batch that is not indexed takes everything
	t.count(-1, 0, -m.size)
	if m.content == nil {
		return
	}
	if c := t.blobs[m.content.id]; c != nil {
		m.content = c // two messages with one content
	}
	t.release(m.content)
}

// count adds to what is in the queue. The totals must have been read.
func (t *tx) count(messages, rows, octets int64) {
	q := &t.queue
	q.totals.messages += messages
	q.totals.rows += rows
	q.totals.octets += octets
	q.change = true
}

// readTotals reads what is in the queue. A record that can't be read counts as
// nothing: Check tells, and repair counts.
func (t *tx) readTotals() error {
	if t.queue.known {
		return nil
	}
	totals, err := findTotals(t.s.db)
	if err != nil && !isMissing(err) {
		return err
	}
	t.queue.totals, t.queue.known = totals, true
	return nil
}

// begin empties what the last commit left.
func (q *queueTx) begin() {
	if q.onward == nil {
		q.onward = make(map[mail.ID]struct{})
		q.messages = make(map[mail.ID]struct{})
		q.frozen = make(map[string]bool)
	}
}

// settleQueue makes the rows of a commit available that wait now.
func (t *tx) settleQueue() {
	q, leases := &t.queue, &t.s.rowLeases
	t.s.stats.queued.Store(q.totals.messages)
	t.s.stats.rows.Store(q.totals.rows)
	leases.mu.Lock()
	defer leases.mu.Unlock()
	for _, l := range q.claims {
		leases.drop(l)
	}
	q.claims = q.claims[:0]
	from := 0
	for _, end := range q.ends {
		leases.holes.lower(q.plans[from:end])
		from = end
	}
	for name, is := range q.frozen {
		if is {
			leases.frozen[name] = true
		} else {
			delete(leases.frozen, name)
		}
	}
}

// endQueue forgets everything; the claims that are left are of a commit that has
// failed.
func (t *tx) endQueue() {
	q, leases := &t.queue, &t.s.rowLeases
	if len(q.claims) > 0 {
		leases.mu.Lock()
		for _, l := range q.claims {
			leases.restore(l)
		}
		leases.mu.Unlock()
	}
	clear(q.claims[:cap(q.claims)])
	clear(q.changes[:cap(q.changes)])
	clear(q.gone[:cap(q.gone)])
	q.claims, q.changes, q.gone = q.claims[:0], q.changes[:0], q.gone[:0]
	q.plans, q.ends = q.plans[:0], q.ends[:0]
	clear(q.onward)
	clear(q.frozen)
	q.change = false
}
