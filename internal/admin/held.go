package admin

import (
	"context"
	"iter"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// Held is a message that waits for the time of its release.
type Held struct {
	ID         string    `json:"id"`
	Due        time.Time `json:"due"`
	Received   time.Time `json:"received"`
	Octets     int64     `json:"octets"`
	From       string    `json:"from"`
	Recipients []string  `json:"recipients"`
}

type heldArgument struct {
	ID string `json:"id"`
}

// Held lists the messages that are held, by the time when they are due.
func (c *Client) Held(ctx context.Context) iter.Seq2[Held, error] {
	return list[Held](ctx, c, "held.list", struct{}{})
}

// HeldDone is what became of a held message.
type HeldDone struct {
	// Mailboxes are those here that the message was delivered to.
	Mailboxes int `json:"mailboxes"`
	// Rows are its recipients at other hosts: they are due now, or no more in the
	// queue.
	Rows int `json:"rows"`
}

// ReleaseHeld delivers a held message now, and has what is in the queue of it sent.
func (c *Client) ReleaseHeld(ctx context.Context, id string) (HeldDone, error) {
	var done HeldDone
	err := c.ask(ctx, "held.release", heldArgument{id}, &done)
	return done, err
}

// DropHeld removes a held message for good, with what is in the queue of it. Busy: some
// of that is being sent at this moment; the rest is still held.
func (c *Client) DropHeld(ctx context.Context, id string) (HeldDone, error) {
	var done HeldDone
	err := c.ask(ctx, "held.drop", heldArgument{id}, &done)
	return done, err
}

func heldList(s *service, c *call, _ struct{}) (any, error) {
	var unread error
	for h, err := range s.store.Held(c) {
		if err != nil { // one that can't be read hides no other
			unread = err
			continue
		}
		if err := c.emit(shownHeld(h)); err != nil {
			return nil, err
		}
	}
	return nil, unread
}

func shownHeld(h store.Held) Held {
	shown := Held{ID: h.ID.String(), Due: h.Due, Received: h.Received, Octets: h.Size, From: h.Envelope.From.String(), Recipients: []string{}}
	for _, r := range h.Envelope.Recipients {
		shown.Recipients = append(shown.Recipients, r.Address.String())
	}
	return shown
}

func heldRelease(s *service, c *call, a heldArgument) (any, error) {
	h, done, err := s.changeHeld(c, "release a held message", a, store.RetryRows)
	if err != nil {
		return nil, err
	}
	placed, err := s.release(c, h)
	done.Mailboxes = len(placed.Placed)
	return done, notHeld(h.ID, err)
}

func heldDrop(s *service, c *call, a heldArgument) (any, error) {
	h, done, err := s.changeHeld(c, "drop a held message", a, store.DropRows)
	if err != nil {
		return nil, err
	}
	return done, notHeld(h.ID, s.store.DropHeld(c, h.ID))
}

// changeHeld looks whether a message is held, and changes what came into the queue with
// it. That is first: if it fails, the message is still held and can be named again.
func (s *service) changeHeld(c *call, op string, a heldArgument, do store.RowChange) (h store.Held, done HeldDone, err error) {
	id, err := mail.ParseID(a.ID)
	if err != nil {
		return h, done, fault.New(fault.Invalid, op, err)
	}
	if h, err = s.heldMessage(c, id); err != nil {
		return h, done, err
	}
	for m, err := range s.store.Queued(c, mail.ID{}) {
		switch {
		case err != nil && m.ID.IsZero():
			return h, done, err
		case err != nil || m.AcceptID != id:
			continue
		}
		n, err := s.store.ChangeRows(c, m.ID, nil, do, time.Now())
		if err != nil && !fault.Is(err, fault.NotFound) {
			return h, done, fault.Wrap(op, err)
		}
		done.Rows += n
		if do == store.RetryRows && s.deliverer != nil {
			s.deliverer.Revive(destinations(m.Rows)...)
		}
	}
	return h, done, nil
}

// heldMessage finds a held message; of one that can't be read there is its ID alone.
func (s *service) heldMessage(c *call, id mail.ID) (store.Held, error) {
	for h, err := range s.store.Held(c) {
		if h.ID == id {
			return h, nil
		}
		if err != nil && h.ID.IsZero() {
			return h, err
		}
	}
	return store.Held{}, notHeld(id, fault.Newf(fault.NotFound, "find a held message", "it is not there"))
}

// notHeld says it of a message that has been released, removed, or never held.
func notHeld(id mail.ID, err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Newf(fault.NotFound, "find "+id.String(), "no message is held under that id")
	}
	return err
}
