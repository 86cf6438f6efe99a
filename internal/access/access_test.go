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
	"postrider/internal/session"
	"postrider/internal/store"
)

// passwords maps a login to its password; "broken" can't be checked.
type passwords map[string]string

func (p passwords) Authenticate(_ context.Context, login, password string) (store.Account, error) {
	if login == "broken" {
		return store.Account{}, errors.New("disk on fire")
	}
	if p[login] != password {
		return store.Account{}, fault.New(fault.Denied, "login", nil)
	}
	return store.Account{ID: 7, Address: login}, nil
}

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

func setup(t *testing.T) (a *Access, d *drops, c *session.Conn, log *bytes.Buffer) {
	t.Helper()
	log, d = &bytes.Buffer{}, &drops{}
	a = New(Options{
		Maildrops: d, Directory: passwords{"alice": "open sesame"}, Lock: store.Snapshot,
		Logger: slog.New(slog.NewTextHandler(log, nil)), Registerer: prometheus.NewRegistry(),
	})
	c = &session.Conn{
		ID: "c1", Remote: netip.MustParseAddrPort("192.0.2.1:4711"),
		Listener: &session.Listener{Name: "pop3", Protocol: "pop3"},
	}
	return a, d, c, log
}

func TestLoginReturnsTheAccountAndLogsNoPassword(t *testing.T) {
	a, _, c, log := setup(t)
	id, err := a.Login(t.Context(), c, "alice", "open sesame")
	if err != nil || id != 7 {
		t.Fatalf("got account %d and %v, want 7", id, err)
	}
	if _, err := a.Login(t.Context(), c, "alice", "guess-4711"); !fault.Is(err, fault.Denied) {
		t.Errorf("wrong password: got %v, want kind denied", err)
	}
	if got := log.String(); strings.Contains(got, "guess-4711") || strings.Contains(got, "sesame") || !strings.Contains(got, "user=alice") {
		t.Errorf("got the log %q, want the name and not the password", got)
	}
	if got := testutil.ToFloat64(a.logins.WithLabelValues("pop3", "denied")); got != 1 {
		t.Errorf("got %v refused logins counted, want 1", got)
	}
}

func TestAFailedCheckIsLoggedAsAnError(t *testing.T) {
	a, _, c, log := setup(t)
	if _, err := a.Login(t.Context(), c, "broken", "x"); fault.KindOf(err) != fault.Internal {
		t.Errorf("got %v, want kind internal", err)
	}
	if got := log.String(); !strings.Contains(got, "level=ERROR") {
		t.Errorf("got the log %q, want an error", got)
	}
}

func TestALongNameIsClippedInTheLog(t *testing.T) {
	a, _, c, log := setup(t)
	a.Login(t.Context(), c, strings.Repeat("x", 1000), "y")
	if n := strings.Count(log.String(), "x"); n > 200 {
		t.Errorf("got %d octets of the name in the log", n)
	}
}

func TestOpenUsesTheConfiguredLockAndSaysWho(t *testing.T) {
	a, d, c, log := setup(t)
	if _, err := a.Open(t.Context(), c, 7); err != nil {
		t.Fatal(err)
	}
	if d.mode != store.Snapshot || d.who != "pop3 c1 192.0.2.1:4711" {
		t.Errorf("got mode %v and holder %q", d.mode, d.who)
	}
	for account, level := range map[mail.AccountID]string{1: "level=INFO", 2: "level=ERROR"} {
		log.Reset()
		if _, err := a.Open(t.Context(), c, account); err == nil {
			t.Errorf("account %d was opened", account)
		}
		if got := log.String(); !strings.Contains(got, level) {
			t.Errorf("account %d: got the log %q, want %s", account, got, level)
		}
	}
}

func TestDoneCountsWhatWasHandedOut(t *testing.T) {
	a, _, c, log := setup(t)
	a.Done(c, 7, pop3.Summary{Retrieved: 3, Octets: 4000, Removed: 2, Quit: true})
	a.Done(c, 7, pop3.Summary{Err: errors.New("sync failed")})
	for what, want := range map[string]float64{"messages": 3, "octets": 4000, "removed": 2} {
		if got := testutil.ToFloat64(a.fetched.WithLabelValues("pop3", what)); got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	if got := log.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "sync failed") {
		t.Errorf("got the log %q, want the failure as an error", got)
	}
}
