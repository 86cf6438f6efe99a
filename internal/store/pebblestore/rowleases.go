package pebblestore

import (
	"container/heap"
	"sync"
	"time"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// rowLeases are the leases of the queue's rows. They are in memory only: the
// process is the only user of the store. All but the mutex is behind it.
type rowLeases struct {
	mu     sync.Mutex
	fence  uint64 // the greatest given
	rows   map[store.RowID]*rowLease
	ending leaseHeap // those that have not ended
	holes  holes
	frozen map[string]bool
}

// rowLease is the latest lease of a row.
type rowLease struct {
	row     store.RowID
	fence   uint64 // zero: there is none, the row is only changed
	until   time.Time
	known   bool // message is what is kept of the row's message
	message leaving
	plan    []byte // the row's place in the schedule; nil: it has none
	at      int    // in the heap; -1: it has ended
	// claimed: a commit under way changes the row. It is given out to nobody.
	claimed bool
	op      uint64 // committer: the last operation that looked at it
	gone    bool   // committer: the commit takes the row away
}

// maxEnded is how many leases that have ended are remembered for their holders,
// who may settle still if nobody was faster.
const maxEnded = 1 << 16

// live reports whether the row must not be given out.
func (l *rowLease) live() bool { return l.at >= 0 || l.claimed }

// take gives a row out. There must be no live lease of it.
func (q *rowLeases) take(row store.RowID, plan []byte, until time.Time) uint64 {
	q.fence++
	l := &rowLease{row: row, fence: q.fence, until: until, plan: plan}
	q.rows[row] = l
	heap.Push(&q.ending, l)
	return l.fence
}

// know keeps with leases what was read of their messages, which does not change
// while they last.
func (q *rowLeases) know(rows []leasedRow, fences []uint64, messages map[mail.ID]*leasedMessage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range rows {
		l := q.rows[rows[i].id]
		if l == nil || l.fence != fences[i] || rows[i].err != nil {
			continue
		}
		l.known, l.message = true, messages[rows[i].id.Message].leaving
	}
}

// isLive reports whether a row must not be given out.
func (q *rowLeases) isLive(row store.RowID) bool {
	l := q.rows[row]
	return l != nil && l.live()
}

// end ends a lease without a change of its row.
func (q *rowLeases) end(l *rowLease) {
	if l.at >= 0 {
		heap.Remove(&q.ending, l.at)
	}
	q.holes.lower(l.plan)
}

// expire ends the leases whose time has come.
func (q *rowLeases) expire(now time.Time) {
	for len(q.ending) > 0 && !q.ending[0].until.After(now) {
		q.end(q.ending[0])
	}
	if len(q.rows)-len(q.ending) < maxEnded {
		return
	}
	for id, l := range q.rows {
		if !l.live() {
			delete(q.rows, id)
		}
	}
}

// held returns the lease of a row if it is the one that the caller has.
func (q *rowLeases) held(r store.RowLease) *rowLease {
	if l := q.rows[r.Row]; l != nil && l.fence == r.Fence && r.Fence != 0 {
		return l
	}
	return nil
}

// claim keeps a row from being given out until drop or restore.
func (q *rowLeases) claim(row store.RowID, plan []byte) *rowLease {
	l := q.rows[row]
	if l == nil {
		l = &rowLease{row: row, at: -1}
		q.rows[row] = l
	}
	l.claimed = true
	if plan != nil {
		l.plan = plan
	}
	return l
}

// drop forgets a lease whose row has been changed.
func (q *rowLeases) drop(l *rowLease) {
	if l.at >= 0 {
		heap.Remove(&q.ending, l.at)
	}
	if q.rows[l.row] == l {
		delete(q.rows, l.row)
	}
}

// forget drops the lease of a row that repair takes away, named by its key: its
// holder has nothing to settle.
func (q *rowLeases) forget(key []byte) {
	row, ok := keyRow(key)
	if !ok || key[0] != tableRow {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.rows[row]; l != nil && !l.claimed {
		q.drop(l)
	}
}

// restore ends a claim whose commit has failed: the lease is as it was.
func (q *rowLeases) restore(l *rowLease) {
	l.claimed = false
	q.holes.lower(l.plan)
	if l.fence == 0 && q.rows[l.row] == l {
		delete(q.rows, l.row)
	}
}

// leaseHeap has the lease first that ends first (container/heap).
type leaseHeap []*rowLease

func (h leaseHeap) Len() int           { return len(h) }
func (h leaseHeap) Less(i, j int) bool { return h[i].until.Before(h[j].until) }
func (h leaseHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *leaseHeap) Push(x any) {
	l := x.(*rowLease)
	l.at = len(*h)
	*h = append(*h, l)
}

// Pop implements heap.Interface.
func (h *leaseHeap) Pop() any {
	n := len(*h) - 1
	l := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	l.at = -1
	return l
}
