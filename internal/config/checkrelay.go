package config

import (
	"fmt"
	"net/netip"

	"postrider/internal/mail"
)

// The largest networks that may relay unless it is said that larger ones may, in
// bits of their prefix.
const (
	WidestRelay4 = 16 // IPv4: 65,536 addresses
	WidestRelay6 = 48 // IPv6: one site
)

// relays looks at who may relay, so that nobody opens a relay by a slip.
func (k *checker) relays() {
	listens := false
	for _, l := range k.c.Listeners {
		listens = listens || l.Role == RoleRelay
	}
	names := map[string]bool{}
	for i, r := range k.c.Relays {
		k.relay(i, &r)
		if names[r.Name] && r.Name != "" {
			k.report(relayPath(i, "name"), Problem{Message: fmt.Sprintf("two sections [[relay]] have the name %q", r.Name), Help: "give each its own"})
		}
		names[r.Name] = true
	}
	switch {
	case listens && !k.c.Outbound.Accept:
		k.report("outbound.accept", Problem{
			Warning: true, Message: "a listener of the role relay takes mail for the domains here only, since no other is accepted", Help: "leave outbound.accept out",
		})
	case len(k.c.Relays) > 0 && !listens:
		k.report(relayPath(0, ""), Problem{
			Warning: true, Message: "no listener has the role relay: nobody can use [[relay]]", Help: "write a [[listener]] with role = \"relay\"",
		})
	}
}

func (k *checker) relay(i int, r *Relay) {
	if r.Name == "" {
		k.report(relayPath(i, "name"), Problem{Message: "the [[relay]] has no name", Help: "write a name for logs, like name = \"printer\""})
	}
	if len(r.Networks) == 0 {
		k.report(relayPath(i, "networks"), Problem{Message: "the [[relay]] has no networks", Help: `write where it sends from: networks = ["192.0.2.25/32"]`})
	}
	for _, p := range r.Networks {
		switch wide := isWide(p); {
		case wide && !r.WideNetworks:
			k.report(relayPath(i, "networks"), Problem{
				Message: fmt.Sprintf("%s is too large: all its addresses could send mail to anywhere", p),
				Help:    fmt.Sprintf("write networks of at most an IPv4 /%d or an IPv6 /%d; or, if that is meant, add wide_networks = true", WidestRelay4, WidestRelay6),
			})
		case p.Bits() == 0:
			k.report(relayPath(i, "networks"), Problem{
				Warning: true, Message: fmt.Sprintf("%s makes this server an open relay on its listeners of the role relay", p), Help: "write smaller networks",
			})
		}
	}
	for _, d := range r.From {
		if _, err := mail.ParseDomain(d); err != nil {
			k.report(relayPath(i, "from"), Problem{Message: fmt.Sprintf("from can't have %q: %v", d, err), Help: "write domains, like example.org"})
		}
	}
}

// isWide reports whether a network is larger than it may be unsaid. What an IPv6
// network maps of IPv4 counts as that.
func isWide(p netip.Prefix) bool {
	switch {
	case p.Addr().Is4():
		return p.Bits() < WidestRelay4
	case p.Addr().Is4In6():
		return p.Bits() < 96+WidestRelay4
	}
	return p.Bits() < WidestRelay6
}

func relayPath(i int, key string) string {
	if key == "" {
		return fmt.Sprintf("relay[%d]", i)
	}
	return fmt.Sprintf("relay[%d].%s", i, key)
}
