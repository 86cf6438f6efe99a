package storetest

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// Settle implements store.Queue.
func (m *Model) Settle(ctx context.Context, settlements []store.Settlement) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.beginChange(ctx, OpSettle); err != nil {
		return 0, err
	}
	if len(settlements) > store.MaxSettlements {
		return 0, fault.Newf(fault.TooLarge, string(OpSettle), "%d settlements at once", len(settlements))
	}
	made := 0
	for _, s := range settlements {
		if m.settle(s) {
			made++
		}
	}
	return made, m.answer(OpSettle)
}

// Unlease implements store.Queue.
func (m *Model) Unlease(ctx context.Context, rows []store.RowLease) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.begin(ctx, "give leases back") != nil {
		return
	}
	for _, r := range rows {
		if l, ok := m.holder(r); ok {
			l.ended = true
		}
	}
}

// OpenQueued implements store.Queue.
func (m *Model) OpenQueued(ctx context.Context, id mail.ID) (store.Reader, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, OpOpenQueued); err != nil {
		return nil, err
	}
	q := m.queue[id]
	if q == nil {
		return nil, fault.Newf(fault.NotFound, string(OpOpenQueued), "no message %s is in the queue", id)
	}
	return newReader(message{prefix: q.prefix, content: q.content}), nil
}

// QueuedMessage implements store.Queue.
func (m *Model) QueuedMessage(ctx context.Context, id mail.ID) (store.QueuedMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, OpQueued); err != nil {
		return store.QueuedMessage{}, err
	}
	q := m.queue[id]
	if q == nil {
		return store.QueuedMessage{}, fault.Newf(fault.NotFound, string(OpQueued), "no message %s is in the queue", id)
	}
	if len(q.spoilt) > 0 {
		return store.QueuedMessage{ID: id}, fault.Newf(fault.Corrupt, string(OpQueued), "message %s has a row that can't be read", id)
	}
	m.expire(m.now())
	return m.show(q, q.Rows), nil
}

// Queued implements store.Queue.
func (m *Model) Queued(ctx context.Context, after mail.ID) iter.Seq2[store.QueuedMessage, error] {
	return func(yield func(store.QueuedMessage, error) bool) {
		all := list(m, ctx, string(OpQueued), func() []store.QueuedMessage {
			m.expire(m.now())
			var all []store.QueuedMessage
			for id, q := range m.queue {
				if bytes.Compare(id[:], after[:]) <= 0 {
					continue
				}
				shown := m.show(q, q.Rows)
				if len(q.spoilt) > 0 {
					shown = store.QueuedMessage{ID: id} // without rows: it can't be read
				}
				all = append(all, shown)
			}
			slices.SortFunc(all, func(a, b store.QueuedMessage) int { return bytes.Compare(a.ID[:], b.ID[:]) })
			return all
		})
		for q, err := range all {
			if err == nil && len(q.Rows) == 0 {
				err = fault.Newf(fault.Corrupt, string(OpQueued), "message %s has a row that can't be read", q.ID)
			}
			if !yield(q, err) {
				return
			}
		}
	}
}

// ChangeRows implements store.Queue.
func (m *Model) ChangeRows(ctx context.Context, id mail.ID, rows []int, do store.RowChange, now time.Time) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.beginChange(ctx, OpChangeRows); err != nil {
		return 0, err
	}
	m.expire(now)
	q := m.queue[id]
	if q == nil {
		return 0, fault.Newf(fault.NotFound, string(OpChangeRows), "no message %s is in the queue", id)
	}
	var chosen []int
	for _, r := range q.Rows {
		if len(rows) > 0 && !slices.Contains(rows, r.Index) {
			continue
		}
		if m.leased(store.RowID{Message: id, Index: r.Index}) {
			return 0, fault.Newf(fault.Busy, string(OpChangeRows), "row %d of %s is being tried", r.Index, id)
		}
		if q.spoilt[r.Index] {
			return 0, fault.Newf(fault.Corrupt, string(OpChangeRows), "row %d of %s can't be read", r.Index, id)
		}
		chosen = append(chosen, r.Index)
	}
	changed := 0
	for _, i := range chosen {
		if m.changeRow(store.RowID{Message: id, Index: i}, do, now.Truncate(time.Millisecond)) {
			changed++
		}
	}
	return changed, m.answer(OpChangeRows)
}

// changeRow reports whether a row is another now.
func (m *Model) changeRow(id store.RowID, do store.RowChange, now time.Time) bool {
	_, r := m.row(id)
	switch {
	case do == store.DropRows:
		m.removeRow(id)
	case do == store.HoldRows && r.State == store.RowWaiting:
		r.State = store.RowHeld
	case do == store.ReleaseRows && r.State == store.RowHeld:
		r.State, r.Due = store.RowWaiting, now
	case do == store.RetryRows && r.State == store.RowWaiting && r.Due.After(now):
		r.Due = now
	default:
		return false
	}
	delete(m.leases, id)
	return true
}

// SetAside implements store.Queue.
func (m *Model) SetAside(ctx context.Context, row store.RowLease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.beginChange(ctx, OpSetAside); err != nil {
		return err
	}
	if _, ok := m.holder(row); !ok {
		return fault.Newf(fault.Denied, string(OpSetAside), "the lease of row %d of %s is stale", row.Row.Index, row.Row.Message)
	}
	q := m.queue[row.Row.Message]
	m.removeRow(row.Row)
	delete(q.spoilt, row.Row.Index)
	return m.answer(OpSetAside)
}

// Freeze implements store.Queue.
func (m *Model) Freeze(ctx context.Context, destination, why string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.beginChange(ctx, OpFreeze); err != nil {
		return err
	}
	if !store.ValidDestination(destination) {
		return fault.Newf(fault.Invalid, string(OpFreeze), "that is no destination")
	}
	m.frozen[destination] = store.FrozenDestination{Name: destination, Why: why, Since: now.Truncate(time.Second)}
	return m.answer(OpFreeze)
}

// Thaw implements store.Queue.
func (m *Model) Thaw(ctx context.Context, destination string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.beginChange(ctx, OpFreeze); err != nil {
		return err
	}
	if _, ok := m.frozen[destination]; !ok {
		return fault.Newf(fault.NotFound, string(OpFreeze), "%.40q is not frozen", destination)
	}
	delete(m.frozen, destination)
	return m.answer(OpFreeze)
}

// Frozen implements store.Queue.
func (m *Model) Frozen(ctx context.Context) iter.Seq2[store.FrozenDestination, error] {
	return list(m, ctx, "list frozen destinations", func() []store.FrozenDestination {
		return sorted(maps.Values(m.frozen), func(d store.FrozenDestination) string { return d.Name }, "", "")
	})
}

// QueueUsage implements store.Queue.
func (m *Model) QueueUsage(ctx context.Context) (store.QueueUsage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, "queue usage"); err != nil {
		return store.QueueUsage{}, err
	}
	var u store.QueueUsage
	for _, q := range m.queue {
		u.Messages++
		u.Rows += int64(len(q.Rows))
		u.Octets += q.Size
	}
	return u, nil
}
