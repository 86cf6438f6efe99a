package zone

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"postrider/internal/dkim"
)

// judge says what is to be thought of the records that are there.
type judge = func(t *topic, found []dns.RR) []Finding

// judgeMX wants the host among the domain's, and says which others are there.
func judgeMX(host string) judge {
	return func(t *topic, found []dns.RR) []Finding {
		var ours, others []dns.RR
		null := false
		for _, rr := range found {
			mx, ok := rr.(*dns.MX)
			switch {
			case !ok:
			case mx.Mx == ".":
				null = true
			case same(mx.Mx, host):
				ours = append(ours, rr)
			default:
				others = append(others, rr)
			}
		}
		var all []Finding
		switch {
		case null:
			return t.one(Different, found, "The domain says that it takes no mail at all (null MX, RFC 7505): replace the record with ours.")
		case len(ours) > 0:
			all = t.one(Right, ours, "")
		case len(others) > 0:
			all = t.one(Missing, nil, "Mail for the domain goes elsewhere: add the record, and remove those of other hosts when their mail has been moved.")
		default:
			return t.one(Missing, nil, "Nobody knows where the domain's mail goes: add the record.")
		}
		for _, rr := range others {
			f := t.finding(Extra, []dns.RR{rr}, "Mail may go to this host too: remove the record, unless the host is one of yours that passes the mail on.")
			f.Want, f.Optional = nil, true
			all = append(all, f)
		}
		return all
	}
}

func same(name, host string) bool { return strings.EqualFold(trimDot(name), host) }

// judgeAddresses wants exactly the addresses that are known.
func judgeAddresses(t *topic, found []dns.RR) []Finding {
	var all []Finding
	has := func(list []dns.RR, rr dns.RR) bool {
		want, _ := address(rr)
		return slices.ContainsFunc(list, func(other dns.RR) bool {
			got, ok := address(other)
			return ok && got == want
		})
	}
	for _, rr := range t.records {
		f := t.finding(Right, []dns.RR{rr}, "")
		if !has(found, rr) {
			f = t.finding(Missing, nil, "The host is not found under this address: add the record, or take the address out of publish.addresses.")
			f.Want = data([]dns.RR{rr})
		}
		all = append(all, f)
	}
	for _, rr := range found {
		if _, ok := address(rr); ok && !has(t.records, rr) {
			f := t.finding(Extra, []dns.RR{rr}, "Mail may go to this address too: remove the record if it is not this machine's, else add it to publish.addresses.")
			f.Want, f.Optional = nil, true
			all = append(all, f)
		}
	}
	return all
}

func judgePTR(host string, ip netip.Addr) judge {
	return func(t *topic, found []dns.RR) []Finding {
		names := []string{}
		for _, rr := range found {
			if p, ok := rr.(*dns.PTR); ok {
				names = append(names, trimDot(p.Ptr))
			}
		}
		switch {
		case len(names) == 0:
			return t.one(Missing, found, fmt.Sprintf("The address %s has no name, and many servers take no mail from it: ask who gives you the address to set it to %s.", ip, host))
		case !slices.ContainsFunc(names, func(n string) bool { return same(n, host) }):
			return t.one(Different, found, fmt.Sprintf("The address %s has another name than the server greets with: have it set to %s, or set hostname to that name.", ip, host))
		}
		return t.one(Right, found, "")
	}
}

// judgeKey wants the record of a DKIM key.
func judgeKey(k Key) judge {
	return func(t *topic, found []dns.RR) []Finding {
		var all []string
		for _, rr := range found {
			if r, ok := rr.(*dns.TXT); ok {
				all = append(all, strings.Join(r.Txt, ""))
			}
		}
		switch {
		case len(all) == 0 && k.Retired:
			return t.one(Missing, found, `It may be gone if the mail that the key signed has arrived; then "postrider dkim remove" forgets the key.`)
		case len(all) == 0 && k.Signs:
			return t.one(Missing, found, "The key signs, and nobody can verify what it signs: add the record.")
		case len(all) == 0:
			return t.one(Missing, found, "The key waits for this record: add it.")
		case len(all) > 1:
			return t.one(Different, found, "There is more than one record where one key has to be, and verifiers take none (RFC 6376 §3.6.2.2): remove the others.")
		case !dkim.SameKey(all[0], k.Record):
			return t.one(Different, found, "The record has another key, or can't be read: replace it with ours.")
		}
		return t.one(Right, nil, "")
	}
}

func judgeDMARC(t *topic, found []dns.RR) []Finding {
	policies, records := texts(found, "v=DMARC1")
	switch {
	case len(policies) == 0:
		return t.one(Missing, nil, "Anybody can send in the domain's name: add the record, with p=none to begin with if you are not sure where its mail comes from.")
	case len(policies) > 1:
		return t.one(Different, records, "There is more than one policy, and verifiers take none (RFC 9989): leave one.")
	}
	switch tag(policies[0], "p") {
	case "none":
		return t.one(Right, records, "p=none asks nobody to do anything: when the reports show only your mail, write p=quarantine or p=reject.")
	case "quarantine", "reject":
		return t.one(Right, records, "")
	}
	return t.one(Different, records, "The policy has no p that is none, quarantine or reject: write one.")
}

// tag returns a value of a tag list, in lower case.
func tag(text, name string) string {
	for part := range strings.SplitSeq(text, ";") {
		if k, v, ok := strings.Cut(part, "="); ok && strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.ToLower(strings.TrimSpace(v))
		}
	}
	return ""
}

func judgeSTS(want string) judge {
	return func(t *topic, found []dns.RR) []Finding {
		policies, records := texts(found, "v=STSv1")
		switch {
		case len(policies) == 0:
			return t.one(Missing, nil, "Senders do not look for the policy: add the record when the policy is served.")
		case len(policies) > 1:
			return t.one(Different, records, "There is more than one record, and senders take none (RFC 8461 §3.1): leave one.")
		case tag(policies[0], "id") != tag(want, "id"):
			return t.one(Different, records, "The id is another policy's, and senders keep that until they see another id: replace the record with ours.")
		}
		return t.one(Right, records, "")
	}
}

func judgeReports(t *topic, found []dns.RR) []Finding {
	policies, records := texts(found, "v=TLSRPTv1")
	switch {
	case len(policies) == 0:
		return t.one(Missing, nil, "You do not hear when others can't reach the host by TLS: add the record if you want to.")
	case len(policies) > 1:
		return t.one(Different, records, "There is more than one record, and senders take none (RFC 8460 §3): leave one.")
	case tag(policies[0], "rua") == "":
		return t.one(Different, records, "The record does not say where reports go: write rua=mailto: and an address.")
	}
	return t.one(Right, records, "")
}

func judgeResolves(t *topic, found []dns.RR) []Finding {
	if len(found) > 0 {
		return t.one(Right, found, "")
	}
	return t.one(Missing, nil, "The name is not there: add it if a web server answers under it.")
}

func judgeTLSA(spki []string) judge {
	return func(t *topic, found []dns.RR) []Finding {
		var good, stale, others []dns.RR
		for _, rr := range found {
			r, ok := rr.(*dns.TLSA)
			switch {
			case !ok:
			case r.Usage != 3 || r.Selector != 1 || r.MatchingType != 1:
				others = append(others, rr)
			case slices.ContainsFunc(spki, func(s string) bool { return strings.EqualFold(s, r.Certificate) }):
				good = append(good, rr)
			default:
				stale = append(stale, rr)
			}
		}
		switch {
		case len(good) > 0:
			all := t.one(Right, good, "")
			if len(stale) > 0 {
				f := t.finding(Extra, stale, "No certificate here has this key: remove the record, unless the next certificate will have it.")
				f.Want = nil
				all = append(all, f)
			}
			return all
		case len(stale) > 0:
			return t.one(Different, found, "No certificate here has the key that is published, and senders that look at it do not deliver: add our record, or remove all.")
		case len(others) > 0:
			return t.one(Unknown, found, "The records that are there are of a kind that is not checked here; ours would do as well.")
		}
		return t.one(Missing, nil, "Senders that ask for DANE have nothing to hold the host to: add the record if the zone is signed (DNSSEC).")
	}
}

func judgeSRV(want *dns.SRV) judge {
	return func(t *topic, found []dns.RR) []Finding {
		var all []dns.RR
		for _, rr := range found {
			r, ok := rr.(*dns.SRV)
			if !ok {
				continue
			}
			if strings.EqualFold(r.Target, want.Target) && (r.Port == want.Port || want.Target == ".") {
				return t.one(Right, []dns.RR{rr}, "")
			}
			all = append(all, rr)
		}
		switch {
		case len(all) == 0:
			return t.one(Missing, nil, "Mail programs have to be told the host by hand: add the record if you like.")
		case want.Target == ".":
			return t.one(Different, all, "Mail programs are told of a service that is not there: remove the record, or replace it with ours.")
		}
		return t.one(Different, all, "Mail programs are sent elsewhere: replace the record with ours.")
	}
}
