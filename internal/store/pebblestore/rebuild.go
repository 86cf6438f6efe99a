package pebblestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"postrider/internal/fault"
)

// The folders of an index that is being made anew, and the files that steer it.
const (
	rebuildFile   = "REBUILD"   // asks the next opening to make the index anew
	newIndex      = "index.new" // the index being made
	sortIndex     = "index.tmp" // its raw material
	completedFile = "COMPLETE"  // in newIndex: it only has to be put in place
)

// keyRebuilt is there until everything has been counted anew.
var keyRebuilt = []byte("!rebuilt")

// errIndex is in the error of an opening that fails since the index is damaged.
var errIndex = errors.New("the index is damaged")

// rebuildable reports whether err, of the index, says that it is damaged, rather
// than that it can't be read or written this time.
func rebuildable(err error) bool {
	var errno syscall.Errno
	if errors.As(err, &errno) && errno != syscall.ENOENT || isFull(err) {
		return false
	}
	return true
}

// indexDamaged reports whether opening failed since the index is damaged, and
// there is something to make it anew from.
func (s *Store) indexDamaged(err error) bool {
	if s.health.broken.Load() != nil || !errors.Is(err, errIndex) && !pebble.IsCorruptionError(err) {
		return false
	}
	names, err := s.fs.List(s.fs.PathJoin(s.o.Dir, indexFolder))
	return err == nil && slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".sst") })
}

// rebuild makes the index anew from the tables of the old one, which goes to
// damaged/. What a damaged block held is lost; what was flushed last and is
// still in the log comes back from there.
//
// The index's own list of tables counts if whole is set; else all tables that
// are there do.
func (s *Store) rebuild(known identity, whole bool) error {
	const op = "make the index anew"
	old := s.fs.PathJoin(s.o.Dir, indexFolder)
	fresh, raw := s.fs.PathJoin(s.o.Dir, newIndex), s.fs.PathJoin(s.o.Dir, sortIndex)
	s.health.log.Error("store: the index is damaged; it is made anew from what can be read of it", "index", old,
		"do", "find out what is wrong with the disk, then run: postrider store check --repair")
	if err := errors.Join(s.fs.RemoveAll(fresh), s.fs.RemoveAll(raw)); err != nil {
		return fileFault(op, err)
	}
	b := &rebuilder{s: s, whole: whole, live: s.liveTables(old)}
	err := b.gather(old, raw)
	if err == nil {
		err = b.emit(fresh, known)
	}
	if b.raw != nil {
		err = errors.Join(err, b.raw.Close())
	}
	if err != nil {
		return fault.New(fault.Corrupt, op, err)
	}
	if err := writeFile(s.fs, s.fs.PathJoin(fresh, completedFile), nil); err != nil {
		return fileFault(op, err)
	}
	if err := errors.Join(syncDir(s.fs, fresh), syncDir(s.fs, s.o.Dir)); err != nil {
		return fileFault(op, err)
	}
	s.health.log.Warn("store: the index is made anew", "records", b.records, "tables", b.tables, "damaged tables", b.bad, "doubtful records left out", b.doubted)
	return fileFault(op, errors.Join(s.fs.RemoveAll(raw), s.finishRebuild()))
}

// finishRebuild puts a new index in place, if there is one that is complete.
func (s *Store) finishRebuild() error {
	fresh := s.fs.PathJoin(s.o.Dir, newIndex)
	if _, err := s.fs.Stat(s.fs.PathJoin(fresh, completedFile)); err != nil {
		return nil
	}
	old := s.fs.PathJoin(s.o.Dir, indexFolder)
	if _, err := s.fs.Stat(old); err == nil {
		aside := s.fs.PathJoin(s.o.Dir, damagedFolder)
		if err := s.fs.MkdirAll(aside, 0o700); err != nil {
			return err
		}
		name := s.fs.PathJoin(aside, s.o.Now().UTC().Format("20060102T150405")+"-index")
		if err := s.fs.Rename(old, name); err != nil {
			return err
		}
	}
	if err := s.fs.Rename(fresh, old); err != nil {
		return err
	}
	_ = s.fs.Remove(s.fs.PathJoin(s.o.Dir, rebuildFile))
	_ = s.fs.Remove(s.fs.PathJoin(old, completedFile))
	return syncDir(s.fs, s.o.Dir)
}

// rebuilder gathers the newest record of each key from the old index's tables.
type rebuilder struct {
	s          *Store
	raw        *pebble.DB // length and key → sequence number, table, kind, value
	spans      []deletedSpan
	gaps       []gap
	gapsBefore int                  // the last table that was damaged
	live       map[uint64]liveTable // what the index says of its tables; nil: nothing
	whole      bool                 // that is all that are in use
	marks      []mark
	tables     int
	bad        int

	records int
	doubted int
	key     []byte
	val     []byte
}

// liveTable is a table that the index uses, and its level.
type liveTable struct {
	pebble.SSTableInfo
	level int
}

// deletedSpan is a deletion of all keys from start to before end.
type deletedSpan struct {
	start, end []byte
	seq        uint64
}

// plainOptions are those of an index that is being made.
func (s *Store) plainOptions() *pebble.Options {
	return &pebble.Options{
		FS: s.fs, DisableWAL: true, FormatMajorVersion: indexFormat, MemTableSize: uint64(s.o.MemTableSize),
		Logger: indexLog{s.health.log, s.health},
	}
}

func (b *rebuilder) gather(old, raw string) error {
	names, err := b.s.fs.List(old)
	if err != nil {
		return err
	}
	if b.raw, err = pebble.Open(raw, b.s.plainOptions()); err != nil {
		return err
	}
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, ".sst")
		num, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil {
			continue
		}
		if _, used := b.live[num]; b.whole && b.live != nil && !used {
			continue // its records are in others, those newer than it has
		}
		b.tables++
		damaged, err := b.table(b.s.fs.PathJoin(old, name), num)
		if err != nil {
			return err
		}
		if damaged != nil {
			b.bad++
			b.unread(num)
			b.s.health.log.Error("store: a table of the index is damaged", "table", name, "error", damaged.Error())
		}
	}
	if b.tables == 0 {
		return errors.New("it has no tables")
	}
	for i := range b.gaps {
		b.gaps[i].after = b.before(b.gaps[i].table)
	}
	return nil
}

// table gathers what can be read of a table: from its beginning and from its
// end, up to what is damaged.
func (b *rebuilder) table(path string, num uint64) (damaged, err error) {
	f, err := b.s.fs.Open(path)
	if err != nil {
		return err, nil
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return err, f.Close()
	}
	opts := b.s.plainOptions()
	opts.EnsureDefaults()
	r, err := sstable.NewReader(context.Background(), readable, opts.MakeReaderOptions())
	if err != nil {
		return err, nil // it has closed the file
	}
	defer r.Close()
	b.deletions(r)
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err, nil
	}
	defer it.Close()
	lost := gap{table: num}
	for kv := it.First(); kv != nil; kv = it.Next() {
		lost.first = append(lost.first[:0], kv.K.UserKey...)
		v, _, verr := kv.Value(nil)
		if verr != nil {
			damaged = verr
			b.gaps = append(b.gaps, gap{first: bytes.Clone(lost.first), last: bytes.Clone(lost.first), table: num})
			continue
		}
		if err := b.take(kv.K.UserKey, v, uint64(kv.SeqNum()), num, byte(kv.Kind())); err != nil {
			return nil, err
		}
	}
	if it.Error() == nil {
		return damaged, nil
	}
	damaged = it.Error()
	defer func() { b.gaps = append(b.gaps, lost) }()
	for kv := it.Last(); kv != nil; kv = it.Prev() {
		lost.last = append(lost.last[:0], kv.K.UserKey...)
		v, _, verr := kv.Value(nil)
		if verr != nil {
			continue
		}
		if err := b.take(kv.K.UserKey, v, uint64(kv.SeqNum()), num, byte(kv.Kind())); err != nil {
			return nil, err
		}
	}
	return damaged, nil
}

// unread adds the gap of a table of which nothing could be read.
func (b *rebuilder) unread(num uint64) {
	if len(b.gaps) > b.gapsBefore {
		b.gapsBefore = len(b.gaps)
		return
	}
	g := gap{table: num} // the whole index
	if t, ok := b.live[num]; ok {
		g.first, g.last = t.Smallest.UserKey, t.Largest.UserKey
	}
	b.gaps = append(b.gaps, g)
	b.gapsBefore = len(b.gaps)
}

// liveTables returns the tables that an index which can be opened uses, or nil.
func (s *Store) liveTables(dir string) map[uint64]liveTable {
	o := s.plainOptions()
	o.ReadOnly = true
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil
	}
	defer db.Close()
	levels, err := db.SSTables()
	if err != nil {
		return nil
	}
	live := make(map[uint64]liveTable)
	for level, tables := range levels {
		for _, t := range tables {
			live[uint64(t.BackingSSTNum)] = liveTable{t, level}
		}
	}
	return live
}

// deletions gathers a table's deletions of spans.
func (b *rebuilder) deletions(r *sstable.Reader) {
	it, err := r.NewRawRangeDelIter(context.Background(), sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil || it == nil {
		return
	}
	defer it.Close()
	for span, err := it.First(); span != nil && err == nil; span, err = it.Next() {
		for _, k := range span.Keys {
			b.spans = append(b.spans, deletedSpan{append([]byte(nil), span.Start...), append([]byte(nil), span.End...), uint64(k.SeqNum())})
		}
	}
}

// take keeps a record if it is newer than what there is of its key.
func (b *rebuilder) take(key, value []byte, seq, table uint64, kind byte) error {
	if len(key) > math.MaxUint16 {
		return nil
	}
	if bytes.Equal(key, keyApplied) {
		b.mark(value, seq, table)
	}
	b.key = append(binary.BigEndian.AppendUint16(b.key[:0], uint16(len(key))), key...)
	b.val = binary.BigEndian.AppendUint64(b.val[:0], seq)
	b.val = append(binary.BigEndian.AppendUint64(b.val, table), kind)
	have, closer, err := b.raw.Get(b.key)
	switch {
	case err == nil:
		older := string(have[:16]) >= string(b.val[:16])
		closer.Close()
		if older {
			return nil
		}
	case !errors.Is(err, pebble.ErrNotFound):
		return err
	}
	b.val = append(b.val, value...)
	return b.raw.Set(b.key, b.val, pebble.NoSync)
}

// emit writes the new index.
func (b *rebuilder) emit(fresh string, known identity) error {
	db, err := pebble.Open(fresh, b.s.plainOptions())
	if err != nil {
		return err
	}
	if b.bad > 0 {
		err = b.replayGaps(db, known.id)
	}
	if err == nil {
		err = b.write(db)
	}
	if err == nil && b.bad > 0 {
		err = b.doubt(db)
	}
	if err == nil {
		err = b.ensure(db, known)
	}
	if err == nil {
		err = db.Flush()
	}
	return errors.Join(err, db.Close())
}

func (b *rebuilder) write(db *pebble.DB) error {
	it, err := b.raw.NewIter(nil)
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		key, seq, kind := it.Key()[2:], binary.BigEndian.Uint64(v), pebble.InternalKeyKind(v[16])
		isSet := kind == pebble.InternalKeyKindSet || kind == pebble.InternalKeyKindSetWithDelete
		if !isSet || b.deleted(key, seq) {
			if err := db.Delete(key, pebble.NoSync); err != nil {
				return err
			}
			continue
		}
		if err := db.Set(key, v[17:], pebble.NoSync); err != nil {
			return err
		}
		b.records++
	}
	return it.Error()
}

// applyRedo applies a commit's redo, which the index may keep.
func applyRedo(db *pebble.DB, redo []byte) error {
	batch := db.NewBatch()
	defer batch.Close()
	if err := batch.SetRepr(redo); err != nil {
		return err
	}
	return db.Apply(batch, pebble.NoSync)
}

func (b *rebuilder) deleted(key []byte, seq uint64) bool {
	for _, s := range b.spans {
		if seq < s.seq && string(key) >= string(s.start) && string(key) < string(s.end) {
			return true
		}
	}
	return false
}

// ensure puts in what an index can't be without.
func (b *rebuilder) ensure(db *pebble.DB, known identity) error {
	if _, closer, err := db.Get(keyStore); err == nil {
		closer.Close()
	} else if known.format == 0 {
		return errors.New("neither VERSION nor index say which store it is")
	} else if err := db.Set(keyStore, known.append(nil), pebble.NoSync); err != nil {
		return err
	}
	at, err := b.position(db, known.id)
	if err != nil {
		return err
	}
	if err := db.Set(keyApplied, at.append(nil), pebble.NoSync); err != nil {
		return err
	}
	if err := db.Set(keyJump, nil, pebble.NoSync); err != nil {
		return err
	}
	return db.Set(keyRebuilt, nil, pebble.NoSync)
}

// askRebuild has the next opening make the index anew.
func (s *Store) askRebuild() error {
	name := s.fs.PathJoin(s.o.Dir, rebuildFile)
	if err := writeFile(s.fs, name, fmt.Appendf(nil, "The index is damaged. The next start of postrider makes it anew.\n")); err != nil {
		return err
	}
	return syncDir(s.fs, s.o.Dir)
}
