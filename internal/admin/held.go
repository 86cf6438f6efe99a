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

// ReleaseHeld delivers a held message now, and says into how many mailboxes.
func (c *Client) ReleaseHeld(ctx context.Context, id string) (int, error) {
	var n int
	err := c.ask(ctx, "held.release", heldArgument{id}, &n)
	return n, err
}

// DropHeld removes a held message for good.
func (c *Client) DropHeld(ctx context.Context, id string) error {
	return c.ask(ctx, "held.drop", heldArgument{id}, nil)
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
	id, err := mail.ParseID(a.ID)
	if err != nil {
		return nil, fault.New(fault.Invalid, "release a held message", err)
	}
	placed, err := s.store.Release(c, id, time.Now())
	return len(placed.Placed), notHeld(id, err)
}

// notHeld says it of a message that has been released, removed, or never held.
func notHeld(id mail.ID, err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Newf(fault.NotFound, "find "+id.String(), "no message is held under that id")
	}
	return err
}

func heldDrop(s *service, c *call, a heldArgument) (any, error) {
	id, err := mail.ParseID(a.ID)
	if err != nil {
		return nil, fault.New(fault.Invalid, "drop a held message", err)
	}
	return nil, notHeld(id, s.store.DropHeld(c, id))
}
