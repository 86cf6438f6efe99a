// Package zonetest is a small DNS for tests: a zone from text in the form of
// RFC 1035 §5.1, with faults on demand, that answers a resolver in memory or
// anybody over UDP and TCP on loopback. It is no part of the server.
package zonetest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"postrider/internal/resolver"
)

// Fault is what goes wrong with a name.
type Fault uint8

// The faults. A name without one is answered as the zone says.
const (
	None     Fault = iota
	ServFail       // also what a validating server says of what is forged
	Refused
	Timeout // no answer, until the client gives up
	NoName  // NXDOMAIN, whatever the zone has
	Garbage // an answer to another question
	NoProof // no data and no SOA
)

// Zone is everything that the DNS knows. It may be changed and asked from several
// goroutines.
type Zone struct {
	mu       sync.Mutex
	records  []dns.RR
	faults   map[question]Fault
	insecure []string // names below which nothing is authentic
	secure   bool
	asked    []string
}

type question struct {
	name string
	kind uint16 // dns.TypeANY: all
}

// New returns a zone from text. $ORIGIN may change as often as it likes; what is
// not in the text does not exist. The default TTL is 300 s. A name that begins
// with "*." stands for all names below that are not there otherwise.
func New(t testing.TB, text string) *Zone {
	t.Helper()
	z := &Zone{faults: map[question]Fault{}}
	z.Set(t, text)
	return z
}

// Set replaces all records.
func (z *Zone) Set(t testing.TB, text string) {
	t.Helper()
	p := dns.NewZoneParser(strings.NewReader(text), ".", "zone")
	p.SetDefaultTTL(300)
	var all []dns.RR
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		all = append(all, rr)
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records = all
}

// Secure makes all answers authentic, but for the names given and those below
// them.
func (z *Zone) Secure(insecure ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.secure, z.insecure = true, nil
	for _, n := range insecure {
		z.insecure = append(z.insecure, dns.CanonicalName(n))
	}
}

// Break sets what goes wrong with a name; kind dns.TypeANY is all types.
func (z *Zone) Break(name string, kind uint16, f Fault) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.faults[question{dns.CanonicalName(name), kind}] = f
}

// Asked returns the questions so far, as "MX example.test", and forgets them.
func (z *Zone) Asked() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	all := z.asked
	z.asked = nil
	return all
}

// Resolver returns a resolver that believes this zone and nothing else.
func (z *Zone) Resolver(t testing.TB) *resolver.Resolver {
	t.Helper()
	r, err := resolver.New(resolver.Options{Transport: z, Validating: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Exchange implements resolver.Transport.
func (z *Zone) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	m := z.answer(q)
	if m == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	// As if it had been on the wire: nobody shares the zone's records.
	packed, err := m.Pack()
	if err != nil {
		return nil, err
	}
	m = new(dns.Msg)
	return m, m.Unpack(packed)
}

// answer answers q; nil: not at all.
func (z *Zone) answer(q *dns.Msg) *dns.Msg {
	z.mu.Lock()
	defer z.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	if len(q.Question) != 1 {
		m.Rcode = dns.RcodeFormatError
		return m
	}
	name, kind := dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype
	z.asked = append(z.asked, dns.Type(kind).String()+" "+strings.TrimSuffix(name, "."))
	fault, ok := z.faults[question{name, kind}]
	if !ok {
		fault = z.faults[question{name, dns.TypeANY}]
	}
	switch fault {
	case ServFail:
		m.Rcode = dns.RcodeServerFailure
		return m
	case Refused:
		m.Rcode = dns.RcodeRefused
		return m
	case Timeout:
		return nil
	case NoName:
		m.Rcode = dns.RcodeNameError
		m.Ns = []dns.RR{z.authority(name)}
		return m
	case Garbage:
		m.Question[0].Name = "other.invalid."
		return m
	case NoProof:
		return m
	}
	z.fill(m, name, kind)
	return m
}

// fill answers from the records, aliases followed.
func (z *Zone) fill(m *dns.Msg, name string, kind uint16) {
	m.AuthenticatedData = z.trusts(name)
	for range 16 {
		found, alias := z.pick(name, kind)
		m.Answer = append(m.Answer, found...)
		if alias == nil {
			break
		}
		name = dns.CanonicalName(alias.Target)
		if z.faults[question{name, kind}] == ServFail || z.faults[question{name, dns.TypeANY}] == ServFail {
			m.Rcode, m.Answer = dns.RcodeServerFailure, nil
			return
		}
		m.AuthenticatedData = m.AuthenticatedData && z.trusts(name)
	}
	if n := len(m.Answer); n > 0 && (m.Answer[n-1].Header().Rrtype == kind || z.loops(m.Answer)) {
		return
	}
	m.Ns = []dns.RR{z.authority(name)}
	if !z.exists(name) {
		m.Rcode = dns.RcodeNameError
	}
}

// loops reports whether an answer has gone round.
func (z *Zone) loops(answer []dns.RR) bool { return len(answer) >= 16 }

// pick returns what a name has of a type, or its alias, or what a wildcard has.
func (z *Zone) pick(name string, kind uint16) (found []dns.RR, alias *dns.CNAME) {
	owner := name
	if _, rest, ok := strings.Cut(name, "."); !z.exists(name) && ok {
		owner = "*." + rest
	}
	for _, rr := range z.records {
		if dns.CanonicalName(rr.Header().Name) != owner {
			continue
		}
		rr = dns.Copy(rr)
		rr.Header().Name = name
		to, isAlias := rr.(*dns.CNAME)
		switch {
		case rr.Header().Rrtype == kind:
			found = append(found, rr)
		case isAlias:
			return []dns.RR{rr}, to
		}
	}
	return found, nil
}

// exists reports whether there is anything at a name or below.
func (z *Zone) exists(name string) bool {
	return slices.ContainsFunc(z.records, func(rr dns.RR) bool {
		return dns.IsSubDomain(name, dns.CanonicalName(rr.Header().Name))
	})
}

func (z *Zone) trusts(name string) bool {
	return z.secure && !slices.ContainsFunc(z.insecure, func(n string) bool { return dns.IsSubDomain(n, name) })
}

// authority returns the SOA of the zone that a name is in, or one made up.
func (z *Zone) authority(name string) dns.RR {
	best := &dns.SOA{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60},
		Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.", Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: 60,
	}
	for _, rr := range z.records {
		soa, ok := rr.(*dns.SOA)
		if ok && dns.IsSubDomain(soa.Hdr.Name, name) && len(soa.Hdr.Name) > len(best.Hdr.Name) {
			best = soa
		}
	}
	return best
}
