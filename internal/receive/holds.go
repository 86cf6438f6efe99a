package receive

import (
	"context"
	"log/slog"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// How held mail is looked after.
const (
	// maxHoldSleep is the longest sleep between two looks at what is held; a clock
	// that is set, or a machine that sleeps, delays a message by no more.
	maxHoldSleep = time.Minute
	// holdBatch is how many due messages are read before they are released.
	holdBatch = 100
	// minHoldPause and maxHoldPause bound how long a failed release waits for the
	// next try; it doubles each time.
	minHoldPause = time.Second
	maxHoldPause = 10 * time.Minute
	// minHoldQuiet and maxHoldQuiet bound how long it is until the log says again
	// what it has said about a message; that doubles too.
	minHoldQuiet = 10 * time.Minute
	maxHoldQuiet = 24 * time.Hour
	// maxHoldRetries is how many messages wait each for its own next try. If more
	// fail, they wait together.
	maxHoldRetries = 1000
)

// ReleaseHeld releases held messages (RFC 4865) when they are due, until ctx
// ends; then it returns nil. What is held is in the store: a stop at any moment
// loses nothing, and what became due meanwhile is released at the next start.
func (r *Receiver) ReleaseHeld(ctx context.Context) error {
	h := holder{r: r, retries: map[mail.ID]*retry{}}
	for ctx.Err() == nil {
		sleep := time.NewTimer(h.round(ctx))
		select {
		case <-ctx.Done():
		case <-r.held:
		case <-sleep.C:
		}
		sleep.Stop()
	}
	return nil
}

// wakeHolder tells ReleaseHeld that another message is held.
func (r *Receiver) wakeHolder() {
	select {
	case r.held <- struct{}{}:
	default:
	}
}

// holder is ReleaseHeld's memory.
type holder struct {
	r       *Receiver
	retries map[mail.ID]*retry // of the messages that could not be released
	// beyond is about those for which there was no room in retries.
	beyond beyond
	// unreadable is about messages whose records can't be read.
	unreadable retry
	unwell     retry // of all, while the store can't be used
}

// round releases what is due, and returns how long to sleep.
func (h *holder) round(ctx context.Context) time.Duration {
	now := h.r.o.Now()
	if now.Before(h.unwell.again.at) {
		return h.unwell.again.at.Sub(now)
	}
	h.beyond.begin(now)
	for {
		due, next, err := h.due(ctx)
		if err == nil {
			err = h.releaseAll(ctx, due)
		}
		now := h.r.o.Now()
		if err != nil {
			if h.unwell.failed(now) {
				h.log(ctx, err)
			}
			return h.unwell.again.pause
		}
		h.unwell = retry{}
		if len(due) == 0 {
			next = earlier(next, h.endBeyond(ctx, now))
			return max(0, min(next.Sub(now), maxHoldSleep))
		}
	}
}

// due returns the first messages that are due, and when the next one is.
func (h *holder) due(ctx context.Context) (due []store.Held, next time.Time, err error) {
	now := h.r.o.Now()
	next = now.Add(maxHoldSleep)
	failing := map[mail.ID]*retry{}
	for m, err := range h.r.o.Store.Held(ctx) {
		t := h.retries[m.ID]
		if t != nil {
			failing[m.ID] = t
		}
		switch {
		case err != nil && m.ID.IsZero():
			return nil, next, fault.Wrap("list held mail", err)
		case err != nil: // about this one only
			h.cannotRead(ctx, m.ID, now, err)
		case m.Due.After(now):
			h.retries = failing // those that are not due any more are forgotten
			return due, earlier(next, m.Due), nil
		case t != nil && t.again.at.After(now):
			next = earlier(next, t.again.at)
		case t == nil && h.beyond.has(m):
		default:
			if due = append(due, m); len(due) == holdBatch {
				return due, next, nil
			}
		}
	}
	h.retries = failing
	return due, next, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// releaseAll releases messages. Its error says that the store is not well.
func (h *holder) releaseAll(ctx context.Context, due []store.Held) error {
	for _, m := range due {
		err := h.release(ctx, m)
		if err == nil {
			delete(h.retries, m.ID)
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		err = fault.Wrap("release message "+m.ID.String(), err)
		if concernsAll(err) {
			return err
		}
		t := h.retries[m.ID]
		if t == nil && len(h.retries) == maxHoldRetries {
			h.beyond.add(m, err)
			continue
		}
		if t == nil {
			t = new(retry)
			h.retries[m.ID] = t
		}
		if t.failed(h.r.o.Now()) {
			h.log(ctx, err, slog.String("message", m.ID.String()))
		}
	}
	return nil
}

// concernsAll reports whether an error is about the store and not about one
// message.
func concernsAll(err error) bool {
	switch fault.KindOf(err) {
	case fault.NoSpace, fault.ReadOnly:
		return true
	}
	return false
}

// release releases one message, unless it has been released or dropped.
func (h *holder) release(ctx context.Context, m store.Held) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := h.r.Release(ctx, m)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// Release delivers a held message, due or not, and tells its sender of it if that was
// wanted; the errors are those of store.Holds.Release. It is not broken off when ctx
// ends: nobody would know whether it happened.
func (r *Receiver) Release(ctx context.Context, m store.Held) (store.Accepted, error) {
	ctx = context.WithoutCancel(ctx)
	now := r.o.Now()
	done, err := r.o.Store.Release(ctx, m.ID, now)
	if err != nil {
		return done, err
	}
	r.m.released.Inc()
	r.o.Logger.LogAttrs(ctx, slog.LevelInfo, "held message released",
		slog.String("message", m.ID.String()),
		slog.String("from", m.Envelope.From.String()),
		slog.Any("to", addresses(m.Envelope.Recipients)),
		slog.Int("copies", len(done.Placed)),
		slog.Time("due", m.Due),
		slog.Duration("late", now.Sub(m.Due)))
	r.tellOfRelease(ctx, &m, done.Placed)
	return done, nil
}

// cannotRead tells of a message whose record can't be read. For as long as there
// are such, the log speaks of one of them now and then.
func (h *holder) cannotRead(ctx context.Context, id mail.ID, now time.Time, err error) {
	if h.unreadable.failed(now) {
		h.log(ctx, fault.Wrap("list held mail", err), slog.String("message", id.String()))
	}
}

// endBeyond ends a round for those that retries had no room for, and returns
// when they are tried again.
func (h *holder) endBeyond(ctx context.Context, now time.Time) time.Time {
	b := &h.beyond
	switch {
	case b.count == 0:
		*b = beyond{}
		return now.Add(maxHoldSleep)
	case b.retry.again.at.After(now): // they have not been tried in this round
	case b.retry.failed(now):
		h.log(ctx, b.err, slog.Int("messages", b.count))
	}
	return b.retry.again.at
}

// log says what went wrong, but not that the server stops.
func (h *holder) log(ctx context.Context, err error, about ...slog.Attr) {
	if ctx.Err() != nil {
		return
	}
	attrs := append(about, slog.Any("reason", err), slog.String("advice", adviceHeld[fault.KindOf(err)]))
	h.r.o.Logger.LogAttrs(ctx, slog.LevelError, "held mail is not released", attrs...)
}

// adviceHeld says what an operator does when held mail can't be released. It is
// tried again in every case.
var adviceHeld = map[fault.Kind]string{
	fault.NoSpace:   advice[fault.NoSpace],
	fault.ReadOnly:  advice[fault.ReadOnly],
	fault.Corrupt:   advice[fault.Corrupt],
	fault.Transient: "nothing if it stays rare; it is tried again",
	fault.Internal:  "it is tried again; please report it if it comes back",
}
