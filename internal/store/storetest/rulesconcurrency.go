package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

var concurrencyRules = []rule{
	{"DeliveriesAtOnceGetEachTheirOwnUID", testConcurrentUIDs},
	{"MessagesAppearInTheOrderOfTheirUIDs", testVisibleInOrder},
	{"CopiesAppearTogether", testVisibleTogether},
	{"OneOfManyRepeatedAcceptsIsTheFirst", testConcurrentRepeats},
	{"OneOfManyReleasesIsMade", testConcurrentReleases},
	{"EachRowIsSentOnceWhileAllIsChanged", testConcurrentQueue},
	{"OneOfManyGetsTheLock", testConcurrentLocks},
	{"CountsHoldWhileAllIsChanged", testConcurrentChanges},
	{"OneOfManyMakesAnAccount", testConcurrentAccounts},
	{"DeliveryAndRemovalOfAnAccountDontMeetHalfway", testConcurrentRemoval},
}

// put delivers as deliver does, from any goroutine.
func (e *env) put(body string, to ...store.Delivery) ([]store.Placed, error) {
	c, err := e.st.NewContent(e.ctx, int64(len(body)))
	if err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte(body)); err != nil {
		c.Discard()
		return nil, err
	}
	id := mail.NewID(time.Now())
	done, err := e.st.Accept(e.ctx, store.Accept{ID: id, Content: c, Received: day, Envelope: mail.Envelope{ID: id}, Deliveries: to})
	return done.Placed, err
}

// fillAtOnce delivers bodies to an Inbox from many goroutines. The UIDs are in
// no order.
func (e *env) fillAtOnce(id mail.AccountID, bodies []string) []mail.UID {
	e.Helper()
	uids := make([]mail.UID, len(bodies))
	var g errgroup.Group
	g.SetLimit(64)
	for i, body := range bodies {
		g.Go(func() error {
			placed, err := e.put(body, inbox(id))
			if err == nil {
				uids[i] = placed[0].UID
			}
			return err
		})
	}
	e.ok(g.Wait())
	return uids
}

func testConcurrentUIDs(e *env) {
	const many = 200
	id := e.account("alice@a.test")
	bodies := make([]string, many)
	for i := range bodies {
		bodies[i] = fmt.Sprintf("message %d", i)
	}
	uids := e.fillAtOnce(id, bodies)
	for i, uid := range uids {
		e.same("octets", e.read(id, mail.Inbox, uid), bodies[i])
	}
	slices.Sort(uids)
	if listed := uidsOf(e.list(id, mail.Inbox)); !slices.Equal(listed, uids) || len(slices.Compact(uids)) != many {
		e.Errorf("listed %v, want %d UIDs %v", listed, many, uids)
	}
}

// writers runs f from several goroutines while observe runs again and again,
// until both are done; observe once more after the last write.
func (e *env) writers(n int, f func(writer int) error, observe func() error) {
	e.Helper()
	var done atomic.Bool
	var g errgroup.Group
	var writing sync.WaitGroup
	for i := range n {
		writing.Add(1)
		g.Go(func() error {
			defer writing.Done()
			return f(i)
		})
	}
	g.Go(func() error {
		for last := false; !last; {
			last = done.Load()
			if err := observe(); err != nil {
				return err
			}
		}
		return nil
	})
	writing.Wait()
	done.Store(true)
	e.ok(g.Wait())
}

func (e *env) uids(id mail.AccountID) ([]mail.UID, error) {
	var uids []mail.UID
	for m, err := range e.st.List(e.ctx, id, mail.Inbox, 0) {
		if err != nil {
			return nil, err
		}
		uids = append(uids, m.UID)
	}
	return uids, nil
}

func testVisibleInOrder(e *env) {
	id := e.account("alice@a.test")
	var before []mail.UID
	e.writers(8, func(int) error {
		for range 25 {
			if _, err := e.put("body", inbox(id)); err != nil {
				return err
			}
		}
		return nil
	}, func() error {
		now, err := e.uids(id)
		if err != nil {
			return err
		}
		if !slices.IsSorted(now) || len(now) < len(before) || !slices.Equal(now[:len(before)], before) {
			return fmt.Errorf("after %v there was %v: a message appeared before others", before, now)
		}
		before = now
		return nil
	})
	if len(before) != 8*25 {
		e.Errorf("saw %d messages at last, want %d", len(before), 8*25)
	}
}

func testVisibleTogether(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	e.writers(4, func(writer int) error {
		to := []store.Delivery{inbox(a), inbox(b)}
		if writer%2 == 1 {
			slices.Reverse(to)
		}
		for range 25 {
			if _, err := e.put("body", to...); err != nil {
				return err
			}
		}
		return nil
	}, func() error {
		first, err := e.uids(a)
		if err != nil {
			return err
		}
		second, err := e.uids(b)
		if err == nil && len(second) < len(first) {
			err = fmt.Errorf("one has %d copies, the other still %d", len(first), len(second))
		}
		return err
	})
	e.counts(a, 100, 400)
	e.counts(b, 100, 400)
}

func testConcurrentRepeats(e *env) {
	id := e.account("alice@a.test")
	const many = 16
	accepts := make([]store.Accept, many)
	for i := range accepts {
		accepts[i] = e.accept("body", inbox(id))
		accepts[i].ID = accepts[0].ID
	}
	var first atomic.Int32
	results := make([]store.Accepted, many)
	var g errgroup.Group
	for i := range accepts {
		g.Go(func() error {
			var err error
			results[i], err = e.st.Accept(e.ctx, accepts[i])
			if err == nil && !results[i].Repeated {
				first.Add(1)
			}
			return err
		})
	}
	e.ok(g.Wait())
	if first.Load() != 1 {
		e.Errorf("%d of %d Accepts with one ID say that they are the first", first.Load(), many)
	}
	for _, r := range results {
		if !slices.Equal(r.Placed, results[0].Placed) {
			e.Errorf("placed %+v and %+v", r.Placed, results[0].Placed)
		}
	}
	e.counts(id, 1, 4)
}

func testConcurrentLocks(e *env) {
	id := e.account("alice@a.test")
	for range 5 {
		var mu sync.Mutex
		var open []store.Maildrop
		var g errgroup.Group
		for range 16 {
			g.Go(func() error {
				d, err := e.st.OpenMaildrop(e.ctx, id, store.Exclusive, "test")
				if fault.Is(err, fault.Busy) {
					return nil
				}
				if err == nil {
					mu.Lock()
					open = append(open, d)
					mu.Unlock()
				}
				return err
			})
		}
		e.ok(g.Wait())
		if len(open) != 1 {
			e.Fatalf("%d got the lock, want one", len(open))
		}
		open[0].Close()
	}
}

func testConcurrentChanges(e *env) {
	ids := []mail.AccountID{e.account("a@a.test"), e.account("b@a.test"), e.account("c@a.test")}
	e.writers(8, func(writer int) error {
		for i := range 20 {
			body := pattern((writer*31 + i*7) % 300)
			placed, err := e.put(body, inbox(ids[i%3]), inbox(ids[writer%3]))
			if err != nil {
				return err
			}
			p := placed[0]
			err = errors.Join(
				e.st.SetFlags(e.ctx, p.Account, p.Mailbox, []mail.UID{p.UID}, mail.Seen, 0),
				e.st.Remove(e.ctx, p.Account, p.Mailbox, []mail.UID{p.UID - mail.UID(writer%2)}),
			)
			if err != nil {
				return err
			}
		}
		return nil
	}, func() error {
		for _, id := range ids {
			var octets int64
			d, err := e.st.OpenMaildrop(e.ctx, id, store.Snapshot, "observer")
			if err != nil {
				return err
			}
			n := int64(0)
			for m, err := range d.List(e.ctx) {
				if err != nil {
					return err
				}
				n, octets = n+1, octets+m.Size
			}
			if b := d.Mailbox(); b.Messages != n || b.Octets != octets {
				return fmt.Errorf("a maildrop counts %d of %d octets and lists %d of %d", b.Messages, b.Octets, n, octets)
			}
			d.Close()
		}
		return nil
	})
	r, err := e.st.Check(e.ctx, false, func(f store.Finding) { e.Errorf("found %+v", f) })
	e.ok(err)
	if r.Findings != 0 {
		e.Errorf("%d findings", r.Findings)
	}
}

func testConcurrentAccounts(e *env) {
	e.domain("a.test")
	var made atomic.Int32
	var g errgroup.Group
	for range 16 {
		g.Go(func() error {
			_, err := e.st.Change(e.ctx, store.PutAccount{New: true, Account: store.Account{Address: "alice@a.test"}})
			if fault.Is(err, fault.Exists) {
				return nil
			}
			made.Add(1)
			return err
		})
	}
	e.ok(g.Wait())
	if made.Load() != 1 {
		e.Errorf("%d made the account, want one", made.Load())
	}
}

func testConcurrentRemoval(e *env) {
	kept := e.account("kept@a.test")
	gone := e.account("gone@a.test")
	var delivered atomic.Int64
	started := make(chan struct{}, 4*20)
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			for range 20 {
				_, err := e.put("body", inbox(kept), inbox(gone))
				started <- struct{}{}
				if fault.Is(err, fault.NotFound) {
					continue
				}
				if err != nil {
					return err
				}
				delivered.Add(1)
			}
			return nil
		})
	}
	<-started
	e.change(store.RemoveAccount{ID: gone})
	e.ok(g.Wait())
	e.counts(kept, delivered.Load(), 4*delivered.Load())
	if u, err := e.st.Usage(e.ctx); err != nil || u.Messages != delivered.Load() {
		e.Errorf("%d contents for %d messages, %v", u.Messages, delivered.Load(), err)
	}
}
