package wire

import (
	"bytes"
	"io"
)

// DotReader takes the content of a DATA command, or of a multi-line POP3
// response, off the wire: it removes the dot-stuffing, hands the content on, and
// knows where it ends (RFC 5321 §4.5.2, RFC 1939 §3).
//
// Only CRLF.CRLF ends the content; the CRLF of the line before counts as the
// first, so that ".CRLF" at the very beginning is an empty message. No other
// arrangement of CR, LF and dots ends it or begins a line in it. A CR or LF that
// stands alone is handed on like any octet and remembered for Err.
type DotReader struct {
	sink    io.Writer
	written int64
	framing error // ErrBareCR or ErrBareLF: the first of them
	failed  error // of sink
	state   dotState
}

type dotState uint8

const (
	dotLineStart dotState = iota // behind a CRLF, or at the beginning
	dotInLine
	dotAfterCR    // in a line, behind a CR that has gone to sink
	dotAfterDot   // behind a dot at the line's start, not gone to sink
	dotAfterDotCR // behind such a dot and a CR, neither gone to sink
	dotDone
)

// Reset makes d ready for new content, which goes to sink. A nil sink drops it.
func (d *DotReader) Reset(sink io.Writer) { *d = DotReader{sink: sink} }

// Feed takes the next octets from the wire. N is how many belonged to the
// content or its end; less than len(p) only if done. The content goes to sink in
// runs as long as p allows. After done, Feed takes nothing.
func (d *DotReader) Feed(p []byte) (n int, done bool) {
	start := 0 // p[start:n] is content that has not gone to sink
	for n < len(p) && d.state != dotDone {
		switch d.state {
		case dotInLine:
			n = d.restOfLine(p, n)
		case dotLineStart:
			d.state = dotInLine
			if p[n] == '.' {
				d.write(p[start:n])
				n++
				start = n
				d.state = dotAfterDot
			}
		case dotAfterCR:
			d.state = dotInLine
			if p[n] == '\n' {
				n++
				d.state = dotLineStart
			} else {
				d.flaw(ErrBareCR)
			}
		case dotAfterDot:
			d.state = dotInLine
			if p[n] == '\r' {
				n++
				d.state = dotAfterDotCR
			}
		case dotAfterDotCR:
			if p[n] == '\n' {
				n++
				start = n
				d.state = dotDone
				break
			}
			if n == 0 { // the CR was in an earlier p
				d.write(loneCR)
			}
			d.state = dotAfterCR
		}
	}
	if d.state != dotAfterDotCR {
		d.write(p[start:n])
	}
	return n, d.state == dotDone
}

var loneCR = []byte{'\r'}

// restOfLine goes on in a line at p[n:] and returns the place behind its CRLF,
// or len(p). It runs over as many whole lines as begin without a dot.
func (d *DotReader) restOfLine(p []byte, n int) int {
	for {
		lf := bytes.IndexByte(p[n:], '\n')
		if lf < 0 {
			d.lineEnd(p[n:])
			return len(p)
		}
		line := p[n : n+lf]
		n += lf + 1
		if !d.crlf(line) {
			continue
		}
		if n == len(p) || p[n] == '.' {
			d.state = dotLineStart
			return n
		}
	}
}

// crlf reports whether a line, given without its LF, ends in CRLF, and
// remembers what is wrong with it.
func (d *DotReader) crlf(line []byte) bool {
	last := len(line) - 1
	if last < 0 || line[last] != '\r' {
		if bytes.IndexByte(line, '\r') >= 0 {
			d.flaw(ErrBareCR)
		}
		d.flaw(ErrBareLF)
		return false
	}
	if bytes.IndexByte(line[:last], '\r') >= 0 {
		d.flaw(ErrBareCR)
	}
	return true
}

// lineEnd looks at a part of a line that has no LF.
func (d *DotReader) lineEnd(part []byte) {
	cr := bytes.IndexByte(part, '\r')
	if cr >= 0 && cr < len(part)-1 {
		d.flaw(ErrBareCR)
	}
	if len(part) > 0 && part[len(part)-1] == '\r' {
		d.state = dotAfterCR
	}
}

// flaw remembers the first line ending that was wrong.
func (d *DotReader) flaw(err error) {
	if d.framing == nil {
		d.framing = err
	}
}

// write hands content on, unless sink has failed.
func (d *DotReader) write(p []byte) {
	if len(p) == 0 || d.failed != nil {
		return
	}
	if d.sink == nil {
		d.written += int64(len(p))
		return
	}
	n, err := d.sink.Write(p)
	if n < len(p) && err == nil {
		err = io.ErrShortWrite
	}
	d.written += int64(max(n, 0))
	d.failed = err
}

// Written returns how many octets have gone to sink.
func (d *DotReader) Written() int64 { return d.written }

// Err returns what was wrong with the content: ErrBareCR or ErrBareLF, whichever
// came first, or else the first error of sink.
func (d *DotReader) Err() error {
	if d.framing != nil {
		return d.framing
	}
	return d.failed
}
