//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const publishing = `
hostname = "mail.example.test"
data = "data"
postmaster = "postmaster@example.test"

[[listener]]
protocol = "smtp"
role = "mx"
address = "127.0.0.1:25"

[publish]
addresses = ["%s"]
mta_sts = "testing"

[dns]
servers = ["%s"]
`

// site is a configuration with a data folder, and no server.
type site struct {
	t      *testing.T
	config string
}

func newSite(t *testing.T, config string) site {
	t.Helper()
	file := write(t, "postrider.toml", config)
	if err := os.Mkdir(filepath.Join(filepath.Dir(file), "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	return site{t, file}
}

// run runs a subcommand and returns what it prints on standard output; a failure is
// returned too.
func (s site) run(args ...string) (string, error) {
	out, err := exec.Command(binary, append([]string{"--config", s.config}, args...)...).Output()
	return string(out), err
}

// TestTheZoneThatWePrintIsRightWhereNSDServesIt, and what is changed in it is found.
func TestTheZoneThatWePrintIsRightWhereNSDServesIt(t *testing.T) {
	b := newBlock()
	s := newSite(t, fmt.Sprintf(publishing, b.host(25), b.host(54)+":53"))
	for _, args := range [][]string{{"domain", "add", "example.test"}, {"dkim", "generate", "example.test"}} {
		if out, err := s.run(args...); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	zone, err := s.run("dns", "example.test")
	if err != nil {
		t.Fatal(err)
	}
	reverse := strings.Join(regexp.MustCompile(`(?m)^;(\S+\.in-addr\.arpa\. .*)`).FindAllString(zone, -1), "\n")
	t.Run("as it is", func(t *testing.T) {
		serveNames(t, b, zone, strings.ReplaceAll(reverse, ";", "")+"\n", nil)
		found, err := s.check()
		if err != nil || len(found) < 15 {
			t.Fatalf("%d records, %v", len(found), err)
		}
		for name, r := range found {
			optional := strings.HasPrefix(r.Name, "auto") // nobody serves settings there
			if r.State != "right" && !optional {
				t.Errorf("%s is %s, want right: %s", name, r.State, r.Advice)
			}
		}
	})
	t.Run("changed", func(t *testing.T) {
		changed := strings.NewReplacer("IN MX 10 mail.example.test.", "IN MX 10 mx.elsewhere.test.", "v=spf1 mx -all", "v=spf1 +all",
			"k=ed25519; p=", "k=ed25519; p=A", "v=DMARC1; p=quarantine", "DMARC; p=none").Replace(zone)
		serveNames(t, b, changed, "", nil)
		found, err := s.check()
		if err == nil {
			t.Error("the exit code is 0, want 1")
		}
		for name, want := range map[string]string{
			"MX example.test": "missing extra", "TXT example.test": "different", "TXT _dmarc.example.test": "missing",
			"A mail.example.test": "right", "PTR " + reverse[1:strings.Index(reverse, ". ")]: "missing",
		} {
			if r := found[name]; r.State != want {
				t.Errorf("%s is %+v, want %s", name, r, want)
			}
		}
		for name, r := range found {
			if strings.Contains(name, "ed25519") && r.State != "different" {
				t.Errorf("%s is %+v, want different", name, r)
			}
		}
	})
}

// checked is what dns --check says of a record.
type checked struct{ Name, Type, State, Advice string }

// check returns what is said of each record, by its type and name; what is said of
// several with the same is in one. The error is that
// of the command.
func (s site) check() (map[string]checked, error) {
	s.t.Helper()
	out, err := s.run("dns", "example.test", "--check", "--json")
	found := map[string]checked{}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var r checked
		if jerr := json.Unmarshal([]byte(line), &r); jerr != nil {
			s.t.Fatalf("%q: %v", line, jerr)
		}
		name := r.Type + " " + r.Name
		r.State = strings.TrimSpace(found[name].State + " " + r.State)
		found[name] = r
	}
	return found, err
}
