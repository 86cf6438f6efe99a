package pebblestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"postrider/internal/mail"
)

// errValue is what a value gives that can't be decoded.
var errValue = errors.New("malformed record")

// valueReader takes a value apart. The first mistake makes err stick; what
// follows reads as zero.
type valueReader struct {
	b   []byte
	err error
}

func (r *valueReader) uint() uint64 {
	n, k := binary.Uvarint(r.b)
	if k <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *valueReader) int() int64 {
	n, k := binary.Varint(r.b)
	if k <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[k:]
	return n
}

// fixed reads a number of eight octets.
func (r *valueReader) fixed() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *valueReader) octet() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// take returns the next n octets, nil if there are fewer.
func (r *valueReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// text reads a string with its length before it.
func (r *valueReader) text() string { return string(r.take(r.uint())) }

// octets reads what appendOctets wrote; none are nil. They are a copy.
func (r *valueReader) octets() []byte {
	b := r.take(r.uint())
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}

// count reads how many follow of something that takes an octet at least.
func (r *valueReader) count() uint64 {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return n
}

// texts reads what appendTexts wrote; none are nil.
func (r *valueReader) texts() []string {
	n := r.count()
	if n == 0 {
		return nil
	}
	all := make([]string, n)
	for i := range all {
		all[i] = r.text()
	}
	return all
}

func (r *valueReader) time() time.Time { return time.Unix(r.int(), 0).UTC() }

func (r *valueReader) fail() {
	r.err = errValue
	r.b = nil
}

func appendFixed(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, n) }

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendOctets(b, octets []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(octets))), octets...)
}

func appendTexts(b []byte, all []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, s := range all {
		b = appendText(b, s)
	}
	return b
}

// head is a mailbox's record: everything that changes when a message comes or goes.
type head struct {
	key         mailboxKey
	name        string
	uidValidity mail.UIDValidity
	uidNext     mail.UID
	modSeq      mail.ModSeq
	messages    int64
	octets      int64

	seen uint64 // committer: number of the last operation that placed a copy here
	in   uint64 // committer: number of the last batch that changed it
}

func (h *head) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(h.uidValidity))
	b = binary.AppendUvarint(b, uint64(h.uidNext))
	b = binary.AppendUvarint(b, uint64(h.modSeq))
	b = binary.AppendVarint(b, h.messages)
	b = binary.AppendVarint(b, h.octets)
	return append(b, h.name...)
}

func decodeHead(m mailboxKey, v []byte) (head, error) {
	r := valueReader{b: v}
	h := head{
		key:         m,
		uidValidity: mail.UIDValidity(r.uint()),
		uidNext:     mail.UID(r.uint()),
		modSeq:      mail.ModSeq(r.uint()),
		messages:    r.int(),
		octets:      r.int(),
	}
	h.name = string(r.b)
	return h, r.err
}

// usage is an account's record of what changes with its mail.
type usage struct {
	account     mail.AccountID
	modSeq      mail.ModSeq
	messages    int64
	octets      int64
	lastMailbox mail.MailboxID // greatest given
	held        int64          // octets of the copies that are held

	in uint64 // committer: number of the last batch that changed it
}

func (u *usage) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(u.modSeq))
	b = binary.AppendVarint(b, u.messages)
	b = binary.AppendVarint(b, u.octets)
	b = binary.AppendUvarint(b, uint64(u.lastMailbox))
	return binary.AppendVarint(b, u.held)
}

func decodeUsage(id mail.AccountID, v []byte) (usage, error) {
	r := valueReader{b: v}
	u := usage{
		account:     id,
		modSeq:      mail.ModSeq(r.uint()),
		messages:    r.int(),
		octets:      r.int(),
		lastMailbox: mail.MailboxID(r.uint()),
	}
	if r.err == nil && len(r.b) > 0 { // formats 1 and 2 end here; see raiseIndex
		u.held = r.int()
	}
	return u, r.err
}

// message is a message's record in a mailbox. Its prefix stands in the log
// beside the content, prefixLen octets at prefixOff within the record's
// prefixes.
type message struct {
	flags     mail.Flags
	modSeq    mail.ModSeq
	size      int64 // octets, prefix included
	received  int64 // seconds since 1970
	id        mail.ID
	blob      uint64
	prefixOff uint32
	prefixLen uint32
}

// messageForm is the first octet of a message's value: its form. Others are for
// later additions, as an explicit UIDL.
const messageForm = 0

func (m *message) append(b []byte) []byte {
	b = append(b, messageForm, byte(m.flags))
	b = append(b, m.id[:]...)
	b = binary.AppendUvarint(b, uint64(m.modSeq))
	b = binary.AppendUvarint(b, uint64(m.size))
	b = binary.AppendVarint(b, m.received)
	b = binary.AppendUvarint(b, m.blob)
	b = binary.AppendUvarint(b, uint64(m.prefixOff))
	return binary.AppendUvarint(b, uint64(m.prefixLen))
}

func decodeMessage(v []byte) (message, error) {
	r := valueReader{b: v}
	var m message
	if r.octet() != messageForm {
		return m, errValue
	}
	m.flags = mail.Flags(r.octet())
	copy(m.id[:], r.take(uint64(len(m.id))))
	m.modSeq = mail.ModSeq(r.uint())
	m.size = int64(r.uint())
	m.received = r.int()
	m.blob = r.uint()
	m.prefixOff = uint32(r.uint())
	m.prefixLen = uint32(r.uint())
	return m, r.err
}

// blob says where a content is: a record of length octets at offset in segment,
// and file, unless zero, if the body is a large file.
type blob struct {
	segment uint64
	offset  int64
	length  int64 // of the record
	body    int64 // octets of the content
	refs    uint64
	file    uint64
}

func (o *blob) append(b []byte) []byte {
	b = binary.AppendUvarint(b, o.segment)
	b = binary.AppendUvarint(b, uint64(o.offset))
	b = binary.AppendUvarint(b, uint64(o.length))
	b = binary.AppendUvarint(b, uint64(o.body))
	b = binary.AppendUvarint(b, o.refs)
	return binary.AppendUvarint(b, o.file)
}

func decodeBlob(v []byte) (blob, error) {
	r := valueReader{b: v}
	o := blob{
		segment: r.uint(),
		offset:  int64(r.uint()),
		length:  int64(r.uint()),
		body:    int64(r.uint()),
		refs:    r.uint(),
		file:    r.uint(),
	}
	if r.err == nil && (o.offset < 0 || o.length < recordHeaderSize || o.body < 0) {
		r.err = errValue
	}
	return o, r.err
}

// numbers are the greatest of those that are never given again in the store.
// UIDVALIDITY is one for all accounts, so that an account that is removed and
// made again has another.
type numbers struct {
	account  mail.AccountID
	validity mail.UIDValidity
}

func (n numbers) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(n.account))
	return binary.AppendUvarint(b, uint64(n.validity))
}

func decodeNumbers(v []byte) (numbers, error) {
	r := valueReader{b: v}
	n := numbers{account: mail.AccountID(r.uint()), validity: mail.UIDValidity(r.uint())}
	return n, r.err
}

// nextValidity counts a new mailbox: seconds since 1970, but always more than
// the last.
func (n *numbers) nextValidity(now time.Time) mail.UIDValidity {
	n.validity = max(n.validity+1, mail.UIDValidity(min(now.Unix(), math.MaxUint32)))
	return n.validity
}

// position is a place in the log.
type position struct {
	segment uint64
	offset  int64
}

// applied is how far the index is: the LSN of the last commit in it, and where
// the next one begins.
type applied struct {
	lsn  uint64
	next position
}

func (a applied) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, a.lsn)
	b = binary.BigEndian.AppendUint64(b, a.next.segment)
	return binary.BigEndian.AppendUint64(b, uint64(a.next.offset))
}

func decodeApplied(v []byte) (applied, error) {
	r := valueReader{b: v}
	a := applied{lsn: r.fixed(), next: position{r.fixed(), int64(r.fixed())}}
	return a, r.err
}

// segmentRow is a segment's record: octets of records that are referenced, and
// octets written to the segment in all.
type segmentRow struct{ live, used int64 }

func (s segmentRow) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(s.live)), uint64(s.used))
}

func decodeSegment(v []byte) (segmentRow, error) {
	r := valueReader{b: v}
	s := segmentRow{int64(r.fixed()), int64(r.fixed())}
	return s, r.err
}
