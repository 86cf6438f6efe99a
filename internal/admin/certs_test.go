package admin

import (
	"os"
	"strings"
	"testing"
	"time"

	"postrider/internal/certs"
	"postrider/internal/directory"
	"postrider/internal/fault"
	"postrider/internal/login"
	"postrider/internal/store/storetest"
)

func TestCertificatesOfARunningServer(t *testing.T) {
	st := storetest.NewModel()
	d := directory.New(st, directory.Options{})
	logins := login.New(login.Options{Directory: d})

	t.Run("none", func(t *testing.T) {
		c := InProcess(Handler(Options{Directory: d, Store: st, Logins: logins}))
		for i, err := range c.Certificates(t.Context()) {
			t.Errorf("got %v %v, want none", i, err)
		}
		if _, err := c.RenewCertificates(t.Context(), ""); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "no listener has TLS") {
			t.Errorf("got %v, want that no listener has TLS", err)
		}
	})
	t.Run("broken file", func(t *testing.T) {
		_, pair, err := certs.DemoAuthority(t.TempDir(), []string{"mail.example.org"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		m, err := certs.New(certs.Options{Files: []certs.Pair{pair}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(pair.Certificate, []byte("no certificate"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := InProcess(Handler(Options{Directory: d, Store: st, Logins: logins, Certs: m}))
		_, err = c.RenewCertificates(t.Context(), "")
		if want := "renew certificates: certificate file " + pair.Certificate; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s…", err, want)
		}
	})
}
