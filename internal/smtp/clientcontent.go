package smtp

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"postrider/internal/wire"
)

// contentBody writes a message's octets to the wire, once: after DATA with dots,
// after BDAT as they are. If they are not what was announced it fails before the
// last of them, so that the server never takes a part for the whole: the driver
// closes the connection then.
type contentBody struct {
	content OutgoingContent
	size    int64
	chunked bool // BDAT
	binary  bool // CR and LF anywhere
	begun   bool
	whole   bool  // all of it was written, with its end
	fault   error // what was wrong on our side

	to     io.Writer // the driver's
	broken error     // of to
	dots   wire.DotWriter
	check  wire.EndingChecker
	last   [1]byte // the last octet of a chunk, held back until the end is certain
	held   bool
	got    int64 // octets the content has given
}

// prepare makes b ready for a content.
func (b *contentBody) prepare(content OutgoingContent, size int64, chunked, binary bool) {
	*b = contentBody{content: content, size: size, chunked: chunked, binary: binary}
}

// appendBDAT appends the command that the octets follow (RFC 3030 §2). The
// whole is one chunk: its size is known.
func (b *contentBody) appendBDAT(p []byte) []byte {
	p = append(p, "BDAT "...)
	p = strconv.AppendInt(p, b.size, 10)
	return append(p, " LAST\r\n"...)
}

var errLonger = errors.New("the content is longer than was announced")

// WriteTo implements io.WriterTo for the driver.
func (b *contentBody) WriteTo(w io.Writer) (int64, error) {
	b.begun, b.to = true, w
	b.check.Reset(nil)
	if !b.chunked {
		b.dots.Reset((*rawWriter)(b))
	}
	_, err := b.content.WriteTo((*contentWriter)(b))
	if err == nil {
		err = b.end()
	}
	if err != nil && b.broken == nil {
		b.fault = fmt.Errorf("read content: %w", err)
	}
	b.whole = err == nil
	return b.got, err
}

// end checks the content, and writes what ends it.
func (b *contentBody) end() error {
	if b.got != b.size {
		return fmt.Errorf("it has %d octets, and %d were announced", b.got, b.size)
	}
	if !b.binary {
		if err := b.check.Finish(); err != nil {
			return err
		}
	}
	if !b.chunked {
		if err := b.dots.Close(); err != nil {
			return err
		}
		return b.flush()
	}
	if b.held {
		if _, err := (*rawWriter)(b).Write(b.last[:]); err != nil {
			return err
		}
	}
	return b.flush()
}

// flush has the driver send what it has kept, so that it is known whether the
// whole message has left.
func (b *contentBody) flush() error {
	f, ok := b.to.(interface{ Flush() error })
	if !ok {
		return nil
	}
	b.broken = f.Flush()
	return b.broken
}

// contentWriter is what a content writes to.
type contentWriter contentBody

// Write passes octets on, but the last of a chunk.
func (w *contentWriter) Write(p []byte) (int, error) {
	b := (*contentBody)(w)
	if int64(len(p)) > b.size-b.got {
		return 0, errLonger
	}
	if !b.binary {
		_, _ = b.check.Write(p) // never fails: there is nothing below
		if err := b.check.Err(); err != nil {
			return 0, err
		}
	}
	b.got += int64(len(p))
	if !b.chunked {
		return b.dots.Write(p)
	}
	n := len(p)
	if b.got == b.size && n > 0 {
		b.last[0], b.held = p[n-1], true
		p = p[:n-1]
	}
	if _, err := (*rawWriter)(b).Write(p); err != nil {
		return 0, err
	}
	return n, nil
}

// rawWriter is the driver's writer, whose failure is remembered: it is not ours.
type rawWriter contentBody

func (w *rawWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := w.to.Write(p)
	w.broken = err
	return n, err
}
