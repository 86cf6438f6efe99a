package dsn

import (
	"bytes"

	"postrider/internal/mail"
	"postrider/internal/message"
)

// Wanted reports whether a sender is told of an action about a recipient that was
// named with a NOTIFY parameter (RFC 3461 §4.1, §5.2). From is who would be told.
// Who said nothing is told of failures and delays. The null reverse-path is never
// told of anything (RFC 5321 §6.1): so no notification leads to another.
func Wanted(from mail.Address, notify mail.Notify, a Action) bool {
	if from.IsZero() || notify&mail.NotifyNever != 0 {
		return false
	}
	switch a {
	case Failed:
		return notify == 0 || notify&mail.NotifyFailure != 0
	case Delayed:
		return notify == 0 || notify&mail.NotifyDelay != 0
	}
	return notify&mail.NotifySuccess != 0
}

// bulk are values of the Precedence field, which no standard has and many honour.
var bulk = []string{"bulk", "junk", "list"}

// listFields are fields that only a list has (RFC 2919, RFC 2369).
var listFields = []string{"List-Id", "List-Post", "List-Unsubscribe"}

// Suppressed returns why the sender of a message with a header is not told of
// delays, nor of successes that were not asked for, in words for the log; empty: is
// told. A program that sends to a list or answers by itself has no use for them, and
// nobody reads them (RFC 3834 §2).
//
// Failures are told all the same: they go to the reverse-path, which for a list is
// the address that takes members off whose mail fails, and never to an address in
// the header.
func Suppressed(header []byte) (reason string) {
	for f := range message.SplitFields(header) {
		switch {
		case f.Is("Auto-Submitted") && !isWord(f, "no"):
			return "the message was sent by a program (Auto-Submitted)"
		case f.Is("Precedence") && isWord(f, bulk...):
			return "the message is bulk mail (Precedence)"
		case f.Name != nil && isOneOf(f, listFields):
			return "the message is from a mailing list (" + string(f.Name) + ")"
		}
	}
	return ""
}

func isOneOf(f message.Field, names []string) bool {
	for _, name := range names {
		if f.Is(name) {
			return true
		}
	}
	return false
}

// isWord reports whether a field's body begins with one of the words, before
// parameters and comments.
func isWord(f message.Field, words ...string) bool {
	value := f.Value()
	if i := bytes.IndexAny(value, "; \t("); i >= 0 {
		value = value[:i]
	}
	for _, word := range words {
		if bytes.EqualFold(value, []byte(word)) {
			return true
		}
	}
	return false
}
