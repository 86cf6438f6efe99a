// Package receive is what happens to an incoming envelope: a list of small
// checks in one visible order, the trace fields, and the delivery in one
// durable commit.
package receive

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/directory"
	"postrider/internal/mail"
	"postrider/internal/smtp"
	"postrider/internal/store"
)

// DefaultMaxReceived is how many Received fields a message may arrive with
// before it is taken for a loop.
const DefaultMaxReceived = 50

// MaxCopies is how many mailboxes and addresses at other hosts one message may go
// to, when aliases are followed. Recipients beyond it are answered with 452 4.5.3.
const MaxCopies = 10_000

// Store is what a Receiver needs of the store.
type Store interface {
	store.Messages
	store.Holds
	// Open is that of store.Mailboxes.
	Open(ctx context.Context, account mail.AccountID, mailbox mail.MailboxID, uid mail.UID) (store.Reader, error)
	// Health is that of store.Keeper.
	Health() error
}

// Directory is what a Receiver needs to know about addresses; package
// directory has it.
type Directory interface {
	// Resolve returns where mail for an address goes. Denied: the domain is not
	// local. NotFound: nobody has the address.
	Resolve(ctx context.Context, a mail.Address) (directory.Route, error)
	// Local reports whether a domain is one of ours.
	Local(ctx context.Context, domain string) (bool, error)
	// Find returns the addresses that a string names, and Expand an alias's
	// members. The errors are those of Resolve, and Invalid for what is no name.
	Find(ctx context.Context, who string) ([]mail.Address, error)
	Expand(ctx context.Context, alias string) ([]mail.Address, error)
}

// Rights is who may send as whom; package directory has it.
type Rights interface {
	// MaySendAs returns why an account may send as an address, or NoRight.
	MaySendAs(ctx context.Context, account mail.AccountID, a mail.Address) (directory.Right, error)
}

// Options are what a Receiver needs.
type Options struct {
	Store     Store
	Directory Directory
	// Rights is asked on submission; nil: nobody may send as anybody.
	Rights Rights
	// Submission is how much an account may send.
	Submission SubmissionLimits
	// HideClient leaves the client's name and address out of the Received field of
	// what is submitted. The log has them.
	HideClient bool
	// MaxReceived is the number of Received fields beyond which a message is
	// refused as a loop; zero: DefaultMaxReceived.
	MaxReceived int
	// Onward says that mail for other hosts is taken, and put into the store's queue:
	// from accounts and relay clients, and where aliases lead. Otherwise all of it is
	// refused.
	Onward bool
	// Queue is told which destinations have got new mail; nil: nobody is.
	Queue Kicker
	// Rows settles rows of the queue for which Originate has nobody to tell; nil: they
	// can't be.
	Rows Settler
	// Records keeps the key of rewritten reverse-paths (package srs); nil: it is
	// another one after each start.
	Records store.Records
	// Clients are who may relay on listeners of the role relay.
	Clients []Client
	// Hostname is this host's name, in trace fields and notifications of what the
	// server itself sends.
	Hostname string
	Logger   *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
	// Now returns the time; nil: time.Now.
	Now func() time.Time
}

// Receiver is the backend of the sessions that mail comes in by. It serves many
// at once.
type Receiver struct {
	o     Options
	m     metrics
	rates *rates
	held  chan struct{} // wakes ReleaseHeld
	// clients are Options.Clients.
	clients   []*client
	strangers *strangers
	srs       schemes
}

// Kicker is who sends mail on. Package outbound has it.
type Kicker interface {
	// Kick says that there may be rows for destinations that are due. It does not
	// wait.
	Kick(destinations ...string)
}

// Settler settles rows of the queue; store.Queue has it.
type Settler interface {
	Settle(ctx context.Context, settlements []store.Settlement) (made int, err error)
}

var _ smtp.Backend = (*Receiver)(nil)

// New returns a Receiver.
func New(o Options) *Receiver {
	if o.MaxReceived == 0 {
		o.MaxReceived = DefaultMaxReceived
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Receiver{
		o: o, m: newMetrics(o.Registerer), rates: newRates(o.Submission), held: make(chan struct{}, 1),
		clients: newClients(o.Clients), strangers: newStrangers(),
	}
}

// Sender decides about a transaction's reverse-path.
func (r *Receiver) Sender(ctx context.Context, tx *smtp.Transaction) error {
	if tx.Envelope.ID.IsZero() {
		tx.Envelope.ID = mail.NewID(r.o.Now())
	}
	tx.Notes = new(route)
	for _, check := range checksOf(tx).sender {
		if err := check(ctx, r, tx); err != nil {
			return r.refuse(ctx, stageMail, tx, nil, err)
		}
	}
	return nil
}

// Recipient decides about one forward-path, and notes where it leads.
func (r *Receiver) Recipient(ctx context.Context, tx *smtp.Transaction, rcpt mail.Recipient) error {
	a := &attempt{tx: tx, route: routeOf(tx), rcpt: rcpt}
	for _, check := range checksOf(tx).recipient {
		if err := check(ctx, r, a); err != nil {
			return r.refuse(ctx, stageRcpt, tx, &rcpt, err)
		}
	}
	a.keep()
	return nil
}
