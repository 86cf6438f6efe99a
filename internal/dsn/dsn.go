// Package dsn writes delivery status notifications as whole messages (RFC 3464,
// RFC 3461, RFC 6533), and decides when one is due. A notification says first to
// people, in plain words, what happened and what they can do; then the same to
// programs; then it returns the message, or its header. The package does no input
// or output but what it is given, and asks no clock.
package dsn

import (
	"io"
	"time"

	"postrider/internal/mail"
)

// Action is what became of a message for a recipient (RFC 3464 §2.3.3).
type Action uint8

// The actions.
const (
	Failed    Action = iota // it was given up
	Delayed                 // it is tried on
	Delivered               // it is in a mailbox
	Relayed                 // a host has it that tells nothing of what becomes of it
	Expanded                // it was passed on to several addresses
)

var actionNames = [...]string{"failed", "delayed", "delivered", "relayed", "expanded"}

// String returns the action as the Action field has it.
func (a Action) String() string { return actionNames[min(a, Expanded)] }

// Notice is a delivery status notification: all that it tells. The same Notice is
// written as the same octets.
type Notice struct {
	// ID is the notification's own.
	ID mail.ID
	// Hostname is who tells, the Reporting-MTA.
	Hostname string
	Now      time.Time
	// To is who is told: the original's reverse-path, or Onward.Notify. It must not be
	// the null reverse-path.
	To mail.Address
	// Envelope is the original's: EnvID, Ret, SMTPUTF8, RequireTLS. Its ID is named to
	// people.
	Envelope mail.Envelope
	// Arrived is when the original came; zero if that is not known.
	Arrived time.Time
	// Recipients are those that something is told about, one at least.
	Recipients []Recipient
	// Original is the message, prefix and content, of OriginalSize octets. Nil: it is
	// not at hand, and nothing of it is returned.
	Original     io.ReaderAt
	OriginalSize int64
	// Stranger says that nothing vouches for who sent the original, so that To may be
	// somebody who never wrote. Unless it tells of a failure or a delay, it brings nothing
	// that the sender chose but what programs are to be told (RFC 3464 §2.2.1, §2.3.1):
	// nothing of the original (RFC 3461 §6.2: its header SHOULD be there), and no address.
	Stranger bool
	// MaxReturn is how many octets of an original are returned; of a larger one, only
	// the header is. Zero: always only the header.
	MaxReturn int64
}

// Recipient is what is told about one recipient. Everything in it that another
// host has said is made harmless when it is written.
type Recipient struct {
	mail.Recipient
	Action Action
	// Status is the enhanced status code, as "5.1.1"; empty: it is derived from Reply,
	// Stage and Action.
	Status string
	// Remote is the other host, as "name [address]"; empty if none was involved.
	Remote string
	// Reply is what the other host answered, its lines separated by LF, with their
	// codes; or what happened instead, in words. SMTPReply tells which.
	Reply     string
	SMTPReply bool
	// Stage is where in the conversation Reply came: a smtp.Stage.
	Stage string
	// LastAttempt is when it was tried last, Attempts how often, RetryUntil until when
	// it is tried on; zero if not known.
	LastAttempt time.Time
	Attempts    int
	RetryUntil  time.Time
	// Final is where the recipient's mail is forwarded to, if it is; what tells of it
	// is left out (RFC 3464 §4.2).
	Final mail.Address
}

// UTF8 reports whether the written message needs SMTPUTF8 on its way (RFC 6533):
// only when it goes to an address that does as well. Everything else is written in
// the forms that any host takes, so that no notice is lost for the want of it.
func (n *Notice) UTF8() bool { return !n.To.ASCII() }

// bare reports whether nothing may be in it that the sender chose; see Stranger.
func (n *Notice) bare() bool {
	if !n.Stranger {
		return false
	}
	for i := range n.Recipients {
		if n.Recipients[i].Action <= Delayed {
			return false
		}
	}
	return true
}

// fails reports whether a recipient is told to have failed.
func (n *Notice) fails() bool {
	for i := range n.Recipients {
		if n.Recipients[i].Action == Failed {
			return true
		}
	}
	return false
}
