package pebblestore

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/fault"
)

// health knows why the store takes no changes, if it does not.
type health struct {
	log *slog.Logger
	dir string
	// broken is the first failure after which nobody can know what the disk
	// kept. It is set once and stays.
	broken atomic.Pointer[failure]
	// ended is closed when broken is set.
	ended chan struct{}
	// indexFull is set while the index can't be written for want of space; then
	// lack is closed.
	indexFull atomic.Bool
	lackMu    sync.Mutex
	lack      chan struct{}
	space     space
}

type failure struct {
	op  string
	err error
}

func newHealth(o Options) *health {
	return &health{
		log:   o.Logger,
		dir:   o.Dir,
		ended: make(chan struct{}),
		lack:  make(chan struct{}),
		space: space{fs: o.FS, dir: o.Dir, reserve: o.Reserve, percent: o.ReservePercent, now: o.Now},
	}
}

// fail makes the store read-only for good: op, of which err is the error, is
// never tried again (a second sync would tell of the pages that are still dirty,
// not of those that the first one lost).
func (h *health) fail(op string, err error) {
	if !h.broken.CompareAndSwap(nil, &failure{op, err}) {
		return
	}
	close(h.ended)
	h.log.Error("store: read-only from now on: the disk failed; reading goes on, no mail is taken",
		"operation", op, "error", err.Error(), "store", h.dir,
		"do", "find out what is wrong with the disk (kernel log, SMART), free or replace it, then restart postrider and run: postrider store check")
}

// full records whether the index lacks space, and reports whether that is news.
func (h *health) full(is bool) bool {
	h.lackMu.Lock()
	defer h.lackMu.Unlock()
	if h.indexFull.Swap(is) == is {
		return false
	}
	if is {
		close(h.lack)
	} else {
		h.lack = make(chan struct{})
	}
	return true
}

// lacking returns a channel that is closed when the index lacks space.
func (h *health) lacking() <-chan struct{} {
	h.lackMu.Lock()
	defer h.lackMu.Unlock()
	return h.lack
}

// changes returns nil when changes can be made, or an error of kind ReadOnly.
func (h *health) changes(op string) error {
	f := h.broken.Load()
	if f == nil {
		return nil
	}
	return fault.Newf(fault.ReadOnly, op, "the store is read-only since %s failed: %w", f.op, f.err)
}

// mail returns nil when mail can be taken, or an error of kind ReadOnly or NoSpace.
func (h *health) mail(op string) error {
	if err := h.changes(op); err != nil {
		return err
	}
	if h.indexFull.Load() {
		return fault.Newf(fault.NoSpace, op, "the disk of %s is full", h.dir)
	}
	if free, reserve, ok := h.space.enough(); !ok {
		return fault.Newf(fault.NoSpace, op, "the disk of %s has %d octets free, its reserve is %d", h.dir, free, reserve)
	}
	return nil
}

// How often the disk is asked what is free: the sooner of the two.
const (
	spaceEvery  = time.Second
	spaceOctets = 8 << 20
)

// space watches the free space of the disk.
type space struct {
	fs      vfs.FS
	dir     string
	reserve int64   // octets, or zero
	percent float64 // of the disk, or zero
	now     func() time.Time
	written atomic.Int64 // octets since the disk was asked

	mu    sync.Mutex
	asked time.Time
	free  int64
	keep  int64
	ok    bool
}

// wrote counts octets that were written.
func (s *space) wrote(n int64) { s.written.Add(n) }

// enough reports whether more is free than the reserve, and both in octets. A
// file system that can't tell has enough.
func (s *space) enough() (free, keep int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if age := now.Sub(s.asked); !s.asked.IsZero() && age >= 0 && age < spaceEvery && s.written.Load() < spaceOctets {
		return s.free, s.keep, s.ok
	}
	s.asked = now
	s.written.Store(0)
	u, err := s.fs.GetDiskUsage(s.dir)
	if err != nil {
		if !errors.Is(err, vfs.ErrUnsupported) && s.free > 0 {
			return s.free, s.keep, s.ok
		}
		s.free, s.keep, s.ok = 0, 0, true
		return s.free, s.keep, s.ok
	}
	s.free = int64(u.AvailBytes)
	s.keep = s.of(int64(u.TotalBytes))
	s.ok = s.free > s.keep
	return s.free, s.keep, s.ok
}

// of returns the reserve on a disk of so many octets.
func (s *space) of(disk int64) int64 {
	switch {
	case s.reserve > 0:
		return s.reserve
	case s.percent > 0:
		return int64(float64(disk) * s.percent / 100)
	}
	return min(disk/100, maxAutoReserve)
}

// isFull reports whether err says that the disk, or the user's share of it, is
// full.
func isFull(err error) bool { return vfs.IsNoSpaceError(err) || errors.Is(err, syscall.EDQUOT) }

// isShort reports whether err says that no more files can be open at the moment:
// nothing has happened to the disk.
func isShort(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }

// noteSync breaks the store if err is that of a sync, and returns err with its
// kind. That a folder could not be opened to be synced can be tried again.
func (h *health) noteSync(op string, err error) error {
	if failed := (*syncError)(nil); errors.As(err, &failed) {
		h.fail(op, err)
		return fault.New(fault.Internal, op, err)
	}
	return fileFault(op, err)
}

// fileFault gives an error of a file operation its kind: NoSpace when the disk
// is full, Transient when too many files are open, Internal otherwise.
func fileFault(op string, err error) error {
	if err == nil {
		return nil
	}
	switch {
	case isFull(err):
		return fault.New(fault.NoSpace, op, err)
	case isShort(err):
		return fault.New(fault.Transient, op, err)
	}
	return fault.New(fault.Internal, op, err)
}
