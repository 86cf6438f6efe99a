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
