package smtp

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"postrider/internal/mail"
)

// utf8Type is the address type of internationalized addresses (RFC 6533 §3).
const utf8Type = "utf-8"

// setORcpt takes the original recipient, decoded (RFC 3461 §4.2). One of the type
// utf-8 may have UTF-8 in it afterwards, though what was sent is ASCII: whoever
// sends it on where that is not taken encodes it again (RFC 6533 §3).
func setORcpt(r *mail.Recipient, value string, eai bool) *fixed {
	kind, encoded, found := strings.Cut(value, ";")
	if !found || !isAtom(kind) || encoded == "" || len(value) > maxORcpt {
		return replyBadParam
	}
	address, ok := decodeXtext(encoded)
	if !ok {
		return replyBadParam
	}
	if strings.EqualFold(kind, utf8Type) {
		address, ok = decodeUTF8Address(encoded, address, eai)
	} else {
		ok = isPrintable(address)
	}
	if !ok {
		return replyBadParam
	}
	r.ORcpt = kind + ";" + address
	return nil
}

// decodeUTF8Address decodes an address of the type utf-8 from one of its three
// forms: ASCII with \x{...} (utf-8-addr-xtext), the same with UTF-8
// (utf-8-addr-unitext), and as it is (utf-8-address). UTF-8 on the wire needs eai,
// the SMTPUTF8 of MAIL. What is in none of these forms is passed on as it is
// (RFC 6533 §3); plain is that.
func decodeUTF8Address(encoded, plain string, eai bool) (address string, ok bool) {
	if !eai && !isPrintable(plain) {
		return "", false
	}
	address, ok = decodeUnitext(encoded)
	if !ok {
		address = plain
	}
	return address, utf8.ValidString(address) && strings.IndexFunc(address, unicode.IsControl) < 0
}

// decodeUnitext decodes each \x{HEXPOINT} of unitext; everything else but "+" and
// "\" stands for itself (RFC 6533 §3). Where UTF-8 is not allowed, and which
// characters aren't, the caller judges.
func decodeUnitext(s string) (text string, ok bool) {
	if strings.IndexByte(s, '+') >= 0 {
		return "", false // the older encoding, xtext
	}
	var b strings.Builder
	for {
		before, rest, more := strings.Cut(s, `\`)
		b.WriteString(before)
		if !more {
			return b.String(), true
		}
		rest, begun := strings.CutPrefix(rest, "x{")
		point, rest, ended := strings.Cut(rest, "}")
		r, ok := hexPoint(point)
		if !begun || !ended || !ok {
			return "", false
		}
		b.WriteRune(r)
		s = rest
	}
}

// hexPoint reads a HEXPOINT: two to six hexadecimal digits without needless zeros,
// for a character that is not ASCII, or that may not stand for itself.
func hexPoint(s string) (r rune, ok bool) {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil || len(s) < 2 || len(s) > 6 || s[0] == '0' && len(s) > 2 {
		return 0, false
	}
	r = rune(n)
	plain := r > ' ' && r < 0x7f && !strings.ContainsRune(`\+=`, r)
	return r, utf8.ValidRune(r) && !plain
}
