package tlspolicy_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"postrider/internal/resolver"
	"postrider/internal/resolver/zonetest"
	"postrider/internal/tlspolicy"
)

var zeros = strings.Repeat("00", 32)

func authenticMX(host string) resolver.MX {
	return resolver.MX{Domain: host, Hosts: []resolver.Exchange{{Name: host}}, Authentic: true}
}

// tlsa writes the record of a certificate.
func tlsa(usage, selector, matching int, c *x509.Certificate) string {
	data := c.Raw
	if selector == 1 {
		data = c.RawSubjectPublicKeyInfo
	}
	switch matching {
	case 1:
		s := sha256.Sum256(data)
		data = s[:]
	case 2:
		s := sha512.Sum512(data)
		data = s[:]
	}
	return fmt.Sprintf("TLSA %d %d %d %x", usage, selector, matching, data)
}

// secured is a house whose mx1 has these TLSA records.
func secured(t *testing.T, records ...string) *house {
	t.Helper()
	zone := baseZone
	for _, r := range records {
		zone += "_25._tcp.mx1 " + r + "\n"
	}
	return newHouse(t, zone, nil)
}

func TestACertificateIsHeldToItsTLSARecords(t *testing.T) {
	type certs struct{ leaf, ca, other *x509.Certificate }
	for _, c := range []struct {
		name    string
		records func(c certs) []string
		change  func(*x509.Certificate)
		names   []string
		want    tlspolicy.Failure
	}{
		{name: "3 1 1", records: func(c certs) []string { return []string{tlsa(3, 1, 1, c.leaf)} }},
		{name: "3 0 1", records: func(c certs) []string { return []string{tlsa(3, 0, 1, c.leaf)} }},
		{name: "3 1 2", records: func(c certs) []string { return []string{tlsa(3, 1, 2, c.leaf)} }},
		{name: "3 0 0", records: func(c certs) []string { return []string{tlsa(3, 0, 0, c.leaf)} }},
		{name: "3 1 0", records: func(c certs) []string { return []string{tlsa(3, 1, 0, c.leaf)} }},
		{
			name: "3 1 1 knows no names and no time", names: []string{"elsewhere.test"}, change: expired,
			records: func(c certs) []string { return []string{tlsa(3, 1, 1, c.leaf)} },
		},
		{
			name: "3 1 1 of another", want: tlspolicy.FailureValidation,
			records: func(c certs) []string { return []string{tlsa(3, 1, 1, c.other)} },
		},
		{
			name: "3 1 1 of the authority", want: tlspolicy.FailureValidation,
			records: func(c certs) []string { return []string{tlsa(3, 1, 1, c.ca)} },
		},
		{
			name: "one of several",
			records: func(c certs) []string {
				return []string{tlsa(3, 1, 1, c.other), tlsa(2, 0, 1, c.other), tlsa(3, 1, 1, c.leaf)}
			},
		},
		{
			name: "the stronger digest counts", want: tlspolicy.FailureValidation,
			records: func(c certs) []string { return []string{tlsa(3, 1, 1, c.leaf), tlsa(3, 1, 2, c.other)} },
		},
		{name: "2 0 1", records: func(c certs) []string { return []string{tlsa(2, 0, 1, c.ca)} }},
		{name: "2 1 2", records: func(c certs) []string { return []string{tlsa(2, 1, 2, c.ca)} }},
		{name: "2 0 0", records: func(c certs) []string { return []string{tlsa(2, 0, 0, c.ca)} }},
		{
			name: "2 0 1 with the next hop's name", names: []string{"example.test"},
			records: func(c certs) []string { return []string{tlsa(2, 0, 1, c.ca)} },
		},
		{
			name: "2 0 1 with another name", names: []string{"elsewhere.test"}, want: tlspolicy.FailureHostname,
			records: func(c certs) []string { return []string{tlsa(2, 0, 1, c.ca)} },
		},
		{
			name: "2 0 1 that has expired", change: expired, want: tlspolicy.FailureExpired,
			records: func(c certs) []string { return []string{tlsa(2, 0, 1, c.ca)} },
		},
		{
			name: "2 0 1 of another authority", want: tlspolicy.FailureValidation,
			records: func(c certs) []string { return []string{tlsa(2, 0, 1, c.other)} },
		},
		{
			name: "2 0 0 of an authority that is not in the chain and did not sign", want: tlspolicy.FailureUntrusted,
			records: func(c certs) []string { return []string{tlsa(2, 0, 0, c.other)} },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.names == nil {
				c.names = []string{"mx1.example.test"}
			}
			ca := newAuthority(t) // nobody's root: only the DNS vouches for it
			cert := ca.issue(t, c.change, c.names...)
			h := secured(t, c.records(certs{cert.Leaf, ca.cert, newAuthority(t).cert})...)
			host := h.host(t, h.domain(t, "example.test"), "mx1.example.test")
			if host.Kind != tlspolicy.KindDANE || !host.MustTLS || !host.Verified || host.Config.ServerName != "mx1.example.test" {
				t.Fatalf("got %+v", host)
			}
			_, err := shake(t, host.Config, cert)
			if got := tlspolicy.Classify(err); got != c.want {
				t.Errorf("got %v (%q), want %q", err, got, c.want)
			}
		})
	}
}

func TestRecordsThatNobodyCanUseStillMakeTLSNecessary(t *testing.T) {
	for _, record := range []string{
		"TLSA 0 0 1 " + zeros, "TLSA 1 1 1 " + zeros, "TLSA 3 2 1 " + zeros, "TLSA 3 1 3 " + zeros,
		"TLSA 3 1 1 0011", "TLSA 3 1 2 " + zeros, "TLSA 255 255 255 00",
	} {
		t.Run(record, func(t *testing.T) {
			h := secured(t, record)
			host := h.host(t, h.domain(t, "example.test"), "mx1.example.test")
			if host.Kind != tlspolicy.KindDANEUnusable || !host.MustTLS || host.Verified {
				t.Errorf("got %+v", host)
			}
			if _, err := shake(t, host.Config, newAuthority(t).issue(t, nil, "any.test")); err != nil {
				t.Errorf("got %v, want any certificate taken", err)
			}
		})
	}
}

func TestDANEWantsEveryAnswerAuthentic(t *testing.T) {
	for name, insecure := range map[string]string{
		"MX": "example.test", "addresses": "mx1.example.test", "TLSA": "_25._tcp.mx1.example.test",
	} {
		t.Run(name, func(t *testing.T) {
			h := secured(t, "TLSA 3 1 1 "+zeros)
			h.zone.Secure(insecure)
			if host := h.host(t, h.domain(t, "example.test"), "mx1.example.test"); host.Kind != tlspolicy.KindOpportunistic {
				t.Errorf("got %+v, want no DANE", host)
			}
		})
	}
}

func TestAHostWhoseTLSARecordsCanNotBeHadWaitsAlone(t *testing.T) {
	h := secured(t)
	h.zone.Break("_25._tcp.mx1.example.test", dns.TypeTLSA, zonetest.ServFail)
	d := h.domain(t, "example.test")
	if host := h.host(t, d, "mx1.example.test"); host.Skip == "" || host.Config != nil {
		t.Errorf("got %+v, want it skipped", host)
	}
	if host := h.host(t, d, "mx2.other.test"); host.Skip != "" || host.Kind != tlspolicy.KindOpportunistic {
		t.Errorf("the other: got %+v, want it used", host)
	}
	if host := h.host(t, d.Relaxed(), "mx1.example.test"); host.Skip != "" || host.MustTLS {
		t.Errorf("relaxed: got %+v, want it used", host)
	}
}

func TestTLSARecordsOfAnAlias(t *testing.T) {
	cert := newAuthority(t).issue(t, nil, "any.test")
	record := tlsa(3, 1, 1, cert.Leaf)
	const zone = "alias.test. MX 1 mx.alias.test.\nmx.alias.test. CNAME real.test.\nreal.test. A 192.0.2.5\n"
	for _, c := range []struct {
		name, records string
		insecure      string
		kind          tlspolicy.Kind
		sni           string
	}{
		{"of what it leads to", "_25._tcp.real.test. " + record + "\n_25._tcp.mx.alias.test. TLSA 3 1 1 " + zeros, "", tlspolicy.KindDANE, "real.test"},
		{"of itself, if that has none", "_25._tcp.mx.alias.test. " + record, "", tlspolicy.KindDANE, "mx.alias.test"},
		{"of itself only, if that is not authentic", "_25._tcp.mx.alias.test. " + record + "\n_25._tcp.real.test. TLSA 3 1 1 " + zeros, "real.test", tlspolicy.KindDANE, "mx.alias.test"},
		{"none, if the alias is not authentic", "_25._tcp.mx.alias.test. " + record + "\n_25._tcp.real.test. " + record, "mx.alias.test", tlspolicy.KindOpportunistic, "mx.alias.test"},
		{"where their own name is an alias", "_25._tcp.real.test. CNAME tlsa.test.\ntlsa.test. " + record, "", tlspolicy.KindDANE, "real.test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, zone+c.records+"\n", nil)
			h.zone.Secure(c.insecure + ".")
			if c.insecure == "" {
				h.zone.Secure()
			}
			host := h.host(t, h.domain(t, "alias.test"), "mx.alias.test")
			if host.Kind != c.kind || host.Config.ServerName != c.sni {
				t.Fatalf("got %s for %s, want %s for %s", host.Kind, host.Config.ServerName, c.kind, c.sni)
			}
			if _, err := shake(t, host.Config, cert); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAConnectionWithoutCertificateProvesNothing(t *testing.T) {
	h := secured(t, "TLSA 3 1 1 "+zeros)
	host := h.host(t, h.domain(t, "example.test"), "mx1.example.test")
	if host.Config.VerifyConnection(tls.ConnectionState{}) == nil {
		t.Error("taken")
	}
}
