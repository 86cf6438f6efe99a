package outbound

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"postrider/internal/dsn"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// How the settler works.
const (
	// settleBatch is how many settlements one commit has at most.
	settleBatch = 1000
	// settlePause and maxSettlePause bound the wait after a settlement that failed.
	settlePause    = time.Second
	maxSettlePause = time.Minute
	// settleWait bounds how long what was sent may take to be written down when the
	// server stops.
	settleWait = 10 * time.Second
	// noticesAtOnce is how many notifications are written at once: the store commits
	// together what comes together.
	noticesAtOnce = 16
)

// settler brings what attempts came to into the store: what arrives while one
// commit runs goes into the next. A connection does not wait for it, so that
// between another host's 250 and our commit it may go on to the next message; what
// it delivered is delivered again if the process dies in that time, as it would be
// if it died between the two in any case (RFC 1047).
type settler struct {
	d        *Deliverer
	stuck    atomic.Int32 // settlements and notices that have failed and are being tried again
	tellings tellings

	mu     sync.Mutex
	wanted *sync.Cond
	queue  []*finished
	closed bool
}

func newSettler(d *Deliverer) *settler {
	s := &settler{d: d}
	s.wanted = sync.NewCond(&s.mu)
	return s
}

func (s *settler) add(f *finished) {
	s.mu.Lock()
	s.queue = append(s.queue, f)
	s.mu.Unlock()
	s.wanted.Signal()
}

// close lets run return when all is settled.
func (s *settler) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wanted.Signal()
}

// next waits for something to settle; nil at the end.
func (s *settler) next() []*finished {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) == 0 && !s.closed {
		s.wanted.Wait()
	}
	batch := s.queue
	s.queue = nil
	return batch
}

// run settles until close. Ctx ends when there is no time left: what fails then is
// given up, and its rows are tried again after the next start.
func (s *settler) run(ctx context.Context) {
	for {
		batch := s.next()
		if batch == nil {
			return
		}
		_ = s.settle(ctx, batch) // it has been logged
		rows := 0
		for _, f := range batch {
			rows += f.rows
			if f.kept != nil {
				s.d.letGo(ctx, f.kept)
			}
		}
		s.d.release(rows)
		s.d.wakeFor(batch)
	}
}

// settle brings a batch into the store, however often that takes. It returns what
// has kept it from that, if ctx has ended or a notification can't be made.
func (s *settler) settle(ctx context.Context, batch []*finished) error {
	notices, plain := s.gather(batch)
	err := s.settleRows(ctx, plain)
	places := make(chan struct{}, noticesAtOnce)
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, n := range notices {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if failed := s.tell(ctx, n); failed != nil {
				mu.Lock()
				defer mu.Unlock()
				err = failed
			}
		})
	}
	all.Wait()
	return err
}

// settleRows settles rows of which nobody is told.
func (s *settler) settleRows(ctx context.Context, rows []store.Settlement) error {
	for len(rows) > 0 {
		n := min(len(rows), settleBatch)
		err := s.insist(ctx, "settle", func() error {
			made, err := s.d.o.Store.Settle(ctx, rows[:n])
			if err == nil && made < n {
				s.d.log.Warn("rows of the queue were changed while they were tried", "rows", n-made)
			}
			return err
		}, func(error) bool { return true })
		if err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// tell sends a notification and settles its rows with it.
func (s *settler) tell(ctx context.Context, n *notice) error {
	id := mail.NewID(s.d.o.Now()) // the same at each try, so that only one is sent
	err := s.insist(ctx, "notify", func() error { return s.d.notify(ctx, id, n) }, mayPass)
	switch {
	case err == nil:
		s.d.m.notices.WithLabelValues(n.what).Inc()
		if key, once := n.once(); once {
			s.tellings.add(key)
		}
		return nil
	case ctx.Err() != nil:
		return err
	}
	return errors.Join(err, s.untold(ctx, n, err))
}

// mayPass reports whether a notification that failed so is worth another try. One
// that is not must not hold up all that is settled after it.
func mayPass(err error) bool {
	switch fault.KindOf(err) {
	case fault.Transient, fault.NoSpace, fault.ReadOnly, fault.Busy, fault.Internal:
		return true
	}
	return false
}

// untold settles the rows of a notification that can't be made: those that have
// failed are held, so that no mail goes without somebody being told of it.
func (s *settler) untold(ctx context.Context, n *notice, why error) error {
	s.d.log.Error("a notification can't be made: mail that could not be sent is held instead; look at it with 'postrider queue show', then drop or retry it",
		"message", n.msg.AcceptID.String(), "queued", n.msg.ID.String(), "to", n.to.String(), "what", n.what, "error", why)
	now := s.d.o.Now()
	for i := range n.settle {
		if n.recipients[i].Action == dsn.Failed {
			n.settle[i].Remove, n.settle[i].State, n.settle[i].Due = false, store.RowHeld, now
		}
	}
	return s.settleRows(ctx, n.settle)
}

// insist does something until it succeeds, its error is one that does not pass, or
// ctx ends. Meanwhile nothing is sent: it could not be written down either.
func (s *settler) insist(ctx context.Context, what string, do func() error, passes func(error) bool) error {
	waits := false
	defer func() {
		if waits && s.stuck.Add(-1) == 0 {
			s.d.resume()
		}
	}()
	for pause := settlePause; ; pause = min(2*pause, maxSettlePause) {
		err := do()
		if err == nil || !passes(err) {
			return err
		}
		if !waits {
			waits = true
			s.stuck.Add(1)
		}
		s.d.log.Error("what was sent can't be written down; no more is sent until it can: look at the disk", "what", what, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// resume lets the hops go on that have waited until what was sent could be written
// down.
func (d *Deliverer) resume() {
	d.mu.Lock()
	for _, h := range d.hops {
		d.spawn(h)
	}
	d.mu.Unlock()
	d.wakeUp()
}

// wakeFor has the destinations of rows that wait again looked at in time.
func (d *Deliverer) wakeFor(batch []*finished) {
	d.mu.Lock()
	wake := false
	for _, f := range batch {
		for _, w := range f.again {
			d.window.add(w.name, w.due)
			wake = true
		}
	}
	d.mu.Unlock()
	if wake {
		d.wakeUp()
	}
}

// notify sends a notification, and settles the rows that it is about. Where the
// original can't be read it brings nothing of it back.
func (d *Deliverer) notify(ctx context.Context, id mail.ID, n *notice) error {
	original, err := d.o.Store.OpenQueued(ctx, n.msg.ID)
	if err == nil {
		err = d.originate(ctx, id, n, original)
		original.Close()
	}
	if fault.Is(err, fault.Corrupt) {
		return d.originate(ctx, id, n, nil)
	}
	return err
}

// originate is notify with the original, or nil.
func (d *Deliverer) originate(ctx context.Context, id mail.ID, n *notice, original store.Reader) error {
	note := dsn.Notice{
		ID: id, Hostname: d.o.Hostname, Now: d.o.Now(), To: n.to, Envelope: n.msg.Envelope,
		Arrived: n.msg.Accepted, Recipients: n.told(), MaxReturn: d.o.MaxReturn,
		Stranger: isStranger(&n.msg),
	}
	note.Envelope.ID = n.msg.AcceptID
	if n.msg.Warrant.Kind() == store.AliasForwards {
		// A stranger chose who hears of it: they are to get nothing of the stranger's.
		note.Envelope.Ret = mail.RetHeaders
	}
	if original != nil {
		note.Original, note.OriginalSize = original, original.Size()
	}
	return d.o.Originate(ctx, Notification{
		ID: id, To: n.to, What: n.what, About: n.msg.AcceptID, UTF8: note.UTF8(), Settle: n.settle,
		Stranger: isStranger(&n.msg) && n.ofSuccess(),
		Write: func(w io.Writer) error {
			_, err := note.WriteTo(w)
			return err
		},
	})
}
