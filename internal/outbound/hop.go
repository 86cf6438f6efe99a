package outbound

import (
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
