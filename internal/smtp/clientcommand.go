package smtp

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// checkEnvelope reports what must not reach the wire, wherever it may have come
// from: controls in the reverse-path or a parameter, and a domain that is none. For
// recipients see isRecipient: each counts for itself.
func checkEnvelope(env *mail.Envelope) error {
	const op = "check the envelope"
	switch {
	case len(env.Recipients) == 0:
		return fault.Newf(fault.Internal, op, "no recipients")
	case !isSendable(env.From) || env.From.Domain == "" && env.From.Local != "":
		return fault.Newf(fault.Corrupt, op, "the reverse-path is not an address")
	case !isText(env.EnvID):
		return fault.Newf(fault.Corrupt, op, "the envelope identifier has controls")
	}
	return nil
}

// isRecipient reports whether a recipient can be named to any server.
func isRecipient(r *mail.Recipient) bool { return !r.Address.IsZero() && isSendable(r.Address) }

// isText reports whether s is UTF-8 without controls.
func isText(s string) bool { return !hasControl(s) && utf8.ValidString(s) }

// isSendable reports whether an address can stand in a path: a local part of
// text and a domain of the characters that domains and literals have.
func isSendable(a mail.Address) bool {
	for i := range len(a.Domain) {
		if c := a.Domain[i]; !isAlphanumeric(c) && strings.IndexByte(".-_[]:", c) < 0 {
			return false
		}
	}
	return isText(a.Local) && (a.Local != "" || a.Domain == "")
}

// appendMail appends MAIL with what the server offers and the envelope asks for.
func (c *client) appendMail(b []byte) []byte {
	tx := c.tx
	env := &tx.out.Envelope
	b = append(append(b, "MAIL FROM:<"...), env.From.String()...)
	b = append(b, '>')
	if c.peer.SizeKnown { // RFC 1870 §6
		b = strconv.AppendInt(append(b, " SIZE="...), tx.body.size, 10)
	}
	if body := tx.content.Body(); body != mail.Body7Bit {
		b = append(append(b, " BODY="...), body.String()...)
	}
	if tx.utf8 {
		b = append(b, " SMTPUTF8"...)
	}
	if c.peer.DSN {
		b = appendDSN(b, env)
	}
	if env.RequireTLS && c.peer.RequireTLS && c.conn.TLS != nil { // RFC 8689 §4.2.1
		b = append(b, " REQUIRETLS"...)
	}
	if c.peer.Priority && env.Priority != 0 { // RFC 6710 §4
		b = strconv.AppendInt(append(b, " MT-PRIORITY="...), int64(env.Priority), 10)
	}
	if c.peer.DeliverBy && !env.DeliverBy.Deadline.IsZero() {
		b = appendDeliverBy(b, &env.DeliverBy, c.secondsLeft(env))
	}
	return append(b, "\r\n"...)
}

// appendDSN appends MAIL's parameters of RFC 3461 §4.3 and §4.4.
func appendDSN(b []byte, env *mail.Envelope) []byte {
	switch env.Ret {
	case mail.RetFull:
		b = append(b, " RET=FULL"...)
	case mail.RetHeaders:
		b = append(b, " RET=HDRS"...)
	}
	if env.EnvID == "" {
		return b
	}
	return appendXtext(append(b, " ENVID="...), env.EnvID)
}

// appendRcpt appends RCPT, with the parameters of RFC 3461 §4.1 and §4.2 if the
// server offers them.
func (c *client) appendRcpt(b []byte, r *mail.Recipient) []byte {
	b = append(append(b, "RCPT TO:<"...), r.Address.String()...)
	b = append(b, '>')
	if c.peer.DSN {
		b = appendNotify(b, r.Notify)
		b = appendORcpt(b, r.ORcpt, c.tx.utf8)
	}
	return append(b, "\r\n"...)
}

func appendNotify(b []byte, n mail.Notify) []byte {
	separator := " NOTIFY="
	for i := range notifyWords {
		if w := &notifyWords[i]; n&w.flag != 0 {
			b = append(append(b, separator...), w.word...)
			separator = ","
		}
	}
	return b
}

// appendORcpt appends the original recipient, unless it is none or has become
// longer than it may be: it is better lost than the message.
func appendORcpt(b []byte, original string, eai bool) []byte {
	kind, address, _ := strings.Cut(original, ";")
	if address == "" || !isAtom(kind) || !isText(address) {
		return b
	}
	n := len(b)
	b = append(append(append(b, " ORCPT="...), kind...), ';')
	value := n + len(" ORCPT=")
	if strings.EqualFold(kind, utf8Type) {
		b = appendUnitext(b, address, eai)
	} else {
		b = appendXtext(b, address)
	}
	if len(b)-value > maxORcpt {
		return b[:n]
	}
	return b
}

const upperHex = "0123456789ABCDEF"

// appendXtext encodes text as xtext (RFC 3461 §4).
func appendXtext(b []byte, text string) []byte {
	for i := range len(text) {
		c := text[i]
		if c <= ' ' || c >= 0x7f || c == '+' || c == '=' {
			b = append(b, '+', upperHex[c>>4], upperHex[c&15])
			continue
		}
		b = append(b, c)
	}
	return b
}

// appendUnitext encodes an address of the type utf-8 (RFC 6533 §3): as it is,
// as far as that may stand, where the transaction has SMTPUTF8; in ASCII where it
// has not. What came encoded stays so.
func appendUnitext(b []byte, address string, eai bool) []byte {
	for i, c := range address {
		switch {
		case c == '\\' && isEmbedded(address[i:]):
			b = append(b, '\\')
		case c <= ' ', c == '\\', c == '+', c == '=', c == 0x7f, c > 0x7f && !eai:
			b = append(b, `\x{`...)
			if c < 0x10 {
				b = append(b, '0')
			}
			b = append(b, strings.ToUpper(strconv.FormatInt(int64(c), 16))...)
			b = append(b, '}')
		default:
			b = utf8.AppendRune(b, c)
		}
	}
	return b
}

// isEmbedded reports whether s begins with an EmbeddedUnicodeChar.
func isEmbedded(s string) bool {
	s, ok := strings.CutPrefix(s, `\x{`)
	end := strings.IndexByte(s, '}')
	if !ok || end < 2 || end > 6 {
		return false
	}
	for i := range end {
		if hexDigit(s[i]) < 0 {
			return false
		}
	}
	return true
}

// secondsLeft returns how many seconds are left for the delivery; none or
// fewer if the time is over.
func (c *client) secondsLeft(env *mail.Envelope) int64 {
	return int64(env.DeliverBy.Deadline.Sub(c.conn.Now()) / time.Second)
}

// appendDeliverBy appends BY (RFC 2852 §4).
func appendDeliverBy(b []byte, by *mail.DeliverBy, left int64) []byte {
	const most = 999_999_999 // nine digits
	b = strconv.AppendInt(append(b, " BY="...), min(max(left, -most), most), 10)
	mode := byte('R')
	if by.Mode == mail.ByNotify {
		mode = 'N'
	}
	b = append(b, ';', mode)
	if by.Trace {
		b = append(b, 'T')
	}
	return b
}

// cannotBeInTime returns why a message that is to be returned when it is late
// can't be given to this server, or nil (RFC 2852 §4.1).
func (c *client) cannotBeInTime(env *mail.Envelope) *Reply {
	if env.DeliverBy.Deadline.IsZero() || env.DeliverBy.Mode != mail.ByReturn {
		return nil
	}
	left := c.secondsLeft(env)
	switch {
	case left <= 0:
		return &Reply{Code: 550, Enhanced: "4.7", Text: "The time that the sender gave for the delivery is over"}
	case !c.peer.DeliverBy:
		return &Reply{Code: 550, Enhanced: "3.3", Text: "The message is to be returned when it is late, and the server does not offer DELIVERBY"}
	case left < c.peer.MinBy:
		return &Reply{Code: 550, Enhanced: "4.7", Text: fmt.Sprintf(
			"The message is to be delivered within %d seconds, and the server needs %d", left, c.peer.MinBy)}
	}
	return nil
}
