package outbound

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

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

// maxHosts bounds the hosts of a domain that are looked at.
const maxHosts = 50

// before returns the hosts that are preferred to one of our name, maxHosts at most, and
// whether there is such a one.
func (w *way) before(hosts []resolver.Exchange) (before []resolver.Exchange, self bool) {
	for i := range hosts {
		if strings.EqualFold(hosts[i].Name, w.d.o.Hostname) {
			at := slices.IndexFunc(hosts, func(h resolver.Exchange) bool { return h.Preference == hosts[i].Preference })
			hosts, self = hosts[:at], true
			break
		}
	}
	return hosts[:min(len(hosts), maxHosts)], self
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

// levelWait is how long the hosts of one preference are looked up, all together,
// before any of them is tried.
const levelWait = 10 * time.Second

// levelLookups is how many of them are looked up at once.
const levelLookups = 8

// hasUs reports whether one of the hosts has an address of ours. What can't be looked
// up, or not soon enough, is taken for another's: mostly it is, and a message that went
// round all the same is stopped by its trace fields (RFC 5321 §6.3).
func (w *way) hasUs(ctx context.Context, hosts []mailHost) bool {
	if w.d.o.IsSelf == nil {
		return false
	}
	w.lookUpAll(ctx, hosts)
	return slices.ContainsFunc(hosts, func(host mailHost) bool {
		found := w.known[host.Host].addresses
		return slices.ContainsFunc(w.ordered(found), func(ip netip.Addr) bool {
			return w.isUs(netip.AddrPortFrom(ip, host.Port))
		})
	})
}

// isUs reports whether an address is one of our listeners'. One that mail found by the DNS
// does not go to says nothing: others have the same in their networks.
func (w *way) isUs(a netip.AddrPort) bool {
	if w.d.o.IsSelf == nil || w.byDNS && !w.d.o.AllowPrivate && !resolver.IsPublic(a.Addr()) {
		return false
	}
	return w.d.o.IsSelf(a)
}

// lookUpAll looks up the addresses of hosts at the same time. What is not known after
// levelWait stays unknown, and is asked for again when its turn comes.
func (w *way) lookUpAll(ctx context.Context, hosts []mailHost) {
	ctx, cancel := context.WithTimeout(ctx, levelWait)
	defer cancel()
	var asking errgroup.Group
	asking.SetLimit(levelLookups)
	answers := make([]lookedUp, len(hosts))
	for i, host := range hosts {
		asking.Go(func() error {
			answers[i].addresses, answers[i].err = w.ask(ctx, host.Host)
			return nil
		})
	}
	_ = asking.Wait() // it has none
	for i, got := range answers {
		if got.err == nil || ctx.Err() == nil {
			w.note(hosts[i].Host, got)
		}
	}
}
