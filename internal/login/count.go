package login

import "time"

// count counts failures within a window that slides: those of the window before
// the present one count by as much of it as is still covered.
type count struct {
	start      time.Time // of the present window
	in, before int       // failures in it, and in the one before it
}

// add counts one more failure.
func (c *count) add(now time.Time, window time.Duration) {
	*c = c.rolled(now, window)
	c.in++
}

// at returns how many failures there were in the window that ends now.
func (c count) at(now time.Time, window time.Duration) int {
	c = c.rolled(now, window)
	covered := window - min(max(now.Sub(c.start), 0), window)
	return c.in + int(float64(c.before)*(float64(covered)/float64(window)))
}

// rolled returns the count with the present window being the one that has now.
func (c count) rolled(now time.Time, window time.Duration) count {
	switch gone := now.Sub(c.start); {
	case c.start.IsZero() || gone >= 2*window:
		return count{start: now}
	case gone >= window:
		return count{start: c.start.Add(window), before: c.in}
	}
	return c
}

// firstDelay is how long after its beginning the second failure is answered, but
// for leastTime; every further failure doubles it.
const firstDelay = 250 * time.Millisecond

// leastTime is how long after its beginning a failure is answered at the
// soonest: some accounts have hashes that take another time than the decoy for
// names that nobody has, since they were imported or are older than the costs.
const leastTime = time.Second

// delay is how long after its beginning the nth failure is answered.
func delay(n int, most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	d := firstDelay
	for ; n > 2 && d < most; n-- {
		d *= 2
	}
	return min(max(d, leastTime), most)
}
