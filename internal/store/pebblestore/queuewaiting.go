package pebblestore

import (
	"bytes"
	"context"
	"slices"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// Waiting implements store.Queue.
func (s *Store) Waiting(ctx context.Context, destination string, limit int) ([]store.WaitingRow, error) {
	const op = "list waiting rows"
	if err := s.enter(ctx, op); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	ids, err := s.waitingIDs(destination, limit)
	if err != nil || len(ids) == 0 {
		return nil, fault.Wrap(op, err)
	}
	all, err := s.readWaiting(ids, destination)
	return all, fault.Wrap(op, err)
}

// readWaiting returns those of the rows that wait for a destination: some may have been
// changed since they were found. It sorts ids.
func (s *Store) readWaiting(ids []store.RowID, destination string) ([]store.WaitingRow, error) {
	slices.SortFunc(ids, compareRows)
	table, err := openRows(s.db, tableRow, len(ids))
	if err != nil {
		return nil, err
	}
	defer table.close()
	var k keyBuf
	all := make([]store.WaitingRow, 0, len(ids))
	for _, id := range ids {
		v, ok, err := table.find(k.row(id))
		switch {
		case err != nil && !isMissing(err):
			return nil, err
		case err != nil || !ok:
			continue // gone meanwhile, or it can't be read
		}
		row, err := decodeRow(id, v)
		if err == nil && row.state == store.RowWaiting && row.recipient.Address.Domain == destination {
			all = append(all, store.WaitingRow{Message: id.Message, Row: row.row(s.isLeased(id))})
		}
	}
	return all, nil
}

// waitingIDs returns so many rows that the schedule has for a destination at most:
// those that are leased, which are in memory, then the others.
func (s *Store) waitingIDs(destination string, limit int) (ids []store.RowID, err error) {
	prefix := appendDestination(nil, destination)
	leases := &s.rowLeases
	leases.mu.Lock()
	defer leases.mu.Unlock()
	leases.expire(s.o.Now())
	for id, l := range leases.rows {
		if len(ids) < limit && l.live() && bytes.HasPrefix(l.plan, prefix) {
			ids = append(ids, id)
		}
	}
	it, err := span(s.db, prefix, after(prefix))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	key := prefix
	for len(ids) < limit {
		p, ok := leases.next(it, key)
		if !ok {
			break
		}
		ids = append(ids, p.row)
		key = append(append(key[:0], it.Key()...), 0)
	}
	return ids, indexFault("walk", it.Error())
}
