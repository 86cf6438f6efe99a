package wire

import (
	"bytes"
	"io"
)

// DotWriter puts content on the wire in the form that a DotReader takes: a line
// that begins with a dot gets another, and Close writes the CRLF.CRLF (RFC 5321
// §4.5.2, RFC 1939 §3).
//
// If the content does not end in CRLF, Close adds one, so that the peer sees the
// content two octets longer than it is stored; an announced size is of the
// content as stored. A dot behind a LF that has no CR is stuffed too: no peer,
// however lenient, must find the end of the content before its end.
//
// It hands on what it is given in runs, and does not buffer: put a buffer
// behind it.
type DotWriter struct {
	w    io.Writer
	err  error
	tail [2]byte // the last two octets written
}

// NewDotWriter returns a DotWriter that writes to w.
func NewDotWriter(w io.Writer) *DotWriter {
	d := new(DotWriter)
	d.Reset(w)
	return d
}

// Reset makes d ready for new content, which goes to w.
func (d *DotWriter) Reset(w io.Writer) { *d = DotWriter{w: w, tail: [2]byte{'\r', '\n'}} }

var (
	lfDot         = []byte("\n.")
	dot           = []byte(".")
	terminator    = []byte(".\r\n")
	endTerminator = []byte("\r\n.\r\n")
)

// Write writes content. N counts octets of p. The first error stays.
func (d *DotWriter) Write(p []byte) (n int, err error) {
	if len(p) == 0 || d.err != nil {
		return 0, d.err
	}
	if p[0] == '.' && d.tail[1] == '\n' {
		d.put(dot)
	}
	for d.err == nil {
		i := bytes.Index(p[n:], lfDot)
		if i < 0 {
			break
		}
		n += d.put(p[n : n+i+1])
		d.put(dot)
	}
	if d.err == nil {
		n += d.put(p[n:])
	}
	d.remember(p)
	return n, d.err
}

// put writes b and returns how much of it was taken.
func (d *DotWriter) put(b []byte) int {
	if d.err != nil {
		return 0
	}
	n, err := d.w.Write(b)
	if n < len(b) && err == nil {
		err = io.ErrShortWrite
	}
	d.err = err
	return n
}

// remember keeps the last two octets of the content.
func (d *DotWriter) remember(p []byte) {
	if len(p) == 1 {
		d.tail = [2]byte{d.tail[1], p[0]}
		return
	}
	d.tail = [2]byte(p[len(p)-2:])
}

// Close writes the end of the content. It does not close the writer below.
func (d *DotWriter) Close() error {
	if d.tail == [2]byte{'\r', '\n'} {
		d.put(terminator)
	} else {
		d.put(endTerminator)
	}
	return d.err
}
