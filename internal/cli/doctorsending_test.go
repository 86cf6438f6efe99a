package cli

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/admin"
	"postrider/internal/certs"
	"postrider/internal/config"
	"postrider/internal/mail"
	"postrider/internal/resolver/zonetest"
	"postrider/internal/store"
)

// found tells what findings say, by a line each.
func found(all []finding) string {
	var b strings.Builder
	for _, f := range all {
		b.WriteString(f.State + " " + f.Subject + ": " + f.Words + "\n")
	}
	return b.String()
}

func TestTheDoctorAsksTheResolver(t *testing.T) {
	const zone = "mail.example.org. IN A 192.0.2.1\norg. IN DS 1 8 2 0123456789012345678901234567890123456789012345678901234567890123\n"
	signed, plain := zonetest.New(t, zone), zonetest.New(t, zone)
	signed.Secure()
	for _, c := range []struct {
		name   string
		zone   *zonetest.Zone
		dnssec bool
		host   string
		want   string
	}{
		{"answers", plain, false, "mail.example.org", "good resolver: it answers\n"},
		{"knows nothing of the host", plain, false, "mail.example.net", "good resolver: it answers\n"},
		{"checks signatures", signed, true, "mail.example.org", "good resolver: it answers, and checks"},
		{"checks none", plain, true, "mail.example.org", "warning resolver: it answers, and checks no"},
		{"is not there", nil, false, "mail.example.org", "bad resolver: without its answers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config.Default()
			cfg.Hostname, cfg.DNS.DNSSEC = c.host, c.dnssec
			cfg.DNS.Servers = []string{"127.0.0.1:1"}
			if c.zone != nil {
				cfg.DNS.Servers = []string{c.zone.Serve(t)}
			}
			if got := found(examineResolver(t.Context(), cfg)); !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			cfg.Outbound.Enabled = false
			if got := examineResolver(t.Context(), cfg); got != nil {
				t.Errorf("got %v where nothing is sent, want nothing", got)
			}
		})
	}
}

func TestTheDoctorLooksForTheAddressesToSendFrom(t *testing.T) {
	cfg := config.Default()
	cfg.Outbound.Source4 = "127.0.0.2"
	cfg.Routes = []config.Route{{Source4: "192.0.2.77"}, {Name: "far", Source6: "2001:db8::77"}}
	want := "bad route 1: 192.0.2.77 is no address of this machine: nothing can be sent from it\n" +
		"bad route far: 2001:db8::77 is no address of this machine: nothing can be sent from it\n"
	if got := found(examineSources(cfg)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPasswordsThatEverybodyCanReadAreDoubtful(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such permissions")
	}
	dir := t.TempDir()
	file := func(name string, mode os.FileMode, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, want := range map[string]string{
		file("good", 0o640, "secret\n"): "",
		file("open", 0o644, "secret\n"): "everybody on this machine can read the password",
		file("empty", 0o600, "\n"):      "the first line is empty",
		filepath.Join(dir, "not-there"): "no such file",
	} {
		cfg := config.Default()
		cfg.Routes = []config.Route{{Username: "us", PasswordFile: path}}
		files := examineFiles(cfg)
		got := ""
		for _, p := range append(files.problems, files.doubts(cfg)...) {
			got += p.Message
		}
		if want == "" && got != "" || !strings.Contains(got, want) || strings.Contains(got, "secret") {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// examined is what the doctor finds about the mail that an engine sends.
func examined(t *testing.T, e *engine, inFiles ...certs.Info) string {
	t.Helper()
	c := admin.InProcess(admin.Handler(admin.Options{Directory: e.directory, Store: e.store, Keys: e.keys}))
	ctx := t.Context()
	return found(slices.Concat(examineDomains(ctx, e.cfg, inFiles, c), examineTurns(ctx, e.cfg, c), examineQueue(ctx, e.cfg, c)))
}

func TestTheDoctorLooksAtWhatSendingNeeds(t *testing.T) {
	e, listeners := newTestEngine(t)
	closeAll(listeners)
	has := func(want string, inFiles ...certs.Info) {
		t.Helper()
		if got := examined(t, e, inFiles...); !strings.Contains(got, want) {
			t.Errorf("got %q, want it with %q", got, want)
		}
	}
	hasNot := func(unwanted string, inFiles ...certs.Info) {
		t.Helper()
		if got := examined(t, e, inFiles...); strings.Contains(got, unwanted) {
			t.Errorf("got %q, want nothing of %q", got, unwanted)
		}
	}
	if got := examined(t, e); got != "good queue: it is empty\n" {
		t.Errorf("got %q of a new server", got)
	}
	if err := e.directory.AddDomain(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}

	has("warning DKIM: mail is not signed of example.org: make keys")
	if _, err := e.keys.Generate(t.Context(), "example.org", ""); err != nil {
		t.Fatal(err)
	}
	has("DKIM")
	if _, err := e.keys.Activate(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}
	hasNot("DKIM")

	e.cfg.Publish.MTASTS, e.cfg.Publish.MTASTSHTTPS = "testing", ":443"
	has("warning MTA-STS: no certificate is made for mta-sts.example.org")
	hasNot("MTA-STS", certs.Info{Names: []string{"mta-sts.example.org"}})

	e.cfg.Turns = []config.Turn{{Domains: []string{"branch.example.org"}, Account: "branch@example.org"}}
	has("bad turn: there is no account branch@example.org, which is to get the mail for branch.example.org\n")
}

func TestTheDoctorLooksAtHowLongMailWaits(t *testing.T) {
	e, listeners := newTestEngine(t)
	closeAll(listeners)
	wait := func(age time.Duration) {
		t.Helper()
		content, err := e.store.NewContent(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		accepted := time.Now().Add(-age)
		to := mail.Recipient{Address: mail.Address{Local: "bob", Domain: "remote.test"}}
		p, err := store.Pass(store.ServerWarrant("test"), store.Onward{
			ID: mail.NewID(accepted), Envelope: mail.Envelope{Recipients: []mail.Recipient{to}}, Due: time.Now().Add(time.Hour),
		})
		if err == nil {
			_, err = e.store.Accept(t.Context(), store.Accept{ID: mail.NewID(accepted), Content: content, Received: accepted, Onward: []store.Passage{p}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	wait(time.Minute)
	if got := examined(t, e); !strings.HasPrefix(got, "good queue: 1 recipient waits, the oldest since ") {
		t.Errorf("got %q", got)
	}
	wait(5 * time.Hour)
	if got := examined(t, e); !strings.HasPrefix(got, "warning queue: 2 recipients wait, the oldest since ") {
		t.Errorf("got %q", got)
	}
	if err := e.store.Freeze(t.Context(), "remote.test", "", time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := examined(t, e); !strings.Contains(got, "warning queue: nothing is sent to remote.test, frozen") {
		t.Errorf("got %q", got)
	}
}

func TestManyNamesAreCounted(t *testing.T) {
	if got := some(strings.Fields("a b c d e")); got != "a, b, c, d, e" {
		t.Error(got)
	}
	if got := some(strings.Fields("a b c d e f g")); got != "a, b, c, d, e and 2 more" {
		t.Error(got)
	}
}
