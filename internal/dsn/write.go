package dsn

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"postrider/internal/mail"
	"postrider/internal/message"
)

// WriteTo writes the notification: its header first, lines with CRLF. It is sent
// with the null reverse-path (RFC 3461 §6.1). Nothing is written if the original
// can't be read at first. The memory it takes does not depend on the original's size.
func (n *Notice) WriteTo(w io.Writer) (int64, error) {
	if n.To.IsZero() || len(n.Recipients) == 0 {
		return 0, errNobody
	}
	o, err := n.survey()
	if err != nil {
		return 0, fmt.Errorf("read the original: %w", err)
	}
	out := &counter{w: w}
	boundary := o.boundary()
	var b strings.Builder
	n.writeHeader(&b, o, boundary)
	n.writePeoplePart(&b, o, boundary)
	n.writeFieldsPart(&b, boundary)
	if o.kind == "" {
		b.WriteString("--" + boundary + "--\r\n")
		_, err := io.WriteString(out, b.String())
		return out.n, err
	}
	fmt.Fprintf(&b, "--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n", boundary, o.kind, o.coding)
	if _, err := io.WriteString(out, b.String()); err != nil {
		return out.n, err
	}
	if err := o.writeTo(out, n); err != nil {
		return out.n, err
	}
	_, err = io.WriteString(out, "\r\n--"+boundary+"--\r\n")
	return out.n, err
}

// errNobody is a mistake of the caller's: above all, no notification is ever made
// about a notification (RFC 5321 §6.1).
var errNobody = errors.New("a notification needs somebody who is told, and a recipient")

// counter counts the octets that go through.
type counter struct {
	w io.Writer
	n int64
}

// Write writes p.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// writeHeader appends the notification's header.
func (n *Notice) writeHeader(b *strings.Builder, o *returned, boundary string) {
	host := hostName(n.Hostname)
	field(b, "From", "Mail Delivery System <MAILER-DAEMON@"+host+">")
	to := n.To
	if to.Domain == "" {
		to.Domain = host // a postmaster of ours
	}
	exact(b, "To", "<"+printable(to.String())+">")
	field(b, "Subject", encodedWords(n.subject(), n.UTF8()))
	exact(b, "Date", mail.FormatDate(n.Now))
	exact(b, "Message-ID", "<"+n.ID.String()+".notice@"+strings.Trim(host, "[]:")+">")
	if id := o.messageID(); id != "" {
		exact(b, "In-Reply-To", id)
		exact(b, "References", id)
	}
	exact(b, "Auto-Submitted", "auto-replied") // RFC 3834 §5.2
	exact(b, "MIME-Version", "1.0")
	b.WriteString("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"" + boundary + "\"\r\n")
	if o.coding == coding8Bit || n.UTF8() {
		exact(b, "Content-Transfer-Encoding", coding8Bit)
	}
	b.WriteString("\r\n")
}

// writePeoplePart appends the part for people.
func (n *Notice) writePeoplePart(b *strings.Builder, o *returned, boundary string) {
	var text strings.Builder
	n.writeText(&text, o)
	b.WriteString("--" + boundary + "\r\nContent-Type: text/plain; charset=utf-8\r\n")
	if isASCII(text.String()) {
		b.WriteString("Content-Transfer-Encoding: 7bit\r\n\r\n" + text.String() + "\r\n")
		return
	}
	b.WriteString("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
	encoder := message.NewEncoder(b, false)
	io.WriteString(encoder, text.String())
	encoder.Close()
	b.WriteString("\r\n")
}

// writeFieldsPart appends the part for programs.
func (n *Notice) writeFieldsPart(b *strings.Builder, boundary string) {
	kind, coding := "message/delivery-status", coding7Bit
	if n.UTF8() {
		kind, coding = "message/global-delivery-status", coding8Bit // RFC 6533 §4.1
	}
	fmt.Fprintf(b, "--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n", boundary, kind, coding)
	n.writeFields(b)
	b.WriteString("\r\n")
}
