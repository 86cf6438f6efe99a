package message

import (
	"bytes"
	"io"
)

// textLine is a line of a message that is read from a store.
type textLine struct {
	from, to int64 // its octets, line end included
	// head is its beginning, without the line end: up to lineHead octets, all of
	// it if it is not long. It is valid until the next line is read.
	head []byte
	// length is the octets of the line without its line end.
	length int64
	// plain says that all octets are of the base64 alphabet.
	plain bool
	// escaped counts the octets that quoted-printable makes three of.
	escaped int64
	// afterEnd says that it begins the message, or after a CRLF; ended that it ends
	// with one.
	afterEnd, ended bool
	// eightBit, nul and bare say that it has octets beyond ASCII, NUL, and a CR or LF
	// that is no line end.
	eightBit, nul, bare bool
}

func (l *textLine) long() bool { return l.length > MaxLine }

// lineReader reads a message line by line in memory that does not depend on
// their length.
type lineReader struct {
	src  io.ReaderAt
	r    io.Reader
	buf  []byte
	p    []byte // of buf, what has not been looked at
	at   int64
	head []byte
	err  error
	open bool // the line before the next one does not end with CRLF
}

func newLineReader(src io.ReaderAt, size int64) *lineReader {
	return &lineReader{
		src:  src,
		r:    io.NewSectionReader(src, 0, size),
		buf:  make([]byte, copyBuffer),
		head: make([]byte, 0, lineHead),
	}
}

// next returns the next line, or io.EOF after the last.
func (r *lineReader) next() (textLine, error) {
	l := textLine{from: r.at, plain: true, afterEnd: !r.open}
	r.head = r.head[:0]
	var last byte
	ended := false
	for !ended {
		if len(r.p) == 0 {
			err := r.fill()
			if err == io.EOF && r.at > l.from {
				break
			}
			if err != nil {
				return textLine{}, err
			}
		}
		var piece []byte
		whole := len(r.p)
		piece, r.p, ended = bytes.Cut(r.p, []byte{'\n'})
		r.at += int64(whole - len(r.p))
		l.length += int64(len(piece))
		if len(piece) > 0 {
			r.head = append(r.head, piece[:min(len(piece), lineHead-len(r.head))]...)
			l.plain = l.plain && isBase64(piece)
			l.escaped += countEscaped(piece)
			l.look(piece, last)
			last = piece[len(piece)-1]
		}
	}
	l.ended = ended && last == '\r'
	l.bare = l.bare || ended != (last == '\r')
	r.open = !l.ended
	if last == '\r' {
		l.length--
	}
	if len(r.head) > 0 && r.head[0] == '-' {
		l.escaped++
	}
	l.to, l.head = r.at, r.head[:min(int64(len(r.head)), l.length)]
	return l, nil
}

// look notes what a piece of the line has, before which an octet stood.
func (l *textLine) look(piece []byte, before byte) {
	l.eightBit = l.eightBit || beyondASCII(piece)
	l.nul = l.nul || bytes.IndexByte(piece, 0) >= 0
	cr := bytes.IndexByte(piece, '\r')
	l.bare = l.bare || before == '\r' || cr >= 0 && cr < len(piece)-1
}

// isBase64 reports whether all octets are of the base64 alphabet, padding, white
// space or the CR of a line end.
func isBase64(p []byte) bool {
	for _, c := range p {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '+', c == '/', c == '=', isBlank(c), c == '\r':
		default:
			return false
		}
	}
	return true
}

func (r *lineReader) fill() error {
	if r.err != nil {
		return r.err
	}
	n, err := r.r.Read(r.buf)
	r.p, r.err = r.buf[:n], err
	if n > 0 {
		return nil
	}
	return r.err
}
