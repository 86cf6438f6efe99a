package resolver

import (
	"context"
	"net/netip"

	"github.com/miekg/dns"
)

// Addresses are those of a host, at most 32 of each family, in the order in
// which the server gave them.
type Addresses struct {
	IPv6, IPv4 []netip.Addr
	// Canonical is the host's name when aliases have been followed.
	Canonical string
	// Authentic says that DNSSEC vouches for all of them and for the aliases.
	Authentic bool
}

// Addresses returns the addresses of a host. When those of one family can't be
// had now, those of the other do. NotFound: it has none.
func (r *Resolver) Addresses(ctx context.Context, host string) (Addresses, error) {
	type result struct {
		answer
		err error
	}
	other := make(chan result, 1)
	go func() {
		a, err := r.lookup(ctx, host, dns.TypeAAAA)
		other <- result{a, err}
	}()
	a, err := r.lookup(ctx, host, dns.TypeA)
	v4, v6 := result{a, err}, <-other

	all := Addresses{Authentic: r.validating}
	for _, v := range []result{v6, v4} {
		if v.err != nil || len(v.records) == 0 {
			continue
		}
		all.Canonical = v.name
		all.Authentic = all.Authentic && v.authentic
		all.add(v.records)
	}
	switch {
	case len(all.IPv4)+len(all.IPv6) > 0:
		return all, nil
	case v4.err != nil:
		return Addresses{}, v4.err
	case v6.err != nil:
		return Addresses{}, v6.err
	}
	return Addresses{Canonical: v4.name, Authentic: v4.authentic && v6.authentic}, v4.notFound(host, dns.TypeA)
}

func (a *Addresses) add(records []dns.RR) {
	for _, rr := range records {
		switch rr := rr.(type) {
		case *dns.A:
			if ip, ok := netip.AddrFromSlice(rr.A.To4()); ok && len(a.IPv4) < maxAddresses {
				a.IPv4 = append(a.IPv4, ip)
			}
		case *dns.AAAA:
			if ip, ok := netip.AddrFromSlice(rr.AAAA.To16()); ok && len(a.IPv6) < maxAddresses {
				a.IPv6 = append(a.IPv6, ip)
			}
		}
	}
}
