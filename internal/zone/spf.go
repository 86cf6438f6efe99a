package zone

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// judgeSPF wants one record that lets the host send. It reads what a record says
// itself, and asks for nothing that it refers to.
func judgeSPF(d Domain) judge {
	return func(t *topic, found []dns.RR) []Finding {
		policies, records := texts(found, "v=spf1")
		switch {
		case len(policies) == 0:
			return t.one(Missing, nil, "Nobody can tell the domain's mail from a forgery: add the record.")
		case len(policies) > 1:
			return t.one(Different, records, "There is more than one SPF record, which is an error for whoever asks (RFC 7208 §4.5): make one of them.")
		}
		terms := strings.Fields(strings.ToLower(policies[0]))[1:]
		switch {
		case slices.ContainsFunc(terms, func(s string) bool { return s == "all" || s == "+all" }):
			return t.one(Different, records, "The record lets everybody send in the domain's name: end it with -all or ~all.")
		case d.sends(t.name, terms):
			return t.one(Right, records, "")
		case slices.ContainsFunc(terms, refers):
			return t.one(Unknown, records, "The record refers to another one: see that it has the addresses of this host, or add mx to it.")
		}
		return t.one(Different, records, "The record does not let this host send: add mx to it.")
	}
}

// refers reports whether a term takes another name's word.
func refers(term string) bool {
	if term == "a" || term == "+a" || term == "mx" || term == "+mx" {
		return true
	}
	for _, prefix := range []string{"include:", "+include:", "redirect=", "exists:", "a:", "+a:", "mx:", "+mx:"} {
		if strings.HasPrefix(term, prefix) {
			return true
		}
	}
	return false
}

// sends reports whether the terms, which stand at name, let the host send: by its
// name, or by all of its addresses.
func (d Domain) sends(name string, terms []string) bool {
	left := slices.Clone(d.Addresses)
	for _, term := range terms {
		term = strings.TrimPrefix(term, "+")
		switch {
		case term == "a:"+d.Hostname, term == "mx:"+d.Name, term == "mx" && name == d.Name, term == "a" && name == d.Hostname:
			return true
		}
		for _, prefix := range []string{"ip4:", "ip6:"} {
			if network, ok := strings.CutPrefix(term, prefix); ok {
				left = slices.DeleteFunc(left, func(ip netip.Addr) bool { return covers(network, ip) })
			}
		}
	}
	return len(left) == 0 && len(d.Addresses) > 0
}

// covers reports whether a network, or a single address, has ip in it.
func covers(network string, ip netip.Addr) bool {
	if p, err := netip.ParsePrefix(network); err == nil {
		return p.Contains(ip)
	}
	one, err := netip.ParseAddr(network)
	return err == nil && one == ip
}
