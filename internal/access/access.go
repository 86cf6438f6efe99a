// Package access is how mail is handed out: it opens what belongs to whoever has
// logged in, for every protocol that retrieves.
package access

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/pop3"
	"postrider/internal/session"
	"postrider/internal/store"
)

// Options are what an Access needs.
type Options struct {
	Maildrops store.Maildrops
	// Lock is how POP3 opens maildrops.
	Lock   store.LockMode
	Logger *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
}

// Access is the backend of the sessions that hand mail out. It serves many at
// once.
type Access struct {
	o       Options
	fetched *prometheus.CounterVec
}

var _ pop3.Backend = (*Access)(nil)

// New returns an Access.
func New(o Options) *Access {
	a := &Access{
		o: o,
		fetched: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_retrieved_total", Help: "Messages and octets handed out, and messages removed, by protocol.",
		}, []string{"protocol", "what"}),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(a.fetched)
	}
	return a
}

// Open opens the account's maildrop.
func (a *Access) Open(ctx context.Context, c *session.Conn, account mail.AccountID) (store.Maildrop, error) {
	m, err := a.o.Maildrops.OpenMaildrop(ctx, account, a.o.Lock, c.Listener.Protocol+" "+c.ID+" "+c.Remote.String())
	if err == nil {
		return m, nil
	}
	level := slog.LevelInfo
	if !fault.Is(err, fault.Busy) {
		level = slog.LevelError
	}
	a.o.Logger.LogAttrs(ctx, level, "maildrop not opened", slog.String("conn", c.ID),
		slog.Uint64("account", uint64(account)), slog.Any("error", err))
	return nil, err
}

// Done logs what a session did.
func (a *Access) Done(c *session.Conn, account mail.AccountID, s pop3.Summary) {
	count := func(what string, n int64) {
		if n > 0 {
			a.fetched.WithLabelValues(c.Listener.Protocol, what).Add(float64(n))
		}
	}
	count("messages", int64(s.Retrieved))
	count("octets", s.Octets)
	count("removed", int64(s.Removed))
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("conn", c.ID), slog.Uint64("account", uint64(account)),
		slog.Int("retrieved", s.Retrieved), slog.Int64("octets", s.Octets),
		slog.Int("removed", s.Removed), slog.Bool("quit", s.Quit),
	}
	if s.Err != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.Any("error", s.Err))
	}
	a.o.Logger.LogAttrs(context.Background(), level, "maildrop closed", attrs...)
}
