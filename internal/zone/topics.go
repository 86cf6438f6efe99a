package zone

import (
	"fmt"
	"net/netip"

	"github.com/miekg/dns"
)

func mxTopic(d Domain) topic {
	return topic{
		name: d.Name, kind: dns.TypeMX, why: "Mail for the domain goes to this host (RFC 5321 §5.1).", judge: judgeMX(d.Hostname),
		records: []dns.RR{&dns.MX{Hdr: header(d.Name, dns.TypeMX), Preference: 10, Mx: dns.Fqdn(d.Hostname)}},
	}
}

// hostTopics are the addresses of the host, and their way back.
func hostTopics(d Domain) []topic {
	a := topic{name: d.Hostname, kind: dns.TypeA, why: "Where the host is.", judge: judgeAddresses}
	aaaa := topic{name: d.Hostname, kind: dns.TypeAAAA, why: "Where the host is.", judge: judgeAddresses}
	var back []topic
	for _, ip := range d.Addresses {
		if ip.Unmap().Is4() {
			a.records = append(a.records, &dns.A{Hdr: header(d.Hostname, dns.TypeA), A: ip.Unmap().AsSlice()})
		} else {
			aaaa.records = append(aaaa.records, &dns.AAAA{Hdr: header(d.Hostname, dns.TypeAAAA), AAAA: ip.AsSlice()})
		}
		back = append(back, ptrTopic(d, ip.Unmap()))
	}
	all := []topic{}
	for _, t := range []topic{a, aaaa} {
		if len(t.records) > 0 {
			all = append(all, t)
		}
	}
	return append(all, back...)
}

func ptrTopic(d Domain, ip netip.Addr) topic {
	name, _ := dns.ReverseAddr(ip.String()) // an address always has one
	return topic{
		name: trimDot(name), kind: dns.TypePTR, judge: judgePTR(d.Hostname, ip),
		why:   "The address has the host's name: many servers take no mail from one that has none.",
		aside: "whoever gives you the address sets it",
		records: []dns.RR{&dns.PTR{
			Hdr: header(name, dns.TypePTR), Ptr: dns.Fqdn(d.Hostname),
		}},
	}
}

func spfTopics(d Domain) []topic {
	all := []topic{{
		name: d.Name, kind: dns.TypeTXT, judge: judgeSPF(d), records: []dns.RR{txt(d.Name, "v=spf1 mx -all")},
		why: "Mail of the domain comes from the hosts that take its mail, and from nowhere else (SPF, RFC 7208).",
	}}
	if d.Hostname != d.Name {
		all = append(all, topic{
			name: d.Hostname, kind: dns.TypeTXT, judge: judgeSPF(d), optional: true, records: []dns.RR{txt(d.Hostname, "v=spf1 a -all")},
			why: "Notifications, which have no sender, are judged by the host's name (RFC 7208 §2.4).",
		})
	}
	return all
}

func keyTopics(d Domain) []topic {
	var all []topic
	for _, k := range d.Keys {
		name := k.Selector + "._domainkey." + d.Name
		t := topic{
			name: name, kind: dns.TypeTXT, judge: judgeKey(k), records: []dns.RR{txt(name, k.Record)}, optional: !k.Signs,
			why: "The key that verifies the domain's signatures (DKIM, RFC 6376).",
		}
		switch {
		case k.Retired:
			t.why = "A DKIM key that signs no more: the record may go when the mail that it signed has arrived."
		case !k.Signs:
			t.why = "A DKIM key that will sign when this record is seen."
		}
		all = append(all, t)
	}
	return all
}

func dmarcTopic(d Domain) topic {
	name := "_dmarc." + d.Name
	text := "v=DMARC1; p=quarantine"
	if d.Reports != "" {
		text += "; rua=mailto:" + d.Reports
	}
	return topic{
		name: name, kind: dns.TypeTXT, judge: judgeDMARC, records: []dns.RR{txt(name, text)},
		why: "What to do with mail that says it is of the domain and is not (DMARC, RFC 9989); begin with p=none to only hear of it.",
	}
}

func stsTopics(d Domain) []topic {
	if d.STS == "" {
		return nil
	}
	name, host := "_mta-sts."+d.Name, "mta-sts."+d.Name
	return []topic{{
		name: name, kind: dns.TypeTXT, judge: judgeSTS(d.STS), records: []dns.RR{txt(name, d.STS)}, optional: true,
		why: "There is a policy that says that mail comes over verified TLS (MTA-STS, RFC 8461).",
	}, {
		name: host, kind: dns.TypeA, judge: judgeResolves, records: []dns.RR{alias(host, d.Hostname)}, optional: true,
		why: "Where the policy is served: https://" + host + "/.well-known/mta-sts.txt",
	}}
}

func reportTopic(d Domain) topic {
	name, to := "_smtp._tls."+d.Name, d.Reports
	if to == "" {
		to = "postmaster@" + d.Name
	}
	return topic{
		name: name, kind: dns.TypeTXT, judge: judgeReports, records: []dns.RR{txt(name, "v=TLSRPTv1; rua=mailto:"+to)}, optional: true,
		why: "Other servers report once a day how TLS went (RFC 8460).",
	}
}

func tlsaTopics(d Domain) []topic {
	if len(d.SPKI) == 0 {
		return nil
	}
	name := "_25._tcp." + d.Hostname
	t := topic{
		name: name, kind: dns.TypeTLSA, judge: judgeTLSA(d.SPKI), optional: true,
		why: "The keys of the host's certificates (DANE, RFC 7672). Only where the zone is signed (DNSSEC); when a key changes, the record of the next one has to be there first.",
	}
	for _, sum := range d.SPKI {
		t.records = append(t.records, &dns.TLSA{Hdr: header(name, dns.TypeTLSA), Usage: 3, Selector: 1, MatchingType: 1, Certificate: sum})
	}
	return []topic{t}
}

func serviceTopics(d Domain) []topic {
	var all []topic
	for _, s := range d.Services {
		name := fmt.Sprintf("_%s._tcp.%s", s.Name, d.Name)
		rr := &dns.SRV{Hdr: header(name, dns.TypeSRV), Port: s.Port, Target: dns.Fqdn(d.Hostname), Weight: 1}
		why := "Mail programs find the service " + s.Name + " here (RFC 6186)."
		if s.Port == 0 {
			rr.Weight, rr.Target = 0, "."
			why = "The service " + s.Name + " is not offered (RFC 6186 §3.4)."
		}
		all = append(all, topic{name: name, kind: dns.TypeSRV, judge: judgeSRV(rr), records: []dns.RR{rr}, optional: true, why: why})
	}
	return all
}

// guessTopics are names that some mail programs try by themselves.
func guessTopics(d Domain) []topic {
	var all []topic
	for _, g := range []struct{ label, who string }{{"autoconfig", "Thunderbird"}, {"autodiscover", "Outlook"}} {
		name := g.label + "." + d.Name
		all = append(all, topic{
			name: name, kind: dns.TypeA, judge: judgeResolves, records: []dns.RR{alias(name, d.Hostname)}, optional: true,
			why: g.who + " asks this host for the settings of mail programs.", aside: "only if a web server answers there",
		})
	}
	return all
}
