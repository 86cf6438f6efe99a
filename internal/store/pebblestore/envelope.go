package pebblestore

import (
	"encoding/binary"
	"time"

	"postrider/internal/mail"
)

// The forms of a kept envelope, in its first octet. The first, of formats 1 to 3,
// has no extras.
const (
	envelopeFormOne = 1
	envelopeForm    = 2
)

// The extras of an envelope, as bits.
const (
	extraRequireTLS = 1 << iota
	extraDeadline
	extraByNotify
	extraByTrace
	extraPriority
	extraHold
	extraTLSOptional
)

// appendEnvelope encodes an envelope.
func appendEnvelope(b []byte, e *mail.Envelope) []byte {
	b = append(b, envelopeForm)
	b = append(b, e.ID[:]...)
	b = appendAddress(b, e.From)
	b = append(b, byte(e.Body), boolOctet(e.SMTPUTF8), byte(e.Ret))
	b = binary.AppendVarint(b, e.Size)
	b = appendText(b, e.EnvID)
	b = appendExtras(b, e)
	b = binary.AppendUvarint(b, uint64(len(e.Recipients)))
	for i := range e.Recipients {
		b = appendRecipient(b, &e.Recipients[i])
	}
	return b
}

func appendRecipient(b []byte, r *mail.Recipient) []byte {
	b = appendAddress(b, r.Address)
	b = append(b, byte(r.Notify))
	return appendText(b, r.ORcpt)
}

func (r *valueReader) recipient() mail.Recipient {
	return mail.Recipient{Address: r.address(), Notify: mail.Notify(r.octet()), ORcpt: r.text()}
}

// appendExtras encodes what came with form 2; few envelopes have any.
func appendExtras(b []byte, e *mail.Envelope) []byte {
	extras := byte(0)
	for _, x := range []struct {
		bit byte
		is  bool
	}{
		{extraRequireTLS, e.RequireTLS},
		{extraDeadline, !e.DeliverBy.Deadline.IsZero()},
		{extraByNotify, e.DeliverBy.Mode == mail.ByNotify},
		{extraByTrace, e.DeliverBy.Trace},
		{extraPriority, e.Priority != 0},
		{extraHold, !e.Hold.IsZero()},
		{extraTLSOptional, e.TLSOptional},
	} {
		if x.is {
			extras |= x.bit
		}
	}
	b = append(b, extras)
	if extras&extraDeadline != 0 {
		b = binary.AppendVarint(b, e.DeliverBy.Deadline.Unix())
		b = binary.AppendUvarint(b, uint64(e.DeliverBy.Deadline.Nanosecond()))
	}
	if extras&extraPriority != 0 {
		b = append(b, byte(e.Priority))
	}
	if extras&extraHold != 0 {
		b = binary.AppendVarint(b, e.Hold.Unix())
	}
	return b
}

// extras reads what appendExtras wrote.
func (r *valueReader) extras(e *mail.Envelope) {
	extras := r.octet()
	e.RequireTLS = extras&extraRequireTLS != 0
	e.TLSOptional = extras&extraTLSOptional != 0
	if extras&extraDeadline != 0 {
		e.DeliverBy.Deadline = time.Unix(r.int(), int64(r.uint()%1e9)).UTC()
	}
	if extras&extraByNotify != 0 {
		e.DeliverBy.Mode = mail.ByNotify
	}
	e.DeliverBy.Trace = extras&extraByTrace != 0
	if extras&extraPriority != 0 {
		e.Priority = int8(r.octet())
	}
	if extras&extraHold != 0 {
		e.Hold = time.Unix(r.int(), 0).UTC()
	}
}

func appendAddress(b []byte, a mail.Address) []byte {
	return appendText(appendText(b, a.Local), a.Domain)
}

func boolOctet(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// decodeEnvelope reads what appendEnvelope wrote.
func decodeEnvelope(v []byte) (mail.Envelope, error) {
	r := valueReader{b: v}
	var e mail.Envelope
	form := r.octet()
	if form != envelopeForm && form != envelopeFormOne {
		return e, errValue
	}
	copy(e.ID[:], r.take(uint64(len(e.ID))))
	e.From = r.address()
	e.Body = mail.BodyType(r.octet())
	e.SMTPUTF8 = r.octet() != 0
	e.Ret = mail.Ret(r.octet())
	e.Size = r.int()
	e.EnvID = r.text()
	if form == envelopeForm {
		r.extras(&e)
	}
	n := r.uint()
	if n > uint64(len(r.b)) { // each takes an octet at least
		return mail.Envelope{}, errValue
	}
	if n > 0 {
		e.Recipients = make([]mail.Recipient, n)
	}
	for i := range e.Recipients {
		e.Recipients[i] = r.recipient()
	}
	return e, r.err
}

func (r *valueReader) address() mail.Address {
	return mail.Address{Local: r.text(), Domain: r.text()}
}
