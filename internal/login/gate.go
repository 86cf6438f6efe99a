package login

import (
	"context"
	"math"
	"slices"
	"time"

	"postrider/internal/fault"
)

// maxQueue is how many logins may wait at one gate; more are refused.
const maxQueue = 1000

// gate is what an address, or an address together with an account, has to pass
// before a password is looked at. A login that is under way counts as a failure:
// others wait until it is decided, when they would be one guess too many.
//
// A guard's lock is held in all its methods.
type gate struct {
	failures     count
	since, until time.Time // of the lock-out; zero: there was none
	refused      int64     // logins, since the lock-out began
	inside       int       // logins under way
	queue        []*waiter
	shown        string // the account's name, as the log may show it
}

func (t *gate) locked(now time.Time) bool { return now.Before(t.until) }

// idle reports whether there is nothing to remember.
func (t *gate) idle(now time.Time, window time.Duration) bool {
	return t.inside == 0 && len(t.queue) == 0 && !t.locked(now) && t.failures.at(now, window) == 0
}

// places is how many logins may be under way: those that would not be too many if
// they all failed, and one in any case. A negative limit is none.
func (t *gate) places(limit int, now time.Time, window time.Duration) int {
	if limit < 0 {
		return math.MaxInt
	}
	return max(1, limit-t.failures.at(now, window))
}

// enter waits for a place. The guard's lock is not held meanwhile. Busy: too many
// wait; *lockedOut: the gate is locked; Transient: ctx has ended.
func (t *gate) enter(ctx context.Context, g *guard, limit int) error {
	now := g.now()
	switch {
	case t.locked(now):
		return t.refuse()
	case t.inside < t.places(limit, now, g.p.Window):
		t.inside++
		return nil
	case len(t.queue) >= maxQueue:
		return fault.Newf(fault.Busy, "log in", "too many logins are under way")
	}
	w := &waiter{turn: make(chan struct{})}
	t.queue = append(t.queue, w)
	g.mu.Unlock()
	select {
	case <-w.turn:
	case <-ctx.Done():
	}
	g.mu.Lock()
	if i := slices.Index(t.queue, w); i >= 0 {
		t.queue = slices.Delete(t.queue, i, i+1)
		return fault.New(fault.Transient, "wait for other logins", ctx.Err())
	}
	if !w.inside {
		return t.refuse()
	}
	return nil
}

// refuse counts a login that is refused because the gate is locked.
func (t *gate) refuse() error {
	t.refused++
	return &lockedOut{first: t.refused == 1}
}

// leave gives a place back.
func (t *gate) leave(g *guard, limit int) {
	t.inside--
	t.wake(g, limit)
}

// wake gives places to those that wait as far as there are any; when the gate is
// locked it lets them go without one.
func (t *gate) wake(g *guard, limit int) {
	now := g.now()
	n, locked := len(t.queue), t.locked(now)
	if !locked {
		n = min(n, max(0, t.places(limit, now, g.p.Window)-t.inside))
	}
	for _, w := range t.queue[:n] {
		if !locked {
			w.inside = true
			t.inside++
		}
		close(w.turn)
	}
	t.queue = slices.Delete(t.queue, 0, n)
}

// fail counts a failure and reports whether a lock-out begins with it.
func (t *gate) fail(now time.Time, limit int, p Policy) bool {
	t.failures.add(now, p.Window)
	if limit < 0 || t.locked(now) || t.failures.at(now, p.Window) < limit {
		return false
	}
	t.since, t.until, t.refused = now, now.Add(p.Lockout), 0
	return true
}

// waiter is a login that waits for its turn.
type waiter struct {
	turn   chan struct{} // closed when it may go on
	inside bool          // then: it has a place
}

// lockedOut says that a login was refused because of those that failed before.
type lockedOut struct {
	first bool // of those that were refused since the lock-out began
}

func (e *lockedOut) Error() string { return "locked out after too many failed logins" }
