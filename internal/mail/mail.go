// Package mail is the vocabulary that every other package speaks: addresses,
// envelopes, and the names of accounts, mailboxes and messages. It has types,
// parsing and formatting, and no behaviour.
package mail

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// AccountID names an account for ever: it is never used again, also when an
// account of the same address is made later. Zero is no account.
type AccountID uint64

// MailboxID names a mailbox within its account, also when it is renamed. It is
// never used again within the account. Zero is no mailbox.
type MailboxID uint32

// Inbox is the mailbox that every account has from its beginning; it is also
// the account's maildrop (what POP3 and POP2 hand out).
const Inbox MailboxID = 1

// UID is a message's number within a mailbox: strictly ascending, never reused
// (RFC 9051 §2.3.1.1). Zero is no message.
type UID uint32

// UIDValidity tells whether UIDs that a client remembers are still good
// (RFC 9051 §2.3.1.1). Within an account no two mailboxes, not even former
// ones, have the same; nor has the Inbox of an account that is made again under
// its old address, whose clients may remember the former one.
type UIDValidity uint32

// ModSeq counts the changes of an account; each change to a message or mailbox
// gets a greater one (RFC 7162 §3.1).
type ModSeq uint64

// Flags are the system flags of a message (RFC 9051 §2.3.2), as a set.
type Flags uint8

// The system flags.
const (
	Seen Flags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft
)

// Has reports whether all of g is in f.
func (f Flags) Has(g Flags) bool { return f&g == g }

var flagNames = []string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`}

// String returns the flags as IMAP writes them, separated by spaces.
func (f Flags) String() string {
	var s []string
	for i, name := range flagNames {
		if f.Has(1 << i) {
			s = append(s, name)
		}
	}
	return strings.Join(s, " ")
}

// BodyType is what MAIL's BODY parameter declares (RFC 6152, RFC 3030).
type BodyType uint8

// The body types. Body7Bit is also what a client means that declares nothing.
const (
	Body7Bit BodyType = iota
	Body8BitMIME
	BodyBinaryMIME
)

// String returns the keyword of the BODY parameter.
func (b BodyType) String() string {
	return [...]string{"7BIT", "8BITMIME", "BINARYMIME"}[min(b, BodyBinaryMIME)]
}

// Notify says when a sender wants a delivery status notification about a
// recipient (RFC 3461 §4.1), as a set. Zero: the sender said nothing.
type Notify uint8

// What NOTIFY can ask for. NotifyNever excludes the others.
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// Ret says how much of a message a failure notification returns (RFC 3461 §4.3).
type Ret uint8

// RetUnset is what a sender means that said nothing.
const (
	RetUnset Ret = iota
	RetFull
	RetHeaders
)

// Envelope is what a transaction says about a message, apart from the message.
type Envelope struct {
	// ID is given by the receiving side when the transaction begins.
	ID ID
	// From is the reverse-path; the zero Address is the null reverse-path <>.
	From Address
	// Recipients are those accepted, in the order they were named.
	Recipients []Recipient
	// Body, SMTPUTF8, Size, Ret and EnvID are MAIL's parameters. Size is in
	// octets, zero when not declared; EnvID is decoded from xtext.
	Body     BodyType
	SMTPUTF8 bool
	Size     int64
	Ret      Ret
	EnvID    string
	// Hold is until when the sender wants the message to be held (RFC 4865); zero:
	// not at all. It is not kept with a message that has been delivered.
	Hold time.Time
	// RequireTLS asks every host on the way for TLS with a certificate that is
	// verified (RFC 8689 §2).
	RequireTLS bool
	// TLSOptional is the field TLS-Required: No of the message (RFC 8689 §3): it is to
	// arrive whatever is wrong with TLS. With RequireTLS it is not set.
	TLSOptional bool
	// DeliverBy is until when the sender wants it delivered (RFC 2852).
	DeliverBy DeliverBy
	// Priority is the sender's, from MinPriority to MaxPriority (RFC 6710 §2).
	Priority int8
}

// The bounds of Envelope.Priority (RFC 6710 §2).
const (
	MinPriority = -9
	MaxPriority = 9
)

// DeliverBy is what a sender wants done about a message that comes late
// (RFC 2852 §4). The zero value wants nothing.
type DeliverBy struct {
	// Deadline is when the time is over; zero: never.
	Deadline time.Time
	// Mode says what is done then.
	Mode ByMode
	// Trace asks for a notification by each host that passes it on.
	Trace bool
}

// ByMode is the by-mode of RFC 2852 §4.
type ByMode uint8

// The modes.
const (
	ByReturn ByMode = iota // it is returned to the sender
	ByNotify               // the sender is told, and it is tried on
)

// Recipient is one forward-path of an envelope, with RCPT's parameters.
type Recipient struct {
	Address Address
	Notify  Notify
	// ORcpt is the original recipient as "type;address", decoded from xtext, empty
	// when not given (RFC 3461 §4.2). One of the type utf-8 may have UTF-8 in it also
	// when Envelope.SMTPUTF8 is false, since it has an encoding in ASCII (RFC 6533 §3).
	ORcpt string
}

// FormatDate returns t as a trace field's date-time, in UTC.
func FormatDate(t time.Time) string { return t.UTC().Format("Mon, 2 Jan 2006 15:04:05 +0000") }

// Cut returns the beginning of a text, at most n octets of it and whole characters.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	end := max(n, 0)
	for end > max(n-utf8.UTFMax, 0) && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// Octets formats a count of octets for people, as "1.5 MiB".
func Octets(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/unit, 0
	for f >= unit && i < 4 {
		f, i = f/unit, i+1
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTP"[i])
}
