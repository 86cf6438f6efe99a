package pebblestore

import (
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// checkOnward checks what an Accept says of the queue by itself.
func (op *acceptOp) checkOnward() error {
	const name = "accept"
	op.onward = 0
	for _, p := range op.a.Onward {
		if len(p.Messages()) > 0 && !p.Warrant().Valid() {
			return fault.Newf(fault.Denied, name, "nobody vouches for it")
		}
		op.onward += len(p.Messages())
	}
	if len(op.a.Deliveries) == 0 && op.onward == 0 {
		return fault.Newf(fault.Invalid, name, "it goes nowhere")
	}
	if len(op.a.Settle) > store.MaxSettlements {
		return fault.Newf(fault.TooLarge, name, "%d settlements", len(op.a.Settle))
	}
	if op.onward < 2 {
		return nil
	}
	seen := make(map[mail.ID]struct{}, op.onward)
	for _, p := range op.a.Onward {
		for i := range p.Messages() {
			id := p.Messages()[i].ID
			if _, there := seen[id]; there {
				return fault.Newf(fault.Invalid, name, "two messages have the id %s", id)
			}
			seen[id] = struct{}{}
		}
	}
	return nil
}

// prepareQueue checks what the Accept wants of the queue, and claims the rows that
// it settles; enqueue does it.
func (op *acceptOp) prepareQueue(t *tx) error {
	if op.onward == 0 && len(op.a.Settle) == 0 {
		return nil
	}
	if err := t.readTotals(); err != nil {
		return err
	}
	for _, p := range op.a.Onward {
		for i := range p.Messages() {
			id := p.Messages()[i].ID
			if _, there := t.queue.onward[id]; there {
				return errAgain
			}
			if !t.s.recent.fresh(t.s.db, id) && t.s.has(t.key.queued(id)) {
				return fault.Newf(fault.Exists, "accept", "%s is there already", whereQueued(id))
			}
		}
	}
	return t.settleRows(op.a.Settle, true)
}

// enqueue puts the Accept's messages into the queue and settles its rows; their
// prefixes stand in the record from prefixOff on.
func (op *acceptOp) enqueue(t *tx, prefixOff uint32) {
	for _, p := range op.a.Onward {
		for i := range p.Messages() {
			m := &p.Messages()[i]
			op.enqueueOne(t, m, p.Warrant(), prefixOff)
			if len(m.Prefix) > 0 {
				prefixOff += prefixCRCSize + uint32(len(m.Prefix))
			}
		}
	}
	if len(op.a.Settle) > 0 {
		t.applyRows()
	}
}

func (op *acceptOp) enqueueOne(t *tx, m *store.Onward, w store.Warrant, prefixOff uint32) {
	e := m.Envelope
	e.ID, e.Recipients = m.ID, nil
	t.queue.envelope = appendEnvelope(t.queue.envelope[:0], &e)
	q := queued{
		id: m.ID, acceptID: op.a.ID, accepted: op.a.Received.Unix(), blob: op.record.blob, body: op.record.body,
		prefixOff: prefixOff, prefixLen: uint32(len(m.Prefix)), rows: len(m.Envelope.Recipients),
		warrant: w, notify: m.Notify, envelope: t.queue.envelope,
	}
	t.val = q.append(t.val[:0])
	_ = t.set(t.key.queued(m.ID)) // a batch that is not indexed takes everything
	row := queueRow{id: store.RowID{Message: m.ID}, priority: m.Envelope.Priority, due: m.Due.UnixMilli()}
	for i := range m.Envelope.Recipients {
		row.id.Index, row.recipient = i, m.Envelope.Recipients[i]
		t.putRow(&row, nil)
	}
	t.queue.onward[m.ID] = struct{}{}
	t.s.recent.add(m.ID)
	t.count(1, int64(q.rows), q.size())
}
