//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"postrider/internal/resolver/zonetest"
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

// TestWhatPostfixHasFromUsInSevenBitsIsSealedAsItCameInEight: an alias forwards what
// others have signed, and one of them sealed.
func TestWhatPostfixHasFromUsInSevenBitsIsSealedAsItCameInEight(t *testing.T) {
	them := newSigners(t, "origin.test", "hop.test")
	letter := strings.ReplaceAll(strings.Replace(hopLetter, "example.test>", "origin.test>", 1), "\n", "\r\n")
	signed := them.seal("hop.test", them.sign("origin.test", letter))
	next := freeAddress(t)
	dns := zonetest.New(t, textRecords(them.names)).Serve(t)
	s := startSending(t, through(next, "")+"[dns]\nservers = [\""+dns+"\"]\n")
	s.printed("dkim", "generate", "example.test")
	s.printed("dkim", "activate", "example.test")
	s.printed("alias", "add", "moved@example.test", "bob@remote.test")
	p := startPostfix(t, next, "smtpd_discard_ehlo_keywords = 8bitmime chunking pipelining smtputf8")
	dialMTA(t, s.address("smtp")).send("alice@origin.test", outgoing{
		params: "BODY=8BITMIME", to: []string{"moved@example.test"}, text: strings.ReplaceAll(signed, "\r\n", "\n"),
	})
	got := strings.ReplaceAll(p.mail(t, 1)[0], "\n", "\r\n")
	_, set, _ := strings.Cut(got, "\r\nARC-Authentication-Results: i=2;")
	set, _, _ = strings.Cut(set, "ARC-")
	if strings.Count(set, "dkim=pass") != 2 || !strings.Contains(set, "arc=pass") || !strings.Contains(got, ": quoted-printable\r\n") {
		t.Errorf("the results are not those of what came, or nothing was encoded:\n%s", got)
	}
	maps.Copy(them.names, namesOf(t, s))
	verified := strings.TrimSpace(run(t, got, debianPython, "-c", others, "verify", write(t, "names.json", inJSON(t, them.names)), "2"))
	if verified != "[False, False] b'pass'" {
		t.Errorf("dkimpy says %s, want a good chain over signatures of another form\n%s", verified, got)
	}
}

// textRecords is a zone with these TXT records.
func textRecords(names map[string]string) string {
	zone := ""
	for name, record := range names {
		zone += name + ". IN TXT"
		for part := range slices.Chunk([]byte(record), 255) {
			zone += fmt.Sprintf(" %q", part)
		}
		zone += "\n"
	}
	return zone
}

// keysOf returns the TXT records that the demo's domain should have, as JSON.
func keysOf(t *testing.T, s *server) string { return inJSON(t, namesOf(t, s)) }

func inJSON(t *testing.T, names map[string]string) string {
	t.Helper()
	b, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// namesOf returns the TXT records that the demo's domain should have.
func namesOf(t *testing.T, s *server) map[string]string {
	t.Helper()
	names := map[string]string{}
	for _, line := range strings.Split(s.printed("dkim", "list", "--json"), "\n") {
		var k struct{ Name, Record string }
		if err := json.Unmarshal([]byte(line), &k); err != nil || k.Record == "" {
			t.Fatalf("%q: %v", line, err)
		}
		names[k.Name] = k.Record
	}
	if len(names) != 2 {
		t.Fatalf("got %v", names)
	}
	return names
}
