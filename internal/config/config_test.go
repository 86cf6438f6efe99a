package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func mustParse(t *testing.T, name, text string) *Config {
	t.Helper()
	c, err := Parse(name, []byte(text))
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return c
}

func TestWhatIsNotWrittenHasItsDefault(t *testing.T) {
	c := mustParse(t, "a.toml", "")
	c.origins = nil
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("got %+v, want %+v", c, Default())
	}
}

func TestEveryWayToWriteAListener(t *testing.T) {
	want := []Listener{{
		Name: "smtp", Protocol: "smtp", Role: "mx", Address: ":25", Teach: true,
		ProxyFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")},
	}}
	for name, text := range map[string]string{
		"section": `[[listener]]
protocol = "smtp"
address = ':25'
teach = true
proxy_from = ["10.0.0.0/8", # all of them
  "192.0.2.1"]`,
		"inline": `listener = [{protocol = "smtp", address = ":25", teach = true, proxy_from = ["10.0.0.0/8", "192.0.2.1"]}]`,
	} {
		t.Run(name, func(t *testing.T) {
			if got := mustParse(t, "a.toml", text).Listeners; !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestDottedAndInlineKeysReachTheSameSetting(t *testing.T) {
	for name, text := range map[string]string{
		"section": "[smtp]\nmax_size = \"1MiB\"",
		"dotted":  `smtp.max_size = "1MiB"`,
		"inline":  `smtp = { max_size = 1_048_576 }`,
	} {
		t.Run(name, func(t *testing.T) {
			if got := mustParse(t, "a.toml", text).SMTP.MaxSize; got != MiB {
				t.Errorf("got %v, want 1MiB", got)
			}
		})
	}
}

func TestARelativeDataFolderStartsAtTheFile(t *testing.T) {
	for text, want := range map[string]string{`data = "mail"`: "mail", "": "data"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "postrider.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(dir, want); c.Data != want {
			t.Errorf("%q: got %s, want %s", text, c.Data, want)
		}
	}
}

func TestAFileAboveTheLimitIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big.toml")
	if err := os.WriteFile(path, []byte(strings.Repeat("#\n", MaxFile/2+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v, want a word on the size", err)
	}
}

func TestOverlayChangesWhatItWritesAndAddsListeners(t *testing.T) {
	c := mustParse(t, "base.toml", `
data = "/base"
[[listener]]
name = "smtp"
protocol = "smtp"
address = "127.0.0.1:2525"
teach = true
[smtp]
max_errors = 7
`)
	err := c.Overlay("over.toml", []byte(`
[[listener]]
protocol = "pop3"
address = "127.0.0.1:1110"
[[listener]]
teach = false
name = "smtp"
[smtp]
max_received = 60
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Listener{
		{Name: "smtp", Protocol: "smtp", Role: "mx", Address: "127.0.0.1:2525"},
		{Name: "pop3", Protocol: "pop3", Address: "127.0.0.1:1110"},
	}
	if !reflect.DeepEqual(c.Listeners, want) {
		t.Errorf("listeners: got %+v, want %+v", c.Listeners, want)
	}
	if c.Data != "/base" || c.SMTP.MaxErrors != 7 || c.SMTP.MaxReceived != 60 {
		t.Errorf("got data %s, max_errors %d, max_received %d; want /base, 7, 60", c.Data, c.SMTP.MaxErrors, c.SMTP.MaxReceived)
	}
}

func TestAFailedOverlayChangesNothing(t *testing.T) {
	c := mustParse(t, "base.toml", `listener = [{name = "a", protocol = "smtp", address = ":1"}]`)
	before := *c
	before.Listeners = slices.Clone(c.Listeners)
	err := c.Overlay("over.toml", []byte("[[listener]]\nname = \"a\"\nteach = true\n[smtp]\nmax_errors = 9\nnonsense = 1\n"))
	if err == nil {
		t.Fatal("got no error")
	}
	if !reflect.DeepEqual(*c, before) {
		t.Errorf("got %+v, want %+v", *c, before)
	}
}

func TestUnnamedListenersGetDifferentNames(t *testing.T) {
	c := mustParse(t, "a.toml", `
[[listener]]
protocol = "smtp"
[[listener]]
name = "smtp"
protocol = "smtp"
[[listener]]
protocol = "smtp"
`)
	var got []string
	for _, l := range c.Listeners {
		got = append(got, l.Name)
	}
	if want := []string{"smtp-2", "smtp", "smtp-3"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCheckFindsNothingInAGoodConfiguration(t *testing.T) {
	c := mustParse(t, "a.toml", `
hostname = "mail.example.org"
postmaster = "admin@example.org"
[[listener]]
protocol = "smtp"
address = ":25"
[[listener]]
protocol = "smtp"
address = "[::1]:2525"
teach = true
[[listener]]
protocol = "pop3"
systemd = "pop3"
[[listener]]
name = "loud"
protocol = "smtp"
address = ":2526"
teach = true
teach_anywhere = true
[[listener]]
protocol = "smtp"
role = "submission"
address = ":587"
client_ca = "clients.pem"
[[listener]]
protocol = "smtp"
role = "submissions"
address = ":465"
[[listener]]
protocol = "pop3"
tls = "implicit"
address = ":995"
[[listener]]
protocol = "pop3"
tls = "none"
allow_plaintext_auth = true
address = "127.0.0.1:1110"
[[certificate]]
chain = "fullchain.pem"
key = "privkey.pem"
[oauth]
issuer = "https://login.example.org"
audience = "mail"
[login]
mechanisms = ["PLAIN", "USER"]
[admin]
address = "127.0.0.1:9090"
`)
	if ps := c.Check(); len(ps) > 0 {
		t.Errorf("got %v, want nothing", ps)
	}
}

func TestListenersAreNamedForWhatPeopleCallThem(t *testing.T) {
	c := mustParse(t, "a.toml", `
[[listener]]
protocol = "smtp"
[[listener]]
protocol = "smtp"
role = "submission"
[[listener]]
protocol = "smtp"
role = "submissions"
[[listener]]
protocol = "smtp"
role = "submission"
tls = "implicit"
[[listener]]
protocol = "pop3"
[[listener]]
protocol = "pop3"
tls = "implicit"
`)
	var got []string
	for _, l := range c.Listeners {
		got = append(got, l.Name+" "+l.TLSMode())
	}
	want := []string{
		"smtp starttls", "submission starttls", "submissions implicit", "submissions-2 implicit", "pop3 starttls", "pop3s implicit",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRelativeFilesStartAtTheConfigurationsFolder(t *testing.T) {
	c := mustParse(t, "/etc/postrider/postrider.toml", `
[[listener]]
protocol = "pop3"
client_ca = "clients.pem"
[[certificate]]
chain = "tls/chain.pem"
key = "/run/key.pem"
[passwords]
key_file = "secret.key"
[acme]
ca_file = "root.pem"
`)
	got := []string{c.Listeners[0].ClientCA, c.Certificates[0].Chain, c.Certificates[0].Key, c.Passwords.KeyFile, c.ACME.CAFile, c.OAuth.CAFile}
	want := []string{
		"/etc/postrider/clients.pem", "/etc/postrider/tls/chain.pem", "/run/key.pem",
		"/etc/postrider/secret.key", "/etc/postrider/root.pem", "",
	}
	if runtime.GOOS != "windows" && !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnOverlayAddsCertificatesAndLeavesTheBaseAlone(t *testing.T) {
	base := mustParse(t, "a.toml", "[[certificate]]\nchain = \"a\"\nkey = \"a\"\n")
	over := *base
	if err := over.Overlay("b.toml", []byte("[[certificate]]\nchain = \"b\"\nkey = \"b\"\n")); err != nil {
		t.Fatal(err)
	}
	if len(over.Certificates) != 2 || over.Certificates[1].Chain != "b" || len(base.Certificates) != 1 {
		t.Errorf("got %v over %v", over.Certificates, base.Certificates)
	}
}
