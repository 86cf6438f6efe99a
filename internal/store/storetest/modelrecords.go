package storetest

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// Record implements store.Records.
func (m *Model) Record(ctx context.Context, key string) (store.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, OpRecord); err != nil {
		return store.Record{}, err
	}
	r, ok := m.records[key]
	if !ok {
		return store.Record{}, noRecord(OpRecord, key)
	}
	return cloneRecord(r), nil
}

// ListRecords implements store.Records.
func (m *Model) ListRecords(ctx context.Context, prefix string) iter.Seq2[store.Record, error] {
	return list(m, ctx, string(OpListRecords), func() []store.Record {
		var all []store.Record
		for _, key := range slices.Sorted(maps.Keys(m.records)) {
			if strings.HasPrefix(key, prefix) {
				all = append(all, cloneRecord(m.records[key]))
			}
		}
		return all
	})
}

// PutRecord implements store.Records.
func (m *Model) PutRecord(ctx context.Context, r store.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.beginChange(ctx, OpPutRecord); err != nil {
		return err
	}
	if err := r.Valid(); err != nil {
		return fault.Wrap(string(OpPutRecord), err)
	}
	m.records[r.Key] = cloneRecord(r)
	return m.answer(OpPutRecord)
}

// RemoveRecord implements store.Records.
func (m *Model) RemoveRecord(ctx context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.beginChange(ctx, OpRemoveRecord); err != nil {
		return err
	}
	if _, ok := m.records[key]; !ok {
		return noRecord(OpRemoveRecord, key)
	}
	delete(m.records, key)
	return m.answer(OpRemoveRecord)
}

func noRecord(op Op, key string) error {
	return fault.Newf(fault.NotFound, string(op), "no record %.40q", key)
}

// cloneRecord returns a copy that shares nothing.
func cloneRecord(r store.Record) store.Record {
	r.Value = bytes.Clone(r.Value)
	r.Changed = r.Changed.Truncate(time.Second)
	return r
}
