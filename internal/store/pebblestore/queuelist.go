package pebblestore

import (
	"bytes"
	"context"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

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
// returns is an error that f has not seen. It goes through the messages and the rows
// side by side.
func (s *Store) eachQueued(ctx context.Context, from getter, id mail.ID, f func(store.QueuedMessage, error) bool) error {
	var k keyBuf
	it, err := span(from, append(bytes.Clone(k.queued(id)), 0), []byte{tableQueued + 1})
	if err != nil {
		return err
	}
	defer it.Close()
	rows, err := span(from, bytes.Clone(k.row(store.RowID{Message: id})[:17]), []byte{tableRow + 1})
	if err != nil {
		return err
	}
	defer rows.Close()
	rows.First()
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return fault.New(fault.Transient, "list", err)
		}
		id, ok := keyHeld(it.Key())
		if !ok || len(it.Key()) != 17 {
			continue // Check tells
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return indexFault("list", err)
		}
		if !f(s.showNext(id, v, rows)) {
			return nil
		}
	}
	if err := rows.Error(); err != nil {
		return indexFault("list", err)
	}
	return indexFault("list", it.Error())
}

// showNext returns a message, given its record, with its rows, up to which rows is
// moved; after an error its ID only.
func (s *Store) showNext(id mail.ID, v []byte, rows *pebble.Iterator) (store.QueuedMessage, error) {
	var msg store.QueuedMessage
	q, err := decodeQueued(id, bytes.Clone(v))
	if err == nil {
		msg, err = q.message()
	}
	if err != nil {
		return store.QueuedMessage{ID: id}, fault.New(fault.Corrupt, whereQueued(id), err)
	}
	for ; rows.Valid(); rows.Next() {
		rowID, ok := keyRow(rows.Key())
		if !ok || bytes.Compare(rowID.Message[:], id[:]) < 0 {
			continue // malformed, or without its message: Check tells
		}
		if rowID.Message != id {
			break
		}
		v, err := rows.ValueAndErr()
		if err != nil {
			return store.QueuedMessage{ID: id}, indexFault("list", err)
		}
		row, err := decodeRow(rowID, v)
		if err != nil {
			return store.QueuedMessage{ID: id}, fault.New(fault.Corrupt, whereRow(rowID), err)
		}
		row.id = rowID
		msg.Rows = append(msg.Rows, row.row(s.isLeased(rowID)))
	}
	return msg, nil
}
