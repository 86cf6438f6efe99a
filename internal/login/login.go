// Package login is where every login is decided, whatever the protocol and the
// mechanism: it asks the directory, holds up and locks out those who guess,
// keeps the log of logins, and knows who may submit since they have just
// collected their mail.
//
// # Who is held up
//
// The answer to a failed login comes a second after its beginning at the soonest,
// and later with each failure of the address and of the account. A login that succeeds is never delayed.
//
// An address that fails too often for one account is locked out for that
// account; one that fails too often in all is locked out for every account,
// except those that have lately logged in from that very address. An account is
// never locked out by itself: whoever guesses its password can't keep its owner,
// who is elsewhere, from logging in. A name that nobody has is treated like any
// other. Of IPv6 a /64 is one address.
//
// A login that is under way counts as a failure until it has been decided, so
// that many connections at once have no more guesses than one.
//
// # What is logged
//
// Never a secret. A name that failed is shown only if it looks like a mail
// address whose domain could be on the Internet or is an account's: others may
// be passwords that were typed into the wrong field.
package login

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/directory"
	"postrider/internal/mail"
	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/store"
)

// Directory is what a Service asks about accounts; *directory.Directory is one.
type Directory interface {
	Authenticate(ctx context.Context, l directory.Login) (directory.Authenticated, error)
	SCRAM(ctx context.Context, name, protocol string) (directory.SCRAM, error)
	Secret(ctx context.Context, name string) (secret []byte, account store.Account, ok bool, err error)
	LoginAccount(ctx context.Context, name string) (store.Account, error)
	Used(ctx context.Context, id mail.AccountID, appPassword string, at time.Time) error
	SCRAMPossible() bool
	LegacyPossible() bool
}

// TokenVerifier tells whose a bearer token is; package oauth has one.
type TokenVerifier interface {
	// Verify returns the login name that the token stands for. Denied: the token
	// is no good. Other kinds: it can't be told now. No error has the token in it.
	Verify(ctx context.Context, token string) (name string, err error)
}

// Names of ways to log in that are no SASL mechanisms, as they stand in
// Options.Mechanisms and sasl.Identity.
const (
	User = "USER" // POP3's USER and PASS
	APOP = "APOP"
)

// Options are what a Service needs to know.
type Options struct {
	Directory Directory
	// Tokens verifies bearer tokens; nil: there is no OAUTHBEARER.
	Tokens TokenVerifier
	// Mechanisms are the ways to log in that are allowed, by their names, with User
	// and APOP among them. Empty: all.
	Mechanisms []string
	Policy     Policy
	Logger     *slog.Logger          // nil: no log
	Registerer prometheus.Registerer // takes the metrics; nil: none
	Now        func() time.Time      // nil: time.Now
}

// Service decides logins. It may be used from several goroutines.
type Service struct {
	o         Options
	guard     *guard
	audit     audit
	visits    visits
	exchanges exchanges
	metrics   *metrics
	held      atomic.Int64 // answers that are held back now
	stop      sync.Once
	stopped   chan struct{} // closed by Stop
}

var _ sasl.Authenticator = (*Service)(nil)

// New returns a Service.
func New(o Options) *Service {
	o.Policy = o.Policy.withDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{
		o:         o,
		guard:     newGuard(o.Policy, o.Now),
		visits:    visits{table: newTable[netip.Addr, visit](o.Policy.MaxTracked)},
		exchanges: exchanges{open: map[*session.Conn]*exchange{}},
		stopped:   make(chan struct{}),
	}
	s.metrics = newMetrics(s)
	return s
}
