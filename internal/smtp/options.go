package smtp

import (
	"time"

	"postrider/internal/mail"
	"postrider/internal/sasl"
)

// Options are the limits and the name of an SMTP server. Zero fields mean the
// defaults below.
type Options struct {
	// MaxSize is the largest message taken, in octets, announced as SIZE (RFC 1870).
	MaxSize int64
	// MaxRecipients is how many RCPT commands a transaction may have, announced
	// as LIMITS RCPTMAX (RFC 9422).
	MaxRecipients int
	// MaxTransactions is how many transactions a connection may have, announced
	// as LIMITS MAILMAX (RFC 9422). Negative: no limit, and none announced.
	MaxTransactions int
	// MaxErrors is how many wrong commands a strict listener takes; the last of
	// them is answered with 421. A teach listener takes TeachPatience times as
	// many. Negative: no limit.
	MaxErrors int
	// MaxJunk is how many commands that do no work (NOOP, RSET, HELP, …) a strict
	// listener takes between two messages; each more counts as an error.
	MaxJunk int
	// MaxLogins is how many failed logins a connection may have; the last of them
	// is answered with 421. Negative: no limit.
	MaxLogins int
	// MaxUnknown is how many recipients that nobody has a client of a strict mx
	// listener may name on a connection; the last of them is answered with 421,
	// since who guesses addresses names many. Negative: no limit.
	MaxUnknown int
	// MaxHold is for how long a submitted message may be held, announced as
	// FUTURERELEASE (RFC 4865), in whole seconds. Zero: not at all, and not
	// announced.
	MaxHold time.Duration
	// Binary says that the backend takes content with BodyBinaryMIME in its
	// envelope: CR, LF and NUL anywhere, and lines of any length. Only then
	// BINARYMIME is announced (RFC 3030).
	Binary bool
	// MinDeliverBy is the least time that a client may give for DELIVERBY when late
	// mail is to be returned, announced in whole seconds (RFC 2852). Zero: there is
	// no least time, and none is announced.
	MinDeliverBy time.Duration
	// MaxPriority is the highest priority that who has logged in may give a message
	// with MT-PRIORITY (RFC 6710); a higher one is lowered. Negative: 0.
	MaxPriority int
	// Turner, if not nil, answers ETRN and ATRN, which are offered only then.
	Turner Turner
	// TLSAvailable reports whether STARTTLS would find a certificate now. Nil: it
	// always does.
	TLSAvailable func() bool
	// CommandTimeout is how long a client may think before its next command.
	CommandTimeout time.Duration
	// DataTimeout is how long a client may pause within a message.
	DataTimeout time.Duration
	// Product is the server's name in the greeting.
	Product string
}

// The defaults of Options.
const (
	DefaultMaxSize         = 50 << 20 // octets
	DefaultMaxRecipients   = 1000     // at least 100: RFC 5321 §4.5.3.1.8
	DefaultMaxTransactions = 1000
	DefaultMaxErrors       = 25
	DefaultMaxJunk         = 100
	DefaultMaxLogins       = 5
	DefaultMaxUnknown      = 10
	DefaultMaxPriority     = 4               // what X.400 calls urgent (RFC 6710 appendix A)
	DefaultCommandTimeout  = 5 * time.Minute // RFC 5321 §4.5.3.2.7
	DefaultDataTimeout     = 3 * time.Minute // RFC 5321 §4.5.3.2.5
	DefaultProduct         = "postrider"
)

// Other limits.
const (
	// TeachPatience is by how much MaxErrors is larger on a teach listener.
	TeachPatience = 40
	// MaxAuthLine is the longest line of AUTH and of the answers to its challenges,
	// in octets with the CRLF (RFC 4954 §4). Other commands have wire.MaxLine.
	MaxAuthLine = sasl.MaxLine
	// MaxHello is the longest name a client may give itself, in octets.
	MaxHello = 255
	// MaxListed is how many lines the answer to VRFY or EXPN has at most.
	MaxListed = 100
	// MaxTurn is how many domains ATRN may name.
	MaxTurn = 50
	// MaxQueueName is the longest name of a queue that ETRN may name, in octets.
	MaxQueueName = 64
	// swallowFactor bounds the chunk that is read only to be dropped, as a
	// multiple of MaxSize. At a larger one the connection is given up.
	swallowFactor = 4
)

// withDefaults returns a copy of o, which may be nil, with the defaults put in.
func (o *Options) withDefaults() Options {
	var r Options
	if o != nil {
		r = *o
	}
	r.MaxSize = orDefault(r.MaxSize, DefaultMaxSize)
	r.MaxRecipients = orDefault(r.MaxRecipients, DefaultMaxRecipients)
	r.MaxTransactions = orDefault(r.MaxTransactions, DefaultMaxTransactions)
	r.MaxErrors = orDefault(r.MaxErrors, DefaultMaxErrors)
	r.MaxJunk = orDefault(r.MaxJunk, DefaultMaxJunk)
	r.MaxLogins = orDefault(r.MaxLogins, DefaultMaxLogins)
	r.MaxUnknown = orDefault(r.MaxUnknown, DefaultMaxUnknown)
	r.MaxHold = min(r.MaxHold, longestHold)
	r.MinDeliverBy = min(r.MinDeliverBy, longestBy)
	r.MaxPriority = max(0, min(orDefault(r.MaxPriority, DefaultMaxPriority), mail.MaxPriority))
	r.CommandTimeout = orDefault(r.CommandTimeout, DefaultCommandTimeout)
	r.DataTimeout = orDefault(r.DataTimeout, DefaultDataTimeout)
	r.Product = orDefault(r.Product, DefaultProduct)
	return r
}

func orDefault[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}
