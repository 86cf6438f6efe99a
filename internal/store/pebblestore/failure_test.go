package pebblestore

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// failAt makes the operations of a file system fail from the nth that matches
// on: only that one, or all that follow, too.
type failAt struct {
	n       atomic.Int64 // how many matches are let pass
	matches func(op errorfs.Op) bool
	err     error
	lasting bool
	hit     atomic.Bool
}

// MaybeError implements errorfs.Injector.
func (f *failAt) MaybeError(op errorfs.Op) error {
	if !f.matches(op) {
		return nil
	}
	n := f.n.Add(-1)
	if n == -1 || n < 0 && f.lasting {
		f.hit.Store(true)
		return f.err
	}
	return nil
}

func (f *failAt) String() string { return "failAt" }

var (
	errIO   = fmt.Errorf("test disk: %w", syscall.EIO)
	errFull = fmt.Errorf("test disk: %w", syscall.ENOSPC)
)

// TestEveryFailureKeepsWhatWasAcknowledged lets, one by one, the operations of
// the disk fail under load.
func TestEveryFailureKeepsWhatWasAcknowledged(t *testing.T) {
	kinds := []struct {
		name    string
		matches func(op errorfs.Op) bool
		err     error
		lasting bool
		step    int // every how many operations
	}{
		{"sync fails once", isSync, errIO, false, 2},
		{"sync fails from then on", isSync, errIO, true, 5},
		{"write fails once", isWrite, errIO, false, 2},
		{"disk is full once", isWrite, errFull, false, 2},
		{"disk is full from then on", isWrite, errFull, true, 7},
		{"read fails once", isRead, errIO, false, 5},
		{"making and renaming fails once", isName, errIO, false, 1},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			deadline := time.Now().Add(time.Second) // as far as it gets; all of it with long rounds
			if os.Getenv("POSTRIDER_CRASH_ROUNDS") != "" {
				deadline = time.Now().Add(time.Hour)
			}
			rounds := 0
			for n, hit := 0, true; hit && time.Now().Before(deadline); n += k.step {
				hit = failureRound(t, &failAt{matches: k.matches, err: k.err, lasting: k.lasting}, n)
				rounds++
			}
			t.Logf("%d failures", rounds)
		})
	}
}

func isSync(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
}

func isWrite(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpFileWriteAt || op.Kind == errorfs.OpCreate
}

func isRead(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileRead || op.Kind == errorfs.OpFileReadAt || op.Kind == errorfs.OpOpen
}

func isName(op errorfs.Op) bool {
	return op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpRename || op.Kind == errorfs.OpRemove ||
		op.Kind == errorfs.OpMkdirAll || op.Kind == errorfs.OpOpenDir || op.Kind == errorfs.OpList
}

// failureRound puts load on a store of which one operation fails, and reports
// whether it came to that.
func failureRound(t *testing.T, f *failAt, n int) bool {
	t.Helper()
	mem := vfs.NewCrashableMem()
	l := newLedger()
	s := mustOpen(t, smallOptions(mem)) // what follows needs a store with accounts
	accounts := addAccounts(t, s, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f.n.Store(int64(n))
	s, err := Open(smallOptions(errorfs.Wrap(mem, f)))
	if err == nil {
		w := &load{s: s, l: l, accounts: accounts, sizes: smallSizes, t: t, failed: func(err error) {
			if !slices.Contains(kindsAfterFailure, fault.KindOf(err)) {
				t.Errorf("operation %d: kind %v: %v", n, fault.KindOf(err), err)
			}
		}}
		w.run(uint64(n), 4, 120)
		s.Close()
	} else if !f.hit.Load() {
		t.Fatalf("open: %v", err)
	}
	known := l.copy()
	after := mem.CrashClone(vfs.CrashCloneCfg{}) // a failed sync has kept nothing
	for _, fs := range []*vfs.MemFS{mem, after} {
		if err := verifyAfterFailure(fs, accounts, known); err != nil {
			t.Errorf("operation %d: %v", n, err)
		}
	}
	return f.hit.Load()
}

func verifyAfterFailure(fs vfs.FS, accounts []mail.AccountID, known knowledge) error {
	s, err := Open(smallOptions(fs))
	if err != nil {
		return fmt.Errorf("open after the failure: %w", err)
	}
	defer s.Close()
	if err := verify(s, accounts, known, known); err != nil {
		return err
	}
	return checkClean(s)
}

// TestFailedSyncMakesReadOnlyForGood: the failing sync is not repeated, changes
// are refused, reading goes on.
func TestFailedSyncMakesReadOnlyForGood(t *testing.T) {
	mem := vfs.NewMem()
	f := &failAt{err: errIO, matches: func(op errorfs.Op) bool { return isSync(op) && strings.HasSuffix(op.Path, segmentSuffix) }}
	f.n.Store(1 << 40)
	s := mustOpen(t, smallOptions(errorfs.Wrap(mem, f)))
	defer s.Close()
	accounts := addAccounts(t, s, 1)
	if err := acceptAs(s, mail.ID{1}, []byte("first"), accounts); err != nil {
		t.Fatal(err)
	}
	f.n.Store(0)
	if err := acceptAs(s, mail.ID{2}, []byte("second"), accounts); !fault.Is(err, fault.Internal) {
		t.Errorf("accept with the failing sync: %v, want kind internal", err)
	}
	if err := acceptAs(s, mail.ID{3}, []byte("third"), accounts); !fault.Is(err, fault.ReadOnly) {
		t.Errorf("accept after the failed sync: %v, want kind read-only", err)
	}
	if err := s.Remove(t.Context(), accounts[0], mail.Inbox, []mail.UID{1}); !fault.Is(err, fault.ReadOnly) {
		t.Errorf("remove after the failed sync: %v, want kind read-only", err)
	}
	if err := s.Health(); !fault.Is(err, fault.ReadOnly) {
		t.Errorf("health: %v, want kind read-only", err)
	}
	b, err := s.Mailbox(t.Context(), accounts[0], mail.Inbox)
	if err != nil || b.Messages != 1 {
		t.Errorf("mailbox after the failed sync: %d messages, %v, want 1", b.Messages, err)
	}
	if r, err := s.Open(t.Context(), accounts[0], mail.Inbox, 1); err != nil {
		t.Errorf("open after the failed sync: %v", err)
	} else {
		r.Close()
	}
	if got := f.n.Load(); got != -1 {
		t.Errorf("%d syncs of the log after the failed one, want none", -1-got)
	}
}

// TestFullDiskRefusesAndGoesOn: with no room nothing changes; with room again
// mail is taken again.
func TestFullDiskRefusesAndGoesOn(t *testing.T) {
	mem := vfs.NewMem()
	f := &failAt{err: errFull, lasting: true, matches: func(op errorfs.Op) bool {
		return isWrite(op) && strings.HasSuffix(op.Path, segmentSuffix)
	}}
	f.n.Store(1 << 40)
	s := mustOpen(t, smallOptions(errorfs.Wrap(mem, f)))
	defer s.Close()
	accounts := addAccounts(t, s, 1)
	f.n.Store(0)
	for i := range 3 {
		if err := acceptAs(s, mail.ID{byte(i + 1)}, []byte("refused"), accounts); !fault.Is(err, fault.NoSpace) {
			t.Errorf("accept on a full disk: %v, want kind no space", err)
		}
	}
	f.n.Store(1 << 40)
	if err := acceptAs(s, mail.ID{1}, []byte("taken"), accounts); err != nil {
		t.Errorf("accept with room again: %v", err)
	}
	b, err := s.Mailbox(t.Context(), accounts[0], mail.Inbox)
	if err != nil || b.Messages != 1 || b.UIDNext != 2 {
		t.Errorf("mailbox: %d messages, UIDNEXT %d, %v, want 1, 2", b.Messages, b.UIDNext, err)
	}
}

// TestReserveRefusesMailOnly: below the reserve mail is refused, the rest goes on.
func TestReserveRefusesMailOnly(t *testing.T) {
	mem := vfs.NewMem()
	var asked atomic.Int64 // the keeper asks for the time, too
	o := smallOptions(mem)
	o.Reserve = 1000
	o.Now = func() time.Time { return time.Unix(1_700_000_000, 0).Add(time.Duration(asked.Add(2)) * spaceEvery) }
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 1 << 30})
	s := mustOpen(t, o)
	defer s.Close()
	accounts := addAccounts(t, s, 1)
	if err := acceptAs(s, mail.ID{1}, []byte("first"), accounts); err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewContent(t.Context(), 2<<20); !fault.Is(err, fault.NoSpace) {
		t.Errorf("content larger than the disk: %v, want kind no space", err)
	}
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 999, TotalBytes: 1 << 30})
	if _, err := s.NewContent(t.Context(), 0); !fault.Is(err, fault.NoSpace) {
		t.Errorf("content below the reserve: %v, want kind no space", err)
	}
	if err := s.Health(); !fault.Is(err, fault.NoSpace) {
		t.Errorf("health below the reserve: %v, want kind no space", err)
	}
	if err := s.Remove(t.Context(), accounts[0], mail.Inbox, []mail.UID{1}); err != nil {
		t.Errorf("remove below the reserve: %v", err)
	}
}

// TestSecondOpenerIsToldWhichFolder: a folder is open once.
func TestSecondOpenerIsToldWhichFolder(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, smallOptions(mem))
	defer s.Close()
	_, err := Open(smallOptions(mem))
	if !fault.Is(err, fault.Busy) || !strings.Contains(err.Error(), "store") {
		t.Errorf("second open: %v, want kind busy and the folder", err)
	}
	var e *fault.Error
	if !errors.As(err, &e) {
		t.Errorf("second open: %T is no fault", err)
	}
}
