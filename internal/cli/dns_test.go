package cli

import (
	"bytes"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"postrider/internal/config"
	"postrider/internal/resolver/zonetest"
	"postrider/internal/zone"
)

// exampleKeys are public keys that nobody has the secrets of.
var exampleKeys = []zone.Key{
	{Selector: "pr-2026-11-ed25519", Record: "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
	{Selector: "pr-2026-11-rsa", Record: "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAv5bSpoyVvzy2VnuSJa95fRI77deH4MRJTfO+OXAArEXmx0mqXSOc2jUZOGU3xDHB0uHctvbTzYVUomoNwyjl/jZOe5Vdg8cVzRhL3+cxhrvcRrkDrvQRwHdb5ysNP+ly/IoJpv18+/CwwjRLmOmGgdsn4b2F8HNWU7tTqQY4h0jnj5icrckFprFZ7ljZmTla2H2udpoO3DpW+1wf4iEDWDJKty5rx9G9wrCJbsoR7Oc3Tn2d7MG+ufXhjHtzWgbi6y3/ILaw/MPzcaLpwePQXaU9oV4eiQHpe6mn9AgEFsstbtxYYDjF0C0P0yUXpmUNxEz0hNqNX+L6lRbmSgia5wIDAQAB"},
}

// TestPageDNSShowsWhatIsPrinted holds the example of docs/DNS.md to what the command
// prints with the configuration above it.
func TestPageDNSShowsWhatIsPrinted(t *testing.T) {
	const path = "../../docs/DNS.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	settings := fenced(string(page), "toml")
	if len(settings) != 1 {
		t.Fatalf("%s has %d configurations, want one", path, len(settings))
	}
	cfg := config.Default()
	if err := cfg.Overlay("DNS.md", []byte(settings[0])); err != nil {
		t.Fatal(err)
	}
	d := publishedDomain(cfg, "example.org")
	d.Keys = exampleKeys
	var out bytes.Buffer
	if err := (&app{stdout: &out}).printZone(cfg, d); err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(page), "\n```zone\n")
	_, tail, _ := strings.Cut("\n"+rest, "\n```\n")
	want := head + "\n```zone\n" + out.String() + "```\n" + tail
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(page) != want {
		t.Errorf("%s does not show what is printed; make docs writes it:\n%s", path, out.String())
	}
}

// TestPageDNSShowsACheck holds the check in docs/DNS.md to what is printed when two
// records of the example are not there.
func TestPageDNSShowsACheck(t *testing.T) {
	page, err := os.ReadFile("../../docs/DNS.md")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	if err := cfg.Overlay("DNS.md", []byte(fenced(string(page), "toml")[0])); err != nil {
		t.Fatal(err)
	}
	text := ""
	for line := range strings.Lines(fenced(string(page), "zone")[0]) {
		if strings.Contains(line, " IN ") && !strings.Contains(line, "25.2.0.192") && !strings.Contains(line, "_tls") {
			text += strings.TrimPrefix(line, ";")
		}
	}
	cfg.DNS.Servers = []string{zonetest.New(t, text).Serve(t)}
	d := publishedDomain(cfg, "example.org")
	d.Keys = exampleKeys
	var out bytes.Buffer
	if err := (&app{stdout: &out}).checkDomain(t.Context(), cfg, d, false); err == nil {
		t.Error("a missing PTR record is no failure")
	}
	checks := fenced(string(page), "check")
	if len(checks) != 1 {
		t.Fatalf("%d checks, want one", len(checks))
	}
	for line := range strings.Lines(checks[0]) {
		if !strings.Contains(out.String(), line) {
			t.Errorf("the page shows %q, printed is\n%s", line, out.String())
		}
	}
}

func TestServicesAreThoseThatOthersCanReach(t *testing.T) {
	for _, c := range []struct {
		name      string
		listeners []config.Listener
		want      []uint16 // submission, submissions, pop3, pop3s
	}{
		{"none", nil, []uint16{0, 0, 0, 0}},
		{"loopback only", []config.Listener{{Protocol: "pop3", Address: "127.0.0.1:110"}, {Protocol: "pop3", Address: "localhost:110"}}, []uint16{0, 0, 0, 0}},
		{"all", []config.Listener{
			{Protocol: "smtp", Role: "mx", Address: ":25"},
			{Protocol: "smtp", Role: "submission", Address: "127.0.0.1:2587"},
			{Protocol: "smtp", Role: "submission", Address: ":1587"},
			{Protocol: "smtp", Role: "submissions", Systemd: "submissions"},
			{Protocol: "pop3", Address: "[2001:db8::1]:110"},
			{Protocol: "pop3", TLS: "implicit", Address: "192.0.2.1:0"},
		}, []uint16{1587, 465, 110, 995}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []uint16
			for _, s := range services(&config.Config{Listeners: c.listeners}) {
				got = append(got, s.Port)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestPublicAddresses(t *testing.T) {
	mx := func(address string) config.Listener {
		return config.Listener{Protocol: "smtp", Role: "mx", Address: address}
	}
	for _, c := range []struct {
		name string
		cfg  config.Config
		want []string
	}{
		{"of listeners", config.Config{Listeners: []config.Listener{mx("192.0.2.1:25"), mx("192.0.2.1:2525"), mx("[2001:db8::1]:25"), mx("127.0.0.1:25"), mx("10.0.0.1:25"), mx(":25")}}, []string{"192.0.2.1", "2001:db8::1"}},
		{"that are set", config.Config{Publish: config.Publish{Addresses: []string{"192.0.2.9"}}, Listeners: []config.Listener{mx("192.0.2.1:25")}}, []string{"192.0.2.9"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, ip := range publicAddresses(&c.cfg) {
				got = append(got, netip.Addr.String(ip))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
