package zone

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"postrider/internal/resolver/zonetest"
)

// keyRecord returns the record of a key that anybody could make.
func keyRecord(seed byte) string {
	secret := ed25519.NewKeyFromSeed(slices.Repeat([]byte{seed}, ed25519.SeedSize))
	return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(secret.Public().(ed25519.PublicKey))
}

// example is a domain with all there is.
func example() Domain {
	return Domain{
		Name: "example.org", Hostname: "mail.example.org",
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.25"), netip.MustParseAddr("2001:db8::25")},
		Keys: []Key{
			{Selector: "k1", Record: keyRecord(1), Signs: true},
			{Selector: "k2", Record: keyRecord(2)},
			{Selector: "k0", Record: keyRecord(3), Retired: true},
		},
		SPKI:     []string{strings.Repeat("ab", 32)},
		STS:      "v=STSv1; id=20261128;",
		Reports:  "postmaster@example.org",
		Services: []Service{{"submission", 587}, {"submissions", 465}, {"pop3", 0}, {"pop3s", 995}},
	}
}

// published is what Write writes, as a zone that has all of it, also what is aside.
func published(t *testing.T, d Domain) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, Records(d)); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(b.String()) {
		lines = append(lines, strings.TrimPrefix(strings.TrimSpace(line), ";"))
	}
	zone := ""
	for _, line := range lines {
		if strings.Contains(line, " IN ") {
			zone += line + "\n"
		}
	}
	return zone
}

func TestWhatIsWrittenIsAZoneFile(t *testing.T) {
	var b strings.Builder
	records := Records(example())
	if err := Write(&b, records); err != nil {
		t.Fatal(err)
	}
	p := dns.NewZoneParser(strings.NewReader(b.String()), "example.org.", "zone")
	var got, want []string
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		got = append(got, rr.String())
	}
	if err := p.Err(); err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	for _, r := range records {
		if r.Aside == "" {
			want = append(want, r.RR.String())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, line := range []string{
		"\nexample.org. 3600 IN MX 10 mail.example.org.\n",
		"\nexample.org. 3600 IN TXT \"v=spf1 mx -all\"\n",
		"\n_25._tcp.mail.example.org. 3600 IN TLSA 3 1 1 abab",
		"\n_pop3._tcp.example.org. 3600 IN SRV 0 0 0 .\n",
		"\n_submissions._tcp.example.org. 3600 IN SRV 0 1 465 mail.example.org.\n",
		"\n;25.2.0.192.in-addr.arpa. 3600 IN PTR mail.example.org.\n",
		"\n;autoconfig.example.org. 3600 IN CNAME mail.example.org.\n",
	} {
		if !strings.Contains("\n"+b.String(), line) {
			t.Errorf("no %q in\n%s", line, b.String())
		}
	}
}

func TestALongTextIsSplit(t *testing.T) {
	text := strings.Repeat("x", 600)
	rr := txt("a.example.org", text).(*dns.TXT)
	if len(rr.Txt) != 3 || len(rr.Txt[0]) != 255 || strings.Join(rr.Txt, "") != text {
		t.Errorf("parts of %d octets", len(rr.Txt[0]))
	}
}

func TestAHostOfAnotherDomainIsAside(t *testing.T) {
	d := example()
	d.Hostname = "mail.example.net"
	for _, r := range Records(d) {
		out := !dns.IsSubDomain("example.org.", r.RR.Header().Name)
		if out && r.Aside == "" {
			t.Errorf("%s stands in the zone of example.org", r.RR)
		}
	}
}

// findings checks d in a zone, and returns the findings that are not right.
func findings(t *testing.T, z *zonetest.Zone, d Domain) []Finding {
	t.Helper()
	all := Check(t.Context(), z.Resolver(t), d)
	return slices.DeleteFunc(all, func(f Finding) bool { return f.State == Right })
}

func TestWhatIsWrittenIsRight(t *testing.T) {
	d := example()
	z := zonetest.New(t, published(t, d))
	for _, f := range findings(t, z, d) {
		t.Errorf("%+v", f)
	}
	d.Addresses = nil // they are taken from the DNS
	for _, f := range findings(t, z, d) {
		t.Errorf("without addresses: %+v", f)
	}
}

func TestAnEmptyZoneLacksEverything(t *testing.T) {
	d := example()
	got := findings(t, zonetest.New(t, ""), d)
	if len(got) != len(Records(d)) {
		t.Errorf("%d findings for %d records", len(got), len(Records(d)))
	}
	for _, f := range got {
		if f.State != Missing || f.Advice == "" {
			t.Errorf("%+v", f)
		}
	}
}

// TestEachFaultIsFound changes one line of a zone that is right.
func TestEachFaultIsFound(t *testing.T) {
	const rest = " 3600 IN "
	for _, c := range []struct {
		name     string
		old, new string // in the zone; old empty: new is added
		at, kind string
		want     State
		bad      bool
		advice   string
	}{
		{"no MX", "example.org. 3600 IN MX 10 mail.example.org.", "", "example.org", "MX", Missing, true, "Nobody knows"},
		{"another MX", "", "example.org." + rest + "MX 20 backup.example.net.", "example.org", "MX", Extra, false, "remove the record"},
		{"mail elsewhere", "MX 10 mail.example.org.", "MX 10 old.example.net.", "example.org", "MX", Missing, true, "goes elsewhere"},
		{"null MX", "MX 10 mail.example.org.", "MX 0 .", "example.org", "MX", Different, true, "no mail at all"},
		{"an address missing", "mail.example.org. 3600 IN A 192.0.2.25", "mail.example.org. 3600 IN A 192.0.2.26", "mail.example.org", "A", Missing, true, "publish.addresses"},
		{"an address too many", "", "mail.example.org." + rest + "AAAA 2001:db8::26", "mail.example.org", "AAAA", Extra, false, "publish.addresses"},
		{"no name for an address", "25.2.0.192.in-addr.arpa. 3600 IN PTR mail.example.org.", "", "25.2.0.192.in-addr.arpa", "PTR", Missing, true, "ask who gives you"},
		{"another name", "25.2.0.192.in-addr.arpa. 3600 IN PTR mail.example.org.", "25.2.0.192.in-addr.arpa. 3600 IN PTR host25.example.net.", "25.2.0.192.in-addr.arpa", "PTR", Different, true, "greets with"},
		{"two SPF records", "", "example.org." + rest + `TXT "v=spf1 a -all"`, "example.org", "TXT", Different, true, "more than one"},
		{"SPF of others", `example.org. 3600 IN TXT "v=spf1 mx -all"`, `example.org. 3600 IN TXT "v=spf1 ip4:198.51.100.0/24 -all"`, "example.org", "TXT", Different, true, "does not let"},
		{"SPF by reference", `example.org. 3600 IN TXT "v=spf1 mx -all"`, `example.org. 3600 IN TXT "v=spf1 include:spf.example.net -all"`, "example.org", "TXT", Unknown, true, "refers"},
		{"SPF of everybody", `"v=spf1 mx -all"`, `"v=spf1 mx +all"`, "example.org", "TXT", Different, true, "everybody"},
		{"SPF of the host by mx", `"v=spf1 a -all"`, `"v=spf1 mx -all"`, "mail.example.org", "TXT", Unknown, false, "refers"},
		{"no key", "k1._domainkey.example.org.", "k9._domainkey.example.org.", "k1._domainkey.example.org", "TXT", Missing, true, "nobody can verify"},
		{"another key", keyRecord(1), keyRecord(9), "k1._domainkey.example.org", "TXT", Different, true, "another key"},
		{"two keys", "", "k1._domainkey.example.org." + rest + `TXT "v=DKIM1; p="`, "k1._domainkey.example.org", "TXT", Different, true, "more than one"},
		{"a key that waits", "k2._domainkey", "k9._domainkey", "k2._domainkey.example.org", "TXT", Missing, false, "waits"},
		{"a retired key", "k0._domainkey", "k9._domainkey", "k0._domainkey.example.org", "TXT", Missing, false, "dkim remove"},
		{"two DMARC policies", "", "_dmarc.example.org." + rest + `TXT "v=DMARC1; p=none"`, "_dmarc.example.org", "TXT", Different, true, "leave one"},
		{"no policy in DMARC", "p=quarantine", "q=quarantine", "_dmarc.example.org", "TXT", Different, true, "none, quarantine or reject"},
		{"another MTA-STS policy", "id=20261128", "id=1", "_mta-sts.example.org", "TXT", Different, true, "another id"},
		{"no host for the policy", "mta-sts.example.org. 3600 IN CNAME", "mta-st.example.org. 3600 IN CNAME", "mta-sts.example.org", "CNAME", Missing, false, "not there"},
		{"reports to nobody", "rua=mailto:postmaster@example.org\"\n_25", "rua=\"\n_25", "_smtp._tls.example.org", "TXT", Different, true, "mailto:"},
		{"a stale TLSA", "TLSA 3 1 1 ab", "TLSA 3 1 1 cd", "_25._tcp.mail.example.org", "TLSA", Different, true, "do not deliver"},
		{"a TLSA too many", "", "_25._tcp.mail.example.org." + rest + "TLSA 3 1 1 " + strings.Repeat("cd", 32), "_25._tcp.mail.example.org", "TLSA", Extra, false, "next certificate"},
		{"a TLSA of another kind", "TLSA 3 1 1 ab", "TLSA 2 0 1 ab", "_25._tcp.mail.example.org", "TLSA", Unknown, false, "not checked"},
		{"a service elsewhere", "SRV 0 1 465 mail", "SRV 0 1 465 old", "_submissions._tcp.example.org", "SRV", Different, true, "elsewhere"},
		{"a service that is not there", "SRV 0 0 0 .", "SRV 0 0 110 mail.example.org.", "_pop3._tcp.example.org", "SRV", Different, true, "not there"},
		{"a host that is an alias", "mail.example.org. 3600 IN A 192.0.2.25\nmail.example.org. 3600 IN AAAA 2001:db8::25", "mail.example.org. 3600 IN CNAME h.example.org.\nh.example.org. 3600 IN A 192.0.2.25\nh.example.org. 3600 IN AAAA 2001:db8::25", "mail.example.org", "CNAME", Extra, true, "must not be an alias"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := example()
			text := published(t, d)
			changed := text + c.new + "\n"
			if c.old != "" {
				changed = strings.ReplaceAll(text, c.old, c.new)
			}
			if changed == text {
				t.Fatalf("nothing changed in\n%s", text)
			}
			got := findings(t, zonetest.New(t, changed), d)
			i := slices.IndexFunc(got, func(f Finding) bool {
				return f.Name == c.at && f.Type == c.kind && f.State == c.want
			})
			if i < 0 {
				t.Fatalf("no such finding in %+v", got)
			}
			if got[i].Bad() != c.bad || !strings.Contains(got[i].Advice, c.advice) {
				t.Errorf("got %+v", got[i])
			}
		})
	}
}

func TestWhatNobodyKnowsIsNotCalledMissing(t *testing.T) {
	d := example()
	z := zonetest.New(t, published(t, d))
	z.Break("example.org", dns.TypeMX, zonetest.ServFail)
	got := findings(t, z, d)
	if len(got) != 1 || got[0].State != Unknown || got[0].Type != "MX" {
		t.Errorf("%+v", got)
	}
}

func TestAnSPFRecordMayNameAddresses(t *testing.T) {
	d := example()
	for _, c := range []struct {
		terms string
		want  bool
	}{
		{"ip4:192.0.2.25 ip6:2001:db8::/32 -all", true},
		{"ip4:192.0.2.0/24 -all", false}, // the other address may not
		{"a:mail.example.org ~all", true},
		{"+mx ?all", true},
		{"-mx ip4:198.51.100.1 -all", false},
	} {
		if got := d.sends(d.Name, strings.Fields(c.terms)); got != c.want {
			t.Errorf("%s: %v", c.terms, got)
		}
	}
}
