package smtp

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/dialogue"
	"postrider/internal/session"
)

// TestDialogues runs those dialogues that speak SMTP only.
func TestDialogues(t *testing.T) {
	names, err := filepath.Glob("../../testdata/dialogues/smtp-*.dialogue")
	if err != nil || len(names) == 0 {
		t.Fatalf("got %d dialogues, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".dialogue"), func(t *testing.T) {
			d, err := dialogue.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(d.Needs, dialogue.NeedsTurner) {
				t.Skip("needs a Turner; package dialogue has one")
			}
			b, o := &fakeBackend{relays: slices.Contains(d.Needs, dialogue.NeedsRelay)}, &Options{}
			o.Binary = slices.Contains(d.Needs, dialogue.NeedsBinary)
			open := func(c dialogue.Connection) (dialogue.Transport, error) { return openMemory(b, o, c), nil }
			vars := map[string]string{"alice-password": alicePassword}
			if err := d.Run(dialogue.Setup{Open: open, Vars: vars}); err != nil {
				t.Error(err)
			}
			if b.open != 0 {
				t.Errorf("%d contents are left open", b.open)
			}
		})
	}
}

func openMemory(b Backend, o *Options, c dialogue.Connection) dialogue.Transport {
	return dialogue.NewMemory(New(b, &fakeLogins{}, o), &session.Conn{
		ID: "c1", Context: context.Background(), Remote: netip.MustParseAddrPort("192.0.2.9:4711"),
		Listener: &session.Listener{
			Name: "test", Protocol: "smtp", Role: c.Role, Teach: c.Teach, Hostname: testHost, StartTLS: true, PlaintextAuth: true,
		},
		Now: func() time.Time { return testTime },
	})
}
