package outbound

import (
	"time"

	"postrider/internal/store"
)

// job is rows of one message, under lease, for one hop.
type job struct {
	msg    store.QueuedMessage // its Rows are those at hand
	fences []uint64            // one a row
	domain string              // of the first row
	// called says that a route would keep it, had its host not called.
	called bool
	// latest is when it must have been taken by a connection: its lease ends leaseTime
	// - leaseWait later.
	latest time.Time
}

func (j *job) rows() int { return len(j.msg.Rows) }

// split takes rows out of the job: those for which take returns true.
func (j *job) split(take func(i int) bool) *job {
	part := *j
	part.msg.Rows, part.fences = nil, nil
	n := 0
	for i := range j.msg.Rows {
		if take(i) {
			part.msg.Rows = append(part.msg.Rows, j.msg.Rows[i])
			part.fences = append(part.fences, j.fences[i])
			continue
		}
		j.msg.Rows[n], j.fences[n] = j.msg.Rows[i], j.fences[i]
		n++
	}
	j.msg.Rows, j.fences = j.msg.Rows[:n], j.fences[:n]
	return &part
}

// add takes the rows of another job for the same message and hop.
func (j *job) add(more *job) {
	j.msg.Rows = append(j.msg.Rows, more.msg.Rows...)
	j.fences = append(j.fences, more.fences...)
	if more.latest.Before(j.latest) {
		j.latest = more.latest
	}
}

// lease returns a row's lease.
func (j *job) lease(i int) store.RowLease {
	return store.RowLease{Row: store.RowID{Message: j.msg.ID, Index: j.msg.Rows[i].Index}, Fence: j.fences[i]}
}

// leases returns those of all rows.
func (j *job) leases() []store.RowLease {
	all := make([]store.RowLease, j.rows())
	for i := range all {
		all[i] = j.lease(i)
	}
	return all
}
