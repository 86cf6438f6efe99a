package message

import (
	"bufio"
	"cmp"
	"encoding/base64"
	"io"
	"slices"
)

// Limits of ShortenLines. What exceeds one can't be shortened.
const (
	MaxParts      = 1000        // parts of a message, of all levels
	MaxPartDepth  = 20          // multiparts and messages within each other
	MaxBoundary   = 70          // octets (RFC 2046 §5.1.1)
	MaxFoldedLine = 64 << 10    // octets of a header line that is folded
	maxFolds      = 1000        // header lines that are folded
	maxDrops      = 1000        // runs of lines outside of parts that are left out
	maxMIMEField  = 4 << 10     // octets of a Content-Type or Content-Transfer-Encoding field
	encodedLine   = 76          // octets of an encoded line (RFC 2045 §6.7, §6.8)
	escapedShare  = 6           // text is base64 if more than one octet of so many would be escaped
	copyBuffer    = 32 << 10    // octets
	lineHead      = MaxLine + 2 // octets of a line that are looked at
)

// LineError says why a message's over-long lines can't be shortened. Why may be
// shown to a peer: it has nothing of the message in it.
type LineError struct {
	// Header says that the line is in a header.
	Header bool
	Why    string
}

func (e *LineError) Error() string { return e.Why }

// ShortenLines writes a message to dst so that no line has more than MaxLine
// octets. Its lines end with CRLF. Only what has to change does: a part with
// an over-long line is encoded (RFC 2045 §6), text as quoted-printable and
// anything else as base64, as is text that would be longer otherwise; long lines
// of base64 are broken; long header lines are folded at white space (RFC 5322
// §2.2.3), lists of addresses that have none at commas. Decoded and unfolded, the
// message is what it was, but for spaces behind such commas. It gets longer by
// less than half, and a few fields.
//
// A *LineError says that it is not possible: nothing has been written then.
// Size is the message's, in octets. It is read twice, in pieces; the memory this
// takes does not depend on the size.
func ShortenLines(dst io.Writer, src io.ReaderAt, size int64) error {
	w := walker{lines: newLineReader(src, size)}
	edits, err := w.plan()
	if err != nil {
		return err
	}
	return apply(dst, src, size, edits)
}

// edit is a change of the octets from from up to to.
type edit struct {
	from, to int64
	do       change
	// text is what comes in their place, in insertText.
	text string
	// label says that it only corrects a part's label, which alone is no reason to
	// change a message.
	label bool
	// line is what is folded, in foldLine.
	line addressLine
	// normal says that CR and LF alone become line ends before they are encoded.
	normal bool
}

// change is what becomes of octets.
type change uint8

const (
	insertText change = iota
	foldLine
	encodeQuoted
	encodeBase64
	breakLines // of base64
	dropLine
)

// apply writes the message with its changes.
func apply(dst io.Writer, src io.ReaderAt, size int64, edits []edit) error {
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.from, b.from) })
	buf := make([]byte, copyBuffer)
	var at int64
	for _, e := range edits {
		if err := copyRange(dst, src, at, e.from, buf); err != nil {
			return err
		}
		if err := e.apply(dst, src, buf); err != nil {
			return err
		}
		at = e.to
	}
	return copyRange(dst, src, at, size, buf)
}

func copyRange(dst io.Writer, src io.ReaderAt, from, to int64, buf []byte) error {
	n, err := io.CopyBuffer(onlyWriter{dst}, onlyReader{io.NewSectionReader(src, from, to-from)}, buf)
	if err == nil && n < to-from {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// onlyWriter and onlyReader make io.CopyBuffer use the buffer.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

func (e *edit) apply(dst io.Writer, src io.ReaderAt, buf []byte) error {
	switch e.do {
	case dropLine:
		return nil
	case foldLine:
		line := make([]byte, e.to-e.from)
		if _, err := io.ReadFull(io.NewSectionReader(src, e.from, e.to-e.from), line); err != nil {
			return err
		}
		folded, _ := e.line.fold(line)
		_, err := dst.Write(folded)
		return err
	case insertText:
		_, err := io.WriteString(dst, e.text)
		return err
	}
	out := bufio.NewWriterSize(dst, copyBuffer)
	encoder := e.encoder(out)
	if e.normal {
		encoder = &lineEnder{WriteCloser: encoder}
	}
	if err := copyRange(encoder, src, e.from, e.to, buf); err != nil {
		return err
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	return out.Flush()
}

func (e *edit) encoder(out *bufio.Writer) io.WriteCloser {
	switch e.do {
	case encodeQuoted:
		return &quotedWriter{w: out}
	case encodeBase64:
		lines := &breaker{w: out, all: true}
		return &base64Writer{WriteCloser: base64.NewEncoder(base64.StdEncoding, lines), lines: lines}
	}
	return &breaker{w: out}
}

// base64Writer encodes octets as lines of base64.
type base64Writer struct {
	io.WriteCloser
	lines *breaker
}

// Close writes what is left.
func (b *base64Writer) Close() error {
	if err := b.WriteCloser.Close(); err != nil {
		return err
	}
	return b.lines.Close()
}
