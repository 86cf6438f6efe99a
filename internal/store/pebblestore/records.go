package pebblestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"iter"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// A record's value is when it changed, and its octets.
func appendRecord(b []byte, r *store.Record) []byte {
	return append(binary.AppendVarint(b, r.Changed.Unix()), r.Value...)
}

func decodeRecord(key string, v []byte) (store.Record, error) {
	r := valueReader{b: v}
	rec := store.Record{Key: key, Changed: r.time()}
	rec.Value = bytes.Clone(r.b)
	return rec, r.err
}

// Record implements store.Records.
func (s *Store) Record(ctx context.Context, key string) (store.Record, error) {
	const op = "record"
	if err := s.enter(ctx, op); err != nil {
		return store.Record{}, err
	}
	defer s.gate.leave()
	v, err := s.get(recordKey(key))
	if err != nil {
		return store.Record{}, fault.Newf(fault.KindOf(err), op, "%.40q: %w", key, err)
	}
	defer v.Close()
	r, err := decodeRecord(key, v.b)
	return r, corruptName("record ", key, err)
}

// ListRecords implements store.Records.
func (s *Store) ListRecords(ctx context.Context, prefix string) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		first := recordKey(prefix)
		err := s.names(ctx, "list records", first, first, func(rest string, v []byte) bool {
			r, err := decodeRecord(prefix+rest, v)
			return yield(r, corruptName("record ", prefix+rest, err))
		})
		if err != nil {
			yield(store.Record{}, err)
		}
	}
}

// recordPut is a PutRecord on its way through the committer.
type recordPut struct{ key, value []byte }

// PutRecord implements store.Records.
func (s *Store) PutRecord(ctx context.Context, r store.Record) error {
	const op = "put record"
	if err := s.enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.leave()
	if err := r.Valid(); err != nil {
		return fault.Wrap(op, err)
	}
	return fault.Wrap(op, s.do(&recordPut{recordKey(r.Key), appendRecord(nil, &r)}))
}

func (o *recordPut) alone() bool { return false }

// prepare implements operation.
func (o *recordPut) prepare(t *tx) error {
	_ = t.batch.Set(o.key, o.value, nil) // a batch that is not indexed takes everything
	return nil
}

// recordRemoval is a RemoveRecord on its way through the committer.
type recordRemoval struct{ key []byte }

// RemoveRecord implements store.Records.
func (s *Store) RemoveRecord(ctx context.Context, key string) error {
	const op = "remove record"
	if err := s.enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.leave()
	err := s.do(&recordRemoval{recordKey(key)})
	if fault.Is(err, fault.NotFound) {
		return fault.Newf(fault.NotFound, op, "there is no record %.40q", key)
	}
	return fault.Wrap(op, err)
}

// alone: whether the record is there must not depend on the same commit.
func (o *recordRemoval) alone() bool { return true }

// prepare implements operation.
func (o *recordRemoval) prepare(t *tx) error {
	v, err := t.s.get(o.key)
	if err != nil {
		return err
	}
	v.Close()
	_ = t.batch.Delete(o.key, nil) // a batch that is not indexed takes everything
	return nil
}
