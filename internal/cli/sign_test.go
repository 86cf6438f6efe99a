package cli

import (
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"

	"postrider/internal/config"
	"postrider/internal/dkim"
	"postrider/internal/resolver/zonetest"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// TestWhoSendsDecidesWhatIsSigned goes through the ways on which mail goes onward.
func TestWhoSendsDecidesWhatIsSigned(t *testing.T) {
	keys := dkim.NewKeys(storetest.NewModel(), slog.New(slog.DiscardHandler), nil)
	if _, err := keys.Generate(t.Context(), "example.org", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Activate(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}
	r := zonetest.New(t, "").Resolver(t)
	const ours = "From: alice@example.org\r\n\r\nHello\r\n"
	for _, c := range []struct {
		name    string
		warrant store.Warrant
		relayed bool
		message string
		want    string // what begins the fields
	}{
		{"an account", store.AccountWarrant(1, "alice@example.org"), false, ours, "DKIM-Signature:"},
		{"the server", store.ServerWarrant("failure notice"), false, ours, "DKIM-Signature:"},
		{"a client", store.ClientWarrant("printer"), false, ours, ""},
		{"a client that is trusted", store.ClientWarrant("printer"), true, ours, "DKIM-Signature:"},
		{"an alias", store.AliasWarrant("bob@example.org"), false, ours, "ARC-Seal: i=1; cv=none;"},
		{"an alias without a key", store.AliasWarrant("bob@example.net"), false, ours, ""},
		{"another author", store.AccountWarrant(1, "alice@example.org"), false, strings.Replace(ours, ".org", ".net", 1), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config.Default()
			cfg.Hostname, cfg.DKIM.SignRelayed = "mail.example.org", c.relayed
			got, err := (&engine{cfg: cfg, keys: keys, resolver: r}).openSigner().Sign(t.Context(), &store.QueuedMessage{Warrant: c.warrant}, strings.NewReader(c.message), nil)
			if err != nil || !strings.HasPrefix(string(got), c.want) || c.want == "" && len(got) > 0 {
				t.Errorf("got %v, %q, want %q", err, got, c.want)
			}
		})
	}
	converted := strings.NewReader(ours + "as it goes out\r\n")
	s := (&engine{cfg: config.Default(), keys: keys, resolver: r}).openSigner()
	for _, w := range []store.Warrant{store.AccountWarrant(1, "alice@example.org"), store.AliasWarrant("bob@example.org")} {
		got, err := s.Sign(t.Context(), &store.QueuedMessage{Warrant: w}, strings.NewReader(ours), converted)
		if want := "bh=" + bodyHash("Hello\r\nas it goes out\r\n"); err != nil || !strings.Contains(unfolded(got), want) {
			t.Errorf("%s: got %v, %q, want %s", w.Kind(), err, got, want)
		}
	}
	cfg := config.Default()
	cfg.DKIM.Enabled = false
	if (&engine{cfg: cfg, keys: keys, resolver: r}).openSigner() != nil {
		t.Error("signs though it is told not to")
	}
}

func bodyHash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func unfolded(fields []byte) string { return strings.ReplaceAll(string(fields), "\r\n ", "") }
