package config

import (
	"strings"
	"testing"
)

func TestWhatIsPublishedIsChecked(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"an address":                    {"addresses = [\"mail.example.org\"]", "no address"},
		"a zone":                        {"addresses = [\"fe80::1%eth0\"]", "no address"},
		"reports to nobody":             {"reports = \"postmaster\"", "can't go to"},
		"a policy that nobody can have": {"mta_sts = \"enforce\"", "not answered with here"},
		"nothing to answer with":        {"mta_sts_https = \":443\"", "no MTA-STS policy"},
		"plain HTTP for others":         {"mta_sts = \"testing\"\nmta_sts_http = \":80\"", "may be reached by others"},
		"no address for the policy":     {"mta_sts = \"testing\"\nmta_sts_https = \"mta-sts.example.org\"", "address can't be"},
		"an address twice":              {"mta_sts = \"testing\"\nmta_sts_https = \":443\"\n[acme]\ndirectory = \"https://acme.example.org/\"\ntls_alpn = \":443\"", "acme.tls_alpn"},
		"reports to a record":           {"reports = \"a@example.org;p=none\"", "can't go to"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Default()
			if err := c.Overlay("test.toml", []byte("[publish]\n"+row.text)); err != nil {
				t.Fatal(err)
			}
			for _, p := range c.Check() {
				if strings.Contains(p.Message+" "+p.Help, row.want) {
					return
				}
			}
			t.Errorf("got %v, want something with %q", c.Check(), row.want)
		})
	}
}
