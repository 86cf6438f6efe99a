package pebblestore

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/mail"
)

// TestAcceptedIDsAreNeverCalledFresh: those of before the opening, those since,
// whatever their time, and those of before the set was full.
func TestAcceptedIDsAreNeverCalledFresh(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, smallOptions(mem))
	accounts := addAccounts(t, s, 1)
	now := time.Now()
	var ids []mail.ID
	accept := func(at time.Time) {
		t.Helper()
		id := mail.NewID(at)
		ids = append(ids, id)
		if err := acceptAs(s, id, []byte("body"), accounts); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []time.Duration{0, time.Hour, -time.Hour, time.Second} { // the clock steps
		accept(now.Add(step))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, smallOptions(mem))
	defer s.Close()
	for _, step := range []time.Duration{time.Minute, 2 * time.Hour, 90 * time.Minute} {
		accept(now.Add(step))
	}
	check := func() {
		t.Helper()
		for i, id := range ids {
			if s.recent.fresh(s.db, id) {
				t.Errorf("id %d was accepted, and is called fresh", i)
			}
			if err := acceptAs(s, id, []byte("body"), accounts); err != nil {
				t.Fatal(err)
			}
		}
		if n := messagesIn(t, s, accounts[0]); n != int64(len(ids)) {
			t.Errorf("%d messages, want %d", n, len(ids))
		}
	}
	check()
	if !s.recent.fresh(s.db, mail.NewID(now.Add(3*time.Hour))) {
		t.Error("an id later than all is not called fresh")
	}
	for range maxRecentIDs {
		s.recent.add(mail.NewID(now.Add(4 * time.Hour)))
	}
	if n := len(s.recent.since); n >= maxRecentIDs {
		t.Errorf("%d ids in memory, want less than %d", n, maxRecentIDs)
	}
	check()
}

// BenchmarkFresh is what the committer does to see that an Accept is new.
func BenchmarkFresh(b *testing.B) {
	s := mustOpen(b, Options{FS: vfs.NewMem(), Dir: "store"})
	defer s.Close()
	accounts := addAccounts(b, s, 1)
	now := time.Now()
	for range 20_000 {
		acceptAs(s, mail.NewID(now), []byte("body"), accounts)
	}
	b.Run("index", func(b *testing.B) {
		for b.Loop() {
			var key keyBuf
			if v, err := s.get(key.accept(mail.NewID(now))); err == nil {
				v.Close()
			}
		}
	})
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
			id := mail.NewID(now)
			s.recent.fresh(s.db, id)
			s.recent.add(id)
		}
	})
}
