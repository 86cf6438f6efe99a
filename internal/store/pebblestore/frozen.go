package pebblestore

import (
	"context"
	"encoding/binary"
	"iter"
	"time"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// A frozen destination's value is since when, and why.
func appendFrozen(b []byte, d *store.FrozenDestination) []byte {
	return append(binary.AppendVarint(b, d.Since.Unix()), d.Why...)
}

func decodeFrozen(name string, v []byte) (store.FrozenDestination, error) {
	r := valueReader{b: v}
	d := store.FrozenDestination{Name: name, Since: r.time()}
	d.Why = string(r.b)
	return d, r.err
}

// freezeOp is a Freeze or Thaw on its way through the committer.
type freezeOp struct {
	name   string
	frozen *store.FrozenDestination // nil: it thaws
}

// Freeze implements store.Queue.
func (s *Store) Freeze(ctx context.Context, destination, why string, now time.Time) error {
	const op = "freeze destination"
	if err := s.enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.leave()
	if !store.ValidDestination(destination) {
		return fault.Newf(fault.Invalid, op, "that is no destination")
	}
	return fault.Wrap(op, s.do(&freezeOp{destination, &store.FrozenDestination{Name: destination, Why: why, Since: now}}))
}

// Thaw implements store.Queue.
func (s *Store) Thaw(ctx context.Context, destination string) error {
	const op = "thaw destination"
	if err := s.enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.leave()
	return fault.Wrap(op, s.do(&freezeOp{name: destination}))
}

// alone: whether the destination is frozen must not depend on the same commit.
func (o *freezeOp) alone() bool { return true }

// prepare implements operation.
func (o *freezeOp) prepare(t *tx) error {
	if o.frozen == nil && !t.s.has(frozenKey(o.name)) {
		return fault.Newf(fault.NotFound, "thaw", "%.100q is not frozen", o.name)
	}
	if err := t.readTotals(); err != nil {
		return err
	}
	t.queue.frozen[o.name] = o.frozen != nil
	if o.frozen == nil {
		_ = t.batch.Delete(frozenKey(o.name), nil) // a batch that is not indexed takes everything
		return nil
	}
	t.val = appendFrozen(t.val[:0], o.frozen)
	_ = t.set(frozenKey(o.name))
	return nil
}

// Frozen implements store.Queue.
func (s *Store) Frozen(ctx context.Context) iter.Seq2[store.FrozenDestination, error] {
	return func(yield func(store.FrozenDestination, error) bool) {
		first := []byte{tableFrozen}
		err := s.names(ctx, "list frozen destinations", first, first, func(name string, v []byte) bool {
			d, err := decodeFrozen(name, v)
			return yield(d, corruptName("frozen destination ", name, err))
		})
		if err != nil {
			yield(store.FrozenDestination{}, err)
		}
	}
}
