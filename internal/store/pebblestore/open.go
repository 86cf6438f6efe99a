package pebblestore

import (
	"errors"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/fault"
)

// indexFormat is the form of the index's files: raised by a new Format only.
const indexFormat = pebble.FormatColumnarBlocks

// noStall is a limit of Pebble's that is never reached: beyond it Pebble stops
// changes until it has caught up, which it may never do. The flusher has a limit
// that ends in an error instead.
const noStall = 1 << 20

// openAll opens index and log.
func (s *Store) openAll(found identity, have, damaged bool) error {
	if err := s.openIndex(have); err != nil {
		return err
	}
	if err := s.identify(found, have && !damaged); err != nil {
		return err
	}
	if err := s.openLog(); err != nil {
		return err
	}
	if err := s.raiseIndex(); err != nil {
		return err
	}
	if err := s.openQueue(); err != nil {
		return err
	}
	s.indexFS.letGo()
	return nil
}

// closeAll closes what openAll opened.
func (s *Store) closeAll() error {
	var err error
	if s.log != nil {
		err = s.log.close()
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	if s.cache != nil {
		s.cache.Unref()
	}
	s.log, s.db, s.cache = nil, nil, nil
	return err
}

// openIndex opens the index. One that is not there is made, unless the store is
// known to be.
func (s *Store) openIndex(known bool) error {
	ifs := &indexFS{FS: s.fs, health: s.health, stop: s.stop}
	ifs.hold()
	s.indexFS = ifs
	s.cache = pebble.NewCache(s.o.CacheSize)
	opts := &pebble.Options{
		FS:                          ifs,
		Cache:                       s.cache,
		DisableWAL:                  true,
		ErrorIfNotExists:            known,
		FormatMajorVersion:          indexFormat,
		MemTableSize:                uint64(s.o.MemTableSize),
		MemTableStopWritesThreshold: noStall,
		L0StopWritesThreshold:       noStall,
		Logger:                      indexLog{s.health.log, s.health},
		EventListener: &pebble.EventListener{
			FlushEnd: func(i pebble.FlushInfo) {
				if i.Err == nil {
					ifs.full(false)
				}
			},
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				s.health.log.Error("store: the index is damaged", "file", i.Path, "error", i.Details.Error(), "do", "run: postrider store check --repair")
			},
			BackgroundError: func(err error) {
				if s.health.broken.Load() == nil && !s.health.indexFull.Load() {
					s.health.log.Error("store: the index reports", "error", err.Error(), "do", "run: postrider store check")
				}
			},
		},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	dir := s.fs.PathJoin(s.o.Dir, indexFolder)
	s.tidyIndex(dir)
	db, err := pebble.Open(dir, opts)
	if err != nil {
		if !rebuildable(err) {
			return fileFault("open index", err)
		}
		return fault.Newf(fault.Corrupt, "open index", "%w: %w", errIndex, err)
	}
	s.db = db
	return nil
}

// tidyIndex removes files that Pebble makes and that hold nothing here: logs,
// which are empty, but have it flush nothing in Open (and repeat that for ever
// if it fails), and descriptions of its options, which it refuses to open
// without if they are damaged.
func (s *Store) tidyIndex(dir string) {
	names, err := s.fs.List(dir)
	if err != nil {
		return // Pebble will tell
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".log") || strings.HasPrefix(name, "OPTIONS-") {
			if err := s.fs.Remove(s.fs.PathJoin(dir, name)); err != nil {
				s.health.log.Warn("store: tidy the index", "file", name, "error", err.Error())
			}
		}
	}
}

// flushIndex makes the index durable as it is.
func (s *Store) flushIndex() error {
	const op = "flush index"
	done, err := s.db.AsyncFlush()
	if err != nil {
		return indexFault(op, err)
	}
	select {
	case <-done:
		return s.health.changes(op)
	case <-s.health.ended:
		return s.health.changes(op)
	case <-s.health.lacking():
		return fault.Newf(fault.NoSpace, op, "the disk is full")
	}
}

// openLog replays the log and takes stock of its segments.
func (s *Store) openLog() error {
	s.log = &segmentLog{
		fs: s.fs, dir: s.fs.PathJoin(s.o.Dir, logFolder), store: s.id, size: s.o.SegmentSize,
		health: s.health, stats: s.stats,
		all: make(map[uint64]*segment), open: make(map[uint64]*segmentFile),
	}
	s.files = &largeFiles{fs: s.fs, dir: s.fs.PathJoin(s.o.Dir, largeFolder), health: s.health, folders: make(map[uint64]bool)}
	v, err := s.get(keyApplied)
	if err != nil {
		return fault.Newf(fault.Corrupt, "open index", "%w: the applied position: %w", errIndex, err)
	}
	from, err := decodeApplied(v.b)
	v.Close()
	if err != nil {
		return fault.Newf(fault.Corrupt, "open index", "%w: the applied position: %w", errIndex, err)
	}
	r, err := s.recover(from)
	if err != nil {
		return err
	}
	if s.damaged {
		// Noted with what was replayed: the next opening would find nothing wrong.
		if err := s.db.Set(keyJump, nil, pebble.NoSync); err != nil {
			return indexFault("note damage", err)
		}
	}
	if r.replayed > 0 || s.damaged {
		s.health.log.Info("store: replayed the log", "commits", r.replayed, "damaged", r.damaged)
		if err := s.flushIndex(); err != nil {
			return err
		}
	}
	if err := r.wipe(); err != nil {
		return err
	}
	s.rebuilt = s.has(keyRebuilt)
	s.committer.lsn = r.lsn
	s.committer.flush.flushed.Store(r.lsn)
	if err := s.loadSegments(r); err != nil {
		return err
	}
	return s.numberFiles()
}

// loadSegments learns from the index which segments are in use; the others go
// to the pool. The head is where the log ends.
func (s *Store) loadSegments(r *recovery) error {
	l := s.log
	err := each(s.db, []byte{tableSegment}, func(key, v []byte) (bool, error) {
		num, ok := keyUint64(key)
		row, err := decodeSegment(v)
		if !ok || err != nil {
			s.health.log.Error("store: a segment's record is damaged; nothing of it is freed", "file", l.path(num), "do", "run: postrider store check --repair")
			row = segmentRow{l.size, l.size}
		}
		l.all[num] = &segment{num: num, live: row.live, used: row.used}
		return true, nil
	})
	if err != nil {
		return err
	}
	l.next = r.pos.segment + 1
	for _, num := range r.nums {
		l.next = max(l.next, num+1)
		switch {
		case l.all[num] != nil || num == r.pos.segment:
		case s.rebuilt:
			l.all[num] = &segment{num: num, live: l.size, used: l.size} // until it is counted
		default:
			l.retire(num)
		}
	}
	for num := range l.all {
		l.next = max(l.next, num+1)
		if _, ok := slices.BinarySearch(r.nums, num); !ok && num != r.pos.segment {
			s.health.log.Error("store: a segment of the log is missing", "file", l.path(num), "do", "restore it, or run: postrider store check --repair")
		}
	}
	return s.openHead(r.pos)
}

// openHead opens the segment where the log goes on.
func (s *Store) openHead(at position) error {
	l := s.log
	op := "open " + l.path(at.segment)
	f, err := s.fs.OpenReadWrite(l.path(at.segment), vfs.WriteCategoryUnspecified)
	if err != nil {
		return fileFault(op, err)
	}
	known, next := l.all[at.segment], l.next
	if err := l.begin(f, at.segment); err != nil {
		f.Close()
		return err
	}
	if known != nil {
		l.all[at.segment] = known
	}
	l.all[at.segment].used = at.offset
	l.next, l.previous = next, at.segment
	return nil
}

// numberFiles finds the number for the next large file: greater than any there
// is.
func (s *Store) numberFiles() error {
	l := s.files
	l.next = 1
	folders, err := s.fs.List(l.dir)
	if err != nil {
		return fileFault("list "+l.dir, err)
	}
	last := ""
	for _, name := range folders {
		if _, ok := parseHex(name, 8); ok && name > last {
			last = name
		}
	}
	if last != "" {
		files, err := s.fs.List(s.fs.PathJoin(l.dir, last))
		if err != nil {
			return fileFault("list "+l.dir, err)
		}
		n, _ := parseHex(last, 8)
		l.next = max(l.next, n*filesPerFolder)
		for _, name := range files {
			if num, ok := parseHex(name, 11); ok {
				l.next = max(l.next, num+1)
			}
		}
	}
	it, err := span(s.db, []byte{tableFile}, after([]byte{tableFile}))
	if err != nil {
		return err
	}
	if it.Last() {
		if num, ok := keyUint64(it.Key()); ok {
			l.next = max(l.next, num+1)
		}
	}
	return indexFault("number files", it.Close())
}

// listSegments returns the numbers of the segments in a folder, ascending.
func (s *Store) listSegments(dir string) ([]uint64, error) {
	names, err := s.fs.List(dir)
	if err != nil {
		return nil, fileFault("list "+dir, err)
	}
	var nums []uint64
	for _, name := range names {
		if n, ok := parseSegmentName(name); ok {
			nums = append(nums, n)
		}
	}
	slices.Sort(nums)
	return nums, nil
}
