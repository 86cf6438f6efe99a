package config

import (
	"strings"
	"testing"
)

func TestWhatIsPublishedIsChecked(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"an address":          {"addresses = [\"mail.example.org\"]", "no address"},
		"a zone":              {"addresses = [\"fe80::1%eth0\"]", "no address"},
		"reports to nobody":   {"reports = \"postmaster\"", "can't go to"},
		"reports to a record": {"reports = \"a@example.org;p=none\"", "can't go to"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Default()
			if err := c.Overlay("test.toml", []byte("[publish]\n"+row.text)); err != nil {
				t.Fatal(err)
			}
			if err := c.Check().Err(); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want something with %q", err, row.want)
			}
		})
	}
}
