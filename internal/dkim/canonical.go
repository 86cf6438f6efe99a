package dkim

import (
	"bytes"
	"io"

	"postrider/internal/message"
)

// form is a canonicalization (RFC 6376 §3.4).
type form uint8

const (
	simple form = iota
	relaxed
)

var formNames = [...]string{simple: "simple", relaxed: "relaxed"}

func (f form) String() string { return formNames[f] }

// parseForm reads a name of a form; empty is simple.
func parseForm(s string) (form, bool) {
	switch s {
	case "", "simple":
		return simple, true
	case "relaxed":
		return relaxed, true
	}
	return simple, false
}

// header appends a field in its canonical form, with CRLF (RFC 6376 §3.4.1,
// §3.4.2). A field at the end of the content may lack it.
func (f form) header(to []byte, field message.Field) []byte {
	if f == simple {
		to = append(to, field.Raw...)
		if !bytes.HasSuffix(to, []byte("\r\n")) {
			to = append(to, "\r\n"...)
		}
		return to
	}
	to = append(to, bytes.ToLower(field.Name)...)
	to = append(to, ':')
	space, begun := false, false
	for _, c := range field.Body {
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			space = true
			continue
		case space && begun:
			to = append(to, ' ')
		}
		to, space, begun = append(to, c), false, true
	}
	return append(to, "\r\n"...)
}

// body writes content in its canonical form to a hash, in pieces. Its memory is
// the same whatever the content: line ends that may be the last ones are counted.
type body struct {
	form  form
	to    io.Writer
	out   []byte
	begun bool  // something has been written
	lines int64 // line ends that are held back: those at the end do not count
	space bool  // white space that is held back: it may end a line
	cr    bool  // a CR that is held back: LF may follow
}

const bodyBuffer = 4 << 10

// What is written often; nobody changes them.
var (
	octetCR    = []byte{'\r'}
	octetSpace = []byte{' '}
	lineEnd    = []byte("\r\n")
)

func newBody(f form, to io.Writer) *body {
	return &body{form: f, to: to, out: make([]byte, 0, bodyBuffer)}
}

// Write takes the next octets. A hash takes all that it is given: it never fails.
func (b *body) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if b.cr {
			b.cr = false
			if p[0] == '\n' {
				b.space = false
				b.lines++
				p = p[1:]
				continue
			}
			b.text(octetCR) // one that ends no line
			continue
		}
		switch c := p[0]; {
		case c == '\r':
			b.cr, p = true, p[1:]
		case b.form == relaxed && (c == ' ' || c == '\t'):
			b.space, p = true, p[1:]
		default:
			i := b.form.asItIs(p)
			b.text(p[:i])
			p = p[i:]
		}
	}
	return n, nil
}

// asItIs returns how many octets go out as they are, from one on that is no white
// space: up to the end of the line and, relaxed, up to white space that may be
// anything but one space between others.
func (f form) asItIs(p []byte) int {
	if f == simple {
		if i := bytes.IndexByte(p, '\r'); i >= 0 {
			return i
		}
		return len(p)
	}
	for i, c := range p {
		switch {
		case c > ' ':
		case c == '\r', c == '\t':
			return i
		case c == ' ' && (i+1 == len(p) || p[i+1] == ' ' || p[i+1] == '\t' || p[i+1] == '\r'):
			return i
		}
	}
	return len(p)
}

// text writes what is no line end, and what was held back before it.
func (b *body) text(p []byte) {
	b.flushLines()
	if b.space {
		b.put(octetSpace)
		b.space = false
	}
	b.put(p)
}

func (b *body) flushLines() {
	for ; b.lines > 0; b.lines-- {
		b.put(lineEnd)
	}
}

func (b *body) put(p []byte) {
	b.begun = true
	if len(b.out)+len(p) > cap(b.out) {
		b.flush()
	}
	if len(p) > cap(b.out) {
		_, _ = b.to.Write(p)
		return
	}
	b.out = append(b.out, p...)
}

func (b *body) flush() {
	_, _ = b.to.Write(b.out)
	b.out = b.out[:0]
}

// end finishes the body: empty lines at its end are gone, and what is left ends in
// CRLF; an empty body is one CRLF when simple, and nothing when relaxed (RFC 6376
// §3.4.3, §3.4.4).
func (b *body) end() {
	if b.cr {
		b.text(octetCR)
		b.cr = false
	}
	if b.begun || b.form == simple {
		b.put(lineEnd)
	}
	b.flush()
}
