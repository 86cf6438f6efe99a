package login

import (
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
func (s *Service) Recognize(c *session.Conn) (sasl.Identity, bool) {
	l, from := c.Listener, plainAddr(c.Remote.Addr())
	if l.PopBeforeSMTP <= 0 || s.o.Policy.trusts(from) ||
		len(l.TrustedNetworks) > 0 && !within(l.TrustedNetworks, from) {
		return sasl.Identity{}, false
	}
	v, ok := s.visits.at(from)
	now := s.o.Now()
	lately := func(t time.Time) bool { return !t.IsZero() && now.Sub(t) < l.PopBeforeSMTP }
	if !ok || !lately(v.granted) || lately(v.other) || s.guard.isLocked(from, keyOf(v.address)) {
		return sasl.Identity{}, false
	}
	ctx := contextOf(c)
	a, err := s.o.Directory.LoginAccount(ctx, v.address)
	if err != nil || a.ID != v.account || a.Version != v.version || a.Disabled {
		return sasl.Identity{}, false
	}
	s.o.Logger.LogAttrs(ctx, slog.LevelDebug, "recognized by a recent login", slog.String("conn", c.ID),
		slog.String("remote", from.String()), slog.String("account", a.Address))
	return sasl.Identity{Account: a.ID, Address: a.Address}, true
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
