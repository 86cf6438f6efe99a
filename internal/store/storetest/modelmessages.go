package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// arriving is a Content of the model.
type arriving struct {
	m      *Model
	octets []byte
	over   bool // accepted or discarded
}

// NewContent implements store.Messages.
func (m *Model) NewContent(ctx context.Context, _ int64) (store.Content, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.beginChange(ctx, OpNewContent); err != nil {
		return nil, err
	}
	return &arriving{m: m}, nil
}

// Write implements store.Content.
func (c *arriving) Write(p []byte) (int, error) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	if err := c.m.begin(context.Background(), OpWrite); err != nil {
		return 0, err
	}
	if c.over {
		return 0, fault.Newf(fault.Invalid, string(OpWrite), "the content was given away")
	}
	c.octets = append(c.octets, p...)
	return len(p), nil
}

// Size implements store.Content.
func (c *arriving) Size() int64 { return int64(len(c.octets)) }

// ReadAt implements store.Content.
func (c *arriving) ReadAt(p []byte, off int64) (int, error) {
	if c.over {
		return 0, fault.Newf(fault.Invalid, "read content", "the content was given away")
	}
	return bytes.NewReader(c.octets).ReadAt(p, off)
}

// Discard implements store.Content.
func (c *arriving) Discard() { c.over = true }

// Accept implements store.Messages.
func (m *Model) Accept(ctx context.Context, a store.Accept) (store.Accepted, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	given, _ := a.Content.(*arriving)
	usable := given != nil && given.m == m && !given.over
	if given != nil {
		given.over = true
	}
	if err := m.beginChange(ctx, OpAccept); err != nil {
		return store.Accepted{}, err
	}
	op := "accept " + a.ID.String()
	if placed, ok := m.accepted[a.ID]; ok {
		return store.Accepted{Placed: slices.Clone(placed), Repeated: true}, nil
	}
	if !usable {
		return store.Accepted{}, fault.Newf(fault.Invalid, op, "not a content of this store, or used before")
	}
	deliveries := once(a.Deliveries)
	for _, d := range deliveries {
		if _, _, err := m.mailbox(op, d.Account, d.Mailbox); err != nil {
			return store.Accepted{}, err
		}
	}
	if err := m.mayQueue(op, &a); err != nil {
		return store.Accepted{}, err
	}
	shared := &content{octets: given.octets, envelope: cloneEnvelope(a.Envelope)}
	shared.envelope.Hold = time.Time{}
	m.enqueue(&a, shared)
	if !a.Hold.IsZero() && len(deliveries) > 0 {
		m.hold(a, deliveries, shared)
		return store.Accepted{}, m.answer(OpAccept)
	}
	var placed []store.Placed
	for _, d := range deliveries {
		placed = append(placed, m.place(d, a.ID, a.Received, shared))
	}
	m.accepted[a.ID] = placed
	return store.Accepted{Placed: slices.Clone(placed)}, m.answer(OpAccept)
}

// once keeps the first of several deliveries to one mailbox.
func once(deliveries []store.Delivery) []store.Delivery {
	var out []store.Delivery
	for _, d := range deliveries {
		if !slices.ContainsFunc(out, func(o store.Delivery) bool { return o.Account == d.Account && o.Mailbox == d.Mailbox }) {
			out = append(out, d)
		}
	}
	return out
}

// place puts a copy into a mailbox that is there.
func (m *Model) place(d store.Delivery, id mail.ID, received time.Time, shared *content) store.Placed {
	owner := m.accounts[d.Account]
	box := owner.boxes[d.Mailbox]
	uid := box.UIDNext
	copied := message{
		Message: store.Message{
			UID:      uid,
			ModSeq:   owner.nextModSeq(box),
			Size:     int64(len(d.Prefix) + len(shared.octets)),
			Flags:    d.Flags,
			Received: received.Truncate(time.Second),
			ID:       id,
			UIDL:     fmt.Sprintf("%s.%d", id, uid),
		},
		prefix:  bytes.Clone(d.Prefix),
		content: shared,
	}
	box.UIDNext++
	box.messages = append(box.messages, copied)
	owner.count(box, 1, copied.Size)
	m.wake(d.Account)
	return store.Placed{Account: d.Account, Mailbox: d.Mailbox, UID: uid, ModSeq: copied.ModSeq}
}

// count adds to what is kept about a mailbox and its account.
func (a *account) count(b *mailbox, messages, octets int64) {
	b.Messages += messages
	b.Octets += octets
	a.Messages += messages
	a.Octets += octets
}

// reader reads a copy of a message.
type reader struct {
	*bytes.Reader
	envelope mail.Envelope
}

func newReader(msg message) *reader {
	return &reader{
		Reader:   bytes.NewReader(slices.Concat(msg.prefix, msg.content.octets)),
		envelope: msg.content.envelope,
	}
}

// Close implements store.Reader.
func (r *reader) Close() error { return nil }

// Envelope implements store.Reader.
func (r *reader) Envelope() (mail.Envelope, error) {
	return cloneEnvelope(r.envelope), nil
}

func cloneEnvelope(e mail.Envelope) mail.Envelope {
	e.Recipients = slices.Clone(e.Recipients)
	return e
}
