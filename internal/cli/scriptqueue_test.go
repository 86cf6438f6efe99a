package cli

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"

	"postrider/internal/admin"
	"postrider/internal/config"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// fillQueue puts mail into the queue of a script's store: for the script $FIRST, of
// alice to two hosts, tried once, and $SECOND, a notification.
func fillQueue(ts *testscript.TestScript, dir string) {
	cfg, err := config.Load(filepath.Join(dir, "postrider.toml"))
	ts.Check(err)
	st, err := openStore(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ts.Check(err)
	defer func() { ts.Check(st.Close()) }()
	first := store.Onward{Envelope: mail.Envelope{
		From: mail.Address{Local: "alice", Domain: "example.org"},
		Recipients: []mail.Recipient{
			{Address: mail.Address{Local: "bob", Domain: "example.net"}, Notify: mail.NotifyFailure | mail.NotifyDelay},
			{Address: mail.Address{Local: "carol", Domain: "sub.example.com"}},
		},
	}}
	second := store.Onward{Envelope: mail.Envelope{Recipients: []mail.Recipient{{Address: mail.Address{Local: "mallory", Domain: "example.net"}}}}}
	ts.Setenv("FIRST", queueMessage(ts, st, 3*time.Hour, store.AccountWarrant(1, "alice@example.org"), first))
	ts.Setenv("SECOND", queueMessage(ts, st, time.Minute, store.ServerWarrant("failure notice"), second))
	tried(ts, st, ts.Getenv("FIRST"))
}

// queueMessage puts a message into the queue, due in an hour, and returns its id.
func queueMessage(ts *testscript.TestScript, st store.Store, age time.Duration, w store.Warrant, o store.Onward) string {
	accepted := time.Now().Add(-age)
	o.ID, o.Due = mail.NewID(accepted), time.Now().Add(time.Hour)
	p, err := store.Pass(w, o)
	ts.Check(err)
	content, err := st.NewContent(context.Background(), 0)
	ts.Check(err)
	_, err = content.Write([]byte("Subject: onward \x1b[2J\r\nTo: somebody\r\n\r\nthe body\r\n"))
	ts.Check(err)
	_, err = st.Accept(context.Background(), store.Accept{
		ID: mail.NewID(accepted), Content: content, Received: accepted, Onward: []store.Passage{p},
	})
	ts.Check(err)
	return o.ID.String()
}

// tried settles the first row of a message as tried.
func tried(ts *testscript.TestScript, st store.Store, id string) {
	message, err := mail.ParseID(id)
	ts.Check(err)
	l, err := st.LeaseRows(context.Background(), message, []int{0}, time.Now().Add(time.Hour))
	ts.Check(err)
	_, err = st.Settle(context.Background(), []store.Settlement{{
		RowLease: store.RowLease{Row: store.RowID{Message: message}, Fence: l.Fences[0]},
		Due:      time.Now().Add(time.Hour),
		Progress: store.RowProgress{
			Attempts: 1, Last: time.Now().Add(-time.Minute), Host: "mx.example.net [192.0.2.1]",
			Reply: "451 4.3.0 try again\nlater \x1b[31m", Delayed: true, Uncertain: true,
		},
	}})
	ts.Check(err)
}

func TestLastCellIsCutToTheWidth(t *testing.T) {
	rows := func(yield func(string, error) bool) {
		_ = yield("a", nil) && yield("long name", nil)
	}
	cells := func(s string) []string { return []string{s, "x", strings.Repeat("ä", 50) + "\n"} }
	for _, test := range []struct {
		name  string
		width int
		want  int // characters of the last cell
	}{
		{"no terminal", 0, 51},
		{"wide", 200, 51},
		{"as wide as needed", 65, 51},
		{"narrower", 60, 46},
		{"too narrow", 20, minCut},
	} {
		var out bytes.Buffer
		if err := printCutList(&out, test.width, rows, "NAME\tB\tLAST", cells); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")
		if len(lines) != 4 || strings.TrimSpace(lines[0]) != "NAME       B  LAST" {
			t.Fatalf("%s: got %q", test.name, out.String())
		}
		for _, line := range lines[1:3] {
			if got := len([]rune(line)) - len("long name  x  "); got != test.want {
				t.Errorf("%s: got %d characters of the last cell, want %d", test.name, got, test.want)
			}
		}
	}
	failing := func(yield func(string, error) bool) { _ = yield("a", nil) && yield("", errors.New("torn")) }
	var out bytes.Buffer
	if err := printCutList(&out, 0, failing, "NAME\tB\tLAST", cells); err == nil || !strings.Contains(out.String(), "\na ") {
		t.Errorf("got %v and %q, want the error after what came before it", err, out.String())
	}
}

func TestSpansAreShownInTheirLargestUnit(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 59 * time.Second: "59s", 90 * time.Second: "1m", 47 * time.Hour: "47h", 49 * time.Hour: "2d",
	} {
		if got := spanText(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestWhatIsDueIsNowOrKept(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		at   time.Time
		kept bool
		want string
	}{
		{now, false, "now"}, {now, true, "kept"}, {now.Add(time.Hour), false, "1h"}, {now.Add(time.Hour), true, "1h"},
	} {
		if got := untilText(test.at, now, test.kept); got != test.want {
			t.Errorf("at %v, kept %v: got %s, want %s", test.at, test.kept, got, test.want)
		}
	}
}

func TestWhatAChangeDidIsSaid(t *testing.T) {
	v := &queueVerb{done: "Held %s."}
	for _, test := range []struct {
		done admin.QueueChanged
		want string
	}{
		{admin.QueueChanged{}, "No row of the queue fits."},
		{admin.QueueChanged{Messages: 1, Rows: 2, Octets: 1024, DryRun: true}, "It would be 2 rows of 1 message (1.0 KiB)."},
		{admin.QueueChanged{Messages: 2, Rows: 5, Changed: 1, NotDone: 3}, "Held 1 row. 1 row needed no change. Left as they are: 3."},
	} {
		if got := changedText(v, &test.done); got != test.want {
			t.Errorf("%+v: got %q, want %q", test.done, got, test.want)
		}
	}
	states := admin.QueueStates()
	if slices.Sort(states); !slices.Equal(states, []string{"delayed", "held", "leased", "waiting"}) {
		t.Errorf("got states %v", states)
	}
}
