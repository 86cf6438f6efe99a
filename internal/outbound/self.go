package outbound

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/resolver"
)

// Mail that has come here goes to no host that the DNS prefers us to, nor to one that it
// prefers as much: it would send it back (RFC 5321 §5.1). We know ourselves by our name,
// which costs nothing, and by the addresses of our listeners, whatever name leads there.

// selfStatus says that mail would come back here (RFC 3463 §3.5).
const selfStatus = "5.4.6"

// leadsHere is the failure of mail for a domain that the DNS leads to us first.
func leadsHere(domain string) *failure {
	f := final(selfStatus, "the DNS leads mail for "+domain+" to this server, which does not know that domain")
	return &f
}

// before returns the hosts that are preferred to one of our name, and whether there is
// such a one.
func (w *way) before(hosts []resolver.Exchange) (before []resolver.Exchange, self bool) {
	for _, host := range hosts {
		if !strings.EqualFold(host.Name, w.d.o.Hostname) {
			continue
		}
		return slices.DeleteFunc(slices.Clone(hosts), func(other resolver.Exchange) bool {
			return other.Preference >= host.Preference
		}), true
	}
	return hosts, false
}

// unlessUs returns the addresses of the host at index i, unless it or one that the DNS
// prefers as much is ourselves.
func (w *way) unlessUs(ctx context.Context, i int) ([]*target, *failure) {
	if w.hasUs(ctx, w.level(i)) {
		return nil, leadsHere(w.hosts[i].mailFor)
	}
	return w.ofHost(ctx, w.hosts[i])
}

// level returns the hosts of the preference that begins at index i; nil if none does, or
// if they were not found by MX.
func (w *way) level(i int) []mailHost {
	first := w.hosts[i]
	same := func(h mailHost) bool { return h.origin == first.origin && h.preference == first.preference }
	if first.mailFor == "" || i > 0 && same(w.hosts[i-1]) {
		return nil
	}
	end := i + 1
	for end < len(w.hosts) && same(w.hosts[end]) {
		end++
	}
	return w.hosts[i:end]
}

// hasUs reports whether one of the hosts has an address of ours. What can't be looked
// up is taken for another's.
func (w *way) hasUs(ctx context.Context, hosts []mailHost) bool {
	if w.d.o.IsSelf == nil {
		return false
	}
	unknown := 0
	for _, host := range hosts {
		found, err := w.addresses(ctx, host.Host)
		if err != nil && !fault.Is(err, fault.NotFound) {
			unknown++ // it took its time, as in deliver
		}
		if unknown == maxTries || ctx.Err() != nil {
			return false
		}
		if slices.ContainsFunc(w.ordered(found), func(ip netip.Addr) bool {
			return w.d.o.IsSelf(netip.AddrPortFrom(ip, host.Port))
		}) {
			return true
		}
	}
	return false
}
