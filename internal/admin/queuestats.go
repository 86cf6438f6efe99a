package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"postrider/internal/mail"
	"postrider/internal/outbound"
	"postrider/internal/store"
)

// Limits of QueueStats.
const (
	// maxDestinations is how many are counted each: with more, only the totals have
	// the others.
	maxDestinations = 50_000
	// maxFailure is how much of a reply is shown, in octets.
	maxFailure = 300
)

// QueueDestination is what the queue has for a destination.
type QueueDestination struct {
	Destination string `json:"destination"`
	QueueCounts
	// Oldest is when the first of the messages was accepted, Next when the first of
	// the rows that are to be tried is due.
	Oldest time.Time `json:"oldest"`
	Next   time.Time `json:"next,omitzero"`
	Frozen bool      `json:"frozen"`
	Why    string    `json:"why,omitempty"` // it is frozen
	// Kept says that nothing is sent at all.
	Kept bool `json:"kept,omitempty"`
	// Failure is the latest.
	Failure *QueueFailure `json:"last_failure,omitempty"`
	// Hop is what goes on with the hosts that its mail goes to; nil without a server,
	// and when nothing does.
	Hop *outbound.HopStatus `json:"hop,omitempty"`
}

// QueueCounts are rows, in all and by their state.
type QueueCounts struct {
	Rows    int64 `json:"rows"`
	Waiting int64 `json:"waiting"`
	Delayed int64 `json:"delayed"`
	Leased  int64 `json:"leased"`
	Held    int64 `json:"held"`
}

// QueueFailure is an attempt that has failed.
type QueueFailure struct {
	At    time.Time `json:"at"`
	Host  string    `json:"host,omitempty"`
	Reply string    `json:"reply,omitempty"`
}

// QueueTotals sums up.
type QueueTotals struct {
	Destinations int64 `json:"destinations"`
	Messages     int64 `json:"messages"`
	Octets       int64 `json:"octets"` // of the messages
	QueueCounts
	// LeftOut are the rows whose destinations are not among those shown, since there
	// are too many.
	LeftOut int64 `json:"left_out,omitempty"`
}

// QueueStats counts the rows of the queue that a filter means, and gives each
// destination to each, the one with the most rows first.
func (c *Client) QueueStats(ctx context.Context, f QueueFilter, each func(QueueDestination) error) (QueueTotals, error) {
	var totals QueueTotals
	err := c.run(ctx, "queue.stats", f, nil, func(raw json.RawMessage) error {
		var d QueueDestination
		if err := decode(raw, &d); err != nil {
			return err
		}
		return each(d)
	}, &totals)
	return totals, err
}

func (n *QueueCounts) add(state string) {
	n.Rows++
	switch state {
	case QueueWaiting:
		n.Waiting++
	case QueueDelayed:
		n.Delayed++
	case QueueLeased:
		n.Leased++
	case QueueHeld:
		n.Held++
	}
}

// counting is the destinations as they are counted.
type counting struct {
	totals QueueTotals
	by     map[string]*QueueDestination
}

func queueStats(s *service, c *call, f QueueFilter) (any, error) {
	rules, err := f.rules()
	if err != nil {
		return nil, err
	}
	n := counting{by: map[string]*QueueDestination{}}
	var unread unreadMessages
	for m, err := range s.store.Queued(c, mail.ID{}) {
		if err == nil {
			n.message(&m, rules.rows(&m))
		} else if err := unread.note(m.ID, err); err != nil {
			return nil, err
		}
	}
	if err := s.emitDestinations(c, &n); err != nil {
		return nil, err
	}
	return n.totals, unread.err()
}

// message counts rows of a message.
func (n *counting) message(m *store.QueuedMessage, rows []store.Row) {
	if len(rows) == 0 {
		return
	}
	n.totals.Messages++
	n.totals.Octets += m.Size
	for i := range rows {
		r := &rows[i]
		state := queueState(r)
		n.totals.add(state)
		d := n.destination(r.Recipient.Address.Domain)
		if d == nil {
			n.totals.LeftOut++
			continue
		}
		d.add(state)
		d.note(m, r)
	}
}

// destination returns the counts of a destination, nil if there are too many.
func (n *counting) destination(name string) *QueueDestination {
	d := n.by[name]
	if d == nil && len(n.by) < maxDestinations {
		d = &QueueDestination{Destination: strings.Clone(name)}
		n.by[d.Destination] = d
		n.totals.Destinations++
	}
	return d
}

// note keeps the extremes of a destination's rows.
func (d *QueueDestination) note(m *store.QueuedMessage, r *store.Row) {
	if d.Oldest.IsZero() || m.Accepted.Before(d.Oldest) {
		d.Oldest = m.Accepted
	}
	if r.State == store.RowWaiting && !r.Leased && (d.Next.IsZero() || r.Due.Before(d.Next)) {
		d.Next = r.Due
	}
	if r.Attempts > 0 && (d.Failure == nil || r.Last.After(d.Failure.At)) {
		d.Failure = &QueueFailure{At: r.Last, Host: strings.Clone(r.Host), Reply: clipText(r.Reply)}
	}
}

// clipText returns the beginning of a text, in memory of its own.
func clipText(s string) string {
	if len(s) <= maxFailure {
		return strings.Clone(s)
	}
	return mail.Cut(s, maxFailure) + "…"
}

// emitDestinations sends the destinations, with what is not in their rows.
func (s *service) emitDestinations(c *call, n *counting) error {
	why, err := s.still(c)
	if err != nil {
		return err
	}
	hops := map[string]*outbound.HopStatus{}
	if s.deliverer != nil {
		for _, h := range s.deliverer.Hops() {
			hops[h.Hop] = &h
		}
	}
	all := make([]*QueueDestination, 0, len(n.by))
	for _, d := range n.by {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b *QueueDestination) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Destination, b.Destination))
	})
	for _, d := range all {
		d.Kept = why.kept
		if f, ok := why.frozen[d.Destination]; ok {
			d.Frozen, d.Why = true, f.Why
		}
		if s.deliverer != nil {
			d.Hop = hops[s.deliverer.HopOf(d.Destination)]
		}
		if err := c.emit(d); err != nil {
			return err
		}
	}
	return nil
}
