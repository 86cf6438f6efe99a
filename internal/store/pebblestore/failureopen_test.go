package pebblestore

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// never lets a failAt match nothing until its n is set.
const never = 1 << 40

// TestLackOfOpenFilesPasses: it refuses what needs a file, and leaves no mark.
func TestLackOfOpenFilesPasses(t *testing.T) {
	errFiles := fmt.Errorf("test disk: %w", syscall.EMFILE)
	rows := []struct {
		name string
		kind errorfs.OpKind
		size int
	}{
		{"folder of a large message", errorfs.OpOpenDir, 20_000},
		{"large message", errorfs.OpCreate, 20_000},
		{"segment", errorfs.OpOpen, 7000},
		{"folder of a segment", errorfs.OpOpenDir, 7000},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			mem := vfs.NewMem()
			f := &failAt{err: errFiles, matches: func(op errorfs.Op) bool {
				return op.Kind == row.kind && !strings.Contains(op.Path, indexFolder)
			}}
			f.n.Store(never)
			s := mustOpen(t, smallOptions(errorfs.Wrap(mem, f)))
			defer s.Close()
			accounts := addAccounts(t, s, 1)
			f.n.Store(0)
			refused := 0
			for i := range 15 { // more than a segment
				err := acceptAs(s, mail.ID{byte(i + 1)}, make([]byte, row.size), accounts)
				if err != nil {
					refused++
				}
				if err != nil && !fault.Is(err, fault.Transient) {
					t.Errorf("accept: %v, want kind transient", err)
				}
			}
			if refused != 1 {
				t.Errorf("%d refused, want 1", refused)
			}
			if err := s.Health(); err != nil {
				t.Errorf("health: %v", err)
			}
		})
	}
}

// TestQuotaIsFullDisk: a user's share of the disk that is used up refuses mail,
// and breaks nothing.
func TestQuotaIsFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	f := &failAt{err: fmt.Errorf("test disk: %w", syscall.EDQUOT), matches: func(op errorfs.Op) bool {
		return isWrite(op) && strings.HasSuffix(op.Path, segmentSuffix)
	}}
	f.n.Store(never)
	s := mustOpen(t, smallOptions(errorfs.Wrap(mem, f)))
	defer s.Close()
	accounts := addAccounts(t, s, 1)
	f.n.Store(0)
	if err := acceptAs(s, mail.ID{1}, []byte("refused"), accounts); !fault.Is(err, fault.NoSpace) {
		t.Errorf("accept beyond the quota: %v, want kind no space", err)
	}
	if err := acceptAs(s, mail.ID{1}, []byte("taken"), accounts); err != nil {
		t.Errorf("accept within the quota: %v", err)
	}
}

// TestFullIndexRecoversByItself when there is space again, also if nothing comes
// that would have it written.
func TestFullIndexRecoversByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		f := &failAt{err: errFull, lasting: true, matches: isWrite}
		f.n.Store(never)
		s := mustOpen(t, smallOptions(errorfs.Wrap(mem, f)))
		synctest.Wait() // the keeper's first round is over
		f.n.Store(0)
		s.indexFS.full(true) // as a compaction that found no space does
		time.Sleep(5 * keeperRetry)
		if err := s.Health(); !fault.Is(err, fault.NoSpace) {
			t.Errorf("health without space: %v, want kind no space", err)
		}
		f.n.Store(never)
		time.Sleep(5 * keeperRetry)
		synctest.Wait()
		if err := s.Health(); err != nil {
			t.Errorf("health with space again: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestManifestIsDurableBeforeItCounts: its name is synced before the marker that
// names it is made.
func TestManifestIsDurableBeforeItCounts(t *testing.T) {
	mem := vfs.NewMem()
	var created, synced string
	seen := 0
	watch := errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch {
		case op.Kind == errorfs.OpFileSync && strings.HasSuffix(op.Path, indexFolder):
			synced = created
		case op.Kind == errorfs.OpCreate && strings.Contains(op.Path, "/MANIFEST-"):
			created = op.Path
		case op.Kind == errorfs.OpCreate && strings.Contains(op.Path, "/marker.manifest"):
			seen++
			if created == "" || synced != created {
				t.Errorf("%s is made when %q is synced, want %q", op.Path, synced, created)
			}
		}
		return nil
	})
	s := mustOpen(t, smallOptions(errorfs.Wrap(mem, watch)))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Error("no marker was made")
	}
}

// TestFlushWithoutItsFolderIsNone: Pebble calls a flush done whose folder could
// not be synced; nothing may be used again on the strength of it.
func TestFlushWithoutItsFolderIsNone(t *testing.T) {
	mem := vfs.NewMem()
	f := &failAt{err: errIO, lasting: true, matches: func(op errorfs.Op) bool {
		return isSync(op) && strings.HasSuffix(op.Path, indexFolder)
	}}
	f.n.Store(never)
	s := mustOpen(t, smallOptions(errorfs.Wrap(mem, f)))
	defer s.Close()
	accounts := addAccounts(t, s, 1)
	if err := acceptAs(s, mail.ID{1}, []byte("first"), accounts); err != nil {
		t.Fatal(err)
	}
	before := s.committer.flush.flushed.Load()
	f.n.Store(0)
	if err := s.flushIndex(); err == nil {
		t.Error("flush: no error")
	}
	if err := s.Health(); !fault.Is(err, fault.ReadOnly) {
		t.Errorf("health: %v, want kind read-only", err)
	}
	if got := s.committer.flush.flushed.Load(); got != before {
		t.Errorf("flushed up to %d, want %d", got, before)
	}
}

// TestCloseDoesNotWaitForTheKeeper: who works in the background is told first.
func TestCloseDoesNotWaitForTheKeeper(t *testing.T) {
	s := mustOpen(t, smallOptions(vfs.NewMem()))
	if err := s.gate.enter("background"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		<-s.stop
		s.gate.leave()
		close(ended)
	}()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-ended
}
