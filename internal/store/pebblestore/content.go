package pebblestore

import (
	"context"
	"sync/atomic"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// content is a message that is arriving: in memory while it is small, in a file
// beyond that.
type content struct {
	s    *Store
	n    int64
	buf  *[]byte // nil once there is a file
	file *blockWriter
	read *blockReader // of file; nil until ReadAt wants it
	err  error        // of a Write
	over bool         // accepted or discarded
}

var _ store.Content = (*content)(nil)

// arriving bounds the memory of the small contents.
type arriving struct {
	max  int64
	used atomic.Int64
}

// take reserves n octets, if they are to be had.
func (a *arriving) take(n int64) bool {
	if a.used.Add(n) <= a.max {
		return true
	}
	a.used.Add(-n)
	return false
}

func (a *arriving) give(n int64) { a.used.Add(-n) }

// NewContent implements store.Messages.
func (s *Store) NewContent(ctx context.Context, size int64) (store.Content, error) {
	const op = "take message"
	if err := s.gate.enter(op); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	if err := ctx.Err(); err != nil {
		return nil, fault.New(fault.Transient, op, err)
	}
	if err := s.health.mail(op); err != nil {
		return nil, err
	}
	if free, keep, _ := s.health.space.enough(); free > 0 && size > free-keep {
		return nil, fault.Newf(fault.NoSpace, op, "a message of %d octets, %d are free above the reserve", size, free-keep)
	}
	c := &content{s: s}
	if size > s.o.SmallMax {
		if err := c.spill(); err != nil {
			c.Discard()
			return nil, err
		}
	}
	return c, nil
}

// Size implements store.Content.
func (c *content) Size() int64 { return c.n }

// Write implements store.Content.
func (c *content) Write(p []byte) (int, error) {
	if c.over {
		return 0, fault.Newf(fault.Invalid, "write content", "it was accepted or discarded")
	}
	if c.err != nil {
		return 0, c.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if c.file == nil && !c.room(len(p)) {
		if c.err = c.spill(); c.err != nil {
			return 0, c.err
		}
	}
	if c.file == nil {
		*c.buf = append(*c.buf, p...)
		c.n += int64(len(p))
		return len(p), nil
	}
	n, err := c.file.Write(p)
	c.n += int64(n)
	c.s.health.space.wrote(int64(n))
	if err != nil {
		c.err = c.fault("write content", err)
	}
	return n, c.err
}

// room makes room in memory for n octets more; it reports false when the content
// has to go to a file.
func (c *content) room(n int) bool {
	want := c.n + int64(n)
	if want > c.s.o.SmallMax {
		return false
	}
	if c.buf != nil && want <= int64(cap(*c.buf)) {
		return true
	}
	buf := c.s.buffers.get(int(want))
	if !c.s.arriving.take(int64(cap(*buf))) {
		c.s.buffers.put(buf)
		return false
	}
	if c.buf != nil {
		*buf = append(*buf, *c.buf...)
		c.dropBuffer()
	}
	c.buf = buf
	return true
}

func (c *content) dropBuffer() {
	if c.buf == nil {
		return
	}
	c.s.arriving.give(int64(cap(*c.buf)))
	c.s.buffers.put(c.buf)
	c.buf = nil
}

// spill goes on in a file.
func (c *content) spill() error {
	const op = "make file for message"
	f, num, err := c.s.files.create()
	if err != nil {
		return c.fault(op, err)
	}
	buf := c.s.transfers.Get().(*[]byte)
	c.file = newBlockWriter(f, num, *buf)
	if c.buf == nil {
		return nil
	}
	if _, err := c.file.Write(*c.buf); err != nil {
		return c.fault(op, err)
	}
	c.dropBuffer()
	return nil
}

// fault gives an error of the content's file its kind; a failed sync ends all
// taking of mail.
func (c *content) fault(op string, err error) error {
	return c.s.health.noteSync(op, err)
}

// finish makes a content in a file durable, name and all.
func (c *content) finish() error {
	const op = "sync content"
	if c.err != nil {
		return c.err
	}
	if c.file == nil {
		return nil
	}
	done := c.s.stats.syncing()
	defer done()
	if err := c.file.finish(); err != nil {
		return c.fault(op, err)
	}
	c.s.stats.written.Add(float64(c.file.length))
	if err := c.s.files.settle(c.file.num); err != nil {
		return c.fault(op, err)
	}
	return nil
}

// body returns what is in memory.
func (c *content) body() []byte {
	if c.buf == nil {
		return nil
	}
	return *c.buf
}

// Discard implements store.Content.
func (c *content) Discard() { c.end(false) }

// end frees everything but, if it is kept, the file.
func (c *content) end(keep bool) {
	if c.over {
		return
	}
	c.over = true
	c.dropBuffer()
	if c.file == nil {
		return
	}
	if err := c.file.file.Close(); err != nil {
		c.s.health.log.Warn("store: close of a large message", "error", err.Error())
	}
	buf := c.file.buf
	c.s.transfers.Put(&buf)
	if c.read != nil {
		buf := c.read.buf
		c.s.transfers.Put(&buf)
		c.read = nil
	}
	if !keep {
		c.s.files.remove(c.file.num)
	}
}
