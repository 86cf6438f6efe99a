package resolver

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// MX is where a domain's mail goes (RFC 5321 §5.1).
type MX struct {
	// Domain is the domain's canonical name: what is left when it is an alias.
	Domain string
	// Hosts are in the order in which they are to be tried, all that one answer holds
	// (64 KiB); those of one preference were shuffled.
	Hosts []Exchange
	// Implicit says that the domain has no MX record, and that its only host is
	// itself, as it was asked for. Whether that host is there, Addresses says.
	Implicit bool
	// Null says that the domain takes no mail (RFC 7505); it has no Hosts.
	Null bool
	// Authentic says that DNSSEC vouches for it, or for there being no record.
	Authentic bool
}

// Exchange is a host that takes mail.
type Exchange struct {
	Name       string
	Preference uint16
}

// MX returns the mail exchangers of a domain. A domain that is an alias has those
// of its canonical name. NotFound: there is no such domain. Records whose host is
// no name of a host are left out; if that leaves none the error is Transient.
//
// The name of an exchanger may itself be an alias, which RFC 2181 §10.3 forbids
// and others let pass: it is left as it is, and Addresses follows it.
func (r *Resolver) MX(ctx context.Context, domain string) (MX, error) {
	a, err := r.lookup(ctx, domain, dns.TypeMX)
	if err != nil {
		return MX{}, err
	}
	mx := MX{Domain: a.name, Authentic: a.authentic}
	if a.missing {
		return mx, a.notFound(domain, dns.TypeMX)
	}
	if len(a.records) == 0 {
		name, _ := mail.ParseDomain(domain)
		mx.Implicit, mx.Hosts = true, []Exchange{{Name: name}}
		return mx, nil
	}
	if len(a.records) == 1 && isNull(a.records[0]) {
		mx.Null = true
		return mx, nil
	}
	mx.Hosts = exchanges(a.records)
	if len(mx.Hosts) == 0 {
		return mx, fault.Newf(fault.Transient, operation(domain, dns.TypeMX), "none of its mail exchangers has the name of a host")
	}
	return mx, nil
}

// isNull knows the null MX (RFC 7505 §3). Among others it is a host without name.
func isNull(rr dns.RR) bool {
	mx, ok := rr.(*dns.MX)
	return ok && mx.Mx == "."
}

// exchanges sorts hosts by preference, and shuffles those that have the same
// (RFC 5321 §5.1).
func exchanges(records []dns.RR) []Exchange {
	type ranked struct {
		Exchange
		chance uint64
	}
	var all []ranked
	for _, rr := range records {
		mx, ok := rr.(*dns.MX)
		if !ok {
			continue
		}
		name, err := mail.ParseDomain(mx.Mx)
		if err != nil || strings.HasPrefix(name, "[") {
			continue
		}
		all = append(all, ranked{Exchange{name, mx.Preference}, random()})
	}
	slices.SortFunc(all, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.Preference, b.Preference), cmp.Compare(a.chance, b.chance))
	})
	seen, hosts := map[string]bool{}, []Exchange(nil)
	for _, e := range all {
		if !seen[e.Name] {
			seen[e.Name] = true
			hosts = append(hosts, e.Exchange)
		}
	}
	return hosts
}

func random() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.NativeEndian.Uint64(b[:])
}
