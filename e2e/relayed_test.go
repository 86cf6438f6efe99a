//go:build e2e

package e2e

import (
	"bufio"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// dialMTA connects to another server as a client.
func dialMTA(t *testing.T, address string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	p := &peer{t: t, TCPConn: conn.(*net.TCPConn), r: bufio.NewReader(conn), out: conn}
	p.expect("220 ")
	p.say("EHLO client.example.org", "250 ")
	return p
}

// TestPostfixAndEximRelayThroughUsToEachOther as named clients. Each of them reports
// success for what it delivers, through us again, to the sender that the other has.
func TestPostfixAndEximRelayThroughUsToEachOther(t *testing.T) {
	postfixAt, eximAt := freeAddress(t), freeAddress(t)
	s := startSending(t, routeTo("remote.test", postfixAt)+routeTo("exim.test", eximAt)+relayListener("neighbours", "127.0.0.1/32"))
	p := startPostfix(t, postfixAt, "transport_maps = inline:{exim.test=smtp:["+strings.Replace(s.address("relay"), ":", "]:", 1)+"}")
	e := startExim(t, eximAt, map[string]string{"remote.test": s.address("relay")})

	dialMTA(t, postfixAt).send("dora@remote.test", outgoing{
		params: "BODY=8BITMIME RET=HDRS ENVID=to-exim",
		to:     []string{"emil@exim.test> NOTIFY=SUCCESS ORCPT=rfc822;Emil+2BX@exim.test"}, text: hopLetter,
	})
	wantSame(t, e.mail(t, 1)[0], hopLetter)
	report := p.mail(t, 1)[0]
	for _, want := range []string{"Delivered-To: dora@remote.test\n", "Reporting-MTA: dns; mx.exim.test\n", "Original-Envelope-ID: to-exim\n", "Action: delivered\n", "Emil+X@exim.test"} {
		if !strings.Contains(strings.ReplaceAll(report, "Emil+2BX", "Emil+X"), want) {
			t.Errorf("Exim's report lacks %q:\n%s", want, report)
		}
	}

	dialMTA(t, eximAt).send("emil@exim.test", outgoing{
		params: "BODY=8BITMIME RET=HDRS ENVID=to-postfix",
		to:     []string{"dora@remote.test> NOTIFY=SUCCESS ORCPT=rfc822;Dora@remote.test"}, text: hopLetter,
	})
	var delivered string
	for _, m := range p.mail(t, 2) {
		if m != report {
			delivered = m
		}
	}
	wantSame(t, delivered, hopLetter)
	report = strings.Join(e.mail(t, 2), "\n---\n")
	for _, want := range []string{"Reporting-MTA: dns; mx.remote.test\n", "Original-Envelope-Id: to-postfix\n", "Original-Recipient: rfc822;Dora@remote.test\n", "Action: delivered\n"} {
		if !strings.Contains(report, want) {
			t.Errorf("Postfix's report lacks %q:\n%s", want, report)
		}
	}
	if n := strings.Count(s.log.String(), "client=neighbours"); n < 4 {
		t.Errorf("the log names the relay client %d times, want 4 at least", n)
	}
}

// TestABounceOfForwardedMailComesBackToWhoSentIt: an alias forwards to Exim with a
// reverse-path of ours (SRS); Exim gives up; what it says goes on to Postfix, where
// the sender is.
func TestABounceOfForwardedMailComesBackToWhoSentIt(t *testing.T) {
	postfixAt, eximAt := freeAddress(t), freeAddress(t)
	s := startSending(t, routeTo("remote.test", postfixAt)+routeTo("exim.test", eximAt))
	s.printed("alias", "add", "moved@example.test", "gone@exim.test")
	s.printed("alias", "add", "emil@example.test", "emil@exim.test")
	p := startPostfix(t, postfixAt, "transport_maps = inline:{example.test=smtp:["+strings.Replace(s.address("smtp"), ":", "]:", 1)+"}")
	e := startExim(t, eximAt, map[string]string{"example.test": s.address("smtp")})
	dialMTA(t, postfixAt).send("dora@remote.test", outgoing{params: "BODY=8BITMIME", to: []string{"emil@example.test"}, text: hopLetter})
	got := e.mail(t, 1)[0]
	wantSame(t, got, hopLetter)
	srs := regexp.MustCompile(`(?m)^Return-path: <(SRS0=[^>]*=remote\.test=dora@example\.test)>$`).FindStringSubmatch(got)
	if srs == nil {
		t.Fatalf("the reverse-path is not ours:\n%s", got)
	}

	dialMTA(t, postfixAt).send("dora@remote.test", outgoing{
		to: []string{"moved@example.test"}, text: "From: dora@remote.test\nTo: moved@example.test\nSubject: are you there\n\nx\n",
	})
	bounce := p.mail(t, 1)[0]
	for _, want := range []string{"Return-Path: <>\n", "Delivered-To: dora@remote.test\n", "Reporting-MTA: dns; mx.exim.test\n", "Action: failed\n", "are you there"} {
		if !strings.Contains(bounce, want) {
			t.Errorf("the bounce lacks %q:\n%s", want, bounce)
		}
	}
	// The address is good for notifications only, and only as it was made.
	c := dialPeer(t, s, "smtp")
	c.say("EHLO client.example.org", "250 ")
	c.say("MAIL FROM:<spam@example.net>", "250 ")
	c.say("RCPT TO:<"+srs[1]+">", "550 ")
	c.say("RSET", "250 ")
	c.say("MAIL FROM:<>", "250 ")
	c.say("RCPT TO:<"+strings.Replace(srs[1], "=dora@", "=emil@", 1)+">", "550 ")
	c.say("RCPT TO:<"+srs[1]+">", "250 ")
}
