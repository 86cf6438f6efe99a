package pebblestore

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// tx is the commit that is being made. There is one, used again and again.
//
// Operations see the index as it was before the commit, and on top of it what
// operations before them did to heads, usages and blobs. An operation that
// would have to see a message or accept record of this very commit returns
// errAgain instead.
type tx struct {
	c   *committer
	s   *Store
	lsn uint64
	seq uint64 // of the operation being prepared
	ops int

	batch   *pebble.Batch
	records []byte // room for the header, then records; after seal the whole frame
	redo    int
	at      position
	next    position

	heads    []*head
	usages   []*usage
	blobs    map[uint64]*blobChange
	fresh    []freshBlob
	accepted map[mail.ID]struct{}    // accepted, released or dropped in this commit
	messages map[mailboxKey]struct{} // mailboxes whose messages change in this commit
	live     map[uint64]int64        // change of a segment's live octets

	rows         []numberedRow
	deadSegments []uint64
	deadFiles    []uint64
	removed      bool // live octets went away
	queue        queueTx

	key keyBuf
	val []byte
}

// blobChange is a blob of which references changed in this commit.
type blobChange struct {
	blob
	id    uint64
	moved int // index of its new place in fresh, plus one
}

// freshBlob is a record written by this commit; where it is, seal decides.
type freshBlob struct {
	id     uint64
	offset int64 // within the frame
	blob
}

// maxFresh bounds the records of a commit: they are numbered in 16 bits.
const maxFresh = 1 << 16

func (t *tx) begin(c *committer) {
	t.c, t.s = c, c.s
	t.lsn = c.lsn + 1
	t.ops = 0
	t.batch = c.s.db.NewBatch()
	if cap(t.records) < frameHeaderSize {
		t.records = make([]byte, frameHeaderSize, 64<<10)
	}
	t.records = t.records[:frameHeaderSize]
	if t.blobs == nil {
		t.blobs = make(map[uint64]*blobChange)
		t.accepted = make(map[mail.ID]struct{})
		t.messages = make(map[mailboxKey]struct{})
		t.live = make(map[uint64]int64)
	}
	t.queue.begin()
	c.cache.trim()
}

// maxKeptFrame is how large a frame's buffer may be to be kept for the next.
const maxKeptFrame = 8 << 20

// end forgets everything.
func (t *tx) end() {
	t.batch.Close()
	t.batch = nil
	if cap(t.records) > maxKeptFrame {
		t.records = nil
	}
	t.heads = t.heads[:0]
	t.usages = t.usages[:0]
	t.fresh = t.fresh[:0]
	clear(t.blobs)
	clear(t.accepted)
	clear(t.messages)
	clear(t.live)
	t.deadSegments = t.deadSegments[:0]
	t.deadFiles = t.deadFiles[:0]
	t.removed = false
	t.endQueue()
}

// octets returns how much the commit has to write so far.
func (t *tx) octets() int { return len(t.records) + t.batch.Len() }

// empty reports whether there is nothing to commit.
func (t *tx) empty() bool {
	return t.batch.Empty() && len(t.fresh) == 0 && len(t.heads) == 0 && len(t.usages) == 0 && len(t.blobs) == 0
}

// head returns a mailbox's head, NotFound if there is none. Who changes it calls
// changeHead.
func (t *tx) head(m mailboxKey) (*head, error) {
	if h := t.c.cache.heads[m]; h != nil {
		return h, nil
	}
	v, err := t.s.get(t.key.mailbox(m))
	if err != nil {
		return nil, fault.Wrap("mailbox", err)
	}
	defer v.Close()
	h, err := decodeHead(m, v.b)
	if err != nil {
		return nil, fault.New(fault.Corrupt, "mailbox", err)
	}
	t.c.cache.heads[m] = &h
	return &h, nil
}

// changeHead says that h changes in this commit.
func (t *tx) changeHead(h *head) {
	if h.in != t.c.number {
		h.in = t.c.number
		t.heads = append(t.heads, h)
	}
}

// usage returns an account's usage, NotFound if there is none. Who changes it
// calls changeUsage.
func (t *tx) usage(id mail.AccountID) (*usage, error) {
	if u := t.c.cache.usages[id]; u != nil {
		return u, nil
	}
	v, err := t.s.get(t.key.usage(id))
	if err != nil {
		return nil, fault.Wrap("account", err)
	}
	defer v.Close()
	u, err := decodeUsage(id, v.b)
	if err != nil {
		return nil, fault.New(fault.Corrupt, "account", err)
	}
	t.c.cache.usages[id] = &u
	return &u, nil
}

// changeUsage says that u changes in this commit.
func (t *tx) changeUsage(u *usage) {
	if u.in != t.c.number {
		u.in = t.c.number
		t.usages = append(t.usages, u)
	}
}

// blob returns a blob as this commit leaves it so far.
func (t *tx) blob(id uint64) (*blobChange, error) {
	if o := t.blobs[id]; o != nil {
		return o, nil
	}
	v, err := t.s.get(t.key.blob(id))
	if err != nil {
		return nil, err
	}
	defer v.Close()
	o, err := decodeBlob(v.b)
	if err != nil {
		return nil, fault.New(fault.Corrupt, "content", err)
	}
	return &blobChange{blob: o, id: id}, nil
}

// release takes a reference from a blob, and frees the content with the last.
func (t *tx) release(o *blobChange) {
	t.blobs[o.id] = o
	if o.refs > 0 {
		o.refs--
	}
	if o.refs > 0 {
		return
	}
	if o.moved == 0 {
		t.live[o.segment] -= o.length
	}
	t.removed = true
	if o.file != 0 {
		t.deadFiles = append(t.deadFiles, o.file)
	}
}

// newBlob returns the number of the next record of this commit.
func (t *tx) newBlob() uint64 { return t.lsn<<16 | uint64(len(t.fresh)) }

// addRecord adds a record: its header, meta (envelope and prefixes) and body,
// which is empty if it is in a file.
func (t *tx) addRecord(h *recordHeader, meta, body []byte, refs uint64) {
	t.fresh = append(t.fresh, freshBlob{
		id:     h.blob,
		offset: int64(len(t.records)),
		blob:   blob{length: h.length(), body: h.body, refs: refs, file: h.file},
	})
	t.records = h.append(t.records)
	t.records = append(t.records, meta...)
	t.records = append(t.records, body...)
}

// set adds a change whose value was made in t.val.
func (t *tx) set(key []byte) error { return t.batch.Set(key, t.val, nil) }

// The octets that entries of fixed length take in a batch: kind, lengths, key, value.
const (
	appliedValue = 24
	appliedEntry = 1 + 1 + 8 + 1 + appliedValue
	segmentValue = 16
	segmentEntry = 1 + 1 + 9 + 1 + segmentValue
	// segmentDelete is what the deletion of a row takes.
	segmentDelete = 1 + 1 + 9
	// maxBlobEntry bounds the entries of a blob and its file.
	maxBlobEntry = 1 + 1 + 9 + 1 + 6*binary.MaxVarintLen64 + (1 + 1 + 9 + 1 + 8)
)

// seal completes the commit: it decides where the frame goes and puts it
// together.
func (t *tx) seal() error {
	if err := t.sealIndex(); err != nil {
		return fault.New(fault.Internal, "commit", err)
	}
	rows := len(t.live) + 2 // the head's, and that of the head before
	bound := int64(len(t.records)+t.batch.Len()) + int64(len(t.fresh))*maxBlobEntry + int64(rows)*segmentEntry + appliedEntry
	if bound > maxFrame-pageSize {
		return fault.Newf(fault.TooLarge, "commit", "an operation of %d octets", bound)
	}
	at, err := t.s.log.place(roundUp(bound, pageSize))
	if err != nil {
		return err
	}
	t.at = at
	if err := t.sealPlaces(); err != nil {
		return fault.New(fault.Internal, "commit", err)
	}
	return t.sealFrame()
}

// sealIndex adds the heads, usages and blobs that changed.
func (t *tx) sealIndex() error {
	var errs []error
	for _, h := range t.heads {
		t.val = h.append(t.val[:0])
		errs = append(errs, t.set(t.key.mailbox(h.key)))
	}
	for _, u := range t.usages {
		t.val = u.append(t.val[:0])
		errs = append(errs, t.set(t.key.usage(u.account)))
	}
	if t.queue.change {
		t.val = t.queue.totals.append(t.val[:0])
		errs = append(errs, t.set(keyQueue))
	}
	for id, o := range t.blobs {
		if o.moved > 0 {
			t.fresh[o.moved-1].refs = o.refs // it may be removed since it was moved
		}
		switch {
		case o.refs == 0:
			errs = append(errs, t.batch.Delete(t.key.blob(id), nil))
			if o.file != 0 {
				errs = append(errs, t.batch.Delete(t.key.file(o.file), nil))
			}
		case o.moved == 0:
			t.val = o.blob.append(t.val[:0])
			errs = append(errs, t.set(t.key.blob(id)))
		}
	}
	return errors.Join(errs...)
}

// sealPlaces adds the places of this commit's records, now that they are known.
func (t *tx) sealPlaces() error {
	var errs []error
	for i := range t.fresh {
		f := &t.fresh[i]
		if f.refs == 0 { // moved and removed in one commit
			continue
		}
		f.segment = t.at.segment
		f.blob.offset = t.at.offset + f.offset
		t.live[f.segment] += f.length
		t.val = f.blob.append(t.val[:0])
		errs = append(errs, t.set(t.key.blob(f.id)))
		if f.file != 0 {
			t.val = binary.BigEndian.AppendUint64(t.val[:0], f.id)
			errs = append(errs, t.set(t.key.file(f.file)))
		}
	}
	return errors.Join(errs...)
}

// sealFrame adds the rows of segments and the applied position, both of fixed
// length since the frame's length stands in them, and puts the frame together.
func (t *tx) sealFrame() error {
	if _, ok := t.live[t.at.segment]; !ok {
		t.live[t.at.segment] = 0
	}
	t.rows, t.deadSegments = t.s.log.rows(t.rows[:0], t.deadSegments, t.at.segment, t.live)
	h := frameHeader{store: t.s.id, segment: t.at.segment, lsn: t.lsn, records: uint32(len(t.records) - frameHeaderSize)}
	redo := t.batch.Len() + len(t.rows)*segmentEntry + len(t.deadSegments)*segmentDelete + appliedEntry
	h.redo = uint32(redo)
	t.next = position{t.at.segment, t.at.offset + h.padded()}
	if err := t.sealRows(); err != nil {
		return fault.New(fault.Internal, "commit", err)
	}
	repr := t.batch.Repr()
	if len(repr) != redo {
		return fault.Newf(fault.Internal, "commit", "the redo has %d octets, %d were reckoned", len(repr), redo)
	}
	t.redo = redo
	t.records = append(t.records, repr...)
	h.sum(t.records)
	h.put(t.records)
	t.records = append(t.records, zeroPage[:h.padded()-h.size()]...)
	return nil
}

// sealRows adds the rows of segments and the applied position.
func (t *tx) sealRows() error {
	var errs []error
	for _, r := range t.rows {
		if r.num == t.at.segment {
			r.used = t.next.offset
		}
		t.val = r.segmentRow.append(t.val[:0])
		errs = append(errs, t.set(t.key.segment(r.num)))
	}
	for _, num := range t.deadSegments {
		errs = append(errs, t.batch.Delete(t.key.segment(num), nil))
	}
	t.val = applied{t.lsn, t.next}.append(t.val[:0])
	return errors.Join(append(errs, t.set(keyApplied))...)
}
