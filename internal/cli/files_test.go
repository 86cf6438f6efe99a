package cli

import (
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/certs"
	"postrider/internal/config"
)

func TestACertificateForAnotherHostIsDoubtful(t *testing.T) {
	_, pair, err := certs.DemoAuthority(t.TempDir(), []string{"mail.example.org", "localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"": false, "mail.example.org": false, "MAIL.example.org": false,
		"mail.example.net": true, "example.org": true, "a.mail.example.org": true,
	} {
		cfg := config.Default()
		cfg.Hostname = host
		cfg.Listeners = []config.Listener{{Protocol: config.ProtocolPOP3, TLS: config.TLSImplicit}}
		cfg.Certificates = []config.Certificate{{Chain: pair.Certificate, Key: pair.Key}}
		files := examineFiles(cfg)
		if len(files.problems) > 0 {
			t.Fatalf("%q: got %v, want no problem", host, files.problems)
		}
		got := slices.ContainsFunc(files.doubts(cfg), func(p config.Problem) bool {
			return p.Warning && strings.Contains(p.Message, "no certificate is made for "+host)
		})
		if got != want {
			t.Errorf("%q: doubted %t, want %t", host, got, want)
		}
	}
}

func TestCoversByNameAndWildcard(t *testing.T) {
	i := certs.Info{Names: []string{"mail.example.org", "*.example.net"}}
	for host, want := range map[string]bool{
		"mail.example.org": true, "Mail.Example.Org": true, "example.org": false,
		"mail.example.net": true, "example.net": false, "a.mail.example.net": false, "mail": false, "": false,
	} {
		if got := covers(i, host); got != want {
			t.Errorf("%q: got %t, want %t", host, got, want)
		}
	}
}

func TestAHostnameWithoutADomainIsDoubtful(t *testing.T) {
	for name, want := range map[string]int{"mail.example.org": 0, "mail": 1} {
		if got := examineHostname(name); len(got) != want {
			t.Errorf("%s: got %v, want %d findings", name, got, want)
		}
	}
}
