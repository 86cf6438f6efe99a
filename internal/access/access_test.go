package access

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/pop3"
	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/store"
)

// drops refuses to open account 1, which is busy, and account 2, which is damaged.
type drops struct {
	store.Maildrops
	mode store.LockMode
	who  string
}

func (d *drops) OpenMaildrop(_ context.Context, account mail.AccountID, mode store.LockMode, who string) (store.Maildrop, error) {
	d.mode, d.who = mode, who
	switch account {
	case 1:
		return nil, fault.New(fault.Busy, "open maildrop", nil)
	case 2:
		return nil, fault.New(fault.Corrupt, "open maildrop", nil)
	}
	return nil, nil
}

var alice = sasl.Identity{Account: 7, Address: "alice@example.test", Mechanism: "SCRAM-SHA-256", AppPassword: "phone"}

func setup(t *testing.T) (a *Access, d *drops, c *session.Conn, log *bytes.Buffer) {
	t.Helper()
	log, d = &bytes.Buffer{}, &drops{}
	a = New(Options{
		Maildrops: d, Lock: store.Snapshot,
		Logger: slog.New(slog.NewTextHandler(log, nil)), Registerer: prometheus.NewRegistry(),
	})
	c = &session.Conn{
		ID: "c1", Remote: netip.MustParseAddrPort("192.0.2.1:4711"),
		Listener: &session.Listener{Name: "collect", Protocol: "pop3"},
	}
	return a, d, c, log
}

func TestOpenUsesTheConfiguredLockAndSaysWho(t *testing.T) {
	a, d, c, log := setup(t)
	if _, err := a.Open(t.Context(), c, alice); err != nil {
		t.Fatal(err)
	}
	if d.mode != store.Snapshot || d.who != "pop3 c1 192.0.2.1:4711" {
		t.Errorf("got mode %v and holder %q", d.mode, d.who)
	}
	for account, level := range map[mail.AccountID]string{1: "level=INFO", 2: "level=ERROR"} {
		log.Reset()
		if _, err := a.Open(t.Context(), c, sasl.Identity{Account: account}); err == nil {
			t.Errorf("account %d was opened", account)
		}
		if got := log.String(); !strings.Contains(got, level) {
			t.Errorf("account %d: got the log %q, want %s", account, got, level)
		}
	}
}

func TestDoneCountsWhatWasHandedOut(t *testing.T) {
	a, _, c, log := setup(t)
	a.Done(c, alice, pop3.Summary{Retrieved: 3, Octets: 4000, Removed: 2, Quit: true})
	a.Done(c, alice, pop3.Summary{Err: errors.New("sync failed")})
	for what, want := range map[string]float64{"messages": 3, "octets": 4000, "removed": 2} {
		if got := testutil.ToFloat64(a.fetched.WithLabelValues("pop3", what)); got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	if got := log.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "sync failed") {
		t.Errorf("got the log %q, want the failure as an error", got)
	}
}

func TestLogSaysWhoseMaildropAndFromWhere(t *testing.T) {
	a, _, c, log := setup(t)
	busy := alice
	busy.Account = 1
	for name, act := range map[string]func(){
		"closed":     func() { a.Done(c, alice, pop3.Summary{Quit: true}) },
		"not opened": func() { a.Open(t.Context(), c, busy) },
	} {
		log.Reset()
		act()
		const want = " conn=c1 listener=collect remote=192.0.2.1:4711 account=alice@example.test mechanism=SCRAM-SHA-256 app_password=phone "
		if got := log.String(); !strings.Contains(got, name+`"`+want) {
			t.Errorf("got the log %q, want %q in it", got, want)
		}
	}
}
