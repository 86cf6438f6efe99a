package receive

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/message"
	"postrider/internal/srs"
	"postrider/internal/store"
)

// Original is a message that the server itself sends: a notification, or a report.
type Original struct {
	// ID is the message's own. Given again, it changes nothing (store.Accept).
	ID mail.ID
	// To is who gets it. It may be a rewritten reverse-path of ours.
	To mail.Address
	// What says what it is, in a word or two: for the log and the queue.
	What string
	// About is the message that it tells of, as its sender knows it; may be zero.
	About mail.ID
	// UTF8 says that it needs SMTPUTF8 on its way (RFC 6531).
	UTF8 bool
	// Write writes the message, header first, with CRLF.
	Write func(w io.Writer) error
	// Settle are rows of the queue that are settled in the same commit.
	Settle []store.Settlement
	// Stranger says that it tells of a success, and that nothing vouches for whom it
	// goes to; see StrangerNotices.
	Stranger bool
}

// Originate sends a message of the server's own, with the null reverse-path: to
// mailboxes here, or through the queue under a ServerWarrant. When it returns nil
// the message is durable and the rows are settled, in one commit.
//
// Quotas are not looked at: what is told here nobody would hear of otherwise, and
// it is small. If To leads to nobody, or a stranger is told of too many successes, the
// rows are settled all the same, and the log says so. After an error nothing was done, or all of it; the same again, with the
// same ID, settles that.
func (r *Receiver) Originate(ctx context.Context, o Original) error {
	op := "send " + o.What + " " + o.ID.String()
	if o.Stranger && !r.strangers.allow(ctx, r.o.Logger, r.o.Now()) {
		return fault.Wrap(op, r.settleRows(ctx, o))
	}
	e := mail.Envelope{ID: o.ID, SMTPUTF8: o.UTF8, Recipients: []mail.Recipient{{Address: o.To}}}
	w, err := r.routeTo(ctx, o.To)
	if err != nil {
		return fault.Wrap(op, err)
	}
	if w.isEmpty() {
		return fault.Wrap(op, r.abandon(ctx, o))
	}
	begun := r.o.Now()
	ids := idMaker{first: o.ID, now: r.o.Now}
	passages, err := r.forward(ctx, &e, w.forwards, &ids, begun)
	if err != nil {
		return fault.Wrap(op, err)
	}
	if len(w.onward) > 0 {
		p, err := store.Pass(store.ServerWarrant(o.What), store.Onward{ID: ids.next(), Envelope: onwardEnvelope(&e, w.onward), Due: begun})
		if err != nil {
			return fault.Wrap(op, err)
		}
		passages = append(passages, p)
	}
	content, err := r.write(ctx, o, begun)
	if err != nil {
		return fault.Wrap(op, err)
	}
	octets := content.Size()
	done, err := r.o.Store.Accept(context.WithoutCancel(ctx), store.Accept{
		ID: o.ID, Content: content, Received: begun, Envelope: e,
		Deliveries: deliveries(&e, w), Onward: passages, Settle: o.Settle,
	})
	if fault.Is(err, fault.NotFound) { // an account went away meanwhile
		err = fault.New(fault.Transient, "find the mailboxes again", err)
	}
	if err != nil {
		return fault.Wrap(op, err)
	}
	if !done.Repeated {
		r.originated(ctx, o, w, octets)
	}
	r.kick(passages)
	return nil
}

// routeTo returns where mail of our own goes; empty if it leads to nobody.
func (r *Receiver) routeTo(ctx context.Context, to mail.Address) (*route, error) {
	a := &attempt{route: new(route), rcpt: mail.Recipient{Address: to}}
	if srs.Is(to) {
		local, err := r.o.Directory.Local(ctx, to.Domain)
		if err != nil {
			return nil, err
		}
		if local {
			to, err = r.original(ctx, to)
			var forged *verdict
			if errors.As(err, &forged) {
				return a.route, nil
			}
			if err != nil {
				return nil, err
			}
			a.rcpt.Address = to
		}
	}
	way, err := r.o.Directory.Resolve(ctx, to)
	switch {
	case fault.Is(err, fault.Denied):
		a.onward = r.o.Onward
	case fault.Is(err, fault.NotFound):
	case err != nil:
		return nil, err
	default:
		if !r.o.Onward {
			way.Remote = nil
		}
		a.follow(way)
	}
	a.keep()
	return a.route, nil
}

// write writes the message into the store, below a trace field of our own.
func (r *Receiver) write(ctx context.Context, o Original, now time.Time) (store.Content, error) {
	c, err := r.o.Store.NewContent(ctx, 0)
	if err != nil {
		return nil, err
	}
	trace := message.Received{Own: true, By: r.o.Hostname, ID: o.ID, Time: now}
	if _, err = c.Write(trace.AppendTo(nil)); err == nil {
		err = o.Write(c)
	}
	if err != nil {
		c.Discard()
		return nil, err
	}
	return c, nil
}

// originated counts and logs a message of our own.
func (r *Receiver) originated(ctx context.Context, o Original, w *route, octets int64) {
	r.m.messages.WithLabelValues(roleServer).Inc()
	r.m.recipients.WithLabelValues(roleServer).Inc()
	r.m.copies.WithLabelValues(roleServer).Add(float64(len(w.targets)))
	r.m.onward.WithLabelValues(roleServer).Add(float64(w.remote()))
	r.m.octets.WithLabelValues(roleServer).Add(float64(octets))
	r.o.Logger.LogAttrs(ctx, slog.LevelInfo, "message originated", append(o.attrs(),
		slog.Int("copies", len(w.targets)), slog.Int("onward", w.remote()), slog.Int64("octets", octets))...)
}

// attrs are what the log says of a message of our own.
func (o *Original) attrs() []slog.Attr {
	all := append(make([]slog.Attr, 0, 7), slog.String("message", o.ID.String()), slog.String("what", o.What))
	if !o.About.IsZero() {
		all = append(all, slog.String("about", o.About.String()))
	}
	return append(all, slog.String("to", o.To.String()))
}

// abandon settles the rows of a message for nobody.
func (r *Receiver) abandon(ctx context.Context, o Original) error {
	if err := r.settleRows(ctx, o); err != nil {
		return err
	}
	r.o.Logger.LogAttrs(ctx, slog.LevelWarn, "nobody can be told: the address leads nowhere", o.attrs()...)
	return nil
}

// settleRows settles the rows of a message that is not sent.
func (r *Receiver) settleRows(ctx context.Context, o Original) error {
	if len(o.Settle) == 0 {
		return nil
	}
	if r.o.Rows == nil {
		return fault.Newf(fault.Internal, "settle rows", "there is no queue")
	}
	_, err := r.o.Rows.Settle(context.WithoutCancel(ctx), o.Settle)
	return err
}
