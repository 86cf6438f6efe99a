package pebblestore

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/fault"
)

// Segments are written ahead with zeros in steps, so that the syncs between two
// steps change no file's length (which costs a disk about as much again as the
// sync); frames that are long anyway just lengthen the file.
const (
	zeroStep  = 1 << 20   // octets
	longFrame = 256 << 10 // octets
)

// maxPool bounds how many segments that became free are kept to be used again.
const maxPool = 8

// maxOpenSegments bounds how many segments are open for reading without being
// read at the moment.
const maxOpenSegments = 128

const segmentSuffix = ".seg"

// segment is what is known of a segment file that is in use.
type segment struct {
	num  uint64
	live int64 // octets of records that are referenced
	used int64 // octets of frames, from the beginning
}

// segmentLog is the log's files. Its append side is the committer's; the rest
// may be called from anywhere.
type segmentLog struct {
	fs     vfs.FS
	dir    string
	store  storeID
	size   int64 // of a segment, octets
	health *health
	stats  *metrics

	// The committer's own.
	file vfs.File // of the head
	long int64    // octets of that file

	mu       sync.Mutex
	head     uint64
	previous uint64 // what was the head before
	next     uint64 // number of the next segment
	all      map[uint64]*segment
	freed    []freedSegment // not yet to be used again
	pool     []uint64       // to be used again, by their last numbers
	open     map[uint64]*segmentFile
}

// freedSegment is a segment that nothing refers to since the commit lsn.
type freedSegment struct {
	num   uint64
	lsn   uint64
	stamp uint64 // of pins
}

// segmentFile is a segment open for reading.
type segmentFile struct {
	vfs.File
	num  uint64
	refs int
	gone bool // to be closed by the last
}

func segmentName(num uint64) string { return fmt.Sprintf("%010d%s", num, segmentSuffix) }

// parseSegmentName reads a segment's number from its file's name.
func parseSegmentName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && segmentName(n) == name
}

func (l *segmentLog) path(num uint64) string { return l.fs.PathJoin(l.dir, segmentName(num)) }

// headPosition returns where the next frame goes if it finds room.
func (l *segmentLog) headPosition() position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return position{l.head, l.all[l.head].used}
}

// place returns where a frame of at most n octets goes, and begins a new segment
// when the head has no room for it.
func (l *segmentLog) place(n int64) (position, error) {
	at := l.headPosition()
	if at.offset == 0 || at.offset+n <= l.size {
		return at, nil
	}
	if err := l.roll(); err != nil {
		return position{}, err
	}
	return l.headPosition(), nil
}

// roll begins a new segment, in a file from the pool if there is one.
func (l *segmentLog) roll() error {
	const op = "begin log segment"
	l.mu.Lock()
	num, old, reuse := l.next, uint64(0), len(l.pool) > 0
	if reuse {
		old = l.pool[0] // the oldest: what is left in it is the least wanted
		l.pool = append(l.pool[:0], l.pool[1:]...)
	}
	l.mu.Unlock()
	if reuse {
		if err := l.fs.Rename(l.path(old), l.path(num)); err != nil {
			return fileFault(op, err)
		}
	}
	f, err := l.fs.OpenReadWrite(l.path(num), vfs.WriteCategoryUnspecified)
	if err != nil {
		return fileFault(op, err)
	}
	if err := l.begin(f, num); err != nil {
		f.Close()
		return err
	}
	return nil
}

// begin makes f, an open file under its final name, the head.
func (l *segmentLog) begin(f vfs.File, num uint64) error {
	const op = "begin log segment"
	info, err := f.Stat()
	if err != nil {
		return fileFault(op, err)
	}
	if err := syncDir(l.fs, l.dir); err != nil {
		return l.health.noteSync("sync of folder "+l.dir, err)
	}
	if l.file != nil {
		l.file.Close() // everything in it is synced
	}
	l.file, l.long = f, info.Size()
	l.mu.Lock()
	l.previous, l.head, l.next = l.head, num, num+1
	l.all[num] = &segment{num: num}
	l.mu.Unlock()
	return nil
}

// syncDir makes the names in a folder durable. If the sync itself failed the
// error is a syncError.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	if err = d.Sync(); err != nil {
		err = &syncError{err}
	}
	return errors.Join(err, d.Close())
}

// write puts a frame, whole pages, at a position that place gave, and syncs it.
// When the error is of kind NoSpace nothing has happened; after any other the
// store is broken.
func (l *segmentLog) write(at position, frame []byte) error {
	const op = "write log"
	end := at.offset + int64(len(frame))
	if _, err := l.file.WriteAt(frame, at.offset); err != nil {
		if !isFull(err) {
			l.health.fail("write of "+l.path(at.segment), err)
		}
		return fileFault(op, err)
	}
	written := int64(len(frame))
	if end > l.long {
		l.long = end
		n, err := l.writeAhead(end, int64(len(frame)))
		if err != nil {
			l.health.fail("write of "+l.path(at.segment), err)
			return fault.New(fault.Internal, op, err)
		}
		written += n
	}
	l.health.space.wrote(written)
	l.stats.written.Add(float64(written))
	done := l.stats.syncing()
	err := l.file.SyncData()
	done()
	if err != nil {
		l.health.fail("sync of "+l.path(at.segment), err)
		return fault.New(fault.Internal, op, err)
	}
	return nil
}

// writeAhead lengthens the file beyond end by zeros, if the frame before is a
// short one, and returns how many. A full disk is no error here.
//
// It goes page by page: what is written to Linux's page cache at once is kept
// there as one large folio, and each later write of a page within counts as one
// of the whole (in /proc/PID/io; the device gets only the page).
func (l *segmentLog) writeAhead(end, frame int64) (int64, error) {
	to := min(roundUp(end, zeroStep), l.size)
	if frame >= longFrame {
		return 0, nil
	}
	for l.long < to {
		if _, err := l.file.WriteAt(zeroPage[:], l.long); err != nil {
			if isFull(err) {
				break
			}
			return 0, err
		}
		l.long += pageSize
	}
	return l.long - end, nil
}

// zeroPage is also what frames are filled up with.
var zeroPage [pageSize]byte

// wrote records that a frame up to next is durable and changed the live octets
// of segments.
func (l *segmentLog) wrote(next position, live map[uint64]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[next.segment].used = next.offset
	for num, n := range live {
		if s := l.all[num]; s != nil {
			s.live += n
		}
	}
}

// numberedRow is a segment's row with its number.
type numberedRow struct {
	num uint64
	segmentRow
}

// rows adds to rows those of the segments in live, changed by the octets there,
// and to dead those segments that have nothing live left after it: sealed ones,
// and the one that was the head before.
func (l *segmentLog) rows(rows []numberedRow, dead []uint64, head uint64, live map[uint64]int64) ([]numberedRow, []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for num, n := range live {
		s := l.all[num]
		switch {
		case s == nil:
		case num != head && s.live+n <= 0:
			dead = append(dead, num)
		default:
			rows = append(rows, numberedRow{num, segmentRow{s.live + n, s.used}})
		}
	}
	if _, ok := live[l.previous]; ok || l.previous == head {
		return rows, dead
	}
	if s := l.all[l.previous]; s != nil && s.live <= 0 {
		dead = append(dead, l.previous)
	}
	return rows, dead
}

// free takes segments out of use: the commit lsn has removed their rows.
func (l *segmentLog) free(nums []uint64, lsn, stamp uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, num := range nums {
		delete(l.all, num)
		l.freed = append(l.freed, freedSegment{num, lsn, stamp})
	}
}

// collect moves those freed segments to the pool that nobody can want any more:
// the index on disk knows of their end, and no pin is older. What the pool can't
// take is removed. It returns how many are waiting for the index only.
func (l *segmentLog) collect(flushed uint64, clear func(stamp uint64) bool) (waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keep := l.freed[:0]
	for _, f := range l.freed {
		switch {
		case f.lsn > flushed:
			waiting++
			keep = append(keep, f)
		case !clear(f.stamp):
			keep = append(keep, f)
		default:
			l.retire(f.num)
		}
	}
	l.freed = keep
	return waiting
}

// retire puts a segment's file into the pool or removes it. l.mu is held.
func (l *segmentLog) retire(num uint64) {
	if f := l.open[num]; f != nil {
		delete(l.open, num)
		if f.gone = true; f.refs == 0 {
			f.Close()
		}
	}
	info, err := l.fs.Stat(l.path(num))
	if len(l.pool) < maxPool && err == nil && info.Size() <= l.size { // a longer one was for one frame
		l.pool = append(l.pool, num)
		return
	}
	l.remove(num)
}

// remove removes a segment's file.
func (l *segmentLog) remove(num uint64) {
	if err := l.fs.Remove(l.path(num)); err != nil {
		l.health.log.Warn("store: a segment that is free can't be removed", "file", l.path(num), "error", err.Error())
	}
}

// drain removes the pool: its space is wanted.
func (l *segmentLog) drain() {
	l.mu.Lock()
	pool := l.pool
	l.pool = nil
	l.mu.Unlock()
	for _, num := range pool {
		l.remove(num)
	}
}

// recounted sets change to what has to be added to the live octets of segments
// for them to be what was counted. A segment that had been thought free is in
// use again.
func (l *segmentLog) recounted(counted, change map[uint64]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for num := range counted {
		if l.all[num] != nil {
			continue
		}
		l.all[num] = &segment{num: num, used: l.size}
		l.pool = slices.DeleteFunc(l.pool, func(n uint64) bool { return n == num })
		l.freed = slices.DeleteFunc(l.freed, func(f freedSegment) bool { return f.num == num })
	}
	for num, s := range l.all {
		if n := counted[num]; n != s.live {
			change[num] = n - s.live
		}
	}
}

// waiting reports whether freed segments can't be used again yet.
func (l *segmentLog) waiting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.freed) > 0
}

// uses reports whether something in a segment is live.
func (l *segmentLog) uses(num uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[num] != nil
}

// sparse returns the sealed segment of which least is live, if that is less
// than the share given.
func (l *segmentLog) sparse(share float64, skip map[uint64]bool) (uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	best, found := uint64(0), false
	for num, s := range l.all {
		if num == l.head || skip[num] || s.live <= 0 || s.used <= 0 {
			continue
		}
		if f := float64(s.live) / float64(s.used); f < share {
			best, share, found = num, f, true
		}
	}
	return best, found
}

// acquire opens a segment for reading; the caller gives it back to release.
func (l *segmentLog) acquire(num uint64) (*segmentFile, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.open[num]; f != nil {
		f.refs++
		return f, nil
	}
	file, err := l.fs.Open(l.path(num))
	if err != nil {
		return nil, err
	}
	f := &segmentFile{File: file, num: num, refs: 1}
	l.open[num] = f
	l.trim()
	return f, nil
}

// release gives back what acquire gave.
func (l *segmentLog) release(f *segmentFile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.refs--; f.refs == 0 && f.gone {
		f.Close()
	}
}

// trim closes segments that nobody reads when too many are open.
func (l *segmentLog) trim() {
	for num, f := range l.open {
		if len(l.open) <= maxOpenSegments {
			return
		}
		if f.refs == 0 {
			delete(l.open, num)
			f.Close()
		}
	}
}

// onDisk returns the octets of all segments, those in the pool included.
func (l *segmentLog) onDisk() int64 {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return 0
	}
	var sum int64
	for _, name := range names {
		if info, err := l.fs.Stat(l.fs.PathJoin(l.dir, name)); err == nil { // it may go meanwhile
			sum += info.Size()
		}
	}
	return sum
}

// close closes all files.
func (l *segmentLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for num, f := range l.open {
		delete(l.open, num)
		if f.gone = true; f.refs == 0 {
			f.Close()
		}
	}
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
