package outbound

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"unicode"

	"postrider/internal/dsn"
	"postrider/internal/mail"
	"postrider/internal/message"
	"postrider/internal/store"
)

// What the log says of a message with the null reverse-path that could not be sent:
// nobody hears of it, for nobody stands behind it (RFC 5321 §4.5.5).
const (
	adviceNotice = "its addressee does not know what became of the message that it is about: tell them by other means if it matters; many of these mean that mail comes in with senders that don't exist: look in the log for the id in about, and on whose account that was taken"
	adviceOthers = "it came with no sender, as notifications of other servers do, and is gone; many of these mean that an alias or a relay client passes on what its next host does not want"
)

// isUntold reports whether a row has failed and there is nobody to tell. A report about
// TLS is missed by nobody.
func isUntold(m *store.QueuedMessage, o *outcome) bool {
	return o.kind == failed && notifyTo(m).IsZero() && m.Warrant.Name() != TLSReport
}

// untoldText says what has failed, and untoldAttrs what is known of it beside what is
// known of every attempt.
func untoldText(m *store.QueuedMessage) string {
	if m.Warrant.Kind() == store.ServerSends {
		return "notification could not be sent"
	}
	return "message could not be sent, and has no sender who could be told"
}

func (d *Deliverer) untoldAttrs(m *store.QueuedMessage) []slog.Attr {
	subject, about := d.notified(m)
	if m.Warrant.Kind() != store.ServerSends {
		return []slog.Attr{slog.String("subject", subject), slog.String("advice", adviceOthers)}
	}
	return []slog.Attr{
		slog.String("what", m.Warrant.Name()), slog.String("about", about), slog.String("subject", subject), slog.String("advice", adviceNotice),
	}
}

// notified returns the subject of a message, and, where it is a notification of ours,
// the ID of the message that it tells of; each is empty if it can't be read.
func (d *Deliverer) notified(m *store.QueuedMessage) (subject, about string) {
	r, err := d.o.Store.OpenQueued(context.Background(), m.ID)
	if err != nil {
		return "", ""
	}
	defer r.Close()
	head := make([]byte, min(r.Size(), dsn.MaxHeader))
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, int64(len(head))), head); err != nil {
		return "", ""
	}
	header, _, _ := bytes.Cut(head, []byte("\r\n\r\n"))
	for f := range message.SplitFields(header) {
		if f.Is("Subject") {
			subject = clip(printable(f.Value()))
			break
		}
	}
	_, rest, _ := bytes.Cut(head, []byte("\r\n"+dsn.IDField+": "))
	text, _, _ := bytes.Cut(rest, []byte("\r\n"))
	if id, err := mail.ParseID(string(text)); err == nil {
		about = id.String()
	}
	return subject, about
}

// printable returns a text without what a terminal could take for a command.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(b))
}
