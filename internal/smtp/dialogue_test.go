package smtp

import (
	"context"
	"net/netip"
	"path/filepath"
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
			b := &fakeBackend{}
			open := func(c dialogue.Connection) (dialogue.Transport, error) { return openMemory(b, c), nil }
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

func openMemory(b Backend, c dialogue.Connection) dialogue.Transport {
	return dialogue.NewMemory(New(b, &fakeLogins{}, nil), &session.Conn{
		ID: "c1", Context: context.Background(), Remote: netip.MustParseAddrPort("192.0.2.9:4711"),
		Listener: &session.Listener{
			Name: "test", Protocol: "smtp", Role: c.Role, Teach: c.Teach, Hostname: testHost, StartTLS: true, PlaintextAuth: c.Teach,
		},
		Now: func() time.Time { return testTime },
	})
}
