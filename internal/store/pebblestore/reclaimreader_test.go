package pebblestore

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// TestReaderOutlivesItsMaildrop: a large file stays until its reader is closed.
func TestReaderOutlivesItsMaildrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		s := mustOpen(t, smallOptions(mem))
		accounts := addAccounts(t, s, 1)
		fill(t, s, accounts, 1, 100_000)
		d, err := s.OpenMaildrop(t.Context(), accounts[0], store.Snapshot, "test")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Remove(t.Context(), accounts[0], mail.Inbox, []mail.UID{1}); err != nil {
			t.Fatal(err)
		}
		r, err := d.Open(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
		time.Sleep(3 * keeperRetry)
		synctest.Wait()
		if n := len(files(t, mem, "store/large")); n != 1 {
			t.Errorf("%d large files while one is read, want 1", n)
		}
		r.Close()
		time.Sleep(3 * keeperRetry)
		synctest.Wait()
		if n := len(files(t, mem, "store/large")); n != 0 {
			t.Errorf("%d large files after the reader's end, want none", n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestEnvelopeStaysWhileTheReaderIsOpen also that of a record so long that it
// was not read whole.
func TestEnvelopeStaysWhileTheReaderIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		o := smallOptions(mem)
		o.SmallMax = 1 << 20
		s := mustOpen(t, o)
		accounts := addAccounts(t, s, 1)
		fill(t, s, accounts, 1, 400<<10)
		r, err := s.Open(t.Context(), accounts[0], mail.Inbox, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Remove(t.Context(), accounts[0], mail.Inbox, []mail.UID{1}); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			fill(t, s, accounts, 20, 6000)
			time.Sleep(2 * keeperRetry)
		}
		if _, err := r.Envelope(); err != nil {
			t.Errorf("envelope: %v", err)
		}
		if b, err := io.ReadAll(r); err != nil || len(b) < 400<<10 {
			t.Errorf("read %d octets, %v", len(b), err)
		}
		r.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestOversizeSegmentsAreNotKept for use again: each was for one frame.
func TestOversizeSegmentsAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		o := smallOptions(mem)
		o.SmallMax = 1 << 20
		s := mustOpen(t, o)
		accounts := addAccounts(t, s, 1)
		fill(t, s, accounts, 6, 900<<10)
		if err := s.Remove(t.Context(), accounts[0], mail.Inbox, uidRange(1, 6, 1)); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			fill(t, s, accounts, 5, 6000)
			time.Sleep(2 * keeperRetry)
			synctest.Wait()
		}
		for _, path := range files(t, mem, "store/log") {
			if n := len(readAll(t, mem, path)); n > 64<<10 {
				t.Errorf("%s has %d octets, want at most %d", path, n, 64<<10)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
