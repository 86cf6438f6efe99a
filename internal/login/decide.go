package login

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"postrider/internal/directory"
	"postrider/internal/fault"
	"postrider/internal/sasl"
	"postrider/internal/session"
)

// maxHeld is how many answers to failed logins may be held back at once; further
// failures are answered Busy, at once.
const maxHeld = 1000

// Password implements sasl.Authenticator.
func (s *Service) Password(c *session.Conn, name, password string) (sasl.Identity, error) {
	if !s.PasswordOffered(c) {
		return sasl.Identity{}, fault.Newf(fault.Denied, "log in", "a password is not allowed here")
	}
	a := &attempt{s: s, c: c, mechanism: User}
	return a.Password(contextOf(c), sasl.Claim{Name: name}, password)
}

// Digest implements sasl.Authenticator.
func (s *Service) Digest(c *session.Conn, name string, check func(secret []byte) bool) (sasl.Identity, error) {
	if !s.DigestOffered(c) {
		return sasl.Identity{}, fault.Newf(fault.Denied, "log in", "APOP is not allowed here")
	}
	a := &attempt{s: s, c: c, mechanism: APOP}
	return a.Secret(contextOf(c), sasl.Claim{Name: name}, check)
}

// decide lets prove look at what the client has given, if the guard lets it, and
// answers: whom the client has proven to be, or, when it has been held back for
// long enough, that it has not. Prove may set the name under which the login is
// logged.
func (a *attempt) decide(ctx context.Context, c sasl.Claim, prove func(context.Context, *string) (proof, error)) (sasl.Identity, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(contextOf(a.c), cancel)()
	name := c.Name
	if name == "" {
		name = c.As
	}
	pass, err := a.s.guard.enter(ctx, a.c.Remote.Addr(), accountKey(name))
	if err != nil {
		a.refused(ctx, name, err)
		return sasl.Identity{}, err
	}
	defer pass.abandon()
	begun := a.s.o.Now()
	p, err := prove(ctx, &name)
	if err == nil && (p.account.ID == 0 || p.account.Disabled) {
		err = denied(closedAccount)
	}
	if err == nil {
		err = a.mayActAs(ctx, p.account, c.As)
	}
	var guess *directory.ComparedError
	switch {
	case err == nil:
		pass.succeed()
		return a.succeeded(ctx, name, p), nil
	case isNobody(err):
		shown := a.s.shownName(ctx, name)
		return sasl.Identity{}, a.failed(ctx, name, shown, pass.fail(shown), begun, err)
	case errors.As(err, &guess): // its client has left the queue, or was sent away
		a.lockedOut(ctx, pass.fail(a.s.shownName(ctx, name)).locks)
	}
	return sasl.Identity{}, a.undecided(ctx, name, err)
}

// undecided notes that it can't be told now whether the name is proven, and
// returns the answer.
func (a *attempt) undecided(ctx context.Context, name string, why error) error {
	level := slog.LevelError
	var told *toldError
	switch {
	case ctx.Err() != nil, errors.As(why, &told): // the client is gone; it is in the log
		level = slog.LevelDebug
	case fault.Is(why, fault.Busy): // it passes
		level = slog.LevelInfo
	}
	a.note(ctx, level, "login not decided", Entry{
		Name: a.s.shownName(ctx, name), Result: Failed, Reason: printable(why.Error()),
	}, name)
	kind := fault.KindOf(why)
	if !kind.Temporary() {
		kind = fault.Internal
	}
	return fault.New(kind, "log in", why)
}

// succeeded notes a login, and returns who it is.
func (a *attempt) succeeded(ctx context.Context, name string, p proof) sasl.Identity {
	now := a.s.o.Now()
	a.s.visits.visited(a.c, p.account, p.appPassword, now)
	a.note(ctx, slog.LevelInfo, "login", Entry{
		Name: printable(name), Account: p.account.Address, AppPassword: p.appPassword, Result: OK,
	}, name)
	if p.appPassword != "" {
		if err := a.s.o.Directory.Used(context.WithoutCancel(ctx), p.account.ID, p.appPassword, now); err != nil {
			a.s.o.Logger.LogAttrs(ctx, slog.LevelWarn, "the use of an app password was not noted",
				slog.String("account", p.account.Address), slog.String("app_password", p.appPassword), slog.Any("error", err))
		}
	}
	return sasl.Identity{
		Account: p.account.ID, Address: p.account.Address,
		Mechanism: a.mechanism, AppPassword: p.appPassword,
	}
}

// failed notes the failure of a login that has begun at a time, holds the answer
// back, and returns it.
func (a *attempt) failed(ctx context.Context, name, shown string, s setback, begun time.Time, why error) error {
	a.lockedOut(ctx, s.locks)
	answer := fault.New(fault.Denied, "log in", nil)
	delay := max(0, s.delay-a.s.o.Now().Sub(begun)) // so that the time it took is not seen
	if delay > 0 {
		defer a.s.held.Add(-1)
		if a.s.held.Add(1) > maxHeld {
			answer, delay = fault.Newf(fault.Busy, "log in", "too many answers are held back"), 0
		}
	}
	a.note(ctx, slog.LevelInfo, "login refused", Entry{
		Name: shown, Result: Refused, Reason: printable(reason(why)), Delay: delay,
	}, name)
	a.s.hold(ctx, delay)
	return answer
}

// reason is an error without its operation.
func reason(err error) string {
	var w wrong
	if errors.As(err, &w) {
		return string(w)
	}
	if why := directory.WhyDenied(err); why != "" {
		return why
	}
	return err.Error()
}

// hold waits, or until ctx ends or the server stops.
func (s *Service) hold(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-s.stopped:
	}
}

// Stop has no answer held back any more: the server stops, and would have to wait
// for them.
func (s *Service) Stop() { s.stop.Do(func() { close(s.stopped) }) }

// refused notes a login that was not looked at. The first one that a lock-out
// refuses is in the log and the log of logins; the others are only counted.
func (a *attempt) refused(ctx context.Context, name string, err error) {
	var l *lockedOut
	switch {
	case errors.As(err, &l) && l.first:
		a.note(ctx, slog.LevelInfo, "login refused", Entry{
			Name: a.s.shownName(ctx, name), Result: LockedOut, Reason: l.Error(),
		}, name)
	case l != nil:
		a.unfinished(ctx, LockedOut, slog.String("reason", l.Error()))
	case fault.Is(err, fault.Busy):
		a.unfinished(ctx, Crowded, slog.Any("error", err))
	default:
		a.unfinished(ctx, Failed, slog.Any("error", err))
	}
}

// lockedOut tells that lock-outs have begun.
func (a *attempt) lockedOut(ctx context.Context, locks []Lock) {
	for _, l := range locks {
		a.tellLock(ctx, l)
	}
}

func (a *attempt) tellLock(ctx context.Context, l Lock) {
	of := "address"
	attrs := []slog.Attr{slog.String("address", l.Address), slog.Time("until", l.Until)}
	if l.Account != "" {
		of = "pair"
		attrs = append(attrs, slog.String("account", l.Account))
	}
	a.s.metrics.lockouts.WithLabelValues(of).Inc()
	attrs = append(attrs, slog.String("help", "if that was no attack: postrider auth unblock "+l.Address))
	a.s.o.Logger.LogAttrs(ctx, slog.LevelWarn, "locked out after too many failed logins", attrs...)
}

// note puts a login into the log, the log of logins and the metrics. Name is the
// account's, as it was tried.
func (a *attempt) note(ctx context.Context, level slog.Level, message string, e Entry, name string) {
	a.decided.Store(true)
	c := a.c
	e.Time, e.Conn, e.Listener, e.Protocol = a.s.o.Now(), c.ID, c.Listener.Name, c.Listener.Protocol
	e.Remote, e.Mechanism = c.Remote.String(), a.mechanism
	a.s.metrics.logins.WithLabelValues(e.Protocol, e.Mechanism, e.Result).Inc()
	a.s.audit.add(record{Entry: e, address: plainAddr(c.Remote.Addr()), account: accountKey(name)})
	attrs := []slog.Attr{
		slog.String("conn", e.Conn), slog.String("listener", e.Listener), slog.String("remote", e.Remote),
		slog.String("mechanism", e.Mechanism), slog.String("result", e.Result),
	}
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add("account", e.Account)
	if e.Account == "" {
		add("name", e.Name)
	}
	add("app_password", e.AppPassword)
	if e.Result == Failed {
		add("error", e.Reason)
	} else {
		add("reason", e.Reason)
	}
	if e.Delay > 0 {
		attrs = append(attrs, slog.Duration("delay", e.Delay))
	}
	a.s.o.Logger.LogAttrs(ctx, level, message, attrs...)
}

// unfinished counts an exchange that is no entry in the log of logins.
func (a *attempt) unfinished(ctx context.Context, result Result, why slog.Attr) {
	a.decided.Store(true)
	a.s.metrics.logins.WithLabelValues(a.c.Listener.Protocol, a.mechanism, result).Inc()
	a.s.o.Logger.LogAttrs(ctx, slog.LevelDebug, "no login", slog.String("conn", a.c.ID),
		slog.String("remote", a.c.Remote.String()), slog.String("mechanism", a.mechanism),
		slog.String("result", result), why)
}

// aborted notes that the client has given up.
func (a *attempt) aborted() {
	if !a.decided.Load() {
		a.unfinished(context.Background(), Aborted, slog.String("reason", "given up by the client"))
	}
}
