//go:build e2e

package e2e

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postrider/internal/dialogue"
)

// strictListeners stand beside the demo's, which teach.
const strictListeners = `
[[listener]]
name = "smtp-strict"
protocol = "smtp"
role = "mx"
address = "127.0.0.1:0"

[[listener]]
name = "submission-strict"
protocol = "smtp"
role = "submission"
address = "127.0.0.1:0"
allow_plaintext_auth = true

[[listener]]
name = "relay-strict"
protocol = "smtp"
role = "relay"
address = "127.0.0.1:0"

[[relay]]
name = "office"
networks = ["127.0.0.1/32"]

[outbound]
enabled = false

[[listener]]
name = "pop3-strict"
protocol = "pop3"
address = "127.0.0.1:0"
allow_plaintext_auth = true
`

// TestDialogues runs every dialogue against the real binary, each with an empty
// server of its own.
func TestDialogues(t *testing.T) {
	config := filepath.Join(t.TempDir(), "strict.toml")
	if err := os.WriteFile(config, []byte(strictListeners), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../testdata/dialogues/*.dialogue")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, file := range files {
		d, err := dialogue.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		lacks := func(need string) bool { return need == dialogue.NeedsTurner }
		if d.NeedsMemory() || slices.ContainsFunc(d.Needs, lacks) {
			continue // it has events that only a driver in memory can make, or needs what the demo has not
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			s := start(t, t.TempDir(), "--config", config)
			for _, m := range d.Given {
				s.give(m)
			}
			if err := d.Run(dialogue.Setup{Open: s.dial, Vars: s.vars()}); err != nil {
				t.Errorf("%v\n%s", err, s.log)
			}
		})
	}
}

// dial connects to the listener that a dialogue asks for. Those of the demo teach.
func (s *server) dial(c dialogue.Connection) (dialogue.Transport, error) {
	name := c.Protocol
	if c.Role == "submission" || c.Role == "relay" {
		name = c.Role
	}
	if !c.Teach {
		name += "-strict"
	}
	conn, err := net.Dial("tcp", s.address(name))
	if err != nil {
		return nil, err
	}
	return dialogue.NewNet(conn), nil
}

// vars are the passwords, as dialogues name them.
func (s *server) vars() map[string]string {
	v := map[string]string{}
	for _, a := range s.ready.Accounts {
		name, _, _ := strings.Cut(a.Address, "@")
		v[name+"-password"] = a.Password
	}
	return v
}

// give sends a message.
func (s *server) give(m dialogue.Message) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "given")
	if err := os.WriteFile(file, m.Content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	run(s.t, "", "curl", "-sS", "smtp://"+s.address("smtp")+"/client.example.org", "--mail-from", "", "--mail-rcpt", m.To, "-T", file)
}
