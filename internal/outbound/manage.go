package outbound

import (
	"cmp"
	"context"
	"slices"
	"time"

	"postrider/internal/mail"
)

// Bounce returns rows of a message to its sender as if they had failed, with the
// operator's reason; an empty list is all rows. NotFound and Busy are those of
// store.Queue.LeaseRows.
func (d *Deliverer) Bounce(ctx context.Context, id mail.ID, rows []int, why string) (int, error) {
	l, err := d.o.Store.LeaseRows(ctx, id, rows, d.o.Now().Add(leaseTime))
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	d.leased += len(l.Message.Rows)
	d.mu.Unlock()
	if l.Err != nil {
		d.setAside(ctx, &l, "")
		return 0, l.Err
	}
	j := &job{msg: l.Message, fences: l.Fences}
	text := "the operator of this server has returned it"
	if why != "" {
		text += ": " + clip(why)
	}
	o := final("5.7.0", text)
	o.untried = true
	f := d.conclude(j, all(j, o))
	err = d.settler.settle(ctx, []*finished{f})
	d.giveBack(j) // what was settled has no lease any more
	if err != nil {
		d.Kick(domainsOf(j)...)
		return 0, err
	}
	return f.rows, nil
}

// domainsOf returns the destinations of a job's rows.
func domainsOf(j *job) []string {
	all := make([]string, j.rows())
	for i := range all {
		all[i] = j.msg.Rows[i].Recipient.Address.Domain
	}
	return all
}

// HopStatus is a hop as it is at a moment.
type HopStatus struct {
	// Hop is a domain, or "route NAME".
	Hop string `json:"hop"`
	// Connections are those that it has, of Limit that it bears at this moment; Idle
	// of them wait for a message.
	Connections int `json:"connections"`
	Idle        int `json:"idle"`
	Limit       int `json:"limit"`
	// Rows are those that wait for one of its connections.
	Rows int `json:"rows"`
	// Failing is why it is not tried, until Until; else empty.
	Failing string    `json:"failing,omitempty"`
	Until   time.Time `json:"until,omitzero"`
}

// Hops returns the hops that something goes to, or that could not be reached, by
// name.
func (d *Deliverer) Hops() []HopStatus {
	now := d.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	var hops []HopStatus
	for _, h := range d.hops {
		if h.running == 0 && h.rows == 0 && !h.dead(now) {
			continue
		}
		s := HopStatus{Hop: h.key, Connections: h.running, Idle: h.idle, Limit: int(h.limit), Rows: h.rows}
		if h.dead(now) {
			s.Failing, s.Until = clip(h.failed.says()), h.deadUntil
		}
		hops = append(hops, s)
	}
	slices.SortFunc(hops, func(a, b HopStatus) int { return cmp.Compare(a.Hop, b.Hop) })
	return hops
}

// HopOf names the hop that a destination's rows went to last, as HopStatus does;
// empty: it is not known.
func (d *Deliverer) HopOf(destination string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h := d.sites[destination]; h != nil {
		return h.key
	}
	return ""
}

// Running reports whether mail is sent.
func (d *Deliverer) Running() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.running()
}

// Revive says that rows of these destinations may be due now, and that their hops
// are to be tried though they could not be reached.
func (d *Deliverer) Revive(destinations ...string) {
	d.mu.Lock()
	for _, name := range destinations {
		if h := d.sites[name]; h != nil {
			h.failed, h.deadUntil = nil, time.Time{}
		}
	}
	d.mu.Unlock()
	d.Kick(destinations...)
}
