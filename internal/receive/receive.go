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

// MaxCopies is how many mailboxes one message may go to, when aliases are
// followed. Recipients beyond it are answered with 452 4.5.3.
const MaxCopies = 10_000

// Store is what a Receiver needs of the store.
type Store interface {
	store.Messages
	store.Holds
	// Health is that of store.Keeper.
	Health() error
}

// Directory is what a Receiver needs to know about addresses; package
// directory has it.
type Directory interface {
	// Resolve returns where mail for an address goes, each account once. Denied:
	// the domain is not local. NotFound: nobody has the address.
	Resolve(ctx context.Context, a mail.Address) ([]directory.Target, error)
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
	Logger      *slog.Logger
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
	return &Receiver{o: o, m: newMetrics(o.Registerer), rates: newRates(o.Submission), held: make(chan struct{}, 1)}
}

// route is where a transaction's message will go: one entry a mailbox, in the
// order in which the recipients named them. It is what the Receiver notes in
// the Transaction.
type route struct {
	targets []directory.Target
	seen    map[mail.AccountID]bool // made when there are many
}

// fewTargets is up to where a look at each is faster than a map.
const fewTargets = 16

// has reports whether the account is on the route.
func (w *route) has(account mail.AccountID) bool {
	if w.seen != nil {
		return w.seen[account]
	}
	for _, t := range w.targets {
		if t.Account == account {
			return true
		}
	}
	return false
}

// add puts targets on the route, each account once: two recipients that are one
// mailbox get one copy.
func (w *route) add(targets []directory.Target) {
	for _, t := range targets {
		if w.has(t.Account) {
			continue
		}
		w.targets = append(w.targets, t)
		switch {
		case w.seen != nil:
			w.seen[t.Account] = true
		case len(w.targets) == fewTargets:
			w.seen = make(map[mail.AccountID]bool)
			for _, t := range w.targets {
				w.seen[t.Account] = true
			}
		}
	}
}

// routeOf returns the transaction's route.
func routeOf(tx *smtp.Transaction) *route {
	w, ok := tx.Notes.(*route)
	if !ok {
		w = new(route)
		tx.Notes = w
	}
	return w
}

// Sender decides about a transaction's reverse-path.
func (r *Receiver) Sender(ctx context.Context, tx *smtp.Transaction) error {
	if tx.Envelope.ID.IsZero() {
		tx.Envelope.ID = mail.NewID(r.o.Now())
	}
	tx.Notes = new(route)
	checks := senderChecks
	if isSubmission(tx) {
		checks = submissionSenderChecks
	}
	for _, check := range checks {
		if err := check(ctx, r, tx); err != nil {
			return r.refuse(ctx, stageMail, tx, nil, err)
		}
	}
	return nil
}

// Recipient decides about one forward-path, and notes where it leads.
func (r *Receiver) Recipient(ctx context.Context, tx *smtp.Transaction, rcpt mail.Recipient) error {
	a := &attempt{tx: tx, route: routeOf(tx), rcpt: rcpt}
	checks := recipientChecks
	if isSubmission(tx) {
		checks = submissionRecipientChecks
	}
	for _, check := range checks {
		if err := check(ctx, r, a); err != nil {
			return r.refuse(ctx, stageRcpt, tx, &rcpt, err)
		}
	}
	a.route.add(a.targets)
	return nil
}
