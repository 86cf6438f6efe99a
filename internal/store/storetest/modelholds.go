package storetest

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// held is a message that is in no mailbox yet. It is not changed any more, for
// Change to be able to go back.
type held struct {
	store.Held
	deliveries []store.Delivery
	content    *content
}

// hold keeps a message for later; its mailboxes are there.
func (m *Model) hold(a store.Accept, deliveries []store.Delivery, shared *content) {
	h := &held{
		Held: store.Held{
			ID: a.ID, Due: a.Hold.Truncate(time.Second), Received: a.Received.Truncate(time.Second),
			Size: int64(len(shared.octets)), Envelope: shared.envelope,
		},
		content: shared,
	}
	for _, d := range deliveries {
		d.Prefix = slices.Clone(d.Prefix)
		h.deliveries = append(h.deliveries, d)
	}
	m.countHeld(h, 1)
	m.held[a.ID] = h
	m.accepted[a.ID] = nil
}

// octets returns those of a copy, its prefix included.
func (h *held) octets(d store.Delivery) int64 { return int64(len(d.Prefix)) + h.Size }

// countHeld adds a message's copies, times n, to what is held for their accounts.
func (m *Model) countHeld(h *held, n int64) {
	for _, d := range h.deliveries {
		if a := m.accounts[d.Account]; a != nil {
			a.HeldOctets += n * h.octets(d)
		}
	}
}

// Held implements store.Holds.
func (m *Model) Held(ctx context.Context) iter.Seq2[store.Held, error] {
	return list(m, ctx, string(OpHeld), func() []store.Held {
		var all []store.Held
		for _, h := range m.held {
			shown := h.Held
			shown.Envelope = cloneEnvelope(shown.Envelope)
			shown.Accounts = accountsOf(h.deliveries)
			all = append(all, shown)
		}
		slices.SortFunc(all, func(a, b store.Held) int {
			return cmp.Or(a.Due.Compare(b.Due), bytes.Compare(a.ID[:], b.ID[:]))
		})
		return all
	})
}

// accountsOf returns the accounts of deliveries, ascending and each once.
func accountsOf(deliveries []store.Delivery) []mail.AccountID {
	var ids []mail.AccountID
	for _, d := range deliveries {
		ids = append(ids, d.Account)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Release implements store.Holds.
func (m *Model) Release(ctx context.Context, id mail.ID, now time.Time) (store.Accepted, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, err := m.beginHeld(ctx, OpRelease, id)
	if err != nil {
		return store.Accepted{}, err
	}
	var done store.Accepted
	for _, d := range h.deliveries {
		if _, _, err := m.mailbox(string(OpRelease), d.Account, d.Mailbox); err == nil {
			done.Placed = append(done.Placed, m.place(d, id, now, h.content))
		}
	}
	m.countHeld(h, -1)
	delete(m.held, id)
	return done, m.answer(OpRelease)
}

// DropHeld implements store.Holds.
func (m *Model) DropHeld(ctx context.Context, id mail.ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, err := m.beginHeld(ctx, OpDropHeld, id)
	if err != nil {
		return err
	}
	m.countHeld(h, -1)
	delete(m.held, id)
	return m.answer(OpDropHeld)
}

// beginHeld is beginChange for an operation on a held message.
func (m *Model) beginHeld(ctx context.Context, op Op, id mail.ID) (*held, error) {
	if err := m.beginChange(ctx, op); err != nil {
		return nil, err
	}
	h, ok := m.held[id]
	if !ok {
		return nil, fault.Newf(fault.NotFound, string(op), "no message %s is held", id)
	}
	return h, nil
}

// dropHeldOf takes an account's copies out of all held messages, and removes
// those that are left for nobody.
func (m *Model) dropHeldOf(account mail.AccountID) {
	for id, h := range maps.Clone(m.held) {
		left := *h
		left.deliveries = nil
		for _, d := range h.deliveries {
			if d.Account != account {
				left.deliveries = append(left.deliveries, d)
			}
		}
		if len(left.deliveries) == 0 {
			delete(m.held, id)
			continue
		}
		m.held[id] = &left
	}
}
