package pebblestore

import (
	"context"

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

// settleOp is a Settle on its way through the committer.
type settleOp struct {
	all  []store.Settlement
	made int
}

// Settle implements store.Queue.
func (s *Store) Settle(ctx context.Context, settlements []store.Settlement) (int, error) {
	const op = "settle rows"
	if err := s.enter(ctx, op); err != nil {
		return 0, err
	}
	defer s.gate.leave()
	if len(settlements) > store.MaxSettlements {
		return 0, fault.Newf(fault.TooLarge, op, "%d settlements at once, at most %d are taken", len(settlements), store.MaxSettlements)
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
