package pebblestore

import (
	"bytes"
	"context"
	"fmt"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// SetAside implements store.Queue.
func (s *Store) SetAside(ctx context.Context, row store.RowLease) error {
	op := "set aside " + whereRow(row.Row)
	if err := s.enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.leave()
	if err := s.health.changes(op); err != nil {
		return err
	}
	if !s.holds(row) {
		return fault.Newf(fault.Denied, op, "its lease is stale")
	}
	if err := s.rowAside(row.Row); err != nil {
		return fileFault(op, err)
	}
	return fault.Wrap(op, s.do(&asideOp{row: row}))
}

// holds reports whether a lease is the row's latest.
func (s *Store) holds(row store.RowLease) bool {
	s.rowLeases.mu.Lock()
	defer s.rowLeases.mu.Unlock()
	return s.rowLeases.held(row) != nil
}

// rowAside keeps what there is of a row, of its message's record, and of its
// content if that can't be read.
func (s *Store) rowAside(row store.RowID) error {
	var k, k2 keyBuf
	for _, key := range [][]byte{k.row(row), k2.queued(row.Message)} {
		v, err := s.get(key)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return err
		}
		text := fmt.Appendf(nil, "%x %x\n", key, v.b)
		v.Close()
		if _, err := s.aside(fmt.Sprintf("row-%x", key), text); err != nil {
			return err
		}
	}
	q, err := findQueued(s.db, row.Message)
	if err != nil {
		return nil
	}
	o, err := findBlob(s.db, q.blob)
	if err != nil {
		return nil
	}
	var p pin
	s.pins.hold(&p)
	defer s.pins.release(&p)
	octets, err := s.verify(q.blob, o)
	if err == nil && o.file != 0 {
		err = s.verifyFile(o)
	}
	if err == nil {
		return nil
	}
	_, err = s.contentAside(q.blob, octets, o)
	return err
}

// asideOp is a SetAside on its way through the committer; the octets are kept.
type asideOp struct{ row store.RowLease }

func (o *asideOp) alone() bool { return true }

// prepare implements operation.
func (o *asideOp) prepare(t *tx) error {
	if err := t.readTotals(); err != nil {
		return err
	}
	q := &t.queue
	q.changes, q.gone = q.changes[:0], q.gone[:0]
	err := t.claimSettled([]store.Settlement{{RowLease: o.row, Remove: true}}, true)
	if err != nil {
		return err
	}
	lease := q.changes[0].lease
	there := t.s.has(t.key.row(o.row.Row))
	row, err := findRow(t.s.db, o.row.Row)
	if err == nil && lease.plan != nil && !bytes.Equal(row.appendPlan(nil), lease.plan) {
		// The row is sound and waits elsewhere; only this place in the schedule is not.
		_ = t.batch.Delete(lease.plan, nil) // a batch that is not indexed takes everything
		lease.gone = false
		q.claims = append(q.claims, lease)
		q.changes = q.changes[:0]
		return nil
	}
	if err == nil || isMissing(err) {
		err = t.lastRows()
	}
	if err != nil {
		t.unclaim()
		return err
	}
	t.applyRows()
	if !there {
		t.count(0, 1, 0) // it was not counted
	}
	return nil
}
