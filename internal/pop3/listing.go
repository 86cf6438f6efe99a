package pop3

import (
	"context"
	"io"
	"strconv"

	"postrider/internal/store"
)

// chunkSize is how many octets of a listing are gathered before they are
// written; a line has at most maxListing.
const (
	chunkSize  = 4 << 10
	maxListing = 19 + 1 + 70 + 2 // number, space, UIDL or size, CRLF
)

// chunk gathers the lines of a listing.
type chunk struct {
	w io.Writer
	b []byte
	n int64
}

// newChunk returns a chunk with room for so many lines, if they are few.
func newChunk(w io.Writer, lines int64) *chunk {
	return &chunk{w: w, b: make([]byte, 0, min(chunkSize, (lines+1)*maxListing))}
}

// begin begins the line of message i. The caller appends to c.b, then calls end.
func (c *chunk) begin(i int) {
	c.b = append(strconv.AppendInt(c.b, int64(i)+1, 10), ' ')
}

// end ends a line, and writes what there is if another might not fit.
func (c *chunk) end() error {
	c.b = append(c.b, '\r', '\n')
	if len(c.b) > chunkSize-maxListing {
		return c.flush()
	}
	return nil
}

// flush writes what there is.
func (c *chunk) flush() error {
	n, err := c.w.Write(c.b)
	c.n += int64(n)
	c.b = c.b[:0]
	return err
}

// close writes the last line, a dot (RFC 1939 §3). No line of a listing begins
// with one.
func (c *chunk) close() (int64, error) {
	c.b = append(c.b, '.', '\r', '\n')
	err := c.flush()
	return c.n, err
}

// scanListings is the body of LIST, of a maildrop that is loaded.
type scanListings maildrop

// WriteTo writes the listings and the dot.
func (d *scanListings) WriteTo(w io.Writer) (int64, error) {
	c := newChunk(w, d.messages-d.marked)
	for i, size := range d.sizes {
		if (*maildrop)(d).isMarked(i) {
			continue
		}
		c.begin(i)
		c.b = strconv.AppendInt(c.b, size, 10)
		if err := c.end(); err != nil {
			return c.n, err
		}
	}
	return c.close()
}

// uidListings is the body of UIDL. It reads the names from the store while it
// writes them, unless they are known.
type uidListings struct {
	d   *maildrop
	ctx context.Context
}

// WriteTo writes the listings and the dot.
func (u uidListings) WriteTo(w io.Writer) (int64, error) {
	c := newChunk(w, u.d.messages-u.d.marked)
	if u.d.loaded && !u.d.regular.broken {
		return u.writeRegular(c)
	}
	err := u.d.each(u.ctx, func(i int, m *store.Message) error {
		if u.d.isMarked(i) {
			return nil
		}
		c.begin(i)
		c.b = append(c.b, m.UIDL...)
		return c.end()
	})
	if err != nil {
		u.d.failed(err)
		return c.n, err
	}
	return c.close()
}

func (u uidListings) writeRegular(c *chunk) (int64, error) {
	for i, uid := range u.d.uids {
		if u.d.isMarked(i) {
			continue
		}
		c.begin(i)
		c.b = u.d.regular.append(c.b, uid)
		if err := c.end(); err != nil {
			return c.n, err
		}
	}
	return c.close()
}
