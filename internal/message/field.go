package message

import (
	"bytes"
	"iter"
)

// Field is a header field as it stands in a header. Its slices are parts of it.
type Field struct {
	// Name is without the white space before the colon. A line on top of the header
	// that is no field, the "From " line of a mailbox file, has none.
	Name []byte
	// Body is what follows the colon, folds and line end included.
	Body []byte
	// Raw is all of it.
	Raw []byte
}

// Is reports whether the field has the name, in any case (RFC 5322 §1.2.2).
func (f Field) Is(name string) bool { return bytes.EqualFold(f.Name, []byte(name)) }

// Value returns the body on one line, without the white space around it.
func (f Field) Value() []byte {
	b := bytes.ReplaceAll(f.Body, []byte("\r\n"), nil)
	return bytes.Trim(b, " \t\r\n")
}

// SplitFields lists the fields of a header whose end a HeaderScanner has found, one
// after the other and with nothing between them; the blank line is not one.
func SplitFields(header []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for len(header) > 0 && header[0] != '\r' && header[0] != '\n' {
			n := fieldEnd(header)
			f := Field{Raw: header[:n]}
			if i := bytes.IndexByte(f.Raw, ':'); i >= 0 && isFieldName(bytes.TrimRight(f.Raw[:i], " \t")) {
				f.Name, f.Body = bytes.TrimRight(f.Raw[:i], " \t"), f.Raw[i+1:]
			}
			if !yield(f) {
				return
			}
			header = header[n:]
		}
	}
}

// fieldEnd returns where the field at the beginning of b ends: at the first line
// end that no folded line follows (RFC 5322 §2.2.3).
func fieldEnd(b []byte) int {
	for n := 0; ; {
		i := bytes.IndexByte(b[n:], '\n')
		if i < 0 {
			return len(b)
		}
		n += i + 1
		if n == len(b) || !isBlank(b[n]) {
			return n
		}
	}
}

func isFieldName(b []byte) bool {
	for _, c := range b {
		if !isNameOctet(c) {
			return false
		}
	}
	return len(b) > 0
}
