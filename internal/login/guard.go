package login

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/width"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// knownFor is for how long an account that has logged in from an address is
// spared the lock-out of that address.
const knownFor = 7 * 24 * time.Hour

// guard remembers who has failed, and how often.
type guard struct {
	p   Policy
	now func() time.Time

	mu        sync.Mutex
	addresses *table[netip.Prefix, gate]
	pairs     *table[pair, gate]
	accounts  *table[string, count]
	// known is when an account has last logged in from an address. It is apart from
	// pairs, so that a flood of failures pushes none out of it.
	known *table[pair, time.Time]
}

// pair is an address and an account's name.
type pair struct {
	address netip.Prefix // see addressKey
	account string       // see accountKey
}

func newGuard(p Policy, now func() time.Time) *guard {
	return &guard{
		p: p, now: now,
		addresses: newTable[netip.Prefix, gate](p.MaxTracked),
		pairs:     newTable[pair, gate](p.MaxTracked),
		accounts:  newTable[string, count](p.MaxTracked),
		known:     newTable[pair, time.Time](p.MaxTracked),
	}
}

// addressKey is what counts as one address: of IPv6 a /64, which is the least that
// anybody gets.
func addressKey(a netip.Addr) netip.Prefix {
	a = plainAddr(a)
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // the zero Addr: a connection without one
	}
	return p
}

// siteFactor is by how much more a whole IPv6 site may fail than one /64 of it.
const siteFactor = 10

// siteKey is the /48 of an IPv6 address, which is what a site gets: it has 65,536
// networks to guess from. False: there is no such thing for the address.
func siteKey(a netip.Addr) (netip.Prefix, bool) {
	a = plainAddr(a)
	if !a.Is6() {
		return netip.Prefix{}, false
	}
	p, err := a.Prefix(48)
	return p, err == nil
}

// addressGate is a gate that an address has to pass, and how often it may fail
// there.
type addressGate struct {
	*entry[netip.Prefix, gate]
	limit int
}

// addressGates returns the gates of an address, its own first.
func (g *guard) addressGates(a netip.Addr) []addressGate {
	limit := g.p.AddressFailures
	gates := []addressGate{{g.addresses.touch(addressKey(a)), limit}}
	if site, ok := siteKey(a); ok {
		gates = append(gates, addressGate{g.addresses.touch(site), g.siteLimit()})
	}
	return gates
}

// siteLimit is how often a site may fail; negative: there is no limit.
func (g *guard) siteLimit() int { return g.p.AddressFailures * siteFactor }

// limitOf is how often an address, or a site, may fail.
func (g *guard) limitOf(p netip.Prefix) int {
	if p.Addr().Is6() && p.Bits() == 48 {
		return g.siteLimit()
	}
	return g.p.AddressFailures
}

// plainAddr is an address without what makes one address look like several.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// accountKey is a name as it counts, however it was written. What can't be an
// account's name is not kept, only its hash.
func accountKey(name string) string {
	if name == "" {
		return ""
	}
	a, err := mail.ParseAddress(name)
	if err != nil {
		sum := sha256.Sum256([]byte(name))
		return "\x00" + string(sum[:16])
	}
	return folded(a)
}

// folded is the key of an address with wide and narrow letters mapped to the usual
// ones (RFC 8265 §3.3), under which the directory looks for it too.
func folded(a mail.Address) string {
	a.Local = width.Fold.String(a.Local)
	return a.Key()
}

// keyOf is the accountKey of an account's own address, which is a key already.
func keyOf(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address
	}
	return folded(mail.Address{Local: address[:at], Domain: address[at+1:]})
}

// pass is a login under way.
type pass struct {
	g    *guard
	from netip.Addr
	pair pair
	// trusted: nothing that happens is held against the address.
	trusted bool
	// byAddress and byPair are the gates it has entered; nil: none.
	byAddress []addressGate
	byPair    *entry[pair, gate]
	ended     bool
}

// enter lets a login begin: Busy, with a *lockedOut if it is, or Transient when
// ctx ends. Every pass must be ended. An account of no name has no gate.
func (g *guard) enter(ctx context.Context, from netip.Addr, account string) (*pass, error) {
	p := &pass{g: g, from: from, pair: pair{addressKey(from), account}, trusted: g.p.trusts(from)}
	if p.trusted {
		return p, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	// First the pair: who waits there must hold no place of the address.
	if account != "" {
		p.byPair = g.pairs.touch(p.pair)
		if err := p.byPair.value.enter(ctx, g, g.p.PairFailures); err != nil {
			return nil, busy(err)
		}
	}
	if g.knows(p.pair) {
		return p, nil
	}
	for _, t := range g.addressGates(from) {
		if err := t.value.enter(ctx, g, t.limit); err != nil {
			p.leave()
			return nil, busy(err)
		}
		p.byAddress = append(p.byAddress, t)
	}
	return p, nil
}

// busy gives a *lockedOut its kind.
func busy(err error) error {
	if _, ok := err.(*lockedOut); ok {
		return fault.New(fault.Busy, "log in", err)
	}
	return err
}

// refuses returns what enter would, if the login is locked out. It counts as a
// login that was refused.
func (g *guard) refuses(from netip.Addr, account string) error {
	if g.p.trusts(from) {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	k, now := pair{addressKey(from), account}, g.now()
	if e := g.pairs.get(k); e != nil && e.value.locked(now) {
		return busy(e.value.refuse())
	}
	if g.knows(k) {
		return nil
	}
	site, _ := siteKey(from)
	for _, p := range []netip.Prefix{site, k.address} {
		if e := g.addresses.get(p); e != nil && e.value.locked(now) {
			return busy(e.value.refuse())
		}
	}
	return nil
}

// knows reports whether the account has lately logged in from the address.
func (g *guard) knows(p pair) bool {
	e := g.known.get(p)
	return e != nil && g.now().Sub(e.value) < knownFor
}

// setback is what follows from a failure.
type setback struct {
	delay time.Duration // of the answer, from the login's beginning
	// locks are the lock-outs that begin with it.
	locks []Lock
}

// fail ends a pass: the name was not proven. Shown is the name as the log may
// show it.
func (p *pass) fail(shown string) (s setback) {
	g := p.g
	if p.trusted {
		return setback{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	gates := g.addressGates(p.from)
	for _, t := range gates {
		if t.value.fail(now, t.limit, g.p) {
			s.locks = append(s.locks, lockOf(t.key, "", &t.value))
		}
	}
	address := gates[0]
	n := address.value.failures.at(now, g.p.Window)
	if p.byPair != nil {
		p.byPair.value.shown = shown
		if p.byPair.value.fail(now, g.p.PairFailures, g.p) {
			s.locks = append(s.locks, lockOf(address.key, shown, &p.byPair.value))
		}
		account := g.accounts.touch(p.pair.account)
		account.value.add(now, g.p.Window)
		n = max(n, account.value.at(now, g.p.Window))
	}
	s.delay = delay(n, g.p.MaxDelay)
	p.leave()
	return s
}

// succeed ends a pass: the name is proven. The pair's failures are forgotten, not
// the address's.
func (p *pass) succeed() {
	g := p.g
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.pair.account != "" && !p.trusted {
		g.known.touch(p.pair).value = g.now()
	}
	if p.byPair != nil {
		p.byPair.value.failures = count{}
	}
	p.leave()
}

// abandon ends a pass that says nothing about who it was, unless it has ended.
func (p *pass) abandon() {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.leave()
}

// leave gives the places back, and drops what there is no need to remember. A
// second time it does nothing. The guard's lock is held.
func (p *pass) leave() {
	if p.ended {
		return
	}
	p.ended = true
	g := p.g
	for _, t := range p.byAddress {
		t.value.leave(g, t.limit)
	}
	if e := p.byPair; e != nil {
		e.value.leave(g, g.p.PairFailures)
		if e.value.idle(g.now(), g.p.Window) {
			g.pairs.remove(e)
		}
	}
	for _, t := range p.byAddress {
		if t.value.idle(g.now(), g.p.Window) {
			g.addresses.remove(t.entry)
		}
	}
	g.expire()
}

// expire forgets the oldest records, a few at a time, if their time is over.
func (g *guard) expire() {
	now := g.now()
	for range 2 {
		if e := g.addresses.oldest(); e != nil && e.value.idle(now, g.p.Window) {
			g.addresses.remove(e)
		}
		if e := g.pairs.oldest(); e != nil && e.value.idle(now, g.p.Window) {
			g.pairs.remove(e)
		}
		if e := g.accounts.oldest(); e != nil && e.value.at(now, g.p.Window) == 0 {
			g.accounts.remove(e)
		}
		if e := g.known.oldest(); e != nil && now.Sub(e.value) >= knownFor {
			g.known.remove(e)
		}
	}
}
