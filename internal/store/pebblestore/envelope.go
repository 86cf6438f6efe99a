package pebblestore

import (
	"encoding/binary"

	"postrider/internal/mail"
)

// envelopeForm is the first octet of a kept envelope: its form.
const envelopeForm = 1

// appendEnvelope encodes an envelope.
func appendEnvelope(b []byte, e *mail.Envelope) []byte {
	b = append(b, envelopeForm)
	b = append(b, e.ID[:]...)
	b = appendAddress(b, e.From)
	b = append(b, byte(e.Body), boolOctet(e.SMTPUTF8), byte(e.Ret))
	b = binary.AppendVarint(b, e.Size)
	b = appendText(b, e.EnvID)
	b = binary.AppendUvarint(b, uint64(len(e.Recipients)))
	for i := range e.Recipients {
		r := &e.Recipients[i]
		b = appendAddress(b, r.Address)
		b = append(b, byte(r.Notify))
		b = appendText(b, r.ORcpt)
	}
	return b
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
	if r.octet() != envelopeForm {
		return e, errValue
	}
	copy(e.ID[:], r.take(uint64(len(e.ID))))
	e.From = r.address()
	e.Body = mail.BodyType(r.octet())
	e.SMTPUTF8 = r.octet() != 0
	e.Ret = mail.Ret(r.octet())
	e.Size = r.int()
	e.EnvID = r.text()
	n := r.uint()
	if n > uint64(len(r.b)) { // each takes an octet at least
		return mail.Envelope{}, errValue
	}
	if n > 0 {
		e.Recipients = make([]mail.Recipient, n)
	}
	for i := range e.Recipients {
		e.Recipients[i] = mail.Recipient{Address: r.address(), Notify: mail.Notify(r.octet()), ORcpt: r.text()}
	}
	return e, r.err
}

func (r *valueReader) address() mail.Address {
	return mail.Address{Local: r.text(), Domain: r.text()}
}
