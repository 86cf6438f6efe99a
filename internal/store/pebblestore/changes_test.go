package pebblestore

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/mail"
)

// TestRemoveTakesExactlyTheMessagesNamed in whatever order, twice or not there,
// few or many, with contents that are shared.
func TestRemoveTakesExactlyTheMessagesNamed(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, fewRows, fewRows + 1, 60, 120} {
		s := mustOpen(t, smallOptions(vfs.NewMem()))
		accounts := addAccounts(t, s, 2)
		fill(t, s, accounts, 50, 100)
		fill(t, s, accounts[:1], 50, 100)
		var uids, want []mail.UID
		for range n {
			uids = append(uids, mail.UID(r.IntN(130)))
		}
		for uid := mail.UID(1); uid <= 100; uid++ {
			if !slices.Contains(uids, uid) {
				want = append(want, uid)
			}
		}
		if err := s.SetFlags(t.Context(), accounts[0], mail.Inbox, uids, mail.Seen, 0); err != nil {
			t.Fatal(err)
		}
		for m, err := range s.List(t.Context(), accounts[0], mail.Inbox, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Flags&mail.Seen != 0; got == slices.Contains(want, m.UID) {
				t.Errorf("%d named: message %d has the flag: %v", n, m.UID, got)
			}
		}
		if err := s.Remove(t.Context(), accounts[0], mail.Inbox, uids); err != nil {
			t.Fatal(err)
		}
		var got []mail.UID
		for m, err := range s.List(t.Context(), accounts[0], mail.Inbox, 0) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.UID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d named: left are %v, want %v", n, got, want)
		}
		if n := messagesIn(t, s, accounts[1]); n != 50 {
			t.Errorf("%d messages in the other account, want 50", n)
		}
		if err := checkClean(s); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkFindAll is what the committer does to look up 20,000 messages that are
// removed at once.
func BenchmarkFindAll(b *testing.B) {
	s := mustOpen(b, Options{FS: vfs.NewMem(), Dir: "store"})
	defer s.Close()
	accounts := addAccounts(b, s, 1)
	const n = 20_000
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range n / 50 {
				acceptAs(s, mail.NewID(time.Now()), []byte("body"), accounts)
			}
		})
	}
	wg.Wait()
	var uids []mail.UID
	for uid := mail.UID(1); uid <= n; uid++ {
		uids = append(uids, uid)
	}
	op := &lookups{uids: uids, box: mailboxKey{accounts[0], mail.Inbox}}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.do(op); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/message")
}

// lookups are the look-ups of a removal, without it.
type lookups struct {
	box  mailboxKey
	uids []mail.UID
}

func (*lookups) alone() bool { return true }

func (o *lookups) prepare(t *tx) error {
	_, err := t.findAll(o.box, o.uids)
	return err
}
