package receive

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"time"

	"postrider/internal/dsn"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// told is a recipient whose success the sender hears of from us.
type told struct {
	rcpt   mail.Recipient
	action dsn.Action // Delivered, or Expanded where some of what it led to is elsewhere
}

// tell notes a recipient whose success its sender wants to hear of, if that is this
// host's to tell (RFC 3461 §5.2.3, §5.2.7): not where the next host is asked.
func (w *route) tell(a *attempt) {
	if a.rcpt.Notify&mail.NotifySuccess == 0 || a.onward || len(a.forwards) > 0 && !a.split {
		return
	}
	action := dsn.Delivered
	if len(a.forwards) > 0 {
		action = dsn.Expanded
	}
	w.told = append(w.told, told{a.rcpt, action})
}

// tellOfSuccess sends the sender of a message that is durable one notification about
// the recipients that it wanted to hear of. If that fails the log says so: the
// message is not less delivered for it. Header is the message's; nil: it is not at hand,
// or the sender is a stranger, who gets nothing of it back.
func (r *Receiver) tellOfSuccess(ctx context.Context, e *mail.Envelope, all []told, arrived time.Time, header []byte, stranger bool) {
	n := dsn.Notice{
		ID: mail.NewID(r.o.Now()), Hostname: r.o.Hostname, Now: r.o.Now(), To: e.From, Envelope: *e, Arrived: arrived, Stranger: stranger,
	}
	if header != nil {
		n.Original, n.OriginalSize = bytes.NewReader(header), int64(len(header))
	}
	for _, t := range all {
		if dsn.Wanted(e.From, t.rcpt.Notify, t.action) {
			n.Recipients = append(n.Recipients, dsn.Recipient{Recipient: t.rcpt, Action: t.action})
		}
	}
	if len(n.Recipients) == 0 {
		return
	}
	err := r.Originate(ctx, Original{
		ID: n.ID, To: n.To, What: "delivery notification", About: e.ID, UTF8: n.UTF8(), Stranger: stranger,
		Write: func(w io.Writer) error {
			_, err := n.WriteTo(w)
			return err
		},
	})
	if err != nil {
		r.o.Logger.LogAttrs(ctx, slog.LevelError, "a sender was not told that its message was delivered",
			slog.String("message", e.ID.String()), slog.String("from", e.From.String()),
			slog.Any("reason", err), slog.String("advice", advice[fault.KindOf(err)]))
	}
}

// tellOfRelease does so for a held message that is in its mailboxes now, where placed
// says. Where its recipients lead is looked up again. Its sender is no stranger: only
// what accounts submit is held.
func (r *Receiver) tellOfRelease(ctx context.Context, m *store.Held, placed []store.Placed) {
	w := new(route)
	for _, rcpt := range m.Envelope.Recipients {
		if rcpt.Notify&mail.NotifySuccess == 0 {
			continue
		}
		way, err := r.o.Directory.Resolve(ctx, rcpt.Address)
		if err != nil { // it is at another host, or has gone
			continue
		}
		a := attempt{rcpt: rcpt}
		a.follow(way)
		w.tell(&a)
	}
	if len(w.told) == 0 {
		return
	}
	e := m.Envelope
	e.ID = m.ID
	r.tellOfSuccess(ctx, &e, w.told, m.Received, r.headerOf(ctx, m, placed), false)
}

// headerOf returns the header of a message that was released, without the prefix that
// tells its copies apart; nil if no copy can be read, as when it has been collected.
func (r *Receiver) headerOf(ctx context.Context, m *store.Held, placed []store.Placed) []byte {
	for _, p := range placed {
		copied, err := r.o.Store.Open(ctx, p.Account, p.Mailbox, p.UID)
		if err != nil {
			continue
		}
		content := io.NewSectionReader(copied, copied.Size()-m.Size, m.Size)
		h, err := dsn.Header(content, m.Size)
		copied.Close()
		if err == nil {
			return h
		}
	}
	return nil
}
