package login

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postrider/internal/fault"
)

// Lock is a lock-out.
type Lock struct {
	// Address is an IP address, or a network for IPv6.
	Address string `json:"address"`
	// Account is the name for which the address is locked out; empty: for all.
	Account string    `json:"account,omitempty"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	// Refused is how many logins have been refused for it.
	Refused int64 `json:"refused"`
}

func lockOf(address netip.Prefix, account string, t *gate) Lock {
	return Lock{
		Address: addressText(address), Account: account,
		Since: t.since, Until: t.until, Refused: t.refused,
	}
}

// addressText is an address as people and Unblock know it.
func addressText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// Locked returns who is locked out now, the latest last.
func (s *Service) Locked() []Lock {
	g := s.guard
	var locks []Lock
	g.mu.Lock()
	now := g.now()
	for e := range g.addresses.all {
		if e.value.locked(now) {
			locks = append(locks, lockOf(e.key, "", &e.value))
		}
	}
	for e := range g.pairs.all {
		if e.value.locked(now) {
			locks = append(locks, lockOf(e.key.address, e.value.shown, &e.value))
		}
	}
	g.mu.Unlock()
	slices.SortFunc(locks, func(a, b Lock) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Address, b.Address), strings.Compare(a.Account, b.Account))
	})
	return locks
}

// Unblock forgets the failures and lock-outs of an IP address, of a network, or of
// an account (its address), and returns how many records that were. NotFound:
// none; Invalid: what is none of these.
func (s *Service) Unblock(ctx context.Context, what string) (int, error) {
	n, ok := 0, false
	if network, err := parseNetwork(what); err == nil {
		n, ok = s.guard.forgetAddresses(network), true
	} else if strings.Contains(what, "@") {
		n, ok = s.guard.forgetAccount(accountKey(what)), true
	}
	switch {
	case !ok:
		return 0, fault.Newf(fault.Invalid, "unblock", "that is neither an IP address or network nor an account's address")
	case n == 0:
		return 0, fault.Newf(fault.NotFound, "unblock "+printable(what), "no login has failed lately")
	}
	s.o.Logger.LogAttrs(ctx, slog.LevelInfo, "failed logins forgotten",
		slog.String("of", printable(what)), slog.Int("records", n))
	return n, nil
}

// parseNetwork reads an IP address or a network.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return addressKey(a), nil
	}
	p, err := netip.ParsePrefix(s)
	if err == nil && p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), err
}

// forgetAddresses forgets what is remembered of a network's addresses.
func (g *guard) forgetAddresses(network netip.Prefix) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for e := range g.addresses.all {
		if e.key.Overlaps(network) {
			n += g.reset(&e.value, g.limitOf(e.key))
		}
	}
	for e := range g.pairs.all {
		if e.key.address.Overlaps(network) {
			n += g.reset(&e.value, g.p.PairFailures)
		}
	}
	return n
}

// forgetAccount forgets what is remembered of an account's name.
func (g *guard) forgetAccount(account string) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for e := range g.pairs.all {
		if e.key.account == account {
			n += g.reset(&e.value, g.p.PairFailures)
		}
	}
	if e := g.accounts.get(account); e != nil {
		g.accounts.remove(e)
		n++
	}
	return n
}

// reset makes a gate one that nobody has failed at, and returns 1 if it was not.
// The record stays for those who are inside, and expires.
func (g *guard) reset(t *gate, limit int) (n int) {
	if now := g.now(); t.locked(now) || t.failures.at(now, g.p.Window) > 0 {
		n = 1
	}
	t.failures, t.until, t.refused = count{}, time.Time{}, 0
	t.wake(g, limit)
	return n
}
