package pebblestore

import (
	"sync/atomic"
	"time"

	"postrider/internal/fault"
)

// flusher has the index flush its tables in memory when enough has changed. The
// index does so by itself, too, but says not how far it is then; and it would
// stop changes for good while it can't flush.
//
// Its methods are the committer's, but for flushed.
type flusher struct {
	s     *Store
	limit int64 // octets of redo between two flushes
	redo  int64 // octets since the last flush began
	// pending is closed when the flush under way is durable; nil: there is none.
	pending <-chan struct{}
	flushed atomic.Uint64 // LSN up to which the index is durable
}

// maxBehind is how many times limit the index may be behind before changes wait
// for it.
const maxBehind = 4

// committed counts a commit's redo.
func (f *flusher) committed(redo int64, lsn uint64) {
	f.redo += redo
	if f.redo >= f.limit {
		f.start(lsn)
	}
}

// start begins a flush of all commits up to lsn, unless one is under way.
func (f *flusher) start(lsn uint64) {
	select {
	case <-f.pending:
		f.pending = nil
	default:
	}
	if f.pending != nil || f.flushed.Load() >= lsn || f.s.health.broken.Load() != nil {
		return
	}
	done, err := f.s.db.AsyncFlush()
	if err != nil {
		f.s.health.fail("flush of the index", err)
		return
	}
	f.redo = 0
	f.pending = done
	f.s.stats.flushes.Inc()
	f.s.background.Go(func() {
		select {
		case <-done:
			// Pebble is not told of a folder that could not be synced.
			if f.s.health.broken.Load() == nil {
				f.flushed.Store(lsn)
				f.s.keeper.wake()
			}
		case <-f.s.health.ended:
		case <-f.s.stop:
		}
	})
}

// room waits while the index is too far behind; the error says that it does not
// get on.
func (f *flusher) room() error {
	for f.redo >= maxBehind*f.limit {
		if err := f.s.health.changes("commit"); err != nil {
			return err
		}
		if f.s.health.indexFull.Load() {
			return fault.Newf(fault.NoSpace, "commit", "the disk is full: the index can't be written")
		}
		select {
		case <-f.pending:
			f.pending = nil
			f.start(f.s.committer.lsn)
		case <-f.s.health.ended:
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// flushNow is an operation that has everything before it flushed.
type flushNow struct{}

func (flushNow) alone() bool { return false }

func (flushNow) prepare(t *tx) error {
	t.c.flush.start(t.c.lsn)
	return nil
}
