package outbound

import (
	"context"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/smtp"
)

// What is looked at before the answer to ETRN, at most: whoever has asked waits for
// it.
const (
	maxCounted = 1000 // rows
	maxWalked  = 1000 // destinations
)

// census counts the messages that wait for who asks.
type census struct {
	d        *Deliverer
	a        *asked
	rows     int // that were looked at
	messages map[mail.ID]bool
	stopped  map[string]bool // what an operator has frozen of what is asked for; nil: not read yet
	frozen   bool            // something of that waits
	more     bool            // there may be more than was looked at
}

// count returns how many messages a run has to send, those under way among them: FlushSome when there are more than are counted, FlushBegun when what was
// looked at says nothing (RFC 1985 §5). Transient: all that waits is frozen.
func (d *Deliverer) count(ctx context.Context, a *asked) (smtp.Flushed, error) {
	c := census{d: d, a: a, messages: map[mail.ID]bool{}}
	err := c.domain(ctx, a.node.Name)
	if err == nil && a.node.Kind == smtp.NodeDomain {
		err = c.below(ctx)
	}
	switch n := len(c.messages); {
	case err != nil:
		return 0, err
	case n > 0 && c.more:
		return smtp.FlushSome, nil
	case n > 0:
		return smtp.Flushed(n), nil
	case c.more:
		return smtp.FlushBegun, nil
	case c.frozen:
		return 0, fault.Newf(fault.Transient, "count what waits", "an operator has frozen %s", a.node.Name)
	}
	return 0, nil
}

// below counts what waits for subdomains. Of those only that have nothing but what is
// under way the store does not tell.
func (c *census) below(ctx context.Context) error {
	taken := c.underWay()
	defer func() {
		if c.underWay() != taken {
			c.more = true
		}
	}()
	walked := 0
	for at, err := range c.d.o.Store.Destinations(ctx, "") {
		if err != nil {
			return err
		}
		if walked++; walked > maxWalked || c.rows >= maxCounted {
			c.more = true
			return nil
		}
		if at.Name == c.a.node.Name || !c.a.has(at.Name) {
			continue
		}
		if err := c.domain(ctx, at.Name); err != nil {
			return err
		}
	}
	return nil
}

// underWay notes that there may be more if something is leased, and returns how much
// has been leased since the start.
func (c *census) underWay() (taken uint64) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.more = c.more || c.d.leased > 0 || c.d.leasing > 0
	return c.d.taken
}

// domain counts what waits for a domain, but for what its sender holds back.
func (c *census) domain(ctx context.Context, name string) error {
	limit := maxCounted - c.rows
	rows, err := c.d.o.Store.Waiting(ctx, name, limit+1)
	if err != nil || len(rows) == 0 {
		return err
	}
	if stopped, err := c.isStopped(ctx, name); err != nil || stopped {
		c.frozen = c.frozen || stopped
		return err
	}
	if len(rows) > limit {
		c.more, rows = true, rows[:limit]
	}
	c.rows += len(rows)
	now := c.d.o.Now()
	for i := range rows {
		if !isHeldBack(&rows[i].Row, now) {
			c.messages[rows[i].Message] = true
		}
	}
	return nil
}

// isStopped reports whether an operator has frozen a domain.
func (c *census) isStopped(ctx context.Context, name string) (bool, error) {
	if c.stopped == nil {
		stopped := map[string]bool{}
		for at, err := range c.d.o.Store.Frozen(ctx) {
			if err != nil {
				return false, err
			}
			if c.a.has(at.Name) {
				stopped[at.Name] = true
			}
		}
		c.stopped = stopped
	}
	return c.stopped[name], nil
}
