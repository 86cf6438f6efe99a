package smtp

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what is kept of a reply, in octets. Its lines may be as long as the
// driver lets them be, and as many as ClientOptions.MaxReplyLines.
const (
	maxKeptLine = 512
	maxKeptText = 2048
)

// replyReader puts a server's reply together from its lines (RFC 5321 §4.2). It
// is strict about what decides (the code, and where the reply ends), and takes
// any text.
type replyReader struct {
	maxLines int
	// utf8 keeps text beyond ASCII if it is valid UTF-8, for who has SMTPUTF8
	// (RFC 6531 §3.7.4.2).
	utf8 bool

	code  int
	lines int
	text  []byte // lines as they came, by LF, bounded
	more  bool   // the last line said that another follows
}

// What can be wrong with a reply, in words for the log.
const (
	whyNoReply    = "the server sent a line that is no reply"
	whyMixedCodes = "the server sent a reply of several lines with different codes"
	whyManyLines  = "the server sent a reply with too many lines"
	whyFraming    = "the server sent a line that does not end in CRLF as it should"
	whyLongLine   = "the server sent a line that is too long"
)

// take takes one line without its ending, and reports whether the reply is
// complete. Why, if not empty, is what is wrong with it.
func (r *replyReader) take(line []byte) (done bool, why string) {
	if !r.more {
		r.code, r.lines, r.text = 0, 0, r.text[:0]
	}
	code, more, text, ok := splitReply(line)
	switch {
	case !ok:
		return false, whyNoReply
	case r.more && code != r.code:
		return false, whyMixedCodes
	case r.lines >= r.maxLines:
		return false, whyManyLines
	}
	r.keep(text)
	r.code, r.more = code, more
	r.lines++
	return !more, ""
}

// splitReply takes a line of a reply apart. The text may be missing, with the
// space before it (RFC 5321 §4.2, Reply-line). Of the code the first digit
// decides (RFC 5321 §4.3.2); there are no codes of 1yz and 6yz.
func splitReply(line []byte) (code int, more bool, text []byte, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, false, nil, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, false, nil, true
	}
	return code, line[3] == '-', line[4:], line[3] == '-' || line[3] == ' '
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// keep remembers the text of a line, as far as there is room.
func (r *replyReader) keep(text []byte) {
	if len(r.text) >= maxKeptText {
		return
	}
	if r.lines > 0 {
		r.text = append(r.text, '\n')
	}
	r.text = append(r.text, text[:min(len(text), maxKeptLine)]...)
}

// class returns the first digit of the code, which decides.
func (r *replyReader) class() int { return r.code / 100 }

// refuses reports whether it is 4yz or 5yz.
func (r *replyReader) refuses() bool { return r.code >= 400 }

// reply returns the reply as it is kept: the enhanced code taken off its text
// (RFC 2034 §4), whose class follows from the reply's code whatever stood
// there, and the text made safe to show. For who quotes the server, it is there as
// it came too.
func (r *replyReader) reply() *Reply {
	reply := &Reply{Code: r.code}
	var b, said []byte
	for i, line := range bytes.Split(r.text, []byte{'\n'}) {
		enhanced, text := cutEnhanced(line)
		if i == 0 {
			reply.Enhanced = string(enhanced)
		} else {
			b, said = append(b, '\n'), append(said, '\n')
		}
		b, said = appendShown(b, text, r.utf8), appendShown(said, line, r.utf8)
	}
	reply.Text, reply.Said = string(b), string(said)
	return reply
}

// cutEnhanced takes an enhanced code off a line and returns its subject and
// detail (RFC 3463 §2); nothing if there is none.
func cutEnhanced(line []byte) (enhanced, text []byte) {
	if len(line) < len("5.1.1") || line[1] != '.' || line[0] != '2' && line[0] != '4' && line[0] != '5' {
		return nil, line
	}
	n := digits(line[2:])
	dot := 2 + n
	if n == 0 || dot >= len(line) || line[dot] != '.' {
		return nil, line
	}
	n = digits(line[dot+1:])
	end := dot + 1 + n
	if n == 0 || end < len(line) && line[end] != ' ' {
		return nil, line
	}
	return line[2:end], bytes.TrimLeft(line[end:], " ")
}

// digits returns how many of the first three octets are digits.
func digits(b []byte) int {
	n := 0
	for n < len(b) && n < 3 && isDigit(b[n]) {
		n++
	}
	return n
}

// appendShown appends what a peer said, on one line and safe to show: what is
// not printable becomes "?", and so does what is not ASCII, unless utf8 lets it
// stand and it is valid.
func appendShown(b, text []byte, asUTF8 bool) []byte {
	if asUTF8 && utf8.Valid(text) {
		for _, c := range string(text) {
			if !unicode.IsPrint(c) {
				c = '?'
			}
			b = utf8.AppendRune(b, c)
		}
		return b
	}
	for _, c := range text {
		if c < ' ' || c >= 0x7f {
			c = '?'
		}
		b = append(b, c)
	}
	return b
}

// shown is appendShown as a string of ASCII.
func shown(text []byte) string {
	return strings.TrimSpace(string(appendShown(nil, text, false)))
}
