//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestEximTakesOurMailInChunks (RFC 3030), over TLS, octet by octet.
func TestEximTakesOurMailInChunks(t *testing.T) {
	next := freeAddress(t)
	s := startSending(t, routeTo("exim.test", next))
	e := startExim(t, next, map[string]string{"example.test": s.address("smtp")})
	text := strings.Replace(hopLetter, "Bob <bob@remote.test>", "Bjørn <bjørn@exim.test>", 1)
	s.submit(t, 0, outgoing{params: "SMTPUTF8 BODY=8BITMIME", to: []string{"bjørn@exim.test"}, text: text})
	wantSame(t, e.mail(t, 1)[0], text)
	for _, want := range []string{"P=utf8esmtps ", " X=TLS1.3:", " K S="} { // K: CHUNKING
		if log := e.logged(); !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

// TestEximReportsToOurSender has one transaction with a recipient that wants a report
// of success, one that is refused, and one that is given up later.
func TestEximReportsToOurSender(t *testing.T) {
	next := freeAddress(t)
	s := startSending(t, routeTo("exim.test", next))
	e := startExim(t, next, map[string]string{"example.test": s.address("smtp")})
	s.submit(t, 0, outgoing{
		params: "RET=HDRS ENVID=three+2B1",
		to:     []string{"bob@exim.test> NOTIFY=SUCCESS ORCPT=rfc822;Robert@exim.test", "refused@exim.test> NOTIFY=FAILURE", "gone@exim.test"},
		text:   "From: alice@example.test\nSubject: three fates\n\nx\n",
	})
	e.mail(t, 1)
	all := s.inbox(t, 0, 3)
	for _, want := range [][]string{
		{"Reporting-MTA: dns; mx.exim.test\n", "Action: delivered\n", "bob@exim.test"},
		{"Reporting-MTA: dns; mx.exim.test\n", "Action: failed\n", "gone@exim.test", "has left for good"},
		{"Reporting-MTA: dns; mail.example.test\n", "Action: failed\n", "Original-Envelope-Id: three+1\n", "refused@exim.test", "> 550 nobody of that name here"},
	} {
		found := false
		for _, m := range all {
			ok := true
			for _, w := range want {
				ok = ok && strings.Contains(m, w)
			}
			found = found || ok
		}
		if !found {
			t.Errorf("no notification has all of %q", want)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(all, "\n---\n"))
	}
}
