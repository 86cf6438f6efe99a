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

// queued is a message in the queue, with all its rows by ascending index. Their
// Leased is not kept.
type queued struct {
	store.QueuedMessage
	prefix  []byte
	content *content
	spoilt  map[int]bool // rows that can't be read
}

// lease is the latest lease of a row.
type lease struct {
	fence uint64
	until time.Time
	ended bool // the row may be leased again
}

// SpoilRow makes a row of the queue unreadable, as a disk does; it is no error if
// it is not there.
func (m *Model) SpoilRow(id store.RowID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if q := m.queue[id.Message]; q != nil {
		q.spoilt[id.Index] = true
	}
}

// mayQueue says why an Accept can't do to the queue what it wants.
func (m *Model) mayQueue(op string, a *store.Accept) error {
	seen := map[mail.ID]bool{}
	for _, p := range a.Onward {
		for _, o := range p.Messages() {
			switch {
			case !p.Warrant().Valid():
				return fault.Newf(fault.Denied, op, "nobody vouches for it")
			case seen[o.ID]:
				return fault.Newf(fault.Invalid, op, "two messages have the id %s", o.ID)
			case m.queue[o.ID] != nil:
				return fault.Newf(fault.Exists, op, "message %s is in the queue", o.ID)
			}
			seen[o.ID] = true
		}
	}
	if len(a.Deliveries) == 0 && len(seen) == 0 {
		return fault.Newf(fault.Invalid, op, "it goes nowhere")
	}
	if len(a.Settle) > store.MaxSettlements {
		return fault.Newf(fault.TooLarge, op, "%d settlements at once", len(a.Settle))
	}
	rows := map[store.RowID]bool{}
	for _, s := range a.Settle {
		if !m.maySettle(s) || rows[s.Row] {
			return fault.Newf(fault.Denied, op, "the lease of row %d of %s is stale", s.Row.Index, s.Row.Message)
		}
		rows[s.Row] = true
	}
	return nil
}

// enqueue does to the queue what an Accept wants.
func (m *Model) enqueue(a *store.Accept, shared *content) {
	for _, p := range a.Onward {
		for _, o := range p.Messages() {
			q := &queued{prefix: bytes.Clone(o.Prefix), content: shared, spoilt: map[int]bool{}}
			q.QueuedMessage = store.QueuedMessage{
				ID: o.ID, AcceptID: a.ID, Accepted: a.Received.Truncate(time.Second),
				Size: int64(len(o.Prefix) + len(shared.octets)), Envelope: o.Envelope, Notify: o.Notify, Warrant: p.Warrant(),
			}
			q.Envelope.ID, q.Envelope.Recipients = o.ID, nil
			if !o.Envelope.Hold.IsZero() {
				q.Envelope.Hold = o.Envelope.Hold.Truncate(time.Second).UTC()
			}
			for i, r := range o.Envelope.Recipients {
				q.Rows = append(q.Rows, store.Row{Index: i, Recipient: r, Due: o.Due.Truncate(time.Millisecond)})
			}
			m.queue[o.ID] = q
		}
	}
	for _, s := range a.Settle {
		m.settle(s)
	}
}

// row returns a row and its message, nil if it is not there.
func (m *Model) row(id store.RowID) (*queued, *store.Row) {
	q := m.queue[id.Message]
	if q == nil {
		return nil, nil
	}
	for i := range q.Rows {
		if q.Rows[i].Index == id.Index {
			return q, &q.Rows[i]
		}
	}
	return q, nil
}

// holder returns the lease of a row if it is the one that the caller has.
func (m *Model) holder(r store.RowLease) (*lease, bool) {
	l := m.leases[r.Row]
	return l, l != nil && l.fence == r.Fence
}

// expire ends the leases whose time has come.
func (m *Model) expire(now time.Time) {
	for _, l := range m.leases {
		l.ended = l.ended || !l.until.After(now)
	}
}

// leased reports whether a row is being tried.
func (m *Model) leased(id store.RowID) bool {
	l := m.leases[id]
	return l != nil && !l.ended
}

// take leases a row.
func (m *Model) take(id store.RowID, until time.Time) uint64 {
	m.fence++
	m.leases[id] = &lease{fence: m.fence, until: until}
	return m.fence
}

// maySettle reports whether a settlement can be made. A row that can't be read can
// be removed only.
func (m *Model) maySettle(s store.Settlement) bool {
	_, ok := m.holder(s.RowLease)
	return ok && (s.Remove || !m.queue[s.Row.Message].spoilt[s.Row.Index])
}

// settle does what a settlement says, if its lease is good.
func (m *Model) settle(s store.Settlement) bool {
	if !m.maySettle(s) {
		return false
	}
	if s.Remove {
		m.removeRow(s.Row)
		return true
	}
	delete(m.leases, s.Row)
	_, r := m.row(s.Row)
	r.Due, r.State, r.RowProgress = s.Due.Truncate(time.Millisecond), s.State, s.Progress.Bounded()
	return true
}

// removeRow takes a row out, and its message with the last.
func (m *Model) removeRow(id store.RowID) {
	q := m.queue[id.Message]
	delete(m.leases, id)
	q.Rows = slices.DeleteFunc(slices.Clone(q.Rows), func(r store.Row) bool { return r.Index == id.Index })
	if len(q.Rows) == 0 {
		delete(m.queue, id.Message)
	}
}

// show returns a message with some of its rows.
func (m *Model) show(q *queued, rows []store.Row) store.QueuedMessage {
	shown := q.QueuedMessage
	shown.Rows = slices.Clone(rows)
	for i := range shown.Rows {
		shown.Rows[i].Leased = m.leased(store.RowID{Message: q.ID, Index: rows[i].Index})
	}
	return shown
}

// waiting returns the destinations that have rows that wait and are not leased.
func (m *Model) waiting() []store.Destination {
	m.expire(m.now())
	all := map[string]store.Destination{}
	for id, q := range m.queue {
		for _, r := range q.Rows {
			if r.State != store.RowWaiting || m.leased(store.RowID{Message: id, Index: r.Index}) {
				continue
			}
			name := r.Recipient.Address.Domain
			d, ok := all[name]
			if !ok || r.Due.Before(d.Due) {
				_, frozen := m.frozen[name]
				all[name] = store.Destination{Name: name, Due: r.Due, Frozen: frozen}
			}
		}
	}
	return sorted(maps.Values(all), func(d store.Destination) string { return d.Name }, "", "")
}

// Destinations implements store.Queue.
func (m *Model) Destinations(ctx context.Context, after string) iter.Seq2[store.Destination, error] {
	return list(m, ctx, string(OpDestinations), func() []store.Destination {
		return slices.DeleteFunc(m.waiting(), func(d store.Destination) bool { return d.Name <= after })
	})
}

// Destination implements store.Queue.
func (m *Model) Destination(ctx context.Context, name string) (store.Destination, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, OpDestinations); err != nil {
		return store.Destination{}, err
	}
	for _, d := range m.waiting() {
		if d.Name == name {
			return d, nil
		}
	}
	return store.Destination{}, fault.Newf(fault.NotFound, string(OpDestinations), "nothing waits for %s", name)
}

// Waiting implements store.Queue.
func (m *Model) Waiting(ctx context.Context, destination string, limit int) ([]store.WaitingRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, OpDestinations); err != nil {
		return nil, err
	}
	m.expire(m.now())
	var all []store.WaitingRow
	for id, q := range m.queue {
		for _, r := range m.show(q, q.Rows).Rows {
			if r.State == store.RowWaiting && r.Recipient.Address.Domain == destination && len(all) < limit && !q.spoilt[r.Index] {
				all = append(all, store.WaitingRow{Message: id, Row: r})
			}
		}
	}
	return all, nil
}

// candidate is a row that may be leased.
type candidate struct {
	q *queued
	r store.Row
}

func (c candidate) tried() bool { return c.r.Attempts > 0 }

func (c candidate) compare(d candidate) int {
	tried := map[bool]int{true: 1}
	return cmp.Or(
		cmp.Compare(d.q.Envelope.Priority, c.q.Envelope.Priority), cmp.Compare(tried[c.tried()], tried[d.tried()]),
		c.r.Due.Compare(d.r.Due), bytes.Compare(c.q.ID[:], d.q.ID[:]), cmp.Compare(c.r.Index, d.r.Index),
	)
}

// Lease implements store.Queue.
func (m *Model) Lease(ctx context.Context, q store.LeaseQuery) ([]store.Leased, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, OpLease); err != nil {
		return nil, err
	}
	m.expire(q.Now)
	if _, ok := m.frozen[q.Destination]; ok {
		return nil, nil
	}
	var leased []store.Leased
	places := map[mail.ID]int{}
	for _, c := range choose(m.candidates(q), q.Limit) {
		id := store.RowID{Message: c.q.ID, Index: c.r.Index}
		fence := m.take(id, q.Until)
		if c.q.spoilt[c.r.Index] {
			leased = append(leased, spoiltLease(id, fence))
			continue
		}
		at, ok := places[c.q.ID]
		if !ok {
			at = len(leased)
			places[c.q.ID] = at
			leased = append(leased, store.Leased{Message: m.show(c.q, nil)})
		}
		l := &leased[at]
		l.Message.Rows = append(l.Message.Rows, m.show(c.q, []store.Row{c.r}).Rows...)
		l.Fences = append(l.Fences, fence)
	}
	return leased, m.answer(OpLease)
}

// spoiltLease is the lease of a row that can't be read.
func spoiltLease(id store.RowID, fence uint64) store.Leased {
	return store.Leased{
		Message: store.QueuedMessage{ID: id.Message, Rows: []store.Row{{Index: id.Index, Leased: true}}},
		Fences:  []uint64{fence},
		Err:     fault.Newf(fault.Corrupt, string(OpLease), "row %d of %s can't be read", id.Index, id.Message),
	}
}

// candidates returns the rows of a destination that may be leased, in order.
func (m *Model) candidates(q store.LeaseQuery) []candidate {
	var all []candidate
	for id, msg := range m.queue {
		for _, r := range msg.Rows {
			if r.Recipient.Address.Domain == q.Destination && r.State == store.RowWaiting &&
				!r.Due.After(q.Now) && !m.leased(store.RowID{Message: id, Index: r.Index}) {
				all = append(all, candidate{msg, r})
			}
		}
	}
	slices.SortFunc(all, candidate.compare)
	return all
}

// choose returns those that a lease gives out: the first ones, but a fifth of them
// tried ones if there are so many.
func choose(all []candidate, limit int) []candidate {
	limit = max(limit, 1)
	var tried []candidate
	for _, c := range all {
		if c.tried() {
			tried = append(tried, c)
		}
	}
	first := all[:min(limit, len(all))]
	share := min(limit/5, len(tried))
	missing := share
	for _, c := range first {
		if c.tried() {
			missing--
		}
	}
	if missing <= 0 {
		return first
	}
	chosen := slices.Clone(tried[:share])
	for _, c := range all {
		if !c.tried() && len(chosen) < limit {
			chosen = append(chosen, c)
		}
	}
	slices.SortFunc(chosen, candidate.compare)
	return chosen
}

// LeaseRows implements store.Queue.
func (m *Model) LeaseRows(ctx context.Context, id mail.ID, rows []int, until time.Time) (store.Leased, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, OpLease); err != nil {
		return store.Leased{}, err
	}
	m.expire(m.now())
	q := m.queue[id]
	if q == nil {
		return store.Leased{}, fault.Newf(fault.NotFound, string(OpLease), "no message %s is in the queue", id)
	}
	chosen := q.Rows
	if len(rows) > 0 {
		chosen = nil
		for _, i := range ascendingInts(rows) {
			_, r := m.row(store.RowID{Message: id, Index: i})
			if r == nil {
				return store.Leased{}, fault.Newf(fault.NotFound, string(OpLease), "message %s has no row %d", id, i)
			}
			chosen = append(chosen, *r)
		}
	}
	for _, r := range chosen {
		if m.leased(store.RowID{Message: id, Index: r.Index}) {
			return store.Leased{}, fault.Newf(fault.Busy, string(OpLease), "row %d of %s is being tried", r.Index, id)
		}
		if q.spoilt[r.Index] {
			return store.Leased{}, fault.Newf(fault.Corrupt, string(OpLease), "row %d of %s can't be read", r.Index, id)
		}
	}
	var l store.Leased
	for _, r := range chosen {
		l.Fences = append(l.Fences, m.take(store.RowID{Message: id, Index: r.Index}, until))
	}
	l.Message = m.show(q, chosen)
	return l, m.answer(OpLease)
}

// ascendingInts returns the numbers in order, each once.
func ascendingInts(n []int) []int {
	n = slices.Clone(n)
	slices.Sort(n)
	return slices.Compact(n)
}
