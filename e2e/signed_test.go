//go:build e2e

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestDKIMPyVerifiesWhatPostfixTookFromUs, also where the message had to be made one
// of seven bits.
func TestDKIMPyVerifiesWhatPostfixTookFromUs(t *testing.T) {
	for _, c := range []struct{ name, discard, coding string }{
		{"as it was", "", "8bit"},
		{"after a conversion", "smtpd_discard_ehlo_keywords = 8bitmime chunking pipelining smtputf8", "quoted-printable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			next := freeAddress(t)
			s := startSending(t, through(next, ""))
			s.printed("dkim", "generate", "example.test")
			s.printed("dkim", "activate", "example.test")
			p := startPostfix(t, next, c.discard)
			s.submit(t, 0, outgoing{params: "BODY=8BITMIME", to: []string{"bob@remote.test"}, text: hopLetter})
			got := p.mail(t, 1)[0]
			if !strings.Contains(got, "\nContent-Transfer-Encoding: "+c.coding+"\n") {
				t.Errorf("the coding is not %s:\n%s", c.coding, got)
			}
			message := strings.ReplaceAll(got, "\n", "\r\n")
			dns := write(t, "names.json", keysOf(t, s))
			verify := func(message string) string {
				return strings.TrimSpace(run(t, message, debianPython, "-c", others, "verify", dns, "2"))
			}
			if got := verify(message); got != "[True, True] b'none'" {
				t.Errorf("dkimpy says %s, want two good signatures\n%s", got, message)
			}
			if got := verify(strings.Replace(message, "From here", "From there", 1)); got != "[False, False] b'none'" {
				t.Errorf("dkimpy says %s of a message that was changed", got)
			}
		})
	}
}

// keysOf returns the TXT records that the demo's domain should have, as JSON.
func keysOf(t *testing.T, s *server) string {
	t.Helper()
	names := map[string]string{}
	for _, line := range strings.Split(s.printed("dkim", "list", "--json"), "\n") {
		var k struct{ Name, Record string }
		if err := json.Unmarshal([]byte(line), &k); err != nil || k.Record == "" {
			t.Fatalf("%q: %v", line, err)
		}
		names[k.Name] = k.Record
	}
	b, err := json.Marshal(names)
	if err != nil || len(names) != 2 {
		t.Fatalf("%v: %v", names, err)
	}
	return string(b)
}
