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
// that many connections at once have no more guesses than one. One whose client
// goes while it waits for its password to be hashed counts as a failure too: what
// is remembered of right passwords was compared already.
//
// # What is logged
//
// Never a secret. A name that failed is shown only if it looks like a mail
// address whose domain could be on the Internet or is an account's: others may
// be passwords that were typed into the wrong field. Why a login failed is for the
// log alone, the client gets one answer.
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
	Secret(ctx context.Context, name string) (secret []byte, account store.Account, err error)
	LoginAccount(ctx context.Context, name string) (store.Account, error)
	Used(ctx context.Context, id mail.AccountID, appPassword string, at time.Time) error
	SCRAMPossible() bool
	LegacyPossible() bool
}

// TokenVerifier tells whose a bearer token is; package oauth has one.
type TokenVerifier interface {
	// Verify returns the login name that the token stands for. Denied: the token
	// is no good. Other kinds: it can't be told now, and the verifier has told its
	// log why. No error has the token in it.
	Verify(ctx context.Context, token string) (name string, err error)
}

// Names of ways to log in that are no SASL mechanisms, as they stand in
// Options.Mechanisms, sasl.Identity and the log of logins.
const (
	User          = "USER" // POP3's USER and PASS
	APOP          = "APOP"
	popBeforeSMTP = "POP-before-SMTP" // in the log only: see Recognize
)

// Options are what a Service needs to know.
type Options struct {
	Directory Directory
	// Tokens verifies bearer tokens; nil: there is no OAUTHBEARER.
	Tokens TokenVerifier
	// Mechanisms are the ways to log in that are allowed, by their names, with User
	// and APOP among them. Empty: all, but CRAM-MD5 only where no password may be
	// sent as it is; where it is named, it is offered with TLS too.
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
	told      told
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
		told:      told{on: map[*session.Conn]map[mail.AccountID]bool{}},
		stopped:   make(chan struct{}),
	}
	s.metrics = newMetrics(s)
	return s
}
