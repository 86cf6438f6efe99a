package login

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"postrider/internal/mail"
	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/store"
)

// visits remembers who has collected mail from which address.
type visits struct {
	mu    sync.Mutex
	table *table[netip.Addr, visit]
}

// visit is the account that has collected its mail last from an address.
type visit struct {
	account mail.AccountID
	address string // the account's
	version uint64 // of the account's record
	// granted is when it last did so with its own password: an app password may be
	// one that is not good for sending.
	granted time.Time
	seen    time.Time // when it last did so
	other   time.Time // when another account last did
}

// visited notes a login of a protocol by which mail is collected.
func (v *visits) visited(c *session.Conn, a store.Account, appPassword string, now time.Time) {
	switch c.Listener.Protocol {
	case "pop3", "imap":
	default:
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	e := &v.table.touch(plainAddr(c.Remote.Addr())).value
	if e.account != a.ID {
		*e = visit{account: a.ID, other: e.seen}
	}
	e.seen = now
	if appPassword == "" {
		e.granted, e.address, e.version = now, a.Address, a.Version
	}
}

// Recognize returns who has collected mail from the connection's address within
// the listener's PopBeforeSMTP, with the account's own password. Nobody is
// recognized
//
//   - outside of the listener's TrustedNetworks, if there are any;
//   - if another account has collected its mail from there within that time, by
//     whatever password: the address is shared;
//   - at an address that Policy.Trusted says is many people's;
//   - at an address that is locked out, as a whole or for the account;
//   - if the account has been changed since (a new password, disabled, gone).
//
// It is asked before each transaction. The log has once for a connection who was
// recognized, as a login, and why somebody was not.
func (s *Service) Recognize(c *session.Conn) (sasl.Identity, bool) {
	if c.Listener.PopBeforeSMTP <= 0 {
		return sasl.Identity{}, false
	}
	v, seen := s.visits.at(plainAddr(c.Remote.Addr()))
	a, why, err := s.recognize(c, v)
	if why == "" && err == nil {
		s.recognized(c, a)
		return sasl.Identity{Account: a.ID, Address: a.Address}, true
	}
	level, attr := slog.LevelInfo, slog.String("reason", why)
	switch {
	case err != nil:
		level, attr = slog.LevelError, slog.Any("error", err)
	case !seen: // as any spammer
		level = slog.LevelDebug
	}
	if s.told.first(c, 0) {
		s.o.Logger.LogAttrs(contextOf(c), level, "not recognized by a recent login", slog.String("conn", c.ID),
			slog.String("listener", c.Listener.Name), slog.String("remote", c.Remote.String()), attr)
	}
	return sasl.Identity{}, false
}

// recognize returns the account of who has been at the connection's address, or
// why that is not to be trusted. The error means that it can't be told now.
func (s *Service) recognize(c *session.Conn, v visit) (a store.Account, why string, err error) {
	l, from, now := c.Listener, plainAddr(c.Remote.Addr()), s.o.Now()
	lately := func(t time.Time) bool { return !t.IsZero() && now.Sub(t) < l.PopBeforeSMTP }
	switch {
	case !lately(v.seen):
		why = "nobody has collected mail from the address lately"
	case s.o.Policy.trusts(from):
		why = "the address is many people's (login.trusted)"
	case len(l.TrustedNetworks) > 0 && !within(l.TrustedNetworks, from):
		why = "the address is outside of trusted_networks"
	case lately(v.other):
		why = "two accounts have collected mail from the address"
	case !lately(v.granted):
		why = "mail was collected from the address with an app password only"
	case s.guard.isLocked(from, keyOf(v.address)):
		why = new(lockedOut).Error()
	}
	if why != "" {
		return a, why, nil
	}
	a, err = s.o.Directory.LoginAccount(contextOf(c), v.address)
	switch {
	case err != nil && !isNobody(err):
		return a, "", err
	case err != nil || a.ID != v.account || a.Version != v.version || a.Disabled:
		return a, "the account has been changed since", nil
	}
	return a, "", nil
}

// recognized puts it into the log and the log of logins that a connection has been
// taken for an account's, once.
func (s *Service) recognized(c *session.Conn, a store.Account) {
	if !s.told.first(c, a.ID) {
		return
	}
	by := &attempt{s: s, c: c, mechanism: popBeforeSMTP}
	by.note(contextOf(c), slog.LevelInfo, "login", Entry{Name: a.Address, Account: a.Address, Result: OK}, a.Address)
}

// told is for which accounts the log has been told that connections which are
// open were taken; zero: for nobody's.
type told struct {
	mu sync.Mutex
	on map[*session.Conn]map[mail.AccountID]bool
}

// first reports whether the log was not told so yet.
func (t *told) first(c *session.Conn, account mail.AccountID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	had := t.on[c]
	if had == nil {
		had = map[mail.AccountID]bool{}
		t.on[c] = had
		context.AfterFunc(contextOf(c), func() { t.forget(c) })
	}
	if had[account] {
		return false
	}
	had[account] = true
	return true
}

func (t *told) forget(c *session.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.on, c)
}

func (v *visits) at(from netip.Addr) (visit, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.table.get(from)
	if e == nil {
		return visit{}, false
	}
	return e.value, true
}

// isLocked reports whether the address is locked out, as a whole or for the
// account.
func (g *guard) isLocked(from netip.Addr, account string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	k, now := pair{addressKey(from), account}, g.now()
	if e := g.addresses.get(k.address); e != nil && e.value.locked(now) {
		return true
	}
	e := g.pairs.get(k)
	return e != nil && e.value.locked(now)
}
