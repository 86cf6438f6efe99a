package pebblestore

import (
	"encoding/binary"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// queued is a queued message's record: all but its rows. It is one reference to
// its content.
type queued struct {
	id        mail.ID
	acceptID  mail.ID
	accepted  int64 // seconds since 1970
	blob      uint64
	body      int64 // octets of the content
	prefixOff uint32
	prefixLen uint32
	rows      int // there were at first
	warrant   store.Warrant
	notify    mail.Address
	envelope  []byte // without recipients
}

// The forms of a queued message's and a row's value, in its first octet.
const (
	queuedForm = 0
	rowForm    = 0
)

// sumSize is the length of the checksum at the end of these values: what a disk
// made of them must not be sent to anybody.
const sumSize = 4

func appendSum(b []byte, from int) []byte {
	return binary.BigEndian.AppendUint32(b, checksum(b[from:]))
}

// checkSum returns a value without its checksum, errValue if that is wrong.
func checkSum(v []byte) ([]byte, error) {
	n := len(v) - sumSize
	if n < 0 || checksum(v[:n]) != binary.BigEndian.Uint32(v[n:]) {
		return nil, errValue
	}
	return v[:n], nil
}

func (q *queued) append(b []byte) []byte {
	from := len(b)
	b = append(b, queuedForm)
	b = append(b, q.acceptID[:]...)
	b = binary.AppendVarint(b, q.accepted)
	b = binary.AppendUvarint(b, q.blob)
	b = binary.AppendUvarint(b, uint64(q.body))
	b = binary.AppendUvarint(b, uint64(q.prefixOff))
	b = binary.AppendUvarint(b, uint64(q.prefixLen))
	b = binary.AppendUvarint(b, uint64(q.rows))
	b = append(b, byte(q.warrant.Kind()))
	b = binary.AppendUvarint(b, uint64(q.warrant.Account()))
	b = appendText(b, q.warrant.Name())
	b = appendAddress(b, q.notify)
	b = append(b, q.envelope...)
	return appendSum(b, from)
}

// decodeQueued reads what append wrote. The envelope is part of v.
func decodeQueued(id mail.ID, v []byte) (queued, error) {
	v, err := checkSum(v)
	if err != nil {
		return queued{}, err
	}
	r := valueReader{b: v}
	if r.octet() != queuedForm {
		return queued{}, errValue
	}
	q := queued{id: id}
	copy(q.acceptID[:], r.take(uint64(len(q.acceptID))))
	q.accepted = r.int()
	q.blob = r.uint()
	q.body = int64(r.uint())
	q.prefixOff = uint32(r.uint())
	q.prefixLen = uint32(r.uint())
	q.rows = int(r.uint())
	kind, account := store.WarrantKind(r.octet()), mail.AccountID(r.uint())
	q.warrant = store.StoredWarrant(kind, account, r.text())
	q.notify = r.address()
	if r.err == nil && (q.body < 0 || q.rows <= 0) {
		r.err = errValue
	}
	q.envelope = r.b
	return q, r.err
}

// size returns the message's octets, its prefix included.
func (q *queued) size() int64 { return int64(q.prefixLen) + q.body }

func (q *queued) leaving() leaving { return leaving{q.blob, q.size(), q.rows} }

// copied returns the record that its copy would have in a mailbox.
func (q *queued) copied() message {
	return message{size: q.size(), id: q.id, blob: q.blob, prefixOff: q.prefixOff, prefixLen: q.prefixLen}
}

// message turns a record into what the store shows of it, but for its rows.
func (q *queued) message() (store.QueuedMessage, error) {
	e, err := decodeEnvelope(q.envelope)
	return store.QueuedMessage{
		ID: q.id, AcceptID: q.acceptID, Accepted: time.Unix(q.accepted, 0).UTC(), Size: q.size(),
		Envelope: e, Notify: q.notify, Warrant: q.warrant,
	}, err
}

// queueRow is the record of a queued message's recipient.
type queueRow struct {
	id        store.RowID
	priority  int8 // of its message
	due       int64
	state     store.RowState
	recipient mail.Recipient
	progress  store.RowProgress
}

// The flags of a row.
const (
	rowHeld = 1 << iota
	rowDelayed
	rowUncertain
	rowTried // there is a time of the latest attempt
)

func (r *queueRow) append(b []byte) []byte {
	from := len(b)
	flags := byte(0)
	if r.state == store.RowHeld {
		flags |= rowHeld
	}
	if r.progress.Delayed {
		flags |= rowDelayed
	}
	if r.progress.Uncertain {
		flags |= rowUncertain
	}
	if !r.progress.Last.IsZero() {
		flags |= rowTried
	}
	b = append(b, rowForm, flags, byte(r.priority))
	b = binary.AppendVarint(b, r.due)
	b = appendRecipient(b, &r.recipient)
	b = binary.AppendUvarint(b, uint64(max(r.progress.Attempts, 0)))
	if flags&rowTried != 0 {
		b = binary.AppendVarint(b, r.progress.Last.Unix())
	}
	b = appendText(b, r.progress.Host)
	b = appendText(b, r.progress.Reply)
	return appendSum(b, from)
}

func decodeRow(id store.RowID, v []byte) (queueRow, error) {
	v, err := checkSum(v)
	if err != nil {
		return queueRow{}, err
	}
	r := valueReader{b: v}
	if r.octet() != rowForm {
		return queueRow{}, errValue
	}
	flags := r.octet()
	row := queueRow{id: id, priority: int8(r.octet()), due: r.int(), recipient: r.recipient()}
	if flags&rowHeld != 0 {
		row.state = store.RowHeld
	}
	row.progress = store.RowProgress{
		Attempts: int(r.uint()), Delayed: flags&rowDelayed != 0, Uncertain: flags&rowUncertain != 0,
	}
	if flags&rowTried != 0 {
		row.progress.Last = r.time()
	}
	row.progress.Host, row.progress.Reply = r.text(), r.text()
	if r.err == nil && (len(r.b) > 0 || row.progress.Attempts < 0 || !store.ValidDestination(row.recipient.Address.Domain)) {
		r.err = errValue
	}
	return row, r.err
}

// row turns a record into what the store shows of it.
func (r *queueRow) row(leased bool) store.Row {
	return store.Row{
		Index: r.id.Index, Recipient: r.recipient, State: r.state, Leased: leased,
		Due: time.UnixMilli(r.due).UTC(), RowProgress: r.progress,
	}
}

// planTail is the length of a place in the schedule after its destination and the
// octet 0: class, due, id, index.
const planTail = 1 + 8 + 16 + 4

// class puts rows of one destination in the order in which they are given out:
// those of higher priority first, then those never tried.
func (r *queueRow) class() byte {
	p := min(max(int(r.priority), mail.MinPriority), mail.MaxPriority)
	c := byte(mail.MaxPriority-p) * 2
	if r.progress.Attempts > 0 {
		c++
	}
	return c
}

// isTried reports whether a class is that of rows that were tried.
func isTried(class byte) bool { return class&1 != 0 }

// appendPlan appends the row's place in the schedule.
func (r *queueRow) appendPlan(b []byte) []byte {
	b = append(append(b, tablePlan), r.recipient.Address.Domain...)
	b = append(b, 0, r.class())
	b = binary.BigEndian.AppendUint64(b, uint64(r.due)^1<<63)
	b = append(b, r.id.Message[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(r.id.Index))
}

// plan is a place in the schedule.
type plan struct {
	name  []byte // of the destination
	class byte
	due   int64
	row   store.RowID
}

// keyPlan reads a place's key.
func keyPlan(key []byte) (p plan, ok bool) {
	n := len(key) - planTail
	if n < 2 || key[n-1] != 0 {
		return p, false
	}
	tail := key[n:]
	p = plan{name: key[1 : n-1], class: tail[0], due: int64(binary.BigEndian.Uint64(tail[1:]) ^ 1<<63)}
	copy(p.row.Message[:], tail[9:])
	p.row.Index = int(binary.BigEndian.Uint32(tail[25:]))
	return p, true
}

// appendDestination appends what the places of a destination's rows begin with.
func appendDestination(b []byte, name string) []byte {
	return append(append(append(b, tablePlan), name...), 0)
}

// queueTotals is how much is in the queue.
type queueTotals struct{ messages, rows, octets int64 }

func (q queueTotals) append(b []byte) []byte {
	b = binary.AppendVarint(b, q.messages)
	b = binary.AppendVarint(b, q.rows)
	return binary.AppendVarint(b, q.octets)
}

func decodeTotals(v []byte) (queueTotals, error) {
	r := valueReader{b: v}
	q := queueTotals{r.int(), r.int(), r.int()}
	return q, r.err
}

// findTotals returns how much is in the queue; a store that never had a queue has
// no record of it.
func findTotals(from getter) (queueTotals, error) {
	v, err := lookUp(from, keyQueue)
	if err != nil {
		return queueTotals{}, notFoundIsNil(err)
	}
	defer v.Close()
	q, err := decodeTotals(v.b)
	if err != nil {
		return q, fault.New(fault.Corrupt, "queue", err)
	}
	return q, nil
}

// findQueued returns a queued message's record, NotFound if there is none.
func findQueued(from getter, id mail.ID) (queued, error) {
	var key keyBuf
	v, err := lookUp(from, key.queued(id))
	if err != nil {
		return queued{}, err
	}
	defer v.Close()
	q, err := decodeQueued(id, v.b)
	if err != nil {
		return q, fault.New(fault.Corrupt, whereQueued(id), err)
	}
	q.envelope = append([]byte(nil), q.envelope...)
	return q, nil
}

// findRow returns a row's record, NotFound if there is none.
func findRow(from getter, id store.RowID) (queueRow, error) {
	var key keyBuf
	v, err := lookUp(from, key.row(id))
	if err != nil {
		return queueRow{}, err
	}
	defer v.Close()
	r, err := decodeRow(id, v.b)
	if err != nil {
		return r, fault.New(fault.Corrupt, whereRow(id), err)
	}
	return r, nil
}
