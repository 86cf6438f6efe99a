package admin

import (
	"context"
	"iter"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// maxWhy is the longest reason that an operator may give, in octets.
const maxWhy = 500

type freezeArgument struct {
	Destination string `json:"destination"`
	Why         string `json:"why,omitempty"`
}

// Freeze stops the rows of a destination, and returns its canonical name.
func (c *Client) Freeze(ctx context.Context, destination, why string) (string, error) {
	var name string
	err := c.ask(ctx, "queue.freeze", freezeArgument{destination, why}, &name)
	return name, err
}

// Thaw lets them go again; NotFound if the destination is not frozen.
func (c *Client) Thaw(ctx context.Context, destination string) (string, error) {
	var name string
	err := c.ask(ctx, "queue.thaw", freezeArgument{Destination: destination}, &name)
	return name, err
}

// FrozenDestinations lists the destinations that are frozen, by name.
func (c *Client) FrozenDestinations(ctx context.Context) iter.Seq2[store.FrozenDestination, error] {
	return list[store.FrozenDestination](ctx, c, "queue.frozen", struct{}{})
}

// checkWhy refuses a reason that is too long.
func checkWhy(op, why string) error {
	if len(why) > maxWhy {
		return fault.Newf(fault.TooLarge, op, "the reason is longer than %d octets", maxWhy)
	}
	return nil
}

func queueFreeze(s *service, c *call, a freezeArgument) (any, error) {
	const op = "freeze a destination"
	name, err := mail.ParseDomain(a.Destination)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, op, "%.80q: %w", a.Destination, err)
	}
	if err := checkWhy(op, a.Why); err != nil {
		return nil, err
	}
	return name, s.store.Freeze(c, name, a.Why, time.Now())
}

func queueThaw(s *service, c *call, a freezeArgument) (any, error) {
	const op = "thaw a destination"
	name, err := mail.ParseDomain(a.Destination)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, op, "%.80q: %w", a.Destination, err)
	}
	if err := s.store.Thaw(c, name); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = fault.Newf(fault.NotFound, "thaw "+name, "it is not frozen")
		}
		return nil, err
	}
	if s.deliverer != nil {
		s.deliverer.Revive(name)
	}
	return name, nil
}

func queueFrozen(s *service, c *call, _ struct{}) (any, error) {
	for d, err := range s.store.Frozen(c) {
		if err != nil {
			return nil, err
		}
		if err := c.emit(d); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
