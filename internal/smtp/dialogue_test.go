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
	"postrider/internal/fault"
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
			b, o := &fakeBackend{relays: slices.Contains(d.Needs, dialogue.NeedsRelay)}, &Options{}
			o.Binary = slices.Contains(d.Needs, dialogue.NeedsBinary)
			if slices.Contains(d.Needs, dialogue.NeedsTurner) {
				o.Turner = dialogueTurner{}
			}
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

// dialogueTurner has the mail that testdata/dialogues/README.md says is waiting.
type dialogueTurner struct{}

func (dialogueTurner) Flush(_ context.Context, _ *Client, n Node) (Flushed, error) {
	switch n {
	case Node{NodeHost, "host.example.org"}:
		return 1, nil
	case Node{NodeDomain, "example.org"}:
		return FlushSome, nil
	case Node{NodeQueue, "slow"}:
		return FlushBegun, nil
	case Node{NodeHost, "empty.example"}:
		return 0, nil
	case Node{NodeQueue, "none"}:
		return 0, fault.New(fault.NotFound, "flush", nil)
	}
	return 0, fault.New(fault.Denied, "flush", nil)
}

func (dialogueTurner) Turn(_ context.Context, c *Client, domains []string) (session.Session, error) {
	if c.Login != aliceAddress || len(domains) > 0 && !slices.Equal(domains, []string{"example.org"}) {
		return nil, fault.New(fault.Denied, "turn", nil)
	}
	return &fakeSender{}, nil
}
