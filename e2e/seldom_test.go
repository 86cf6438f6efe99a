//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// seldom makes remote.test the domain of a host that is seldom connected.
const seldom = `retry_first = "10m"
retry_max = "1h"

[login]
mechanisms = ["PLAIN", "CRAM-MD5", "USER"]

[[listener]]
name = "submission"
allow_plaintext_auth = true

[[turn]]
domains = ["remote.test"]
account = "alice@example.test"
networks = ["127.0.0.1/32"]
`

// TestETRNSendsWhatWaitsForAHostThatWasDown has fetchmail ask for it, when Postfix is
// up, long before the next attempt is due.
func TestETRNSendsWhatWaitsForAHostThatWasDown(t *testing.T) {
	next := freeAddress(t)
	s := startSending(t, seldom+through(next, ""))
	s.submit(t, 0, outgoing{params: "BODY=8BITMIME", to: []string{"carol@remote.test"}, text: hopLetter})
	eventually(t, "the message waits", s.log.String, func() bool {
		return strings.Contains(s.printed("queue", "list", "--state", "delayed", "--json"), "carol@remote.test")
	})
	p := startPostfix(t, next)
	p.mail(t, 0)
	fetchmail(t, "ETRN", s.port("smtp"), "alice@example.test", "", next)
	wantSame(t, p.mail(t, 1)[0], hopLetter)
}

// TestATRNGivesTheMailToWhoHasLoggedIn turns the connection of fetchmail, which passes
// what comes on to Postfix.
func TestATRNGivesTheMailToWhoHasLoggedIn(t *testing.T) {
	next := freeAddress(t)
	s := startSending(t, seldom+"\n[[route]]\ndomains = [\"remote.test\"]\nhold = true\n")
	secrets := map[string]string{}
	for _, a := range s.ready.Accounts[:2] {
		secrets[a.Address] = s.printed("account", "legacy-secret", "on", a.Address)
	}
	p := startPostfix(t, next)
	for range 3 {
		s.submit(t, 0, outgoing{params: "BODY=8BITMIME", to: []string{"carol@remote.test", "dora@remote.test"}, text: hopLetter})
	}
	ask := func(account int) string {
		a := s.ready.Accounts[account].Address
		return fetchmail(t, "ODMR", s.port(submission), a, secrets[a], next)
	}
	if said := ask(1); !strings.Contains(said, "450 4.7.1") {
		t.Errorf("bob, whose mail it is not, was told:\n%s", said)
	}
	p.mail(t, 0)
	ask(0)
	for _, m := range p.mail(t, 6) {
		wantSame(t, m, hopLetter)
	}
	if left := s.printed("queue", "list", "--json"); left != "" {
		t.Errorf("the queue has %s", left)
	}
}

// fetchmail asks for the mail of remote.test and returns what was said. Its exit code
// tells nothing: it is 1 where no mail comes on its own connection.
func fetchmail(t *testing.T, protocol, port, user, password, to string) string {
	t.Helper()
	host, toPort, _ := strings.Cut(to, ":")
	r := recipe{
		files: []file{{"fetchmailrc", fmt.Sprintf("poll 127.0.0.1 protocol %s service %s\n  user %q password %q smtphost %q fetchdomains remote.test\n",
			protocol, port, user, password, host+"/"+toPort)}},
		command: "chmod 600 fetchmailrc; fetchmail -f fetchmailrc -v -v --nosyslog --pidfile pid --idfile ids 2>&1",
	}
	said, err := r.run(t, t.TempDir())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("fetchmail: %v\n%s", err, said)
		}
	})
	return said
}
