package smtp

import (
	"strconv"
	"strings"
)

// maxReplyText is how many octets of text a reply line has at most: a line of
// 512 octets (RFC 5321 §4.5.3.1.5) less "250-5.7.1 " with room, and CRLF.
const maxReplyText = 494

// Error returns the reply as it is sent, on one line without CRLF.
func (r *Reply) Error() string {
	return strings.ReplaceAll(strings.TrimSuffix(string(r.Append(nil)), "\r\n"), "\r\n", " / ")
}

// Append appends the reply as it is sent, every line with its code and CRLF.
//
// What can't stand in a reply (controls, octets beyond ASCII) becomes "?", and
// a line that is too long is cut, so that no text can break the framing.
func (r *Reply) Append(b []byte) []byte { return r.append(b, false) }

// append is Append; with utf8, which a client has asked for with SMTPUTF8, octets
// beyond ASCII stay (RFC 6531 §3.7.4.2).
func (r *Reply) append(b []byte, utf8 bool) []byte {
	text, more := r.Text, true
	for more {
		var line string
		line, text, more = strings.Cut(text, "\n")
		b = strconv.AppendInt(b, int64(r.Code), 10)
		if more {
			b = append(b, '-')
		} else {
			b = append(b, ' ')
		}
		if r.Enhanced != "" {
			b = append(b, byte('0'+r.Code/100), '.')
			b = append(b, r.Enhanced...)
			b = append(b, ' ')
		}
		b = appendText(b, line, utf8)
		b = append(b, '\r', '\n')
	}
	return b
}

func appendText(b []byte, line string, utf8 bool) []byte {
	for _, c := range []byte(line[:min(len(line), maxReplyText)]) {
		if c < ' ' || c == 0x7f || c >= 0x80 && !utf8 {
			c = '?'
		}
		b = append(b, c)
	}
	return b
}

// refuses reports whether the reply can stand as an error: 4yz or 5yz.
func (r *Reply) refuses() bool { return 400 <= r.Code && r.Code <= 599 }
