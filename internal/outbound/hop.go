package outbound

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"postrider/internal/mail"
)

// hop is where some mail goes next, as the dispatcher and its connections share
// it. All but its constants is guarded by Deliverer.mu.
type hop struct {
	// Constants.
	key    string
	route  *Route
	domain string // of its first job; the domain of all if the route is by MX
	terms  Terms
	rate   *rate.Limiter // nil: no limit
	// requireTLS and relaxed are those of all its messages (RFC 8689 §4, §5).
	requireTLS, relaxed bool

	jobs      []*job           // waiting, in their order
	byMessage map[mail.ID]*job // nil for none: there are many hops
	rows      int              // of the jobs waiting

	// limit is how many connections it may have at this moment. It grows by about
	// one when each of them has taken a message, and shrinks by one with each that
	// fails.
	limit         float64
	running, idle int
	starting      int           // of those running: they have not taken a job yet
	signal        chan struct{} // wakes one that is idle
	queued        bool          // it waits for one of the connections of all

	// failed is what happened when it could not be reached, as long as it is not
	// tried: until deadUntil. failures counts those in a row.
	failed    *failure
	deadUntil time.Time
	failures  int
	alive     bool // the last that was heard of it is that it has taken a message

	notBefore time.Time // its rate is used up until then

	parked map[string]struct{} // destinations that wait for room here
	used   time.Time
}

func (d *Deliverer) newHop(key string, route *Route, domain string) *hop {
	terms := *d.o.termsOf(domain)
	h := &hop{
		key: key, route: route, domain: domain, terms: terms,
		limit: float64(terms.InitialConnections), signal: make(chan struct{}, 1),
	}
	if terms.MessagesPerMinute > 0 {
		h.rate = rate.NewLimiter(rate.Every(time.Minute/time.Duration(terms.MessagesPerMinute)), 1)
	}
	return h
}

// room reports whether it should get more rows: enough to keep its connections
// busy, and no more; few as long as it has taken nothing, since many that say
// nothing would have all that may be leased.
func (h *hop) room() bool {
	if !h.alive {
		return h.rows < firstBatch
	}
	return h.rows < leaseBatch*(1+int(h.limit)/4)
}

// dead reports whether it is not tried at a time.
func (h *hop) dead(now time.Time) bool { return h.failed != nil && now.Before(h.deadUntil) }

// put adds a job. Rows of a message that waits already join it, so that they go in
// one transaction.
func (h *hop) put(j *job) {
	h.rows += j.rows()
	if waiting := h.byMessage[j.msg.ID]; waiting != nil {
		waiting.add(j)
		return
	}
	h.jobs = append(h.jobs, j)
	h.name(j)
}

// putBack adds a job at the front.
func (h *hop) putBack(j *job) {
	h.rows += j.rows()
	if waiting := h.byMessage[j.msg.ID]; waiting != nil {
		waiting.add(j)
		return
	}
	h.jobs = append([]*job{j}, h.jobs...)
	h.name(j)
}

// name lets rows of a job's message find it.
func (h *hop) name(j *job) {
	if h.byMessage == nil {
		h.byMessage = map[mail.ID]*job{}
	}
	h.byMessage[j.msg.ID] = j
}

// pop takes the first job, or as many of its rows as a transaction may have.
func (h *hop) pop(limit int) *job {
	if len(h.jobs) == 0 {
		return nil
	}
	j := h.jobs[0]
	if j.rows() > limit {
		n := 0
		part := j.split(func(int) bool { n++; return n <= limit })
		h.rows -= part.rows()
		return part
	}
	h.jobs[0] = nil
	h.jobs = h.jobs[1:]
	delete(h.byMessage, j.msg.ID)
	if len(h.jobs) == 0 {
		h.jobs, h.byMessage = nil, nil
	}
	h.rows -= j.rows()
	return j
}

// drop takes all jobs.
func (h *hop) drop() []*job {
	all := h.jobs
	h.jobs, h.byMessage, h.rows = nil, nil, 0
	return all
}

// wakeOne wakes a connection that waits for a job.
func (h *hop) wakeOne() {
	select {
	case h.signal <- struct{}{}:
	default:
	}
}

// take returns the next job for a connection of a hop, of at most limit rows, or
// nil: none has come within wait, the rate is used up, or ctx has ended.
func (d *Deliverer) take(ctx context.Context, h *hop, limit int, wait time.Duration) *job {
	var timer *time.Timer
	for {
		if ctx.Err() != nil {
			return nil
		}
		d.mu.Lock()
		j := d.takeNow(h, limit)
		if j != nil || wait <= 0 || len(h.jobs) > 0 || len(d.starved) > 0 {
			d.mu.Unlock()
			return j
		}
		h.idle++
		d.mu.Unlock()
		if timer == nil {
			timer = time.NewTimer(wait)
			defer timer.Stop()
		}
		select {
		case <-h.signal:
		case <-timer.C:
			wait = 0
		case <-ctx.Done():
		}
		d.mu.Lock()
		h.idle--
		d.mu.Unlock()
	}
}

// takeNow is take without waiting, under mu.
func (d *Deliverer) takeNow(h *hop, limit int) *job {
	d.passOver(h)
	if len(h.jobs) == 0 || d.settler.stuck.Load() > 0 || !d.mayGo(h) {
		return nil
	}
	j := h.pop(min(limit, h.terms.RecipientsPerMessage))
	if len(h.jobs) > 0 && h.idle > 0 {
		h.wakeOne()
	}
	if len(h.parked) > 0 && h.room() {
		d.unpark(h)
	}
	return j
}

// passOver takes jobs out that have waited for too long, under mu: their leases might
// end while they are tried.
func (d *Deliverer) passOver(h *hop) {
	for len(h.jobs) > 0 && h.jobs[0].latest.Before(d.o.Now()) {
		d.waited = append(d.waited, h.pop(h.jobs[0].rows()))
		d.wakeUp()
	}
}

// mayGo takes a message's part of the hop's rate. Without one the hop has to wait,
// and is started again when there is.
func (d *Deliverer) mayGo(h *hop) bool {
	if h.rate == nil {
		return true
	}
	now := d.o.Now()
	if now.Before(h.notBefore) {
		return false
	}
	r := h.rate.ReserveN(now, 1)
	delay := r.DelayFrom(now)
	if delay <= 0 {
		return true
	}
	r.CancelAt(now)
	h.notBefore = now.Add(delay)
	time.AfterFunc(delay, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.spawn(h)
	})
	return false
}

// park has a destination wait until a hop has room for its rows, under mu.
func (d *Deliverer) park(h *hop, name string, now time.Time) {
	if len(h.parked) >= maxParked {
		d.window.beyond(now.Add(parkPause))
		return
	}
	if h.parked == nil {
		h.parked = map[string]struct{}{}
	}
	h.parked[name] = struct{}{}
	d.crowded[h] = struct{}{}
}

// unpark lets some of the destinations that wait for room be looked at again, under
// mu: as many as could fill it. When they have not, the dispatcher asks for others.
func (d *Deliverer) unpark(h *hop) {
	now := d.o.Now()
	n := 0
	for name := range h.parked {
		if n == leaseBatch {
			break
		}
		n++
		delete(h.parked, name)
		d.window.soon(name, now, h)
	}
	if len(h.parked) == 0 {
		h.parked = nil
		delete(d.crowded, h)
	}
	d.wakeUp()
}

// unparkSome is unpark for all hops with room, under mu; it reports whether there
// was any.
func (d *Deliverer) unparkSome() bool {
	some := false
	for h := range d.crowded {
		if h.room() {
			d.unpark(h)
			some = true
		}
	}
	return some
}

// succeeded notes that the hop has taken a message.
func (d *Deliverer) succeeded(h *hop) {
	d.mu.Lock()
	defer d.mu.Unlock()
	more := !h.alive // it may have more connections than one
	h.failed, h.failures, h.alive = nil, 0, true
	if h.limit < float64(h.terms.Connections) {
		h.limit = min(h.limit+1/max(h.limit, 1), float64(h.terms.Connections))
		more = true
	}
	if more {
		d.spawn(h)
	}
}

// hopFailed notes that no host of the hop could be reached. When the last of its
// connections has failed so, it is dead for a while, and what waits for it shares
// the failure: it returns those jobs.
func (d *Deliverer) hopFailed(h *hop, f *failure) []*job {
	d.mu.Lock()
	defer d.mu.Unlock()
	h.limit = max(h.limit-1, 1)
	h.failures++
	h.alive = false
	if h.limit > 1 && h.failures <= h.terms.InitialConnections {
		return nil
	}
	now := d.o.Now()
	h.failed = f
	h.deadUntil = now.Add(h.terms.pause(1, chance()) / 2)
	h.limit = 1
	d.unpark(h)
	return h.drop()
}
