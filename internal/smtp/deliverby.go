package smtp

import (
	"strings"
	"time"

	"postrider/internal/mail"
)

// maxByDigits is how many digits BY has at most, and longestBy the longest time
// that they can say (RFC 2852 §4).
const (
	maxByDigits = 9
	longestBy   = 999_999_999 * time.Second
)

// setBy takes how many seconds there are to deliver a message, and what is done
// when they are over (RFC 2852 §4). A time that is past is said by a relay before
// us which has told the sender already; nothing can be returned in the past.
func setBy(tx *transaction, value string, _ bool) *fixed {
	seconds, modes, _ := strings.Cut(value, ";")
	left, ok := parseBy(seconds)
	if !ok {
		return replyBadParam
	}
	by := mail.DeliverBy{Deadline: tx.of.conn.Now().Add(left).UTC()}
	switch strings.ToUpper(modes) {
	case "N":
		by.Mode = mail.ByNotify
	case "NT":
		by.Mode, by.Trace = mail.ByNotify, true
	case "R":
	case "RT":
		by.Trace = true
	default:
		return replyBadParam
	}
	switch {
	case by.Mode == mail.ByReturn && left <= 0:
		return replyByPast
	case by.Mode == mail.ByReturn && left < tx.of.opts.MinDeliverBy.Truncate(time.Second):
		return replyByTooSoon
	}
	tx.Envelope.DeliverBy = by
	return nil
}

// parseBy reads a count of seconds that may have a sign.
func parseBy(s string) (left time.Duration, ok bool) {
	digits := strings.TrimPrefix(s, "+")
	if s == digits {
		digits = strings.TrimPrefix(s, "-")
	}
	n, ok := parseOctets(digits)
	if !ok || len(digits) > maxByDigits {
		return 0, false
	}
	left = time.Duration(n) * time.Second
	if strings.HasPrefix(s, "-") {
		left = -left
	}
	return left, true
}

// returnedBeforeSent reports whether the message is to be held until after the
// time at which it is to be returned.
func (tx *transaction) returnedBeforeSent() bool {
	by := tx.Envelope.DeliverBy
	return by.Mode == mail.ByReturn && !by.Deadline.IsZero() && tx.Envelope.Hold.After(by.Deadline)
}
