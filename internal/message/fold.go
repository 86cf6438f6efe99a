package message

import (
	"bytes"
	"io"
)

// fold folds a header line, which ends with CRLF, at white space (RFC 5322
// §2.2.3): before foldAt octets where it can, and else at the next place. No line
// gets only white space, and none more than MaxLine octets; ok is false if that
// is not possible. A field's name and its colon stay on one line, whatever white
// space is between them: alone, the name would be no field.
func fold(line []byte) (folded []byte, ok bool) {
	text := bytes.TrimSuffix(line, []byte("\r\n"))
	end := line[len(text):]
	name := 0
	if !isBlank(line[0]) {
		name = bytes.IndexByte(text, ':') + 1
	}
	for len(text) > foldAt {
		n := foldPlace(text, name)
		if n == 0 {
			break
		}
		folded = append(append(folded, text[:n]...), "\r\n"...)
		text, name = text[n:], 0
		if n > MaxLine {
			return nil, false
		}
	}
	if len(text) > MaxLine {
		return nil, false
	}
	return append(append(folded, text...), end...), true
}

// commaGap is how many octets are between two places made for folding.
const commaGap = 32

// addressFields have lists of addresses (RFC 5322 §3.6, RFC 8098 §2.1, and two that
// are common), where white space may follow a comma.
var addressFields = []string{
	"From", "Sender", "Reply-To", "To", "Cc", "Bcc",
	"Resent-From", "Resent-Sender", "Resent-Reply-To", "Resent-To", "Resent-Cc", "Resent-Bcc",
	"Disposition-Notification-To", "Mail-Followup-To", "Mail-Reply-To",
}

// addressLine is about a line of a header before it is folded.
type addressLine struct {
	// is says that it is of an address field.
	is bool
	// from is where it begins: within a quoted string or comment, or not.
	from lexer
}

// fold folds a line as function fold does. If there is not enough white space in
// addresses, commas get some behind them, outside of quotes and comments.
func (a addressLine) fold(line []byte) (folded []byte, ok bool) {
	folded, ok = fold(line)
	if ok || !a.is {
		return folded, ok
	}
	return fold(a.spaced(line))
}

// follow goes over a line, without its line end.
func (a *addressLine) follow(line []byte) {
	if !a.is {
		return
	}
	for _, c := range line {
		a.from.next(c)
	}
}

// spaced returns a line with a space behind commas, but not behind each of many
// that are close together.
func (a addressLine) spaced(line []byte) []byte {
	text := bytes.TrimSuffix(line, []byte("\r\n"))
	spaced := make([]byte, 0, len(line)+len(line)/commaGap+1)
	at, last := a.from, 0
	for i, c := range text {
		spaced = append(spaced, c)
		at.next(c)
		switch {
		case isBlank(c):
			last = i
		case c == ',' && at == lexer{} && i-last >= commaGap && i+1 < len(text) && !isBlank(text[i+1]):
			spaced, last = append(spaced, ' '), i
		}
	}
	return append(spaced, line[len(text):]...)
}

// foldPlace returns where to break a line, at an offset or behind it: before
// white space that stands between what is none, not after a backslash, which
// would quote it. Zero: nowhere.
func foldPlace(text []byte, from int) (place int) {
	seen := false // something that is no white space
	for i, c := range text {
		switch {
		case !isBlank(c):
			seen = true
			continue
		case i < from || !seen || isBlank(text[i-1]) || text[i-1] == '\\':
			continue
		case len(bytes.TrimLeft(text[i:], " \t")) == 0:
			return place
		case i > foldAt && place > 0:
			return place
		}
		place = i
	}
	return place
}

// again returns a line that has been read, with its line end.
func (r *lineReader) again(l *textLine) ([]byte, error) {
	if l.to-l.from > MaxFoldedLine {
		return nil, errLongHeader
	}
	line := make([]byte, l.to-l.from)
	_, err := r.src.ReadAt(line, l.from)
	if err == io.EOF {
		err = nil
	}
	return line, err
}
