package pebblestore

import (
	"io"

	"postrider/internal/fault"
)

// ReadAt implements store.Content. What stands in the file is verified as it is
// read.
func (c *content) ReadAt(p []byte, off int64) (int, error) {
	const op = "read content"
	switch {
	case c.over:
		return 0, fault.Newf(fault.Invalid, op, "it was accepted or discarded")
	case off < 0:
		return 0, fault.Newf(fault.Invalid, op, "negative offset")
	case c.err != nil:
		return 0, c.err
	}
	n := 0
	for n < len(p) {
		b, err := c.at(off + int64(n))
		if err == io.EOF {
			return n, err
		}
		if err != nil {
			return n, c.fault(op, err)
		}
		n += copy(p[n:], b)
	}
	return n, nil
}

// at returns octets from off on, as many as are at hand, until the next call or
// Write; io.EOF at the end.
func (c *content) at(off int64) ([]byte, error) {
	if off >= c.n {
		return nil, io.EOF
	}
	if c.file == nil {
		return (*c.buf)[off:], nil
	}
	w := c.file
	if written := w.length / blockSize * blockPayload; off < written {
		if c.read == nil {
			buf := c.s.transfers.Get().(*[]byte)
			c.read = &blockReader{file: w.file, num: w.num, buf: *buf}
		}
		c.read.size = written
		return c.read.at(off)
	}
	return w.pending(off), nil
}

// pending returns octets from off on that are in the buffer only: the file has
// whole blocks up to it.
func (w *blockWriter) pending(off int64) []byte {
	off -= w.length / blockSize * blockPayload
	begin := off/blockPayload*blockSize + off%blockPayload
	end := min(begin/blockSize*blockSize+blockPayload, int64(w.filled))
	return w.buf[begin:end]
}
