package pop3

import (
	"bytes"
	"context"
	"io"

	"postrider/internal/fault"
	"postrider/internal/store"
	"postrider/internal/wire"
)

// allLines asks for the whole message.
const allLines = -1

// sending is the body of RETR and TOP: a message that is open and is sent next.
type sending struct {
	d    *maildrop
	r    store.Reader // nil when nothing is open
	dots wire.DotWriter
	top  topWriter
	all  bool
}

// openMessage opens message i to be sent whole, or the lines of its body.
func (d *maildrop) openMessage(ctx context.Context, i int, lines int64) error {
	d.closeMessage()
	r, err := d.store.Open(ctx, d.uids[i])
	if err != nil {
		return err
	}
	d.sending.d, d.sending.r = d, r
	d.sending.all = lines == allLines
	d.sending.top = topWriter{left: lines}
	return nil
}

// closeMessage closes what openMessage opened, if it was not sent.
func (d *maildrop) closeMessage() {
	if d.sending.r != nil {
		_ = d.sending.r.Close() // it was only read
		d.sending.r = nil
	}
}

// WriteTo writes the message with dots stuffed, and its end. After an error the
// end is missing, so that no client takes a part for the whole.
func (s *sending) WriteTo(w io.Writer) (int64, error) {
	defer s.d.closeMessage()
	s.dots.Reset(w)
	n, err := s.content()
	if err == nil {
		err = s.dots.Close()
	}
	s.dots.Reset(nil)
	if err != nil {
		s.d.failed(fault.Wrap("send message", err))
		return n, err
	}
	if s.all {
		s.d.summary.Retrieved++
		s.d.summary.Octets += n
	}
	return n, nil
}

// content writes the octets that were asked for.
func (s *sending) content() (int64, error) {
	if !s.all {
		s.top.w = &s.dots
		n, err := s.r.WriteTo(&s.top)
		if s.top.done {
			err = nil
		}
		s.top.w = nil
		return n, err
	}
	n, err := s.r.WriteTo(&s.dots)
	if err == nil && n != s.r.Size() {
		err = fault.Newf(fault.Corrupt, "read message", "got %d octets of %d", n, s.r.Size())
	}
	return n, err
}

// topWriter hands on a message's header, the blank line behind it and so many
// lines of its body; then its Write fails with errEnough. It keeps no line.
type topWriter struct {
	w    io.Writer
	left int64 // lines of the body
	body bool
	done bool
	line lineShape
}

// lineShape says what of a line has been seen.
type lineShape uint8

const (
	lineEmpty lineShape = iota
	lineCR              // a CR and nothing else
	lineText
)

// Write takes the next octets of the message.
func (t *topWriter) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) && !t.done {
		lf := bytes.IndexByte(p[n:], '\n')
		if lf < 0 {
			t.see(p[n:])
			n = len(p)
			break
		}
		t.see(p[n : n+lf])
		t.endLine()
		n += lf + 1
	}
	written, err := t.w.Write(p[:n])
	if err == nil && t.done {
		err = errEnough
	}
	if err != nil && err != errEnough {
		t.done = false
	}
	return written, err
}

// see looks at a part of a line.
func (t *topWriter) see(part []byte) {
	switch {
	case len(part) == 0:
	case t.line == lineEmpty && len(part) == 1 && part[0] == '\r':
		t.line = lineCR
	default:
		t.line = lineText
	}
}

// endLine counts a line.
func (t *topWriter) endLine() {
	if t.body {
		t.left--
	} else if t.line != lineText {
		t.body = true
	}
	t.done = t.body && t.left <= 0
	t.line = lineEmpty
}
