package dsn

import (
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"postrider/internal/mail"
)

// field appends a field, folded at spaces. A word that is too long for a line is
// broken, so that no line gets long whatever stands in it (RFC 5322 §2.1.1).
func field(b *strings.Builder, name, value string) {
	b.WriteString(name + ":")
	column := len(name) + 1
	for word := range words(value) {
		if column+1+len(word) > foldWidth && column > len(name)+1 {
			b.WriteString("\r\n")
			column = 0
		}
		b.WriteString(" " + word)
		column += 1 + len(word)
	}
	b.WriteString("\r\n")
}

// maxExact is how long a field is at most that is not folded, in octets.
const maxExact = 900

// exact appends a field as it is, white space included.
func exact(b *strings.Builder, name, value string) {
	b.WriteString(name + ": " + mail.Cut(value, maxExact) + "\r\n")
}

// encodedWords returns a text as RFC 2047 has it in a header, or as it is if it is
// ASCII, or may be UTF-8.
func encodedWords(s string, eai bool) string {
	if eai || isASCII(s) {
		return s
	}
	return mime.QEncoding.Encode("utf-8", s)
}

// utf8Type is the type of addresses beyond ASCII (RFC 6533 §3).
const utf8Type = "utf-8"

// typed returns an address with its type, as a field has it: one that is not ASCII
// as it is if that may be, and else in the form of utf-8-addr-xtext.
func typed(kind, address string, eai bool) string {
	if strings.EqualFold(kind, utf8Type) {
		plain, ok := unembed(address)
		switch {
		case ok && eai:
			address = plain
		case ok:
			address = embedded(plain)
		}
	}
	address = printable(address)
	if !eai {
		address = ascii(address)
	}
	return kind + "; " + address
}

// addressType is an envelope's address with its type.
func addressType(address string, eai bool) string {
	if isASCII(address) {
		return typed("rfc822", address, eai)
	}
	address = printable(address)
	if !eai {
		address = embedded(address)
	}
	return utf8Type + "; " + address
}

// printable returns a text with "?" for controls and for what is no UTF-8. No space
// is lost in it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

// embedded returns an address as utf-8-addr-xtext: what is not ASCII, or has a
// meaning in a parameter, as \x{HEX} (RFC 6533 §3).
func embedded(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || r == '\\' || r == '+' || r == '=' {
			embed(&b, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func embed(b *strings.Builder, r rune) {
	const digits = "0123456789ABCDEF"
	b.WriteString(`\x{`)
	shift := 4
	for r>>(shift+4) != 0 {
		shift += 4
	}
	for ; shift >= 0; shift -= 4 {
		b.WriteByte(digits[r>>shift&15])
	}
	b.WriteByte('}')
}

// unembed returns what an address in one of the forms of RFC 6533 §3 means. Ok is
// false if it is of none: then it stays as it is.
func unembed(s string) (plain string, ok bool) {
	if !utf8.ValidString(s) {
		return "", false
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, `\`)
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		hex, after, closed := strings.Cut(rest, "}")
		hex, opened := strings.CutPrefix(hex, "x{")
		r, good := point(hex)
		if !closed || !opened || !good {
			return "", false
		}
		b.WriteRune(r)
		s = after
	}
}

// point reads HEXPOINT, two to six digits.
func point(hex string) (r rune, ok bool) {
	if len(hex) < 2 || len(hex) > 6 {
		return 0, false
	}
	for _, c := range hex {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | (c - '0')
		case 'A' <= c && c <= 'F':
			r = r<<4 | (c - 'A' + 10)
		default:
			return 0, false
		}
	}
	return r, utf8.ValidRune(r) && !unicode.IsControl(r)
}
