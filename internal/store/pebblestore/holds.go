package pebblestore

import (
	"context"
	"iter"
	"math"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// whereHeld names a held message in errors and findings.
func whereHeld(id mail.ID) string { return "held message " + id.String() }

// isHeld answers the repetition of an Accept whose message is held still, though
// its answer is remembered no more.
func (op *acceptOp) isHeld(t *tx) (bool, error) {
	v, err := t.s.get(t.key.held(op.a.ID))
	if err != nil {
		return false, notFoundIsNil(err)
	}
	v.Close()
	op.result = store.Accepted{Repeated: true}
	return true, nil
}

// hold adds the message without its copies; nothing can fail any more but memory.
func (op *acceptOp) hold(t *tx) error {
	op.record.blob = t.newBlob()
	h := held{
		id: op.a.ID, due: op.a.Hold.Unix(), received: op.a.Received.Unix(),
		blob: op.record.blob, body: op.record.body, envelope: (*op.meta)[:op.record.envelope],
	}
	prefixOff := uint32(0)
	for i, box := range op.heads {
		d := &op.a.Deliveries[i]
		c := heldCopy{box.key, d.Flags, prefixOff, uint32(len(d.Prefix))}
		if len(d.Prefix) > 0 {
			prefixOff += prefixCRCSize + c.prefixLen
		}
		if box.seen == t.seq {
			continue // a second delivery to the same mailbox
		}
		box.seen = t.seq
		u, err := t.usage(d.Account)
		if err != nil {
			return err
		}
		h.copies = append(h.copies, c)
		t.countHeld(u, h.size(&c))
	}
	op.enqueue(t, prefixOff)
	t.addRecord(&op.record, *op.meta, op.content.body(), uint64(1+op.onward))
	op.large = op.record.file != 0
	t.putHeld(&h)
	return op.remember(t)
}

// countHeld adds to the octets that are held for an account.
func (t *tx) countHeld(u *usage, octets int64) {
	u.held += octets
	t.changeUsage(u)
}

// putHeld keeps a held message's record.
func (t *tx) putHeld(h *held) {
	t.val = h.append(t.val[:0])
	_ = t.set(t.key.held(h.id)) // a batch that is not indexed takes everything
	_ = t.batch.Set(t.key.due(h.due, h.id), nil, nil)
}

// dropHeld takes a held message's record away. Its accounts' counts stay.
func (t *tx) dropHeld(h *held) {
	t.accepted[h.id] = struct{}{}
	_ = t.batch.Delete(t.key.held(h.id), nil) // a batch that is not indexed takes everything
	_ = t.batch.Delete(t.key.due(h.due, h.id), nil)
}

// heldOp is a Release or DropHeld on its way through the committer.
type heldOp struct {
	name   string
	id     mail.ID
	drop   bool
	now    time.Time // of a Release
	result store.Accepted
}

// Release implements store.Holds.
func (s *Store) Release(ctx context.Context, id mail.ID, now time.Time) (store.Accepted, error) {
	op := &heldOp{name: "release " + id.String(), id: id, now: now}
	err := s.endHeld(ctx, op)
	return op.result, err
}

// DropHeld implements store.Holds.
func (s *Store) DropHeld(ctx context.Context, id mail.ID) error {
	return s.endHeld(ctx, &heldOp{name: "drop held message " + id.String(), id: id, drop: true})
}

func (s *Store) endHeld(ctx context.Context, op *heldOp) error {
	if err := s.enter(ctx, op.name); err != nil {
		return err
	}
	defer s.gate.leave()
	err := s.do(op)
	if err != nil {
		op.result = store.Accepted{}
	}
	return fault.Wrap(op.name, err)
}

func (op *heldOp) alone() bool { return false }

// prepare implements operation.
func (op *heldOp) prepare(t *tx) error {
	if _, ok := t.accepted[op.id]; ok {
		return errAgain
	}
	h, err := findHeld(t.s.db, op.id)
	if err != nil {
		return err
	}
	counts, err := t.usagesOf(&h)
	if err != nil {
		return err
	}
	content, err := t.blob(h.blob)
	if op.drop && isMissing(err) {
		t.endHeld(&h, counts) // there is nothing to be freed
		return nil
	}
	if fault.Is(err, fault.NotFound) {
		return fault.Newf(fault.Corrupt, op.name, "content %d is not there", h.blob)
	}
	if err != nil {
		return err
	}
	var places []place
	if !op.drop {
		if places, err = t.placesOf(&h); err != nil {
			return err
		}
	}
	t.endHeld(&h, counts)
	op.place(t, &h, places)
	if len(op.result.Placed) == 0 {
		t.release(content)
		return nil
	}
	t.blobs[content.id] = content
	content.refs += uint64(len(op.result.Placed)) - 1 // the held message's own goes
	return nil
}

// usagesOf returns the usage of each copy's account, nil for one that has gone or
// can't be read.
func (t *tx) usagesOf(h *held) ([]*usage, error) {
	all := make([]*usage, len(h.copies))
	for i := range h.copies {
		u, err := t.usage(h.copies[i].box.account)
		if err != nil && !isMissing(err) {
			return nil, err
		}
		all[i] = u
	}
	return all, nil
}

// endHeld takes a held message's record away, and its copies out of what is
// counted; usagesOf returned where.
func (t *tx) endHeld(h *held, counts []*usage) {
	for i, u := range counts {
		if u != nil {
			t.countHeld(u, -h.size(&h.copies[i]))
		}
	}
	t.dropHeld(h)
}

// place is where a copy goes.
type place struct {
	copy  *heldCopy
	box   *head
	usage *usage
}

// placesOf returns where a held message's copies go, without those whose account
// or mailbox has gone.
func (t *tx) placesOf(h *held) ([]place, error) {
	const op = "release"
	places := make([]place, 0, len(h.copies))
	for i := range h.copies {
		p := place{copy: &h.copies[i]}
		key := p.copy.box
		var err error
		if p.box, err = t.head(key); err == nil {
			p.usage, err = t.usage(key.account)
		}
		switch {
		case fault.Is(err, fault.NotFound):
			continue
		case err != nil:
			return nil, fault.Newf(fault.KindOf(err), op, "account %d, mailbox %d: %w", key.account, key.mailbox, err)
		case p.box.uidNext == math.MaxUint32:
			return nil, fault.Newf(fault.Internal, op, "account %d, mailbox %d has no UIDs left", key.account, key.mailbox)
		}
		places = append(places, p)
	}
	return places, nil
}

// place adds the copies.
func (op *heldOp) place(t *tx, h *held, places []place) {
	op.result = store.Accepted{}
	for _, p := range places {
		m := h.message(p.copy, op.now.Unix())
		uid := t.deliver(p.box, p.usage, &m)
		op.result.Placed = append(op.result.Placed, store.Placed{
			Account: p.box.key.account, Mailbox: p.box.key.mailbox, UID: uid, ModSeq: m.modSeq,
		})
	}
}

// heldChange is a held message that loses copies.
type heldChange struct {
	held
	content *blobChange // nil when the index has lost it
}

// heldOf returns the held messages that have copies for the accounts, without
// those. What can't be read is left as it is: Check tells.
func (t *tx) heldOf(gone map[mail.AccountID]bool) ([]heldChange, error) {
	var all []heldChange
	if len(gone) == 0 {
		return nil, nil
	}
	err := each(t.s.db, []byte{tableHeld}, func(key, v []byte) (bool, error) {
		id, ok := keyHeld(key)
		h, err := decodeHeld(id, v)
		if !ok || err != nil || !h.without(gone) {
			return true, nil
		}
		h.envelope = append([]byte(nil), h.envelope...)
		all = append(all, heldChange{held: h})
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		if len(all[i].copies) > 0 {
			continue
		}
		if all[i].content, err = t.blob(all[i].blob); err != nil && !isMissing(err) {
			return nil, err
		}
	}
	return all, nil
}

// without takes the copies of accounts away; it reports whether there were any.
func (h *held) without(gone map[mail.AccountID]bool) bool {
	n := 0
	for _, c := range h.copies {
		if !gone[c.box.account] {
			h.copies[n] = c
			n++
		}
	}
	changed := n < len(h.copies)
	h.copies = h.copies[:n]
	return changed
}

// replaceHeld puts what heldOf returned in place; without copies it goes. What is
// counted for the accounts of those copies goes with the accounts.
func (t *tx) replaceHeld(c *heldChange) {
	if len(c.copies) > 0 {
		t.putHeld(&c.held)
		return
	}
	t.dropHeld(&c.held)
	if c.content != nil {
		t.release(c.content)
	}
}

// Held implements store.Holds.
func (s *Store) Held(ctx context.Context) iter.Seq2[store.Held, error] {
	return func(yield func(store.Held, error) bool) {
		const op = "list held messages"
		if err := s.enter(ctx, op); err != nil {
			yield(store.Held{}, err)
			return
		}
		defer s.gate.leave()
		snapshot := s.db.NewSnapshot()
		defer snapshot.Close()
		more := true
		err := each(snapshot, []byte{tableDue}, func(key, _ []byte) (bool, error) {
			if err := ctx.Err(); err != nil {
				return false, fault.New(fault.Transient, op, err)
			}
			shown, err := showHeld(snapshot, key)
			if fault.Is(err, fault.NotFound) {
				return true, nil // Check tells of the stray
			}
			more = yield(shown, fault.Wrap(op, err))
			return more, nil
		})
		if err != nil && more {
			yield(store.Held{}, fault.Wrap(op, err))
		}
	}
}

// showHeld returns the message that a key by time names. One that can't be read
// is an error of its own, with its ID.
func showHeld(from getter, key []byte) (store.Held, error) {
	id, ok := keyHeld(key)
	if !ok {
		return store.Held{}, errNotFound
	}
	h, err := findHeld(from, id)
	if err != nil {
		return store.Held{ID: id}, fault.Wrap(whereHeld(id), err)
	}
	shown, err := h.held()
	if err != nil {
		return store.Held{ID: id}, fault.New(fault.Corrupt, whereHeld(id), err)
	}
	return shown, nil
}
