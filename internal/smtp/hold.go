package smtp

import (
	"strings"
	"time"
)

// maxHoldDigits is how many digits HOLDFOR has at most, and longestHold the
// longest time that they can say (RFC 4865 §4).
const (
	maxHoldDigits = 9
	longestHold   = 999_999_999 * time.Second
)

// setHoldFor takes the seconds for which a message is to be held.
func setHoldFor(tx *transaction, value string, _ bool) *fixed {
	seconds, ok := parseOctets(value)
	if !ok || len(value) > maxHoldDigits || value[0] == '0' {
		return replyBadParam
	}
	return tx.hold(tx.of.conn.Now().Add(time.Duration(seconds) * time.Second))
}

// setHoldUntil takes the time until which a message is to be held, as RFC 3339
// writes it.
func setHoldUntil(tx *transaction, value string, _ bool) *fixed {
	until, err := time.Parse(time.RFC3339, strings.ToUpper(value))
	if err != nil || strings.Contains(value, ",") { // Go reads a comma before a fraction
		return replyBadParam
	}
	return tx.hold(until)
}

// hold sets until when the message is to be held.
func (tx *transaction) hold(until time.Time) *fixed {
	now := tx.of.conn.Now()
	switch {
	case !tx.Envelope.Hold.IsZero():
		return replyBothHolds
	case until.After(now.Add(tx.of.opts.MaxHold)):
		return replyHoldTooLong
	case until.Before(now):
		return replyHoldPast
	}
	tx.Envelope.Hold = until.UTC()
	return nil
}
