package pebblestore

import (
	"slices"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

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
