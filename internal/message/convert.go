package message

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
)

// FormError says why a message can't be brought into the form that the next host
// takes. Why may be shown to a peer: it has nothing of the message in it.
type FormError struct {
	// HeaderEightBit says that it is for octets beyond ASCII in a header, which no
	// encoding helps: what they need is SMTPUTF8 (RFC 6531 §3.1, 5.6.7).
	HeaderEightBit bool
	Why            string
}

func (e *FormError) Error() string { return e.Why }

// Why a message can't be converted.
var (
	errHeaderEightBit = &FormError{HeaderEightBit: true, Why: "a header has octets beyond ASCII"}
	errHeaderBinary   = &FormError{Why: "a header has NUL, or CR or LF that are no line end"}
	errHalfBoundary   = &FormError{Why: "a boundary has a CR or LF beside it that is no line end"}
	errTooManyDrops   = &FormError{Why: "too much outside of its parts is not allowed"}
)

// Lines writes a message, also one of BINARYMIME (RFC 3030), to dst as lines of at
// most MaxLine octets that all end with CRLF and have no NUL; without eightBit, as
// ASCII. Only what has to change does, in the way of ShortenLines: parts are encoded;
// where they are text, a CR or LF alone is taken for a line end, unless they have
// NULs. Parts that are left as they are but have called themselves binary, or 8bit,
// no longer do, nor does what encloses them (RFC 2045 §6.4); but if there is nothing
// else to do, a message that calls itself 8bit and is ASCII stays what it is. Lines
// outside of parts that are not allowed are left out.
//
// A *FormError says that it is not possible, for instance since a part is signed
// (RFC 1847 §2.1): nothing has been written then. Size is the message's, in octets.
// It is read twice, in pieces; the memory this takes does not depend on the size.
func Lines(dst io.Writer, src io.ReaderAt, size int64, eightBit bool) error {
	w := walker{lines: newLineReader(src, size), goal: goal{lines: true, ascii: !eightBit}}
	edits, err := w.plan()
	if err != nil {
		return formError(err)
	}
	if !slices.ContainsFunc(edits, func(e edit) bool { return !e.label }) {
		edits = nil // a signature may be over the labels
	}
	end := endWatcher{w: dst, last: [2]byte{'\r', '\n'}}
	if err := apply(&end, src, size, edits); err != nil {
		return err
	}
	return end.finish()
}

// formError makes a FormError of a LineError.
func formError(err error) error {
	var line *LineError
	switch {
	case err == errTooManyParts:
		return &FormError{Why: "it has too many parts to be encoded anew"}
	case !errors.As(err, &line):
		return err
	}
	if where, ok := strings.CutPrefix(line.Why, "a line is too long in "); ok {
		return &FormError{Why: "something would have to be encoded in " + where}
	}
	return &FormError{Why: line.Why}
}

// goal is what a message may not have: lines of more than MaxLine octets, and more.
type goal struct {
	lines bool // CR and LF that are no line ends, and NUL
	ascii bool // octets beyond ASCII
}

// refuses reports whether a line of a body has something that is not allowed.
func (g goal) refuses(l *textLine) bool {
	return l.long() || g.lines && (l.nul || l.bare) || g.ascii && l.eightBit
}

// refusesHeader returns why a line of a header is not allowed, or nil. Its length is
// not looked at.
func (g goal) refusesHeader(l *textLine) error {
	switch {
	case g.ascii && l.eightBit:
		return errHeaderEightBit
	case g.lines && (l.nul || l.bare):
		return errHeaderBinary
	}
	return nil
}

// relabel corrects the Content-Transfer-Encoding field of the part at hand, which is
// not encoded, if it tells of more than is allowed now.
func (w *walker) relabel() {
	coding, ok := w.part.encoding()
	if !ok || !w.goal.lines || w.part.coding.count != 1 || !slices.Contains(identities, coding) {
		return
	}
	label := "8bit"
	if w.goal.ascii {
		label = "7bit"
	}
	if coding != "binary" && (coding != "8bit" || label == "8bit") {
		return
	}
	w.edits = append(w.edits, edit{
		from: w.part.coding.from, to: w.part.coding.to, do: insertText, label: coding == "8bit",
		text: "Content-Transfer-Encoding: " + label + "\r\n",
	})
}

// lineEnder makes CRLF of each CR and each LF that is alone.
type lineEnder struct {
	io.WriteCloser
	cr  bool // the last octet was a CR
	out []byte
}

// Write takes the next octets.
func (e *lineEnder) Write(p []byte) (int, error) {
	e.out = e.out[:0]
	for _, c := range p {
		switch {
		case c == '\r', c == '\n' && !e.cr:
			e.out = append(e.out, '\r', '\n')
		case c != '\n':
			e.out = append(e.out, c)
		}
		e.cr = c == '\r'
	}
	if _, err := e.WriteCloser.Write(e.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// endWatcher sees to it that what is written ends with a line end.
type endWatcher struct {
	w    io.Writer
	last [2]byte
}

// Write writes p.
func (e *endWatcher) Write(p []byte) (int, error) {
	switch n := len(p); {
	case n >= 2:
		copy(e.last[:], p[n-2:])
	case n == 1:
		e.last[0], e.last[1] = e.last[1], p[0]
	}
	return e.w.Write(p)
}

// finish ends the last line.
func (e *endWatcher) finish() error {
	if bytes.Equal(e.last[:], []byte("\r\n")) {
		return nil
	}
	_, err := io.WriteString(e.w, "\r\n")
	return err
}
