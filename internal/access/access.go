// Package access is how mail is handed out: it opens what belongs to whoever has
// logged in, for every protocol that retrieves.
package access

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/fault"
	"postrider/internal/pop3"
	"postrider/internal/sasl"
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

// Open opens the maildrop of who has logged in.
func (a *Access) Open(ctx context.Context, c *session.Conn, who sasl.Identity) (store.Maildrop, error) {
	m, err := a.o.Maildrops.OpenMaildrop(ctx, who.Account, a.o.Lock, c.Listener.Protocol+" "+c.ID+" "+c.Remote.String())
	if err == nil {
		return m, nil
	}
	level := slog.LevelInfo
	if !fault.Is(err, fault.Busy) {
		level = slog.LevelError
	}
	a.o.Logger.LogAttrs(ctx, level, "maildrop not opened", append(circumstances(c, who), slog.Any("error", err))...)
	return nil, err
}

// Done logs what a session did.
func (a *Access) Done(c *session.Conn, who sasl.Identity, s pop3.Summary) {
	count := func(what string, n int64) {
		if n > 0 {
			a.fetched.WithLabelValues(c.Listener.Protocol, what).Add(float64(n))
		}
	}
	count("messages", int64(s.Retrieved))
	count("octets", s.Octets)
	count("removed", int64(s.Removed))
	level := slog.LevelInfo
	attrs := append(circumstances(c, who),
		slog.Int("retrieved", s.Retrieved), slog.Int64("octets", s.Octets),
		slog.Int("removed", s.Removed), slog.Bool("quit", s.Quit))
	if s.Err != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.Any("error", s.Err))
	}
	a.o.Logger.LogAttrs(context.Background(), level, "maildrop closed", attrs...)
}

// circumstances are what every line about a maildrop begins with.
func circumstances(c *session.Conn, who sasl.Identity) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("conn", c.ID), slog.String("listener", c.Listener.Name),
		slog.String("remote", c.Remote.String()), slog.String("account", who.Address),
		slog.String("mechanism", who.Mechanism),
	}
	if who.AppPassword != "" {
		attrs = append(attrs, slog.String("app_password", who.AppPassword))
	}
	return attrs
}
