package outbound

import (
	"context"
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
)

// settler brings what attempts came to into the store: what arrives while one
// commit runs goes into the next. A connection does not wait for it, so that
// between another host's 250 and our commit it may go on to the next message; what
// it delivered is delivered again if the process dies in that time, as it would be
// if it died between the two in any case (RFC 1047).
type settler struct {
	d     *Deliverer
	stuck atomic.Bool // a settlement has failed and is being tried again

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
		s.settle(ctx, batch)
		rows := 0
		for _, f := range batch {
			rows += f.rows
		}
		s.d.release(rows)
		s.d.wakeFor(batch)
	}
}

// settle brings a batch into the store, however often that takes.
func (s *settler) settle(ctx context.Context, batch []*finished) {
	var plain []store.Settlement
	for _, f := range batch {
		plain = append(plain, f.settle...)
	}
	for len(plain) > 0 {
		n := min(len(plain), settleBatch)
		s.insist(ctx, "settle", func() error {
			made, err := s.d.o.Store.Settle(ctx, plain[:n])
			if err == nil && made < n {
				s.d.log.Warn("rows of the queue were changed while they were tried", "rows", n-made)
			}
			return err
		})
		plain = plain[n:]
	}
	for _, f := range batch {
		for i := range f.notices {
			n := &f.notices[i]
			id := mail.NewID(s.d.o.Now()) // the same at each try, so that only one is sent
			s.insist(ctx, "notify", func() error { return s.d.notify(ctx, id, n) })
			s.d.m.notices.WithLabelValues(n.what).Inc()
		}
	}
}

// insist does something until it succeeds or ctx ends.
func (s *settler) insist(ctx context.Context, what string, do func() error) {
	for pause := settlePause; ; pause = min(2*pause, maxSettlePause) {
		err := do()
		switch {
		case err == nil:
			s.stuck.Store(false)
			return
		case fault.Is(err, fault.Denied), fault.Is(err, fault.NotFound):
			// The rows are not ours any more: an operator was faster.
			s.d.log.Warn("rows of the queue were changed while they were tried", "error", err)
			return
		}
		s.stuck.Store(true)
		s.d.log.Error("what was sent can't be written down; no more is sent until it can: look at the disk", "what", what, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
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

// notify sends a notification, and settles the rows that it is about.
func (d *Deliverer) notify(ctx context.Context, id mail.ID, n *notice) error {
	original, err := d.o.Store.OpenQueued(ctx, n.msg.ID)
	if err != nil && !fault.Is(err, fault.Corrupt) {
		return err
	}
	note := dsn.Notice{
		ID: id, Hostname: d.o.Hostname, Now: d.o.Now(), To: n.to, Envelope: n.msg.Envelope,
		Arrived: n.msg.Accepted, Recipients: n.recipients, MaxReturn: d.o.MaxReturn,
	}
	note.Envelope.ID = n.msg.AcceptID
	if err == nil {
		defer original.Close()
		note.Original, note.OriginalSize = original, original.Size()
	}
	return d.o.Originate(ctx, Notification{
		ID: id, To: n.to, What: n.what, UTF8: note.UTF8(), Settle: n.settle,
		Write: func(w io.Writer) error {
			_, err := note.WriteTo(w)
			return err
		},
	})
}
