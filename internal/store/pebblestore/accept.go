package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// maxMeta bounds envelope and prefixes of one Accept together, in octets.
const maxMeta = 64 << 20

// acceptOp is an Accept on its way through the committer.
type acceptOp struct {
	a       *store.Accept
	content *content
	meta    *[]byte // envelope, then prefixes
	record  recordHeader

	heads  []*head
	onward int // how many messages go into the queue
	result store.Accepted
	large  bool // the file is in the index
}

// Accept implements store.Messages.
func (s *Store) Accept(ctx context.Context, a store.Accept) (store.Accepted, error) {
	c, ok := a.Content.(*content)
	if !ok || c == nil || c.s != s {
		if a.Content != nil {
			a.Content.Discard()
		}
		return store.Accepted{}, fault.Newf(fault.Invalid, "accept", "the content is not this store's")
	}
	op := s.acceptOps.Get().(*acceptOp)
	defer s.endAccept(op)
	op.a, op.content = &a, c
	err := s.accept(ctx, op)
	if err != nil {
		return store.Accepted{}, fault.Wrap("accept "+a.ID.String(), err)
	}
	return op.result, nil
}

func (s *Store) endAccept(op *acceptOp) {
	op.content.end(op.large)
	s.buffers.put(op.meta)
	*op = acceptOp{heads: op.heads[:0]}
	s.acceptOps.Put(op)
}

func (s *Store) accept(ctx context.Context, op *acceptOp) error {
	if err := s.gate.enter("accept"); err != nil {
		return err
	}
	defer s.gate.leave()
	switch {
	case op.content.over:
		return fault.Newf(fault.Invalid, "accept", "the content was accepted or discarded before")
	case op.a.ID.IsZero():
		return fault.Newf(fault.Invalid, "accept", "no id")
	}
	if err := op.checkOnward(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Transient, "accept", err)
	}
	if err := s.health.mail("accept"); err != nil {
		return err
	}
	if err := op.encode(s); err != nil {
		return err
	}
	if err := op.content.finish(); err != nil {
		return err
	}
	err := s.do(op)
	if err != nil && op.large && fault.KindOf(err) == fault.Internal {
		return err // the commit may have happened: the file stays
	}
	op.large = op.large && err == nil
	return err
}

// encode makes the record's header and meta, all but the blob's number.
func (op *acceptOp) encode(s *Store) error {
	const name = "accept"
	size := 0
	for i := range op.a.Deliveries {
		size += prefixCRCSize + len(op.a.Deliveries[i].Prefix)
	}
	for _, p := range op.a.Onward {
		for i := range p.Messages() {
			size += prefixCRCSize + len(p.Messages()[i].Prefix)
		}
	}
	if size > maxMeta {
		return fault.Newf(fault.TooLarge, name, "prefixes of %d octets", size)
	}
	op.meta = s.buffers.get(size + 512)
	e := op.a.Envelope
	e.Hold = time.Time{} // it is in the rows of what is held
	b := appendEnvelope(*op.meta, &e)
	envelope := len(b)
	for i := range op.a.Deliveries {
		if p := op.a.Deliveries[i].Prefix; len(p) > 0 {
			b = appendPrefix(b, p)
		}
	}
	for _, p := range op.a.Onward {
		for i := range p.Messages() {
			if p := p.Messages()[i].Prefix; len(p) > 0 {
				b = appendPrefix(b, p)
			}
		}
	}
	*op.meta = b
	if len(b) > 2*maxMeta {
		return fault.Newf(fault.TooLarge, name, "an envelope of %d octets", envelope)
	}
	body := op.content.body()
	op.record = recordHeader{
		envelope:    uint32(envelope),
		prefixes:    uint32(len(b) - envelope),
		body:        op.content.n,
		envelopeCRC: checksum(b[:envelope]),
		prefixesCRC: checksum(b[envelope:]),
	}
	if op.content.file != nil {
		op.record.file = op.content.file.num
	} else {
		op.record.bodyCRC = checksum(body)
	}
	return nil
}

func (op *acceptOp) alone() bool { return false }

// prepare implements operation.
func (op *acceptOp) prepare(t *tx) error {
	if done, err := op.repeated(t); done || err != nil {
		return err
	}
	if len(t.fresh) == maxFresh-1 {
		return errAgain
	}
	op.heads = op.heads[:0]
	for i := range op.a.Deliveries {
		d := &op.a.Deliveries[i]
		h, err := t.head(mailboxKey{d.Account, d.Mailbox})
		if err != nil {
			return fault.Newf(fault.KindOf(err), "accept", "account %d, mailbox %d: %w", d.Account, d.Mailbox, err)
		}
		if _, err := t.usage(d.Account); err != nil {
			return err
		}
		if h.uidNext == math.MaxUint32 {
			return fault.Newf(fault.Internal, "accept", "account %d, mailbox %d has no UIDs left", d.Account, d.Mailbox)
		}
		op.heads = append(op.heads, h)
	}
	if err := op.prepareQueue(t); err != nil {
		return err
	}
	if !op.a.Hold.IsZero() && len(op.heads) > 0 {
		return op.hold(t)
	}
	return op.place(t)
}

// repeated answers as the first Accept with the same ID did, if there was one.
func (op *acceptOp) repeated(t *tx) (bool, error) {
	if _, ok := t.accepted[op.a.ID]; ok {
		return false, errAgain
	}
	if t.s.recent.fresh(t.s.db, op.a.ID) {
		return false, nil
	}
	v, closer, err := t.s.db.Get(t.key.accept(op.a.ID))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return op.isHeld(t)
	case err != nil:
		return false, indexFault("accept", err)
	}
	defer closer.Close()
	placed, err := decodePlaced(v)
	if err != nil {
		return false, fault.New(fault.Corrupt, "accept", err)
	}
	op.result = store.Accepted{Placed: placed, Repeated: true}
	return true, nil
}

// place adds the copies; nothing can fail any more but memory.
func (op *acceptOp) place(t *tx) error {
	op.record.blob = t.newBlob()
	m := message{received: op.a.Received.Unix(), id: op.a.ID, blob: op.record.blob}
	op.result.Placed = make([]store.Placed, 0, len(op.heads))
	prefixOff := uint32(0)
	for i, h := range op.heads {
		d := &op.a.Deliveries[i]
		m.prefixOff, m.prefixLen = prefixOff, uint32(len(d.Prefix))
		if len(d.Prefix) > 0 {
			prefixOff += prefixCRCSize + m.prefixLen
		}
		if h.seen == t.seq {
			continue // a second delivery to the same mailbox
		}
		h.seen = t.seq
		u, err := t.usage(d.Account)
		if err != nil {
			return err
		}
		m.size = int64(m.prefixLen) + op.record.body
		m.flags = d.Flags
		uid := t.deliver(h, u, &m)
		op.result.Placed = append(op.result.Placed, store.Placed{Account: d.Account, Mailbox: d.Mailbox, UID: uid, ModSeq: m.modSeq})
	}
	op.enqueue(t, prefixOff)
	t.addRecord(&op.record, *op.meta, op.content.body(), uint64(len(op.result.Placed)+op.onward))
	op.large = op.record.file != 0
	return op.remember(t)
}

// remember keeps the answer for a repetition.
func (op *acceptOp) remember(t *tx) error {
	t.accepted[op.a.ID] = struct{}{}
	t.s.recent.add(op.a.ID)
	t.val = appendPlaced(t.val[:0], t.s.o.Now(), op.result.Placed)
	return t.set(t.key.accept(op.a.ID))
}

// deliver adds one message to a mailbox and returns its UID; m.modSeq is set.
func (t *tx) deliver(h *head, u *usage, m *message) mail.UID {
	uid := h.uidNext
	u.modSeq++
	m.modSeq = u.modSeq
	h.uidNext++
	h.modSeq = m.modSeq
	h.messages++
	h.octets += m.size
	u.messages++
	u.octets += m.size
	t.changeHead(h)
	t.changeUsage(u)
	t.messages[h.key] = struct{}{}
	t.val = m.append(t.val[:0])
	_ = t.set(t.key.message(h.key, uid)) // a batch that is not indexed takes everything
	return uid
}

// appendPlaced encodes what an Accept answered, and when.
func appendPlaced(b []byte, when time.Time, placed []store.Placed) []byte {
	b = binary.AppendVarint(b, when.Unix())
	b = binary.AppendUvarint(b, uint64(len(placed)))
	for _, p := range placed {
		b = binary.AppendUvarint(b, uint64(p.Account))
		b = binary.AppendUvarint(b, uint64(p.Mailbox))
		b = binary.AppendUvarint(b, uint64(p.UID))
		b = binary.AppendUvarint(b, uint64(p.ModSeq))
	}
	return b
}

func decodePlaced(v []byte) ([]store.Placed, error) {
	r := valueReader{b: v}
	r.int() // when
	n := r.uint()
	if n > uint64(len(r.b)) {
		return nil, errValue
	}
	placed := make([]store.Placed, n)
	for i := range placed {
		placed[i] = store.Placed{
			Account: mail.AccountID(r.uint()),
			Mailbox: mail.MailboxID(r.uint()),
			UID:     mail.UID(r.uint()),
			ModSeq:  mail.ModSeq(r.uint()),
		}
	}
	return placed, r.err
}
