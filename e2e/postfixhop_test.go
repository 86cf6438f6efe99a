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

// TestPostfixReportsSuccessToOurSender asks for reports (RFC 3461): that of Postfix
// comes back to the domain here, and into the mailbox.
func TestPostfixReportsSuccessToOurSender(t *testing.T) {
	next := freeAddress(t)
	s := startSending(t, through(next, ""))
	p := startPostfix(t, next, "transport_maps = inline:{example.test=smtp:[127.0.0.1]:"+s.port("smtp")+"}")
	s.submit(t, 0, outgoing{
		params: "RET=HDRS ENVID=hop+2B1 BODY=8BITMIME",
		to:     []string{"bob@remote.test> NOTIFY=SUCCESS ORCPT=rfc822;Robert@remote.test", "carol@remote.test> NOTIFY=NEVER"},
		text:   hopLetter,
	})
	for _, m := range p.mail(t, 2) {
		wantSame(t, m, hopLetter)
	}
	got := s.inbox(t, 0, 1)[0]
	for _, want := range []string{
		"Return-Path: <>\n", "Reporting-MTA: dns; mx.remote.test\n", "Original-Envelope-Id: hop+1\n",
		"Final-Recipient: rfc822; bob@remote.test\n", "Original-Recipient: rfc822;Robert@remote.test\n",
		"Action: delivered\n", "Status: 2.0.0\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if strings.Contains(got, "carol") || t.Failed() {
		t.Errorf("the report is\n%s", got)
	}
}

// TestPostfixTakesAddressesInUTF8 sends what needs SMTPUTF8 (RFC 6531).
func TestPostfixTakesAddressesInUTF8(t *testing.T) {
	next := freeAddress(t)
	s := startSending(t, through(next, ""))
	p := startPostfix(t, next)
	text := strings.Replace(hopLetter, "Bob <bob@", "Bjørn <bjørn@", 1)
	s.submit(t, 0, outgoing{params: "SMTPUTF8 BODY=8BITMIME", to: []string{"bjørn@remote.test"}, text: text})
	got := p.mail(t, 1)[0]
	wantSame(t, got, text)
	if !strings.Contains(got, "Delivered-To: bjørn@remote.test\n") || !strings.Contains(got, "UTF8SMTP") {
		t.Errorf("got\n%s", got)
	}
}

// TestWhatPostfixRefusesComesBackAndTheOthersArrive has one transaction with each
// kind of answer.
func TestWhatPostfixRefusesComesBackAndTheOthersArrive(t *testing.T) {
	next := freeAddress(t)
	s := startSending(t, "lifetime = \"5s\"\n"+through(next, ""))
	p := startPostfix(t, next)
	s.submit(t, 0, outgoing{
		to:   []string{"refused@remote.test", "bob@remote.test", "later@remote.test"},
		text: "From: alice@example.test\nSubject: three fates\n\nx\n",
	})
	p.mail(t, 1)
	notices := s.inbox(t, 0, 2)
	for i, want := range [][]string{
		{"Final-Recipient: rfc822; refused@remote.test\n", "Action: failed\n", "Status: 5.1.1\n", "> 550 5.1.1 <refused@remote.test>: Recipient address rejected:", "three fates"},
		{"Final-Recipient: rfc822; later@remote.test\n", "Action: failed\n", "Status: 4.2.0\n", "come again later", "three fates"},
	} {
		for _, w := range want {
			if !strings.Contains(notices[i], w) {
				t.Errorf("notice %d lacks %q:\n%s", i, w, notices[i])
			}
		}
	}
	p.mail(t, 1)
}

// TestAConnectionToPostfixIsUsedAgainAsLongAsItMayWait, and no longer.
func TestAConnectionToPostfixIsUsedAgainAsLongAsItMayWait(t *testing.T) {
	for _, c := range []struct {
		idle, told string
		times      int
	}{
		{"1m", " mail=2 rcpt=2 bdat=2 quit=1 ", 1},
		{"0s", " mail=1 rcpt=1 bdat=1 quit=1 ", 2},
	} {
		t.Run(c.idle, func(t *testing.T) {
			next := freeAddress(t)
			p := startPostfix(t, next)
			s := startSending(t, "idle = \""+c.idle+"\"\n"+through(next, ""))
			for i := range 2 {
				s.submit(t, 0, outgoing{params: "BODY=8BITMIME", to: []string{"bob@remote.test"}, text: hopLetter})
				p.mail(t, i+1)
			}
			s.stop()
			eventually(t, "Postfix was told"+c.told, p.logged, func() bool {
				return strings.Count(p.logged(), c.told) == c.times
			})
		})
	}
}

// TestWhatAnOlderPostfixCantCarryComesBack: there is no way for an address in UTF-8
// but SMTPUTF8 (RFC 6531 §3.2).
func TestWhatAnOlderPostfixCantCarryComesBack(t *testing.T) {
	next := freeAddress(t)
	s := startSending(t, through(next, ""))
	p := startPostfix(t, next, "smtpd_discard_ehlo_keywords = smtputf8")
	text := strings.Replace(hopLetter, "Bob <bob@", "Bjørn <bjørn@", 1)
	s.submit(t, 0, outgoing{params: "SMTPUTF8 BODY=8BITMIME", to: []string{"bjørn@remote.test"}, text: text})
	got := s.inbox(t, 0, 1)[0]
	for _, want := range []string{"Action: failed\n", "Status: 5.6.7\n", "Reporting-MTA: dns; mail.example.test\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the notice lacks %q:\n%s", want, got)
		}
	}
	p.mail(t, 0)
}
