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
	// maxHoldRetries is how many messages wait each for its own next try. If more
	// fail, the store is not well, and all wait.
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
	unwell  retry              // of all, while the store can't be used
}

// retry says when something that failed is tried again.
type retry struct {
	pause time.Duration
	at    time.Time
}

func (t *retry) failed(now time.Time) {
	t.pause = min(max(2*t.pause, minHoldPause), maxHoldPause)
	t.at = now.Add(t.pause)
}

// round releases what is due, and returns how long to sleep.
func (h *holder) round(ctx context.Context) time.Duration {
	if now := h.r.o.Now(); now.Before(h.unwell.at) {
		return h.unwell.at.Sub(now)
	}
	for {
		due, next, err := h.due(ctx)
		if err == nil {
			err = h.releaseAll(ctx, due)
		}
		now := h.r.o.Now()
		if err != nil {
			h.unwell.failed(now)
			return h.unwell.pause
		}
		h.unwell = retry{}
		if len(due) == 0 {
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
		if err != nil {
			h.log(ctx, nil, fault.Wrap("list held mail", err))
			return nil, next, err
		}
		at := m.Due
		if t := h.retries[m.ID]; t != nil {
			failing[m.ID] = t
			at = t.at
		}
		switch {
		case m.Due.After(now):
			h.retries = failing // those that are not due any more are forgotten
			return due, earlier(next, at), nil
		case at.After(now):
			next = earlier(next, at)
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
		h.log(ctx, &m, fault.Wrap("release message "+m.ID.String(), err))
		if concernsAll(err) {
			return err
		}
		t := h.retries[m.ID]
		if t == nil {
			if len(h.retries) == maxHoldRetries {
				return err
			}
			t = new(retry)
			h.retries[m.ID] = t
		}
		t.failed(h.r.o.Now())
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

// release releases one message. It is not broken off when ctx ends: nobody would
// know whether it happened.
func (h *holder) release(ctx context.Context, m store.Held) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := h.r.o.Now()
	done, err := h.r.o.Store.Release(context.WithoutCancel(ctx), m.ID, now)
	if fault.Is(err, fault.NotFound) {
		return nil // it has been released or dropped
	}
	if err != nil {
		return err
	}
	h.r.m.released.Inc()
	h.r.o.Logger.LogAttrs(ctx, slog.LevelInfo, "held message released",
		slog.String("message", m.ID.String()),
		slog.String("from", m.Envelope.From.String()),
		slog.Any("to", addresses(m.Envelope.Recipients)),
		slog.Int("copies", len(done.Placed)),
		slog.Time("due", m.Due),
		slog.Duration("late", now.Sub(m.Due)))
	return nil
}

// log says what went wrong.
func (h *holder) log(ctx context.Context, m *store.Held, err error) {
	attrs := []slog.Attr{slog.Any("reason", err), slog.String("advice", adviceHeld[fault.KindOf(err)])}
	if m != nil {
		attrs = append(attrs, slog.String("message", m.ID.String()))
	}
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
