package pebblestore

import (
	"context"
	"slices"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// rowChange is what a commit does to a row of the queue.
type rowChange struct {
	id     store.RowID
	lease  *rowLease // claimed
	remove bool
	put    queueRow // unless remove
}

// goneMessage is a message that loses its last row.
type goneMessage struct {
	id      mail.ID
	size    int64
	lost    bool        // there is no record of it
	content *blobChange // nil: the index has lost it
}

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

// settleRows claims the rows that settlements are about and reads what they need.
// Strict: all must be good, else Denied. An error leaves nothing claimed.
func (t *tx) settleRows(all []store.Settlement, strict bool) error {
	q := &t.queue
	q.changes, q.gone = q.changes[:0], q.gone[:0]
	if len(all) == 0 {
		return nil
	}
	if err := t.claimSettled(all, strict); err != nil {
		t.unclaim()
		return err
	}
	good := q.changes[:0]
	for i := range q.changes {
		c := q.changes[i]
		if !c.remove {
			row, err := findRow(t.s.db, c.id)
			if err != nil && (strict || !isMissing(err)) {
				t.unclaim()
				return deniedIfMissing(err)
			}
			if err != nil {
				t.unclaimOne(c.lease)
				c.lease = nil // Lease reports the row
			}
			row.due, row.state, row.progress = c.put.due, c.put.state, c.put.progress
			c.put = row
		}
		q.changes[i] = c
		if c.lease != nil {
			good = append(good, c)
		}
	}
	q.changes = good
	if err := t.lastRows(); err != nil {
		t.unclaim()
		return err
	}
	return nil
}

func deniedIfMissing(err error) error {
	if isMissing(err) {
		return fault.New(fault.Denied, "settle", err)
	}
	return err
}

// claimSettled claims the rows whose leases are good.
func (t *tx) claimSettled(all []store.Settlement, strict bool) error {
	leases := &t.s.rowLeases
	leases.mu.Lock()
	defer leases.mu.Unlock()
	for i := range all {
		s := &all[i]
		l := leases.held(s.RowLease)
		switch {
		case l != nil && l.claimed && l.op != t.seq:
			return errAgain
		case l == nil || l.claimed:
			if strict {
				return fault.Newf(fault.Denied, "settle", "the lease of %s is stale", whereRow(s.Row))
			}
			continue
		}
		l.claimed, l.op, l.gone = true, t.seq, s.Remove
		t.queue.changes = append(t.queue.changes, rowChange{
			id: s.Row, lease: l, remove: s.Remove,
			put: queueRow{due: s.Due.UnixMilli(), state: s.State, progress: s.Progress.Bounded()},
		})
	}
	return nil
}

// unclaim gives back what the operation being prepared has claimed.
func (t *tx) unclaim() {
	for i := range t.queue.changes {
		if l := t.queue.changes[i].lease; l != nil {
			t.unclaimOne(l)
		}
	}
	t.queue.changes = t.queue.changes[:0]
}

func (t *tx) unclaimOne(l *rowLease) {
	t.s.rowLeases.mu.Lock()
	defer t.s.rowLeases.mu.Unlock()
	t.s.rowLeases.restore(l)
}

// lastRows finds the messages that lose their last rows by the changes.
func (t *tx) lastRows() error {
	q := &t.queue
	clear(q.messages)
	for i := range q.changes {
		c := &q.changes[i]
		if _, seen := q.messages[c.id.Message]; seen || !c.remove {
			continue
		}
		q.messages[c.id.Message] = struct{}{}
		m, err := t.leaving(c.id.Message, c.lease)
		if err != nil {
			return err
		}
		if m != nil {
			q.gone = append(q.gone, *m)
		}
	}
	return nil
}

// leaving returns a message whose rows that are left are all claimed to be taken
// away, else nil. One of its rows is that of the lease.
func (t *tx) leaving(id mail.ID, l *rowLease) (*goneMessage, error) {
	msg, err := l.message, error(nil)
	if !l.known {
		var q queued
		q, err = findQueued(t.s.db, id)
		msg = q.leaving()
	}
	if err != nil && !isMissing(err) {
		return nil, err
	}
	if err != nil || msg.first > 1 {
		if left, err := t.rowsLeft(id); left || err != nil {
			return nil, err
		}
	}
	gone := &goneMessage{id: id, lost: fault.Is(err, fault.NotFound)}
	if err != nil {
		return gone, nil // its content is Check's to find
	}
	gone.size = msg.size
	if gone.content, err = t.blob(msg.blob); err != nil && !isMissing(err) {
		return nil, err
	}
	return gone, nil
}

// rowsLeft reports whether a message has a row that the commit does not take away.
func (t *tx) rowsLeft(id mail.ID) (left bool, err error) {
	err = each(t.s.db, t.key.row(store.RowID{Message: id})[:17], func(key, _ []byte) (bool, error) {
		row, ok := keyRow(key)
		if !ok {
			return true, nil
		}
		t.s.rowLeases.mu.Lock()
		defer t.s.rowLeases.mu.Unlock()
		l := t.s.rowLeases.rows[row]
		left = l == nil || !l.claimed || !l.gone
		return !left, nil
	})
	return left, err
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

// settleOp is a Settle on its way through the committer.
type settleOp struct {
	all  []store.Settlement
	made int
}

// settleAtOnce is how many settlements one operation makes at most.
const settleAtOnce = 10_000

// Settle implements store.Queue.
func (s *Store) Settle(ctx context.Context, settlements []store.Settlement) (int, error) {
	const op = "settle rows"
	if err := s.enter(ctx, op); err != nil {
		return 0, err
	}
	defer s.gate.leave()
	if len(settlements) > settleAtOnce {
		return 0, fault.Newf(fault.TooLarge, op, "%d settlements at once, at most %d are taken", len(settlements), settleAtOnce)
	}
	o := &settleOp{all: settlements}
	if err := s.do(o); err != nil {
		return 0, fault.Wrap(op, err)
	}
	return o.made, nil
}

func (o *settleOp) alone() bool { return false }

// prepare implements operation.
func (o *settleOp) prepare(t *tx) error {
	if err := t.readTotals(); err != nil {
		return err
	}
	if err := t.settleRows(o.all, false); err != nil {
		return err
	}
	o.made = len(t.queue.changes)
	t.applyRows()
	return nil
}

// changeRowsOp is a ChangeRows on its way through the committer.
type changeRowsOp struct {
	id      mail.ID
	rows    []int // ascending; none: all
	do      store.RowChange
	now     int64
	changed int
}

func (o *changeRowsOp) alone() bool { return false }

// prepare implements operation.
func (o *changeRowsOp) prepare(t *tx) error {
	if err := t.readTotals(); err != nil {
		return err
	}
	q := &t.queue
	q.changes, q.gone = q.changes[:0], q.gone[:0]
	if _, ok := q.onward[o.id]; ok {
		return errAgain
	}
	if !t.s.has(t.key.queued(o.id)) {
		return fault.Newf(fault.NotFound, "change rows", "%s", whereQueued(o.id))
	}
	rows, err := o.some(t)
	if err != nil {
		return err
	}
	if err := o.claim(t, rows); err != nil {
		t.unclaim()
		return err
	}
	if err := t.lastRows(); err != nil {
		t.unclaim()
		return err
	}
	o.changed = len(q.changes)
	t.applyRows()
	return nil
}

// some returns the rows of the message that are named and there.
func (o *changeRowsOp) some(t *tx) ([]queueRow, error) {
	var rows []queueRow
	err := each(t.s.db, t.key.row(store.RowID{Message: o.id})[:17], func(key, v []byte) (bool, error) {
		id, ok := keyRow(key)
		if _, named := slices.BinarySearch(o.rows, id.Index); !ok || len(o.rows) > 0 && !named {
			return true, nil
		}
		row, err := decodeRow(id, v)
		if err != nil {
			return false, fault.New(fault.Corrupt, whereRow(id), err)
		}
		rows = append(rows, row)
		return true, nil
	})
	return rows, err
}

// claim claims the rows that are not yet as they are to be.
func (o *changeRowsOp) claim(t *tx, rows []queueRow) error {
	leases := &t.s.rowLeases
	leases.mu.Lock()
	defer leases.mu.Unlock()
	for i := range rows {
		l := leases.rows[rows[i].id]
		switch {
		case l != nil && l.claimed:
			return errAgain
		case l != nil && l.live():
			return fault.Newf(fault.Busy, "change rows", "%s is being tried", whereRow(l.row))
		}
	}
	for i := range rows {
		row := rows[i]
		var plan []byte
		if row.state == store.RowWaiting {
			plan = row.appendPlan(nil)
		}
		if !o.change(&row) {
			continue
		}
		l := leases.claim(row.id, plan)
		l.op, l.gone = t.seq, o.do == store.DropRows
		t.queue.changes = append(t.queue.changes, rowChange{id: row.id, lease: l, remove: l.gone, put: row})
	}
	return nil
}

// change changes a row; it reports false if it is so already.
func (o *changeRowsOp) change(r *queueRow) bool {
	switch o.do {
	case store.DropRows:
		return true
	case store.HoldRows:
		if r.state == store.RowHeld {
			return false
		}
		r.state = store.RowHeld
	case store.ReleaseRows:
		if r.state != store.RowHeld {
			return false
		}
		r.state, r.due = store.RowWaiting, o.now
	default:
		if r.state != store.RowWaiting || r.due <= o.now {
			return false
		}
		r.due = o.now
	}
	return true
}
