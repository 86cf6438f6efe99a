package wire

import (
	"bytes"
	"io"
)

// EndingChecker passes content on unchanged and remembers whether a CR or LF in
// it stands alone. It is for content that comes with a count instead of dots
// (BDAT, RFC 3030 §3), where nothing else looks at line endings.
type EndingChecker struct {
	w    io.Writer
	flaw error
	cr   bool // the last octet was a CR
}

// Reset makes c ready for new content, which goes to w. A nil w drops it.
func (c *EndingChecker) Reset(w io.Writer) { *c = EndingChecker{w: w} }

// Write checks p and passes it on. Its error is that of the writer below.
func (c *EndingChecker) Write(p []byte) (int, error) {
	c.check(p)
	if c.w == nil {
		return len(p), nil
	}
	return c.w.Write(p)
}

// check looks at p until the first flaw of the content is known.
func (c *EndingChecker) check(p []byte) {
	if len(p) == 0 || c.flaw != nil {
		return
	}
	if c.cr {
		c.cr = false
		if p[0] != '\n' {
			c.flaw = ErrBareCR
			return
		}
		p = p[1:]
	}
	for c.flaw == nil && len(p) > 0 {
		lf := bytes.IndexByte(p, '\n')
		if lf < 0 {
			cr := bytes.IndexByte(p, '\r')
			c.cr = cr == len(p)-1
			if cr >= 0 && !c.cr {
				c.flaw = ErrBareCR
			}
			return
		}
		switch cr := bytes.IndexByte(p[:lf], '\r'); {
		case cr < 0:
			c.flaw = ErrBareLF
		case cr < lf-1:
			c.flaw = ErrBareCR
		}
		p = p[lf+1:]
	}
}

// Err returns ErrBareCR or ErrBareLF, whichever was seen first, or nil.
func (c *EndingChecker) Err() error { return c.flaw }

// Finish is Err at the end of the content, where a CR that waits for its LF has
// waited in vain.
func (c *EndingChecker) Finish() error {
	if c.cr && c.flaw == nil {
		return ErrBareCR
	}
	return c.flaw
}
