package login

import (
	"net/netip"
	"time"
)

// The defaults of Policy.
const (
	DefaultMaxDelay        = 10 * time.Second
	DefaultPairFailures    = 10
	DefaultAddressFailures = 50
	DefaultWindow          = time.Hour
	DefaultLockout         = 15 * time.Minute
	DefaultMaxTracked      = 100_000
)

// Policy is what happens to those who fail to log in. Zero fields are the
// defaults.
type Policy struct {
	// MaxDelay is the longest that the answer to a failed login is held back.
	// Negative: not at all.
	MaxDelay time.Duration
	// PairFailures is how often an address may fail for one account within Window
	// before the two are locked out together. Negative: there is no limit.
	PairFailures int
	// AddressFailures is how often an address may fail in all within Window before
	// it is locked out. Negative: there is no limit.
	AddressFailures int
	// Window is how long a failure counts.
	Window time.Duration
	// Lockout is how long a lock-out lasts.
	Lockout time.Duration
	// MaxTracked is how many addresses, how many accounts and how many pairs of
	// them are remembered at most; the oldest are forgotten.
	MaxTracked int
	// Trusted are never delayed or locked out, because many people log in from one
	// address there: a webmail server, a proxy.
	Trusted []netip.Prefix
}

func (p Policy) withDefaults() Policy {
	p.MaxDelay = orDefault(p.MaxDelay, DefaultMaxDelay)
	p.PairFailures = orDefault(p.PairFailures, DefaultPairFailures)
	p.AddressFailures = orDefault(p.AddressFailures, DefaultAddressFailures)
	if p.Window <= 0 {
		p.Window = DefaultWindow
	}
	if p.Lockout <= 0 {
		p.Lockout = DefaultLockout
	}
	if p.MaxTracked <= 0 {
		p.MaxTracked = DefaultMaxTracked
	}
	return p
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

func (p Policy) trusts(a netip.Addr) bool { return within(p.Trusted, a) }

// within reports whether one of the networks has the address.
func within(networks []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
