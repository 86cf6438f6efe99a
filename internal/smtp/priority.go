package smtp

import (
	"strings"

	"postrider/internal/mail"
)

// setPriority takes a priority from -9 to 9 (RFC 6710 §3). One that the client
// has no right to is lowered, which the reply to the message says.
func setPriority(tx *transaction, value string, _ bool) *fixed {
	digits := strings.TrimPrefix(value, "-")
	if len(digits) != 1 || digits[0] < '0' || digits[0] > '9' || value == "-0" {
		return replyBadParam
	}
	p := int8(digits[0] - '0')
	if digits != value {
		p = -p
	}
	most := tx.of.maxPriority()
	tx.lowered = p > most
	tx.Envelope.Priority = min(p, most)
	return nil
}

// maxPriority returns the highest priority that the client may give a message:
// strangers would all be urgent (RFC 6710 §4).
func (s *server) maxPriority() int8 {
	switch {
	case s.role.strangers:
		return 0
	case s.client.Account != 0:
		return int8(s.opts.MaxPriority)
	}
	return mail.MaxPriority
}
