package pebblestore

import (
	"fmt"
	"slices"

	"postrider/internal/fault"
)

// orphansAtOnce is how many files are asked about in one commit.
const orphansAtOnce = 1000

// sweepOrphans removes the large files that nothing refers to: of messages that
// were arriving when the process died. Those that arrive now have greater
// numbers, from first on. When this opening found anything damaged, the commit
// that referred to a file may be what was lost: then it goes to damaged/.
func (s *Store) sweepOrphans(first uint64) {
	var nums []uint64
	err := s.files.scan(func(num uint64) {
		if num < first && s.unreferenced(num) {
			nums = append(nums, num)
		}
	})
	if err != nil {
		s.health.log.Warn("store: look for files that nothing refers to", "error", err.Error())
	}
	swept := 0
	for some := range slices.Chunk(nums, orphansAtOnce) {
		op := &orphanOp{nums: some}
		if s.stopping() || s.gate.enter("sweep") != nil {
			return
		}
		err := s.do(op)
		s.gate.leave()
		if err != nil || s.health.broken.Load() != nil {
			return
		}
		for _, num := range op.orphans {
			s.sweepOrphan(num)
		}
		swept += len(op.orphans)
	}
	if swept > 0 {
		s.health.log.Info("store: files that nothing refers to are out of the way", "files", swept, "kept", s.damaged)
	}
}

// sweepOrphan takes one file away.
func (s *Store) sweepOrphan(num uint64) {
	if !s.damaged {
		s.files.remove(num)
		return
	}
	kept, err := s.asidePath(fmt.Sprintf("large-%011x", num))
	if err == nil {
		err = s.fs.Rename(s.files.path(num), kept)
	}
	if err == nil {
		err = syncDir(s.fs, s.fs.PathDir(kept))
	}
	if err != nil {
		s.health.log.Warn("store: a file that nothing refers to can't be kept; it stays", "file", s.files.path(num), "error", err.Error())
		return
	}
	s.health.log.Warn("store: nothing refers to a large message: it was arriving at the crash, or the commit that named it is lost",
		"file", s.files.path(num), "kept", kept)
}

// unreferenced reports whether the index knows nothing of a large file.
func (s *Store) unreferenced(num uint64) bool {
	var key keyBuf
	v, err := s.get(key.file(num))
	if err == nil {
		v.Close()
	}
	return fault.Is(err, fault.NotFound)
}

// orphanOp finds out which files nothing refers to. It goes through the
// committer so as not to see a commit that is half settled.
type orphanOp struct{ nums, orphans []uint64 }

func (o *orphanOp) alone() bool { return false }

// prepare implements operation.
func (o *orphanOp) prepare(t *tx) error {
	o.orphans = o.orphans[:0]
	for _, num := range o.nums {
		if t.s.unreferenced(num) && !t.s.files.isFreed(num) {
			o.orphans = append(o.orphans, num)
		}
	}
	return nil
}
