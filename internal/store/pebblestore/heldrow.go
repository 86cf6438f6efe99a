package pebblestore

import (
	"encoding/binary"
	"slices"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// held is a held message's record. It is the one reference to its content until
// the message is released, and names the copies that there will be.
type held struct {
	id       mail.ID
	due      int64 // seconds since 1970, as received
	received int64
	blob     uint64
	body     int64 // octets of the content
	copies   []heldCopy
	// envelope is as it stands in the content's record, so that a listing need not
	// read the log.
	envelope []byte
}

// heldCopy is a message's copy in one mailbox, as message has it.
type heldCopy struct {
	box       mailboxKey
	flags     mail.Flags
	prefixOff uint32
	prefixLen uint32
}

// heldForm is the first octet of a held message's value: its form.
const heldForm = 0

func (h *held) append(b []byte) []byte {
	b = append(b, heldForm)
	b = binary.AppendVarint(b, h.due)
	b = binary.AppendVarint(b, h.received)
	b = binary.AppendUvarint(b, h.blob)
	b = binary.AppendUvarint(b, uint64(h.body))
	b = binary.AppendUvarint(b, uint64(len(h.copies)))
	for i := range h.copies {
		c := &h.copies[i]
		b = binary.AppendUvarint(b, uint64(c.box.account))
		b = binary.AppendUvarint(b, uint64(c.box.mailbox))
		b = append(b, byte(c.flags))
		b = binary.AppendUvarint(b, uint64(c.prefixOff))
		b = binary.AppendUvarint(b, uint64(c.prefixLen))
	}
	return append(b, h.envelope...)
}

// decodeHeld reads what append wrote. The envelope is part of v.
func decodeHeld(id mail.ID, v []byte) (held, error) {
	r := valueReader{b: v}
	if r.octet() != heldForm {
		return held{}, errValue
	}
	h := held{id: id, due: r.int(), received: r.int(), blob: r.uint(), body: int64(r.uint())}
	h.copies = make([]heldCopy, r.count())
	for i := range h.copies {
		h.copies[i] = heldCopy{
			box:       mailboxKey{mail.AccountID(r.uint()), mail.MailboxID(r.uint())},
			flags:     mail.Flags(r.octet()),
			prefixOff: uint32(r.uint()),
			prefixLen: uint32(r.uint()),
		}
	}
	if r.err == nil && (h.body < 0 || len(h.copies) == 0) {
		r.err = errValue
	}
	h.envelope = r.b
	return h, r.err
}

// size returns a copy's octets, its prefix included.
func (h *held) size(c *heldCopy) int64 { return int64(c.prefixLen) + h.body }

// sum adds the octets of the copies to those of their accounts.
func (h *held) sum(octets map[mail.AccountID]int64) {
	for i := range h.copies {
		octets[h.copies[i].box.account] += h.size(&h.copies[i])
	}
}

// message returns the record that a copy has in its mailbox, but for its ModSeq.
func (h *held) message(c *heldCopy, received int64) message {
	return message{
		flags: c.flags, size: h.size(c), received: received, id: h.id, blob: h.blob,
		prefixOff: c.prefixOff, prefixLen: c.prefixLen,
	}
}

// accounts returns those that have a copy, ascending, each once.
func (h *held) accounts() []mail.AccountID {
	ids := make([]mail.AccountID, len(h.copies))
	for i := range h.copies {
		ids[i] = h.copies[i].box.account
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// held turns a record into what the store shows of it.
func (h *held) held() (store.Held, error) {
	e, err := decodeEnvelope(h.envelope)
	return store.Held{
		ID: h.id, Due: time.Unix(h.due, 0).UTC(), Received: time.Unix(h.received, 0).UTC(),
		Size: h.body, Envelope: e, Accounts: h.accounts(),
	}, err
}

// findHeld returns a held message's record, NotFound if there is none.
func findHeld(from getter, id mail.ID) (held, error) {
	var key keyBuf
	v, err := lookUp(from, key.held(id))
	if err != nil {
		return held{}, err
	}
	defer v.Close()
	h, err := decodeHeld(id, v.b)
	if err != nil {
		return h, fault.New(fault.Corrupt, "held message", err)
	}
	h.envelope = slices.Clone(h.envelope)
	return h, nil
}
