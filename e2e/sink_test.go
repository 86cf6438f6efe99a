//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestThousandsOfMessagesArriveAtSMTPSinkOnceEach has Postfix's smtp-source relay
// through us to Postfix's smtp-sink, as fast as both can.
func TestThousandsOfMessagesArriveAtSMTPSinkOnceEach(t *testing.T) {
	const messages = 3000
	next, dir := freeAddress(t), openDir(t)
	s := startSending(t, through(next, "")+relayListener("bulk", "127.0.0.1/32"))
	sink := launch(t, "smtp-sink", "-u", "root", "-d", filepath.Join(dir, "m."), next, "100")
	sink.answers(next, sink.log.String)
	run(t, "", "smtp-source", "-s", "10", "-l", "2000", "-m", strconv.Itoa(messages),
		"-f", "bulk@example.net", "-t", "bob@remote.test", s.address("relay"))
	eventually(t, "all messages are sent", s.log.String, func() bool {
		return s.printed("queue", "list", "--json") == ""
	})
	files, err := filepath.Glob(filepath.Join(dir, "m.*"))
	if err != nil || len(files) != messages {
		t.Fatalf("%d messages arrived, want %d, %v\n%s", len(files), messages, err, s.log)
	}
	seen := map[string]bool{}
	id := regexp.MustCompile(`(?mi)^Message-ID: (<.*>)`)
	for _, f := range files {
		b, err := os.ReadFile(f)
		m := id.FindSubmatch(b)
		if err != nil || m == nil || seen[string(m[1])] {
			t.Fatalf("%v, or no Message-ID of its own:\n%s", err, b)
		}
		seen[string(m[1])] = true
	}
}

// relayListener is a listener of the role relay, and a client that may use it.
func relayListener(name, network string) string {
	return "\n[[listener]]\nname = \"relay\"\nprotocol = \"smtp\"\nrole = \"relay\"\naddress = \"127.0.0.1:0\"\n" +
		"\n[[relay]]\nname = \"" + name + "\"\nnetworks = [\"" + network + "\"]\n"
}
