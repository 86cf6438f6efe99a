//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// mailZone has a domain for each thing that the DNS can say of mail. %[1]s is what
// begins the addresses of its hosts, %[2]s the digest of the key that they have.
const mailZone = `
right IN MX 10 mx1.right
mx1.right IN A %[1]s1
_25._tcp.mx1.right IN TLSA 3 1 1 %[2]s

wrong IN MX 10 mx1.wrong
mx1.wrong IN A %[1]s2
_25._tcp.mx1.wrong IN TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff

forged IN MX 10 mx1.forged
forged IN MX 20 mx2.forged
mx1.forged IN A %[1]s1
_25._tcp.mx1.forged IN TLSA 3 1 1 f00f00f00f00f00f00f00f00f00f00f00f00f00f00f00f00f00f00f00f00f00f
mx2.forged IN A %[1]s3

order IN MX 30 mx3.order
order IN MX 10 mx1.order
order IN MX 20 mx2.order
mx1.order IN A %[1]s9
mx2.order IN A %[1]s2
mx3.order IN A %[1]s3

none IN MX 0 .
implicit IN A %[1]s3
alias IN CNAME right
round IN CNAME about
about IN CNAME round
self IN MX 10 mail.example
`

// TestMailGoesWhereTheDNSSaysAndAsItSays sends to each domain of a signed zone by
// way of a resolver that validates.
func TestMailGoesWhereTheDNSSaysAndAsItSays(t *testing.T) {
	b := newBlock()
	cert, certFile, keyFile := newAuthority(t).issue(openDir(t), "mx1.right.test")
	digest := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	n := serveNames(t, b, fmt.Sprintf(mailZone, b.prefix, hex.EncodeToString(digest[:])), "",
		strings.NewReplacer(strings.Repeat("f00", 20), strings.Repeat("0ff", 20)))
	p := startPostfixes(t, map[string]string{"one.test": b.host(1) + ":25", "two.test": b.host(2) + ":25", "three.test": b.host(3) + ":25"},
		"smtpd_tls_chain_files = "+keyFile+", "+certFile, "smtpd_tls_received_header = yes",
		"virtual_mailbox_domains = right.test wrong.test forged.test order.test implicit.test alias.test")
	s := startSending(t, n.config())
	send := func(domain string) {
		s.submit(t, 0, outgoing{to: []string{"bob@" + domain}, text: "From: alice@example.test\nSubject: to " + domain + "\n\nx\n"})
	}
	arrived := 0
	for _, c := range []struct{ domain, host string }{
		{"right.test", "one.test"},
		{"forged.test", "three.test"}, // the host whose records are forged is left alone
		{"order.test", "two.test"},    // the first is down
		{"implicit.test", "three.test"},
		{"alias.test", "one.test"},
	} {
		t.Run(c.domain+" takes it", func(t *testing.T) {
			send(c.domain)
			arrived++
			all := strings.Join(p.mail(t, arrived), "\x00")
			_, got, ok := strings.Cut(all, "Delivered-To: bob@"+c.domain+"\n")
			got, _, _ = strings.Cut(got, "\x00")
			if !ok || !strings.Contains(got, "by "+c.host+" (Postfix)") || !strings.Contains(got, "using TLSv1.3") {
				t.Errorf("got %q, want it at %s over TLS\n%s", got, c.host, s.log)
			}
		})
	}
	for _, c := range []struct{ domain, status string }{
		{"nowhere.test", "5.1.2"},
		{"none.test", "5.1.10"},
		{"self.test", "5.4.6"},
	} {
		t.Run(c.domain+" can't take it, and the sender is told at once", func(t *testing.T) {
			send(c.domain)
			got := s.inbox(t, 0, 1)[0]
			if !strings.Contains(got, "Action: failed\nStatus: "+c.status+"\n") || !strings.Contains(got, "Final-Recipient: rfc822; bob@"+c.domain+"\n") {
				t.Errorf("want status %s, got\n%s", c.status, got)
			}
		})
	}
	for _, c := range []struct{ domain, status, words string }{
		{"wrong.test", "4.7.5", "TLSA"},
		{"round.test", "4.4.3", "could not be looked up in the DNS"},
	} {
		t.Run(c.domain+" waits", func(t *testing.T) {
			send(c.domain)
			line := ""
			eventually(t, "mail for "+c.domain+" is deferred", s.log.String, func() bool {
				for _, l := range strings.Split(s.log.String(), "\n") {
					if strings.Contains(l, `msg="message deferred"`) && strings.Contains(l, "to=bob@"+c.domain+" ") {
						line = l
					}
				}
				return line != ""
			})
			if !strings.Contains(line, "status="+c.status+" ") || !strings.Contains(line, c.words) {
				t.Errorf("got %s\nwant status %s and %q", line, c.status, c.words)
			}
		})
	}
	p.mail(t, arrived)
	// Postfix counts what it was told: no MAIL by who does not believe its certificate.
	eventually(t, "two.test was told to begin TLS, and nothing more", p.logged, func() bool {
		return strings.Contains(p.logged(), "disconnect from unknown[127.0.0.1] ehlo=1 starttls=0/1 commands=1/2\n")
	})
}
