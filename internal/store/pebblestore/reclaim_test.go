package pebblestore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// segmentFiles returns how many segment files there are.
func segmentFiles(t *testing.T, fs vfs.FS) int {
	t.Helper()
	names, err := fs.List("store/log")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// fill accepts n messages of size octets, told apart by their first octets.
func fill(t *testing.T, s *Store, to []mail.AccountID, n, size int) {
	t.Helper()
	for i := range n {
		body := bytes.Repeat([]byte{byte(i)}, size)
		if err := acceptAs(s, mail.NewID(time.Now()), body, to); err != nil {
			t.Fatal(err)
		}
	}
}

func uidRange(first, last, step int) []mail.UID {
	var uids []mail.UID
	for uid := first; uid <= last; uid += step {
		uids = append(uids, mail.UID(uid))
	}
	return uids
}

// TestDeadSegmentsAreUsedAgain: mail that comes and goes takes a bounded number
// of segments.
func TestDeadSegmentsAreUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		s := mustOpen(t, smallOptions(mem))
		accounts := addAccounts(t, s, 1)
		for round := range 40 {
			fill(t, s, accounts, 20, 5000) // more than a segment
			first := round*20 + 1
			if err := s.Remove(t.Context(), accounts[0], mail.Inbox, uidRange(first, first+19, 1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * keeperRetry)
			synctest.Wait()
		}
		if n := segmentFiles(t, mem); n > maxPool+4 {
			t.Errorf("%d segment files after 40 rounds, want at most %d", n, maxPool+4)
		}
		if err := checkClean(s); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestSparseSegmentsAreEmptied and what was live in them stays as it was.
func TestSparseSegmentsAreEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		s := mustOpen(t, smallOptions(mem))
		accounts := addAccounts(t, s, 2)
		fill(t, s, accounts, 100, 5000)
		for _, a := range accounts {
			for k := range 7 {
				if err := s.Remove(t.Context(), a, mail.Inbox, uidRange(k+1, 100, 8)); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		s.log.mu.Lock()
		used := len(s.log.all)
		s.log.mu.Unlock()
		if used > 4 {
			t.Errorf("%d segments are in use for 12 messages of 5000 octets, want at most 4", used)
		}
		for _, a := range accounts {
			n := 0
			for m, err := range s.List(t.Context(), a, mail.Inbox, 0) {
				if err != nil {
					t.Fatal(err)
				}
				if err := verifyMessage(s, a, m, bytes.Repeat([]byte{byte(m.UID - 1)}, 5000)); err != nil {
					t.Error(err)
				}
				n++
			}
			if n != 12 {
				t.Errorf("%d messages, want 12", n)
			}
		}
		if err := checkClean(s); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestSnapshotStaysWhileSegmentsAreUsedAgain: what a maildrop showed at its
// opening can be read to its end, whatever happens meanwhile.
func TestSnapshotStaysWhileSegmentsAreUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		s := mustOpen(t, smallOptions(mem))
		accounts := addAccounts(t, s, 1)
		fill(t, s, accounts, 20, 5000)
		fill(t, s, accounts, 1, 100_000) // a file
		d, err := s.OpenMaildrop(t.Context(), accounts[0], store.Exclusive, "test")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Remove(t.Context(), accounts[0], mail.Inbox, uidRange(1, 21, 1)); err != nil {
			t.Fatal(err)
		}
		for round := range 10 {
			fill(t, s, accounts, 20, 6000)
			if err := s.Remove(t.Context(), accounts[0], mail.Inbox, uidRange(22+round*20, 41+round*20, 1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * keeperRetry)
		}
		n := 0
		for m, err := range d.List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			r, err := d.Open(t.Context(), m.UID)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil || int64(len(b)) != m.Size {
				t.Errorf("message %d: %d octets, %v, want %d", m.UID, len(b), err, m.Size)
			}
			if want := byte((m.UID - 1) % 20); b[len(b)-1] != want {
				t.Errorf("message %d ends with %d, want %d", m.UID, b[len(b)-1], want)
			}
			r.Close()
			n++
		}
		if n != 21 {
			t.Errorf("%d messages, want 21", n)
		}
		d.Close()
		time.Sleep(2 * keeperRetry)
		synctest.Wait()
		large := 0
		s.files.scan(func(uint64) { large++ })
		if large != 0 {
			t.Errorf("%d large files after the snapshot's end, want none", large)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestRemovedAccountIsSweptAfterReopening also when the process ends first.
func TestRemovedAccountIsSweptAfterReopening(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, smallOptions(mem))
	accounts := addAccounts(t, s, 2)
	fill(t, s, accounts, 30, 3000)
	s.keeper.pruned = time.Now()
	if _, err := s.Change(t.Context(), store.RemoveAccount{ID: accounts[0]}); err != nil {
		t.Fatal(err)
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	s.Close()
	s = mustOpen(t, smallOptions(crashed))
	defer s.Close()
	u, err := s.Usage(t.Context()) // sweeps
	if err != nil || u.Messages != 30 {
		t.Errorf("%d contents, %v, want 30", u.Messages, err)
	}
	if err := checkClean(s); err != nil {
		t.Error(err)
	}
}

// TestLargeMessageTakesNoMemory: a message of 100 MB comes and goes through a
// few buffers.
func TestLargeMessageTakesNoMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 100 MB")
	}
	s := mustOpen(t, Options{Dir: t.TempDir() + "/store"})
	defer s.Close()
	accounts := addAccounts(t, s, 1)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c, err := s.NewContent(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(strings.Repeat("0123456789", 100))
	for range 100_000 {
		if _, err := c.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	id := mail.NewID(time.Now())
	if _, err := s.Accept(t.Context(), store.Accept{ID: id, Content: c, Deliveries: []store.Delivery{{Account: accounts[0], Mailbox: mail.Inbox}}}); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), accounts[0], mail.Inbox, 1)
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.WriteTo(io.Discard)
	if err != nil || n != 100_000_000 {
		t.Errorf("read %d octets, %v, want 100000000", n, err)
	}
	r.Close()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
		t.Errorf("%d octets allocated, want at most 8 MiB", got)
	}
}

// TestAcceptAgainAnswersTheSame also after reopening, with a large content, and
// leaves no second copy of it.
func TestAcceptAgainAnswersTheSame(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, smallOptions(mem))
	accounts := addAccounts(t, s, 2)
	id := mail.NewID(time.Now())
	accept := func() store.Accepted {
		t.Helper()
		c, err := s.NewContent(context.Background(), 0)
		if err != nil {
			t.Fatal(err)
		}
		c.Write(make([]byte, 50_000))
		a := store.Accept{ID: id, Content: c}
		for _, to := range accounts {
			a.Deliveries = append(a.Deliveries, store.Delivery{Account: to, Mailbox: mail.Inbox})
		}
		got, err := s.Accept(context.Background(), a)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := accept()
	if first.Repeated {
		t.Error("the first Accept is called a repetition")
	}
	for range 2 {
		again := accept()
		if !again.Repeated || fmt.Sprint(again.Placed) != fmt.Sprint(first.Placed) {
			t.Errorf("again: %+v, want %+v, repeated", again, first)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, smallOptions(mem))
	}
	large := 0
	s.files.scan(func(uint64) { large++ })
	if large != 1 {
		t.Errorf("%d large files, want 1", large)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOldAcceptIDsAreForgotten but not those of the last day.
func TestOldAcceptIDsAreForgotten(t *testing.T) {
	mem := vfs.NewMem()
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	o := smallOptions(mem)
	o.Now = func() time.Time { return now }
	s := mustOpen(t, o)
	defer s.Close()
	accounts := addAccounts(t, s, 1)
	ids := []mail.ID{mail.NewID(now), mail.NewID(now.Add(40 * time.Hour)), mail.NewID(time.Unix(0, 0))}
	for i, at := range []time.Duration{0, 40 * time.Hour, 41 * time.Hour} {
		now = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC).Add(at)
		if err := acceptAs(s, ids[i], []byte("body"), accounts); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(10 * time.Hour)
	if err := s.do(&pruneOp{before: now.Add(-acceptsKept)}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, true} {
		var key keyBuf
		v, err := s.get(key.accept(ids[i]))
		if err == nil {
			v.Close()
		}
		if got := err == nil; got != want {
			t.Errorf("id %d is remembered: %v, want %v", i, got, want)
		}
	}
}
