//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// hopLetter has what could be changed on the way: dots, blank lines, white space at
// the end of lines, octets above 127, and the longest line there may be.
var hopLetter = "From: Alice <alice@example.test>\n" +
	"To: Bob <bob@remote.test>\n" +
	"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\n" +
	"Date: Sat, 28 Nov 2026 12:00:00 +0000\n" +
	"Message-ID: <hop@example.test>\n" +
	"MIME-Version: 1.0\n" +
	"Content-Type: text/plain; charset=utf-8\n" +
	"Content-Transfer-Encoding: 8bit\n" +
	"X-Folded: one\n\ttwo\n   three\n" +
	"\n" +
	".a dot\n..\n.\nFrom here\n\n\ttab and blanks \t \n" +
	"Grüße aus Århus\n" + strings.Repeat("x", 998) + "\n\n\n"

// TestPostfixTakesOurMailOctetByOctet sends through Postfix over TLS that has to
// prove who it is.
func TestPostfixTakesOurMailOctetByOctet(t *testing.T) {
	ca := newAuthority(t)
	_, cert, key := ca.issue(openDir(t), "localhost")
	next := freeAddress(t)
	tls := "smtpd_tls_chain_files = " + key + ", " + cert
	_, port, _ := strings.Cut(next, ":")
	s := startSending(t, through("localhost:"+port, "tls = \"verify\"\nca_file = \""+ca.file+"\""))
	p := startPostfix(t, next, tls, "smtpd_tls_received_header = yes")
	s.submit(t, 0, outgoing{params: "BODY=8BITMIME", to: []string{"bob@remote.test"}, text: hopLetter})
	got := p.mail(t, 1)[0]
	wantSame(t, got, hopLetter)
	if !strings.Contains(got, "using TLSv1.3") || !strings.Contains(got, "ESMTPS") {
		t.Errorf("it did not go over TLS:\n%s", got)
	}
}
