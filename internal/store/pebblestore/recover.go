package pebblestore

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/fault"
)

// recovery brings the index up to the end of the log at opening.
type recovery struct {
	s    *Store
	nums []uint64 // of the segments, ascending
	file vfs.File // of the segment num, open for writing
	num  uint64

	lsn      uint64   // of the last frame applied
	pos      position // after it
	last     position // of it
	replayed int
	damaged  int
	long     bool     // the last frame was one that is not followed by zeros
	torn     []uint64 // segments that begin with a frame that was cut off

	// lostAll says that nothing was left of the index, so that all the log is replayed.
	lostAll bool

	buf, frame []byte // to read into
}

// recover replays the log from where the index is, and returns where the next
// frame goes.
//
// A frame is written only after the one before it was synced. So a bad frame
// with good ones after it was acknowledged and is damaged: it is set aside, and
// the rest is replayed; if only its records are bad, so is it, and the messages
// concerned read as damaged. A bad one at the end was never acknowledged: a write
// that the crash cut off.
func (s *Store) recover(from applied) (*recovery, error) {
	nums, err := s.listSegments(s.log.dir)
	if err != nil {
		return nil, err
	}
	r := &recovery{s: s, nums: nums, lsn: from.lsn, pos: from.next, lostAll: from.lsn == 0 && s.has(keyRebuilt)}
	defer r.close()
	for {
		f, ok, err := r.find()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if f.h.lsn != r.lsn+1 {
			if r.replayed == 0 && s.indexFS.holds() {
				return nil, fault.Newf(fault.Corrupt, "replay the log", "%w: it knows of commit %d, the log goes on with %d", errIndex, r.lsn, f.h.lsn)
			}
			r.lost(f.at, &f.h)
		}
		if err := r.replay(&f); err != nil {
			return nil, err
		}
	}
	if err := r.tail(); err != nil {
		return nil, err
	}
	return r, r.settle()
}

// open opens a segment, and makes durable what the system may still hold of it:
// what is replayed becomes visible, and must not go away again.
func (r *recovery) open(num uint64) error {
	if r.file != nil && r.num == num {
		return nil
	}
	r.close()
	op := "replay " + r.s.log.path(num)
	f, err := r.s.fs.OpenReadWrite(r.s.log.path(num), vfs.WriteCategoryUnspecified)
	if err != nil {
		return fileFault(op, err)
	}
	if err := f.SyncData(); err != nil {
		f.Close()
		return fault.New(fault.Internal, op, err)
	}
	r.file, r.num = f, num
	return nil
}

func (r *recovery) close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// foundFrame is a frame of the log with a sound header and redo.
type foundFrame struct {
	at    position
	h     frameHeader
	whole bool // its records are sound, too
}

// find returns the next frame at pos or after it to be replayed: a whole one, or
// one of which only records are damaged, if a whole one follows: that one was
// acknowledged. The frame after the last of a segment is the first of the next.
func (r *recovery) find() (next foundFrame, ok bool, err error) {
	first := true
	err = r.each(func(f foundFrame) bool {
		if first {
			next, first = f, false
		}
		ok = f.whole
		return !ok
	})
	return next, ok, err
}

// each calls f with the frames at pos or after it, until it returns false.
func (r *recovery) each(f func(foundFrame) bool) error {
	for _, num := range r.nums {
		if num < r.pos.segment {
			continue
		}
		from := int64(0)
		if num == r.pos.segment {
			from = r.pos.offset
		}
		if err := r.open(num); err != nil {
			return err
		}
		if more, err := r.scan(from, f); err != nil || !more {
			return err
		}
	}
	return nil
}

// scanStep is how much is read at once in search of a frame, in octets.
const scanStep = 1 << 20

// scan calls f with the frames of the open segment from an offset on, until it
// returns false. The frame that should follow is mostly there, at once.
func (r *recovery) scan(from int64, f func(foundFrame) bool) (more bool, err error) {
	if r.buf == nil {
		r.buf = make([]byte, scanStep)
	}
	for off, step := from, int64(pageSize); ; off, step = off+step, scanStep {
		n, err := r.file.ReadAt(r.buf[:step], off)
		if err != nil && err != io.EOF {
			return false, fileFault("replay "+r.s.log.path(r.num), err)
		}
		for i := 0; i+frameHeaderSize <= n; i += pageSize {
			h, ok := parseFrame(r.buf[i:])
			if !ok || h.store != r.s.id || h.segment != r.num || h.lsn <= r.lsn {
				continue
			}
			at := off + int64(i)
			records, redo, err := r.sound(at, &h)
			if err != nil {
				return false, err
			}
			if redo && !f(foundFrame{position{r.num, at}, h, records}) {
				return false, nil
			}
		}
		if int64(n) < step {
			return true, nil
		}
	}
}

// sound reports which of a frame's octets are what its header says.
func (r *recovery) sound(off int64, h *frameHeader) (records, redo bool, err error) {
	n := int(h.size() - frameHeaderSize)
	b := slices.Grow(r.frame[:0], n)[:n]
	if n <= maxKeptFrame {
		r.frame = b
	}
	switch err := readFull(r.file, b, off+frameHeaderSize); {
	case err == io.ErrUnexpectedEOF:
		return false, false, nil
	case err != nil:
		return false, false, fileFault("replay "+r.s.log.path(r.num), err)
	}
	records, redo = h.verify(b)
	return records, redo, nil
}

// replay applies a frame's redo to the index.
func (r *recovery) replay(f *foundFrame) error {
	op := fmt.Sprintf("replay commit %d", f.h.lsn)
	if err := r.open(f.at.segment); err != nil {
		return err
	}
	redo := make([]byte, f.h.redo) // the index may keep it
	if err := readFull(r.file, redo, f.at.offset+frameHeaderSize+int64(f.h.records)); err != nil {
		return fileFault(op, err)
	}
	if !f.whole {
		r.damaged++
		r.s.damaged = true
		r.s.health.log.Error("store: part of the log is damaged: of one commit, messages can't be read",
			"file", r.s.log.path(f.at.segment), "offset", f.at.offset, "commit", f.h.lsn,
			"do", "find out what is wrong with the disk, then run: postrider store check --repair")
	}
	apply := applyRedo
	if r.lostAll {
		apply = applyWithoutLogins
	}
	if err := apply(r.s.db, redo); err != nil {
		return indexFault(op, err)
	}
	r.lsn, r.last, r.pos = f.h.lsn, f.at, position{f.at.segment, f.at.offset + f.h.padded()}
	r.replayed++
	r.long = f.h.padded() >= longFrame
	return nil
}

// lost sets aside what lies between the last good frame and the next, which is
// not the one that should follow.
func (r *recovery) lost(next position, h *frameHeader) {
	r.damaged++
	r.s.damaged = true
	upTo := int64(-1)
	if next.segment == r.pos.segment {
		upTo = next.offset
	}
	kept := r.setAside(r.pos, upTo)
	r.s.health.log.Error("store: part of the log is damaged: acknowledged changes are lost",
		"file", r.s.log.path(r.pos.segment), "offset", r.pos.offset, "commits", h.lsn-r.lsn-1, "kept", kept,
		"do", "find out what is wrong with the disk, then run: postrider store check --repair")
}

// maxAside bounds what is set aside at once, in octets.
const maxAside = 64 << 20

// setAside copies the octets of the log from a place on to a file in damaged/, and
// returns its name; upTo negative: to the end of what looks written.
func (r *recovery) setAside(at position, upTo int64) string {
	f, err := r.s.fs.Open(r.s.log.path(at.segment))
	if err != nil {
		return "nothing: " + err.Error()
	}
	defer f.Close()
	if upTo < 0 {
		upTo = writtenEnd(f, at.offset)
	}
	b := make([]byte, min(upTo-at.offset, maxAside))
	n, err := f.ReadAt(b, at.offset)
	if n == 0 && err != nil {
		return "nothing: " + err.Error()
	}
	kept, err := r.s.aside(fmt.Sprintf("log-%d-%d", at.segment, at.offset), b[:n])
	if err != nil {
		return "nothing: " + err.Error()
	}
	return kept
}

// writtenEnd returns the offset of the first page of zeros at or after off, or
// the end of the file.
func writtenEnd(f io.ReaderAt, off int64) int64 {
	page := make([]byte, pageSize)
	for {
		n, err := f.ReadAt(page, off)
		if n == 0 || !slices.ContainsFunc(page[:n], func(b byte) bool { return b != 0 }) {
			return off
		}
		off += int64(n)
		if err != nil {
			return off
		}
	}
}

// tail looks at what stands where the next frame will go. If that was meant to
// be a frame it is set aside: after the crash of a sound disk it is a write that
// was never acknowledged, but a damaged one looks the same.
func (r *recovery) tail() error {
	if err := r.short(); err != nil {
		return err
	}
	for _, num := range r.nums {
		at := position{segment: num}
		if num == r.pos.segment {
			at = r.pos
		}
		if num < r.pos.segment {
			continue
		}
		if err := r.cutOff(at); err != nil {
			return err
		}
	}
	return nil
}

// cutOff sets aside what stands at a place where the next frame could be, if it
// was meant to be one.
func (r *recovery) cutOff(at position) error {
	if err := r.open(at.segment); err != nil {
		return err
	}
	var b [frameHeaderSize]byte
	n, err := r.file.ReadAt(b[:], at.offset)
	if err != nil && err != io.EOF {
		return fileFault("replay "+r.s.log.path(r.num), err)
	}
	if n < len(b) || !r.meant(at, b[:]) {
		return nil
	}
	r.s.damaged = true
	if at.segment != r.pos.segment {
		r.torn = append(r.torn, at.segment)
	}
	upTo := int64(-1)
	if h, ok := parseFrame(b[:]); ok {
		upTo = at.offset + h.size()
	}
	kept := r.setAside(at, upTo)
	r.s.health.log.Warn("store: the last write to the log is not whole: it was cut off before it was acknowledged, or is damaged since",
		"file", r.s.log.path(at.segment), "offset", at.offset, "kept", kept)
	return nil
}

// wipe takes the beginnings of torn frames away, so that the next opening does
// not find them again: their segments are free, and keep their names until they
// are used.
func (r *recovery) wipe() error {
	defer r.close()
	for _, num := range r.torn {
		if err := r.open(num); err != nil {
			return err
		}
		op := "wipe " + r.s.log.path(num)
		if _, err := r.file.WriteAt(zeroPage[:], 0); err != nil {
			return fileFault(op, err)
		}
		if err := r.file.SyncData(); err != nil {
			return fault.New(fault.Internal, op, err)
		}
	}
	return nil
}

// short warns of files that end sooner than the log wrote them ahead: what was
// behind may have been acknowledged.
func (r *recovery) short() error {
	for _, num := range r.nums {
		if num < r.pos.segment {
			continue
		}
		info, err := r.s.fs.Stat(r.s.log.path(num))
		if err != nil {
			return fileFault("replay "+r.s.log.path(num), err)
		}
		want := int64(1)
		if num == r.pos.segment {
			want = min(roundUp(r.pos.offset, zeroStep), r.s.log.size)
			if r.long {
				want = r.pos.offset
			}
		}
		if info.Size() < want {
			r.s.damaged = true
			r.s.health.log.Warn("store: a segment is shorter than it should be: the crash came when it was being made, or the end of it is lost",
				"file", r.s.log.path(num), "octets", info.Size(), "expected", want, "do", "if it happens again, find out what is wrong with the disk")
		}
	}
	return nil
}

// meant reports whether b, perhaps damaged, was written as the frame that should
// be here. What a segment holds from its former use is not.
func (r *recovery) meant(at position, b []byte) bool {
	ours := [8]byte(b) == frameMagic || storeID(b[8:24]) == r.s.id
	here := binary.LittleEndian.Uint64(b[24:]) == at.segment || binary.LittleEndian.Uint64(b[32:]) == r.lsn+1
	return ours && here
}

// settle makes sure of the last frame: its sync may have failed, and a system
// that has told so once does not tell again. It is written anew, and synced.
func (r *recovery) settle() error {
	if r.replayed == 0 {
		return nil
	}
	op := "replay " + r.s.log.path(r.last.segment)
	if err := r.open(r.last.segment); err != nil {
		return err
	}
	var hb [frameHeaderSize]byte
	if err := readFull(r.file, hb[:], r.last.offset); err != nil {
		return fileFault(op, err)
	}
	h, ok := parseFrame(hb[:])
	if !ok {
		return fault.New(fault.Corrupt, op, errChecksum)
	}
	frame := make([]byte, h.size())
	if err := readFull(r.file, frame, r.last.offset); err != nil {
		return fileFault(op, err)
	}
	if records, redo := h.verify(frame[frameHeaderSize:]); !records || !redo {
		return fault.New(fault.Corrupt, op, errChecksum)
	}
	if _, err := r.file.WriteAt(frame, r.last.offset); err != nil {
		return fileFault(op, err)
	}
	if err := r.file.SyncData(); err != nil {
		return fault.New(fault.Internal, op, err)
	}
	return fileFault(op, syncDir(r.s.fs, r.s.log.dir))
}
