package receive

import (
	"bytes"
	"time"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// backoff is a pause that doubles each time.
type backoff struct {
	pause time.Duration
	at    time.Time // when it ends
}

// grow begins the next pause.
func (b *backoff) grow(now time.Time, least, most time.Duration) {
	b.pause = min(max(2*b.pause, least), most)
	b.at = now.Add(b.pause)
}

// retry says when something that failed is tried again, and when the log is to
// speak of it again.
type retry struct{ again, quiet backoff }

// failed notes a failure, and reports whether the log should say so.
func (t *retry) failed(now time.Time) (say bool) {
	t.again.grow(now, minHoldPause, maxHoldPause)
	if now.Before(t.quiet.at) {
		return false
	}
	t.quiet.grow(now, minHoldQuiet, maxHoldQuiet)
	return true
}

// beyond is about failed messages that are not remembered one by one: all up to a
// place in the order of store.Holds.Held. They are due, so that what is held from
// now on stands behind them, and they hold up nothing.
type beyond struct {
	retry retry // of all of them
	due   time.Time
	id    mail.ID // the place
	count int
	err   error // of the last
}

// begin forgets them when their time has come, so that all are tried again.
func (b *beyond) begin(now time.Time) {
	if !b.retry.again.at.After(now) {
		b.count = 0
	}
}

// add takes a message that has failed.
func (b *beyond) add(m store.Held, err error) {
	if !b.has(m) {
		b.due, b.id = m.Due, m.ID
	}
	b.count++
	b.err = err
}

// has reports whether a message stands before or at the place.
func (b *beyond) has(m store.Held) bool {
	if b.count == 0 {
		return false
	}
	order := m.Due.Compare(b.due)
	return order < 0 || order == 0 && bytes.Compare(m.ID[:], b.id[:]) <= 0
}
