package dsn

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"postrider/internal/mail"
)

// Limits of what others have said, in octets, and of lines.
const (
	maxReply      = 2048 // of a reply
	maxReplyLines = 20   // of a reply that is shown to people
	maxName       = 255  // of a host's name
	maxSubject    = 200  // of the original's subject
	lineWidth     = 72   // characters of a line for people
	foldWidth     = 76   // octets of a header line, where it can be folded
	maxWord       = 400  // octets without white space in a field
)

// shown returns a text on one line, without anything that could do more than be
// read: controls and what is no UTF-8 become "?", white space is one space, and
// characters that turn the direction of writing or are not to be seen are left out.
// It has no more octets than limit, and ends with "..." if it had.
func shown(s string, limit int) string {
	var b strings.Builder
	space := false
	for _, r := range s {
		switch {
		case r == ' ' || r == '\t' || r == '\r' || r == '\n' || r == 0xa0:
			space = b.Len() > 0
			continue
		case r == utf8.RuneError, unicode.IsControl(r):
			r = '?'
		case !unicode.IsPrint(r):
			continue
		}
		if b.Len()+utf8.RuneLen(r)+1 > limit {
			return strings.TrimSpace(mail.Cut(b.String(), limit-3)) + "..."
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// ascii returns a text with what is not ASCII in the form of RFC 6533 §3, as
// \x{FC}.
func ascii(s string) string {
	if isASCII(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		embed(&b, r)
	}
	return b.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// hostName returns a name, or a literal, with "_" for all that no name has.
func hostName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune(".-_:[]", r):
			return r
		}
		return '_'
	}, mail.Cut(s, maxName))
}

// splitRemote takes "name [address]" apart.
func splitRemote(s string) (name, address string) {
	name, address, _ = strings.Cut(strings.TrimSpace(s), " ")
	address = strings.Trim(address, "[] ")
	if name = hostName(name); address != "" {
		address = hostName(address)
	}
	return name, address
}

// words lists the words of a text; longer ones than maxWord come in pieces.
func words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for word := range strings.FieldsSeq(text) {
			for len(word) > maxWord {
				piece := mail.Cut(word, maxWord)
				if !yield(piece) {
					return
				}
				word = word[len(piece):]
			}
			if !yield(word) {
				return
			}
		}
	}
}

// wrap breaks a text into lines of at most lineWidth characters with an indent,
// where it has spaces.
func wrap(b *strings.Builder, indent, text string) {
	column := 0
	for word := range words(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+n > lineWidth:
			b.WriteString("\r\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteString("\r\n")
}
