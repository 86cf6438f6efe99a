package zone

import (
	"context"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"postrider/internal/fault"
)

// State is how a record stands.
type State string

// The states.
const (
	Right     State = "right"
	Missing   State = "missing"
	Different State = "different"
	Extra     State = "extra"   // a record that should not be there
	Unknown   State = "unknown" // the DNS did not say
)

// Finding is the state of a record.
type Finding struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	State    State    `json:"state"`
	Optional bool     `json:"optional"`
	Want     []string `json:"want,omitempty"`
	Found    []string `json:"found,omitempty"`
	// Advice says what to do, or what is worth knowing of a record that is right.
	Advice string `json:"advice,omitempty"`
}

// Bad reports whether mail suffers.
func (f Finding) Bad() bool {
	return f.State != Right && (!f.Optional || f.State == Different)
}

// Check compares what a domain needs with what the DNS says. It asks one question a
// record, and some more about addresses.
func Check(ctx context.Context, r Resolver, d Domain) []Finding {
	var all []Finding
	if len(d.Addresses) == 0 {
		d.Addresses, all = hostAddresses(ctx, r, d.Hostname)
	}
	if f := hostIsAlias(ctx, r, d.Hostname); f != nil {
		all = append(all, *f)
	}
	for _, t := range topics(d) {
		found, err := look(ctx, r, t.name, t.kind)
		if err != nil {
			all = append(all, t.finding(Unknown, nil, "The DNS does not say: "+reason(err)+". Ask again; if it stays so, look at the servers of the zone."))
			continue
		}
		if len(found) == 0 && isAliasTopic(&t) {
			if found, err = look(ctx, r, t.name, dns.TypeAAAA); err != nil {
				found = nil
			}
		}
		all = append(all, t.judge(&t, found)...)
	}
	return all
}

// look returns the records there are; none is no error.
func look(ctx context.Context, r Resolver, name string, kind uint16) ([]dns.RR, error) {
	found, _, err := r.Lookup(ctx, name, kind)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return found, err
}

// reason is an error without what the resolver may have said.
func reason(err error) string { return fault.KindOf(err).String() }

func isAliasTopic(t *topic) bool {
	_, ok := t.records[0].(*dns.CNAME)
	return ok
}

// hostAddresses takes the addresses that the DNS has.
func hostAddresses(ctx context.Context, r Resolver, host string) ([]netip.Addr, []Finding) {
	var all []netip.Addr
	var failed error
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		found, err := look(ctx, r, host, kind)
		if err != nil {
			failed = err
		}
		for _, rr := range found {
			if ip, ok := address(rr); ok {
				all = append(all, ip)
			}
		}
	}
	f := Finding{Name: host, Type: "A"}
	switch {
	case len(all) > 0:
		return all, nil
	case failed != nil:
		f.State, f.Advice = Unknown, "The DNS does not say: "+reason(failed)+". Ask again."
	default:
		f.State, f.Advice = Missing, "The host has no address: publish A and AAAA records with those of this machine."
	}
	return nil, []Finding{f}
}

// hostIsAlias looks whether the host's name is one for another (RFC 5321 §5.1).
func hostIsAlias(ctx context.Context, r Resolver, host string) *Finding {
	found, err := look(ctx, r, host, dns.TypeCNAME)
	if err != nil || len(found) == 0 {
		return nil // an address that can't be looked up is reported as such
	}
	if _, ok := found[0].(*dns.CNAME); !ok {
		return nil
	}
	return &Finding{
		Name: host, Type: "CNAME", State: Extra, Found: data(found),
		Advice: "A host that takes mail must not be an alias (RFC 2181 §10.3): give it A and AAAA records of its own.",
	}
}

func address(rr dns.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		ip, ok := netip.AddrFromSlice(rr.A)
		return ip.Unmap(), ok
	case *dns.AAAA:
		return netip.AddrFromSlice(rr.AAAA)
	}
	return netip.Addr{}, false
}

// finding makes a finding about the topic.
func (t *topic) finding(s State, found []dns.RR, advice string) Finding {
	f := Finding{Name: t.name, Type: dns.TypeToString[t.kind], State: s, Optional: t.optional, Found: data(found), Advice: advice}
	if s != Right {
		f.Want = data(t.records)
	}
	if isAliasTopic(t) {
		f.Type = "CNAME"
	}
	return f
}

func (t *topic) one(s State, found []dns.RR, advice string) []Finding {
	return []Finding{t.finding(s, found, advice)}
}

// data returns what records say.
func data(records []dns.RR) []string {
	var all []string
	for _, rr := range records {
		all = append(all, Data(Record{RR: rr}))
	}
	return all
}

// texts returns text records that begin with a version, their parts joined.
func texts(found []dns.RR, version string) (all []string, records []dns.RR) {
	for _, rr := range found {
		t, ok := rr.(*dns.TXT)
		if !ok {
			continue
		}
		text := strings.Join(t.Txt, "")
		if rest, ok := strings.CutPrefix(strings.ToLower(text), strings.ToLower(version)); ok && (rest == "" || strings.ContainsAny(rest[:1], " ;")) {
			all, records = append(all, text), append(records, rr)
		}
	}
	return all, records
}
