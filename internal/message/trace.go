package message

import (
	"bytes"
	"net/netip"
	"time"
	"unicode/utf8"

	"postrider/internal/mail"
)

// Limits of trace fields, in octets.
const (
	// foldAt is where a line is folded if it can be (RFC 5322 §2.1.1).
	foldAt = 78
	// maxToken is how much of a name goes into a field: a domain is no longer
	// (RFC 5321 §4.5.3.1.2). With the limits of addresses it keeps lines under 998.
	maxToken = 255
)

// With returns the protocol's name in a Received field: RFC 5321 §4.4, RFC 3848
// for TLS and authentication, RFC 6531 §4.3 for SMTPUTF8.
func With(extended, utf8, tls, auth bool) string {
	if !extended {
		return "SMTP"
	}
	w := "ESMTP"
	if utf8 {
		w = "UTF8SMTP"
	}
	if tls {
		w += "S"
	}
	if auth {
		w += "A"
	}
	return w
}

// Received is a Received field (RFC 5321 §4.4): who took a message from whom,
// how, and when.
type Received struct {
	// Helo is what the client called itself, empty if it said nothing.
	Helo string
	// Remote is the client's address.
	Remote netip.Addr
	// Hidden leaves both out: the field says localhost in their place. RFC 5321
	// §4.4 has to have a from, and there a domain, while the address is a SHOULD.
	Hidden bool
	// Own says that this host made the message itself: there is no from and no with.
	Own bool
	// By is the name of this host.
	By string
	// With is the protocol; see function With.
	With string
	// TLS describes the protection of the connection, empty if there was none.
	TLS string
	ID  mail.ID
	// For is the recipient, if there is exactly one; else the zero Address, so
	// that no recipient learns of another (RFC 5321 §7.2).
	For  mail.Address
	Time time.Time
}

// AppendTo appends the field, folded, with its CRLF. Whatever the client said
// about itself can add neither lines nor comments to it.
func (r Received) AppendTo(b []byte) []byte {
	f := folder{b: append(b, "Received:"...), line: len(b)}
	if !r.Own {
		f.add(r.from()...)
	}
	f.add("by", hostName(r.By))
	if !r.Own {
		f.add("with", r.With)
	}
	if r.TLS != "" {
		f.add("(" + commentText(r.TLS) + ")")
	}
	f.add("id", r.ID.String())
	if !r.For.IsZero() {
		f.add("for", path(r.For))
	}
	f.b = append(f.b, ';')
	f.add(mail.FormatDate(r.Time))
	return append(f.b, "\r\n"...)
}

// from returns the words of the from clause.
func (r *Received) from() []string {
	if r.Hidden {
		return []string{"from", "localhost"}
	}
	remote := literal(r.Remote)
	helo := r.Helo
	if helo == "" {
		helo = remote
	}
	return []string{"from", hostName(helo), "(" + remote + ")"}
}

// IsReceived reports whether a field is the Received field that was made for a
// message with this ID.
func IsReceived(f Field, id mail.ID) bool {
	return f.Is("Received") && bytes.Contains(f.Body, []byte("id "+id.String()))
}

// AppendReturnPath appends a Return-Path field for a reverse-path (RFC 5321
// §4.4); the zero Address makes "<>".
func AppendReturnPath(b []byte, from mail.Address) []byte {
	return appendField(b, "Return-Path: ", path(from))
}

// AppendDeliveredTo appends a Delivered-To field: the mailbox that a copy is
// for, by which a message that comes back to it is known (RFC 9228).
func AppendDeliveredTo(b []byte, to mail.Address) []byte {
	p := path(to)
	return appendField(b, "Delivered-To: ", p[1:len(p)-1])
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// folder appends words to a field, and breaks lines where they get too long.
type folder struct {
	b    []byte
	line int // where the current line begins in b
}

// add appends words that stay on one line together if they fit on one.
func (f *folder) add(words ...string) {
	n := 1 // for the semicolon that may follow
	for _, w := range words {
		n += 1 + len(w)
	}
	if len(f.b)-f.line+n > foldAt {
		f.b = append(f.b, '\r', '\n')
		f.line = len(f.b)
		f.b = append(f.b, '\t')
	} else {
		f.b = append(f.b, ' ')
	}
	for i, w := range words {
		if i > 0 {
			f.b = append(f.b, ' ')
		}
		f.b = append(f.b, w...)
	}
}

// literal returns an IP address as an address literal (RFC 5321 §4.1.3).
func literal(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid():
		return "[unknown]"
	case a.Is6():
		return "[IPv6:" + a.String() + "]"
	}
	return "[" + a.String() + "]"
}

// hostName returns what stands for a host in a trace field: a name as it is, or
// a literal. Every octet that could be anything else becomes "_".
func hostName(s string) string {
	s = s[:min(len(s), maxToken)]
	isLiteral := len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']'
	return clean(s, func(i int, c byte) bool {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			return true
		case c == '.', c == '-', c == '_':
			return true
		case c == ':':
			return isLiteral
		case c == '[':
			return isLiteral && i == 0
		case c == ']':
			return isLiteral && i == len(s)-1
		}
		return false
	})
}

// commentText returns s as the text of a comment (RFC 5322 §3.2.2).
func commentText(s string) string {
	return clean(s[:min(len(s), maxToken)], func(_ int, c byte) bool {
		return c >= ' ' && c < 0x7f && c != '(' && c != ')' && c != '\\'
	})
}

// path returns an address in angle brackets. The parser of addresses lets no
// control character through; if one came here all the same, it would not get out.
func path(a mail.Address) string {
	if a.IsZero() {
		return "<>"
	}
	s := a.String()
	if !utf8.ValidString(s) {
		return "<" + clean(s, isVisibleASCII) + ">"
	}
	return "<" + clean(s, func(i int, c byte) bool { return c >= 0x80 || isVisibleASCII(i, c) }) + ">"
}

func isVisibleASCII(_ int, c byte) bool { return c >= ' ' && c < 0x7f }

// clean replaces the octets of s that are not good by "_".
func clean(s string, good func(i int, c byte) bool) string {
	for i := 0; i < len(s); i++ {
		if good(i, s[i]) {
			continue
		}
		b := []byte(s)
		for ; i < len(b); i++ {
			if !good(i, b[i]) {
				b[i] = '_'
			}
		}
		return string(b)
	}
	return s
}
