package config

import (
	"slices"
	"strings"
	"testing"
)

func TestOutboundSettingsAreChecked(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"a route's host":             {"[[route]]\nhosts = [\"a b\"]", "is no host"},
		"a login without a password": {"[[route]]\nhosts = [\"smtp.example.net:587\"]\nusername = \"me\"", "a login needs a password"},
		"a password without a login": {"[[route]]\nhosts = [\"smtp.example.net:587\"]\npassword_file = \"p\"", "a login needs a name"},
		"a login to anybody":         {"[[route]]\nusername = \"me\"\npassword_file = \"p\"", "a login is for hosts"},
		"hold with hosts":            {"[[route]]\nhosts = [\"192.0.2.1\"]\nhold = true", "held goes to no host"},
		"mx without hosts":           {"[[route]]\nmx = true", "there are none"},
		"a sender":                   {"[[route]]\nsenders = [\"@\"]", "is no sender"},
		"a pattern":                  {"[[route]]\ndomains = [\"Example.COM\"]", "is no domain"},
		"a source of the wrong kind": {"[outbound]\nsource_ipv4 = \"2001:db8::1\"", "no address of that family"},
		"pauses":                     {"[outbound]\nretry_first = \"1h\"\nretry_max = \"1m\"", "shorter than the first"},
		"a destination of none":      {"[[destination]]\nlifetime = \"1d\"", "needs domains"},
		"a turn of nobody":           {"[[turn]]\ndomains = [\"a.example\"]", "nobody may ask"},
		"a turn of nothing":          {"[[turn]]\naccount = \"a@example.org\"", "nothing to ask for"},
		"a resolver":                 {"[dns]\nservers = [\"ns.example\"]", "no address of a resolver"},
		"dnssec over the network":    {"[dns]\nservers = [\"192.0.2.53\"]\ndnssec = true", "not on this machine"},
		"dnssec of anybody":          {"[dns]\ndnssec = true", "needs a resolver that is named"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Default()
			if err := c.Overlay("test.toml", []byte(row.text)); err != nil {
				t.Fatal(err)
			}
			err := c.Check().Err()
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want something with %q", err, row.want)
			}
		})
	}
}

func TestAPasswordForAHostThatNeedNotProveItsNameIsWarnedOf(t *testing.T) {
	for text, warned := range map[string]bool{
		"":                            true,
		"tls = \"encrypt\"":           true,
		"tls = \"none\"":              true,
		"tls = \"verify\"":            false,
		"tls = \"implicit\"":          false,
		"allow_plaintext_auth = true": false,
	} {
		c := Default()
		if err := c.Overlay("test.toml", []byte("[[route]]\nhosts = [\"smtp.example.net:587\"]\nusername = \"me\"\npassword_file = \"p\"\n"+text)); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, p := range c.Check() {
			found = found || p.Warning && strings.Contains(p.Message, "prove its name")
		}
		if found != warned {
			t.Errorf("%q: warned %v, want %v", text, found, warned)
		}
	}
}

func TestAnAccountThatCanLogInNowhereToGetItsMailIsWarnedOf(t *testing.T) {
	const listener = "[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:0\"\nrole = "
	for _, row := range []struct {
		turn, listener string
		warned         bool
	}{
		{`account = "a@example.org"`, listener + `"mx"`, true},
		{`account = "a@example.org"`, "[[listener]]\nprotocol = \"pop3\"\naddress = \"127.0.0.1:0\"", true},
		{`account = "a@example.org"`, listener + `"submission"`, false},
		{`account = "a@example.org"`, listener + `"submissions"`, false},
		{`account = "a@example.org"`, listener + `"relay"`, false},
		{`networks = ["192.0.2.0/24"]`, listener + `"mx"`, false},
	} {
		c := Default()
		text := "[[turn]]\ndomains = [\"a.example\"]\n" + row.turn + "\n" + row.listener
		if err := c.Overlay("test.toml", []byte(text)); err != nil {
			t.Fatal(err)
		}
		warned := slices.ContainsFunc(c.Check(), func(p Problem) bool {
			return p.Warning && p.Line == 3 && strings.Contains(p.Message, "could log in and ask for its mail")
		})
		if warned != row.warned {
			t.Errorf("%s: warned %v, want %v", text, warned, row.warned)
		}
	}
}

func TestHostsOfRoutesAreRead(t *testing.T) {
	for text, want := range map[string]struct {
		host string
		port uint16
	}{
		"smtp.example.net":     {"smtp.example.net", 0},
		"SMTP.example.net:587": {"smtp.example.net", 587},
		"192.0.2.1":            {"192.0.2.1", 0},
		"192.0.2.1:2600":       {"192.0.2.1", 2600},
		"[2001:db8::1]:25":     {"2001:db8::1", 25},
		"2001:db8::1":          {"2001:db8::1", 0},
	} {
		host, port, err := ParseHost(text)
		if err != nil || host != want.host || port != want.port {
			t.Errorf("%s: got %q %d %v, want %q %d", text, host, port, err, want.host, want.port)
		}
	}
	for _, text := range []string{"", ":25", "a b", "host:0", "host:70000", "[192.0.2.1"} {
		if _, _, err := ParseHost(text); err == nil {
			t.Errorf("%q was taken for a host", text)
		}
	}
}
