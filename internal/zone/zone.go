// Package zone knows every DNS record that a mail domain needs: it writes them as a
// zone file has them, and says of each whether the DNS has it and what to do if not.
// It asks for nothing but what its Resolver is asked for, and knows no settings.
package zone

import (
	"context"
	"net/netip"

	"github.com/miekg/dns"
)

// Resolver looks records up. The package resolver has one; its errors are of kind
// NotFound when there is no such name or record, others when nobody knows.
type Resolver interface {
	Lookup(ctx context.Context, name string, kind uint16) (records []dns.RR, authentic bool, err error)
}

// Domain is what is to be said of a mail domain. Names are in their canonical form
// (mail.ParseDomain).
type Domain struct {
	Name     string
	Hostname string // of the server that takes the domain's mail
	// Addresses are those of the host that others can reach; none: they are not known
	// here, and those in the DNS are taken for them.
	Addresses []netip.Addr
	Keys      []Key
	// SPKI are the SHA-256 of the public keys of the certificates that the host shows
	// or is about to show, in hexadecimal (RFC 6698: 3 1 1).
	SPKI []string
	// STS is the text of the record for MTA-STS (RFC 8461 §3.1); empty: no policy.
	STS string
	// Reports is the address that reports about DMARC and TLS go to.
	Reports  string
	Services []Service
}

// Key is a DKIM key that is to be published.
type Key struct {
	Selector string
	Record   string
	// Signs: the key is in use. Those that are not are about to be, or have been.
	Signs   bool
	Retired bool
}

// Service is something that mail programs of the domain's people look for (RFC 6186,
// RFC 8314 §5.1).
type Service struct {
	Name string // as in SRV records: submission, submissions, pop3, pop3s
	Port uint16 // zero: it is not offered
}

// Record is a record that the domain needs.
type Record struct {
	// RR is the record, whose String is its line in a zone file.
	RR dns.RR
	// Why says in a sentence what it is for.
	Why string
	// Optional: mail comes and goes without it.
	Optional bool
	// Aside says why the line is not one of the domain's own zone file as it stands;
	// empty: it is one.
	Aside string
}

// ttl is that of the records, in seconds.
const ttl = 3600

// topic is what one name has to say about one thing.
type topic struct {
	name     string // without the dot at the end
	kind     uint16
	why      string
	optional bool
	aside    string
	records  []dns.RR
	judge    judge
}

// Records returns the records that a domain needs, in the order in which a person
// would read them.
func Records(d Domain) []Record {
	var all []Record
	for _, t := range topics(d) {
		for _, rr := range t.records {
			r := Record{RR: rr, Why: t.why, Optional: t.optional, Aside: t.aside}
			if r.Aside == "" && !dns.IsSubDomain(dns.Fqdn(d.Name), rr.Header().Name) {
				r.Aside = "it belongs to the zone of that name"
			}
			all = append(all, r)
		}
	}
	return all
}

// topics are all that is to be said and checked.
func topics(d Domain) []topic {
	var all []topic
	add := func(ts ...topic) { all = append(all, ts...) }
	add(mxTopic(d))
	add(hostTopics(d)...)
	add(spfTopics(d)...)
	add(keyTopics(d)...)
	add(dmarcTopic(d))
	add(stsTopics(d)...)
	add(reportTopic(d))
	add(tlsaTopics(d)...)
	add(serviceTopics(d)...)
	add(guessTopics(d)...)
	return all
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: dns.Fqdn(name), Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

// txt returns a text record, in parts of 255 octets (RFC 1035 §3.3.14).
func txt(name, text string) dns.RR {
	rr := &dns.TXT{Hdr: header(name, dns.TypeTXT)}
	for len(text) > 255 {
		rr.Txt, text = append(rr.Txt, text[:255]), text[255:]
	}
	rr.Txt = append(rr.Txt, text)
	return rr
}

func alias(name, target string) dns.RR {
	return &dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: dns.Fqdn(target)}
}
