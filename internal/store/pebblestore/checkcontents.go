package pebblestore

import (
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/fault"
)

// badContent is a content that can't be read.
type badContent struct {
	// stays: the messages that have it are not removed. The disk would not give
	// the octets this time, or those there are could not be set aside.
	stays bool
	kept  string // where its octets are; empty: nowhere
}

// contents reads every content and verifies its checksums.
func (c *check) contents() error {
	return c.each(tableBlob, func(key, v []byte) error {
		id, ok := keyUint64(key)
		o, err := decodeBlob(v)
		if !ok || err != nil {
			c.malformed(fmt.Sprintf("content %016x", id), errValue.Error(), key, v, nil)
			c.bad[id] = badContent{stays: c.repair && !c.dropping(key)}
			return nil
		}
		c.segments[o.segment] += o.length
		place := fmt.Sprintf("%s, offset %d", c.s.log.path(o.segment), o.offset)
		octets, err := c.s.verify(id, o)
		if err == nil && o.file != 0 {
			place = c.s.files.path(o.file)
			if err = c.s.verifyFile(o); err == errTrailing && c.trailing(id, o, place) {
				err = nil
			}
		}
		switch {
		case err == nil:
			return c.fileRow(id, o)
		case isDamage(err):
			c.setAside(id, octets, o, place, err)
		default:
			c.unread(id, place, err)
		}
		return nil
	})
}

// unread remembers a content that the disk did not give this time. Nobody knows
// whether it is damaged: it stays.
func (c *check) unread(id uint64, place string, err error) {
	c.bad[id] = badContent{stays: true}
	c.found(place, "a message's content could not be read this time: "+err.Error(), "")
}

// fileRow checks that a large file's row leads to its content.
func (c *check) fileRow(id uint64, o blob) error {
	if o.file == 0 {
		return nil
	}
	var k keyBuf
	v, err := lookUp(c.index, k.file(o.file))
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if err == nil {
		defer v.Close()
		r := valueReader{b: v.b}
		if r.fixed() == id {
			return nil
		}
	}
	c.miscounted(c.s.files.path(o.file), "it is not known as a content's file")
	return nil
}

// setAside remembers a content that can't be read; with repair its octets are
// kept, all there are, and the messages that have it go. If they can't be kept
// nothing goes.
func (c *check) setAside(id uint64, octets []byte, o blob, place string, damage error) {
	problem := "a message's content can't be read: " + damage.Error()
	repaired := "the messages that have it are removed"
	var b badContent
	if c.repair {
		var err error
		if b.kept, err = c.s.contentAside(id, octets, o); err != nil {
			b = badContent{stays: true}
			problem += "; it stays, since its octets can't be kept: " + err.Error()
			repaired = ""
		}
	}
	if b.kept != "" {
		repaired += "; its octets are kept in " + b.kept
	}
	if repaired != "" {
		c.uncount = true
	}
	c.bad[id] = b
	c.found(place, problem, repaired)
}

// verify reads a content's record and verifies it all. The octets are returned
// also if they are wrong.
func (s *Store) verify(id uint64, o blob) ([]byte, error) {
	if o.length > maxFrame {
		return nil, errRecord
	}
	f, err := s.log.acquire(o.segment)
	if err != nil {
		return nil, err
	}
	defer s.log.release(f)
	b := make([]byte, o.length)
	if n, err := f.ReadAt(b, o.offset); n < len(b) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return b[:n], err
	}
	h, err := parseBlob(b, id, o)
	if err != nil {
		return b, err
	}
	if !verifyRest(&h, b[recordHeaderSize:]) {
		return b, errChecksum
	}
	return b, nil
}

// errTrailing is what a large file gives that is sound, but too long.
var errTrailing = fmt.Errorf("%w: octets after its end", errRecord)

// verifyFile reads a large content to its end.
func (s *Store) verifyFile(o blob) error {
	f, err := s.fs.Open(s.files.path(o.file))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.eachBlock(f, o, func([]byte) error { return nil }); err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != blocksLength(o.body) {
		return errTrailing
	}
	return err
}

// eachBlock calls f with a large content's verified octets, in turn.
func (s *Store) eachBlock(file vfs.File, o blob, f func(b []byte) error) error {
	buf := s.transfers.Get().(*[]byte)
	defer s.transfers.Put(buf)
	r := blockReader{file: file, num: o.file, size: o.body, buf: *buf}
	for off := int64(0); off < o.body; {
		b, err := r.at(off)
		if err != nil {
			return err
		}
		if err := f(b); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// trailing reports octets after the end of a large file, which make it unreadable
// to Open. With repair the file is kept as it is in damaged/, and its sound
// octets are written anew; it reports whether the content has no fault then.
func (c *check) trailing(id uint64, o blob, place string) bool {
	if !c.repair {
		return false
	}
	kept, err := c.s.contentAside(id, nil, o)
	if err == nil {
		err = c.s.rewrite(o)
	}
	if err != nil {
		return false
	}
	c.found(place, errTrailing.Error(), "they are cut off; the file as it was is kept in "+kept)
	return true
}

// rewrite writes a large file anew, without what stands after its end. Readers
// that have it open are not disturbed.
func (s *Store) rewrite(o blob) error {
	path := s.files.path(o.file)
	from, err := s.fs.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	temp, err := s.asidePath(fmt.Sprintf("new-%011x", o.file)) // large/ is scanned
	if err != nil {
		return err
	}
	to, err := s.fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	buf := s.transfers.Get().(*[]byte)
	defer s.transfers.Put(buf)
	w := newBlockWriter(to, o.file, *buf)
	err = s.eachBlock(from, o, func(b []byte) error { _, err := w.Write(b); return err })
	if err == nil {
		err = w.finish()
	}
	if err2 := to.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = s.fs.Rename(temp, path)
	}
	if err != nil {
		_ = s.fs.Remove(temp) // it may not be there
		return err
	}
	return s.files.settle(o.file)
}
