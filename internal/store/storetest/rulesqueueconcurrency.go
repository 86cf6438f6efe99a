package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// testConcurrentQueue sends mail from several goroutines while more comes in, rows
// are put back, given back, held and released: each row is removed once, and none
// is left.
func testConcurrentQueue(e *env) {
	const messages, rows = 60, 3
	var accepted atomic.Int64
	var g errgroup.Group
	for w := range 3 {
		g.Go(func() error {
			for i := range messages / 3 {
				if err := e.putOnward(mail.ID{byte(w + 1), byte(i + 1)}, rows); err != nil {
					return err
				}
				accepted.Add(rows)
			}
			return nil
		})
	}
	var mu sync.Mutex
	removed := map[store.RowID]int{}
	for w := range 4 {
		g.Go(func() error {
			for n := w; ; n++ {
				mu.Lock()
				left := messages*rows - len(removed)
				mu.Unlock()
				if left == 0 {
					return nil
				}
				if n > 1_000_000 {
					return fmt.Errorf("%d rows are not given out any more", left)
				}
				gone, err := e.sendSome(n)
				if err != nil {
					return err
				}
				mu.Lock()
				for _, id := range gone {
					removed[id]++
				}
				mu.Unlock()
			}
		})
	}
	g.Go(func() error { // an operator
		for i := 0; accepted.Load() < messages*rows; i++ {
			id := mail.ID{byte(i%3 + 1), byte(i%20 + 1)}
			for _, do := range []store.RowChange{store.HoldRows, store.ReleaseRows} {
				_, err := e.st.ChangeRows(e.ctx, id, nil, do, soon)
				if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Busy) {
					return err
				}
			}
		}
		for w := range 3 { // what was held between the two
			for i := range messages / 3 {
				for {
					_, err := e.st.ChangeRows(e.ctx, mail.ID{byte(w + 1), byte(i + 1)}, nil, store.ReleaseRows, soon)
					if !fault.Is(err, fault.Busy) {
						break
					}
				}
			}
		}
		return nil
	})
	e.ok(g.Wait())
	for id, n := range removed {
		if n != 1 {
			e.Errorf("row %v was removed %d times", id, n)
		}
	}
	e.usage("at last", 0, 0, 0)
	e.contents("at last", 0)
	if _, err := e.st.Check(e.ctx, false, func(f store.Finding) { e.Errorf("found %+v", f) }); err != nil {
		e.Error(err)
	}
}

// putOnward enqueues a message from any goroutine.
func (e *env) putOnward(id mail.ID, rows int) error {
	c, err := e.st.NewContent(e.ctx, 0)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(c, "message ", id); err != nil {
		return err
	}
	o := store.Onward{ID: id, Due: soon}
	for i := range rows {
		o.Envelope.Recipients = append(o.Envelope.Recipients, recipients(fmt.Sprintf("x@d%d.test", i%2))...)
	}
	p, err := store.Pass(store.ServerWarrant("test"), o)
	if err != nil {
		return err
	}
	_, err = e.st.Accept(e.ctx, store.Accept{ID: id, Content: c, Received: day, Onward: []store.Passage{p}})
	return err
}

// sendSome leases a few rows and removes them, puts them back or gives them back,
// by turns. It returns those removed.
func (e *env) sendSome(turn int) (gone []store.RowID, err error) {
	all, err := e.st.Lease(e.ctx, store.LeaseQuery{
		Destination: fmt.Sprintf("d%d.test", turn%2), Now: soon, Until: soon.Add(time.Hour), Limit: turn%7 + 1,
	})
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		if l.Err != nil {
			return nil, l.Err
		}
		r, err := e.st.OpenQueued(e.ctx, l.Message.ID)
		if err != nil {
			return nil, err
		}
		if err := r.Close(); err != nil {
			return nil, err
		}
	}
	settlements := remove(all...)
	switch turn % 4 {
	case 0:
		e.st.Unlease(e.ctx, rowLeases(all...))
		return nil, nil
	case 1:
		settlements = retry(soon, 1, all...)
	}
	made, err := e.st.Settle(e.ctx, settlements)
	if err == nil && made != len(settlements) {
		err = fmt.Errorf("%d of %d settlements were made", made, len(settlements))
	}
	for _, s := range settlements {
		if s.Remove {
			gone = append(gone, s.Row)
		}
	}
	return gone, err
}
