package message

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
)

// NewEncoder returns a writer that encodes what is written to it, on lines of at
// most 76 octets (RFC 2045 §6.7, §6.8): as base64, or as quoted-printable, in which
// CRLF stays a line end. Close writes what is left and does not close w. Nothing it
// writes can be taken for the boundary of a multipart.
func NewEncoder(w io.Writer, asBase64 bool) io.WriteCloser {
	out := bufio.NewWriterSize(w, copyBuffer)
	if !asBase64 {
		return &encoder{WriteCloser: &quotedWriter{w: out}, out: out}
	}
	lines := &breaker{w: out, all: true}
	return &encoder{
		WriteCloser: &base64Writer{WriteCloser: base64.NewEncoder(base64.StdEncoding, lines), lines: lines},
		out:         out,
	}
}

// encoder is an encoder with what it writes to.
type encoder struct {
	io.WriteCloser
	out *bufio.Writer
}

// Close writes what is left.
func (e *encoder) Close() error {
	if err := e.WriteCloser.Close(); err != nil {
		return err
	}
	return e.out.Flush()
}

// quotedWriter encodes octets as quoted-printable (RFC 2045 §6.7). CRLF is a
// line end; a CR or LF alone is encoded. No line begins with a hyphen, so that
// none can be taken for a boundary.
type quotedWriter struct {
	w      *bufio.Writer
	column int
	// held is white space or a CR whose encoding depends on what follows.
	held byte
}

// Write encodes p.
func (q *quotedWriter) Write(p []byte) (int, error) {
	for _, c := range p {
		q.next(c)
	}
	return len(p), q.err()
}

// Close writes what is left.
func (q *quotedWriter) Close() error {
	if q.held != 0 {
		q.escape(q.held)
		q.held = 0
	}
	return q.err()
}

// err returns the error of w, which keeps it.
func (q *quotedWriter) err() error {
	_, err := q.w.Write(nil)
	return err
}

func (q *quotedWriter) next(c byte) {
	switch held := q.held; {
	case held == '\r' && c == '\n':
		q.held, q.column = 0, 0
		q.w.WriteString("\r\n")
		return
	case held == '\r':
		q.escape(held)
	case held != 0 && c == '\r':
		q.escape(held) // white space at the end of a line
	case held != 0:
		q.plain(held)
	}
	q.held = 0
	switch {
	case c == '\r' || isBlank(c):
		q.held = c
	case isEscaped(c) || c == '-' && q.startsLine(1):
		q.escape(c)
	default:
		q.plain(c)
	}
}

// isEscaped reports whether an octet is encoded wherever it stands.
func isEscaped(c byte) bool {
	return c == '=' || c >= 0x7f || c < ' ' && c != '\t' && c != '\r'
}

// countEscaped returns how many octets of a line, or of a piece of one, are
// encoded: also white space before its CR.
func countEscaped(p []byte) (n int64) {
	for i, c := range p {
		if isEscaped(c) || c == '\r' && i > 0 && isBlank(p[i-1]) {
			n++
		}
	}
	return n
}

// startsLine reports whether the next n octets would begin a line.
func (q *quotedWriter) startsLine(n int) bool { return q.column == 0 || q.column+n >= encodedLine }

func (q *quotedWriter) plain(c byte) {
	q.room(1)
	q.column++
	q.w.WriteByte(c)
}

func (q *quotedWriter) escape(c byte) {
	const digits = "0123456789ABCDEF"
	q.room(3)
	q.column += 3
	q.w.Write([]byte{'=', digits[c>>4], digits[c&15]})
}

// room makes a soft line break unless n octets and its "=" fit on the line.
func (q *quotedWriter) room(n int) {
	if q.column+n >= encodedLine {
		q.w.WriteString("=\r\n")
		q.column = 0
	}
}

// breaker breaks lines: all of them after encodedLine octets, or only those of
// more than MaxLine.
type breaker struct {
	w   *bufio.Writer
	all bool
	// line holds the line at hand, while it may turn out to be no longer than
	// MaxLine; long says that it has.
	line   []byte
	long   bool
	column int
}

// Write takes the next octets.
func (b *breaker) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		b.add(line)
		if ended {
			b.end()
		}
		p = rest
	}
	_, err := b.w.Write(nil)
	return n, err
}

// Close ends the last line as it ends.
func (b *breaker) Close() error {
	b.flush()
	_, err := b.w.Write(nil)
	return err
}

// add adds to the line at hand.
func (b *breaker) add(p []byte) {
	if !b.long && !b.all {
		if len(b.line)+len(p) <= MaxLine+1 { // with the CR
			b.line = append(b.line, p...)
			return
		}
		b.long = true
		held := b.line
		b.line = nil
		b.spread(held)
	}
	b.spread(p)
}

// spread writes octets on lines of encodedLine.
func (b *breaker) spread(p []byte) {
	for _, c := range p {
		if b.column == encodedLine && c != '\r' {
			b.w.WriteString("\r\n")
			b.column = 0
		}
		b.w.WriteByte(c)
		b.column++
	}
}

func (b *breaker) flush() {
	b.w.Write(b.line)
	b.line, b.long, b.column = b.line[:0], false, 0
}

// end ends the line at hand.
func (b *breaker) end() {
	b.flush()
	b.w.WriteByte('\n')
}
