//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestHeldMailComesAtItsTime sends mail with FUTURERELEASE (RFC 4865): it is not
// there, and then it is, also when the server has been killed in between.
func TestHeldMailComesAtItsTime(t *testing.T) {
	for name, killed := range map[string]bool{"running": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			s := start(t, data, "--strict")
			sendHeld(t, s, 4)
			until := time.Now().Add(3 * time.Second) // the server's clock is ours
			if killed {
				s.kill()
				s = start(t, data, "--strict")
			}
			n := countMail(t, s, 1)
			list := s.printed("held", "list")
			if time.Now().Before(until) {
				if n != 0 {
					t.Errorf("%d messages before their time, want none", n)
				}
				if !strings.Contains(list, s.ready.Accounts[0].Address) {
					t.Errorf("held list: got %q, want alice's message in it", list)
				}
			}
			poll := time.NewTicker(50 * time.Millisecond)
			defer poll.Stop()
			late := time.After(patience)
			for countMail(t, s, 1) == 0 {
				select {
				case <-poll.C:
				case <-late:
					t.Fatalf("the message did not come\n%s", s.log)
				}
			}
			if time.Now().Before(until) {
				t.Error("the message came too early")
			}
			p, err := dialPOPS(s, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if got := takeAll(t, p); len(got) != 1 || !strings.Contains(got[0], "\nSubject: later\n") {
				t.Errorf("got %q, want the message, once", got)
			}
			if list := s.printed("held", "list"); strings.Contains(list, s.ready.Accounts[0].Address) {
				t.Errorf("held list: got %q, want nothing", list)
			}
		})
	}
}

// sendHeld sends a message from alice to bob that is held for so many seconds.
func sendHeld(t *testing.T, s *server, seconds int) {
	t.Helper()
	a, b := s.ready.Accounts[0], s.ready.Accounts[1]
	p := secured(t, s, submission, s.trust())
	p.put("EHLO client.example.org\r\n")
	if list := p.reply(); !strings.Contains(list, "FUTURERELEASE ") {
		t.Fatalf("got %q, want FUTURERELEASE", list)
	}
	p.say("AUTH PLAIN "+b64("\x00"+a.Address+"\x00"+a.Password), "235 ")
	p.say(fmt.Sprintf("MAIL FROM:<%s> HOLDFOR=%d", a.Address, seconds), "250 ")
	p.say("RCPT TO:<"+b.Address+">", "250 ")
	p.say("DATA", "354 ")
	p.say("From: "+a.Address+"\r\nSubject: later\r\n\r\nx\r\n.", "250 ")
}

// countMail returns how many messages an account has.
func countMail(t *testing.T, s *server, account int) int {
	t.Helper()
	p, err := dialPOPS(s, account)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	n, err := p.count()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.ok("QUIT"); err != nil {
		t.Fatal(err)
	}
	return n
}
