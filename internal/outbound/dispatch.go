package outbound

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/smtp"
	"postrider/internal/store"
)

// Deliverer sends what is in the queue. Run it once.
type Deliverer struct {
	o   Options
	m   metrics
	log *slog.Logger

	wake    chan struct{}
	settler *settler
	signed  signatures
	workers sync.WaitGroup

	mu     sync.Mutex
	window window
	hops   map[string]*hop
	// forgetAt is how many hops there are when those that do nothing are forgotten.
	forgetAt int
	// sites is which hop a destination's rows went to last, of those in hops.
	sites map[string]*hop
	// waited are jobs that have waited for too long.
	waited []*job
	// crowded are the hops at which destinations wait for room.
	crowded map[*hop]struct{}
	// starved are the hops that wait for one of the connections of all, in the order
	// in which they get them.
	starved []*hop
	conns   int
	leased  int
	// leasing is how many leases are being taken, and taken how many rows have been
	// leased since the start: see census.below.
	leasing int
	taken   uint64
	// flushing has asked.key of those for whom ETRN has begun a run.
	flushing map[string]bool
	// called is for which nodes ETRN was given: what routes keep for them is sent.
	called map[smtp.Node][]call
	// paused says that the store was read-only when it was last looked at.
	paused  bool
	stopped bool
	ctx     context.Context // ends when no further message is to be begun
	// cutting ends when connections have no time left. It is set before any begins.
	cutting context.Context
}

// New returns a Deliverer that has not begun.
func New(o Options) *Deliverer {
	o = o.withDefaults()
	d := &Deliverer{
		o: o, m: newMetrics(o.Registerer), log: o.Logger,
		wake: make(chan struct{}, 1), window: newWindow(maxWindow),
		hops: map[string]*hop{}, forgetAt: maxHops, sites: map[string]*hop{}, flushing: map[string]bool{},
		called:  map[smtp.Node][]call{},
		crowded: map[*hop]struct{}{},
	}
	d.settler = newSettler(d)
	return d
}

// Kick says that rows of these destinations may be due now.
func (d *Deliverer) Kick(destinations ...string) {
	now := d.o.Now()
	d.mu.Lock()
	for _, name := range destinations {
		d.window.hurry(name, now)
	}
	d.mu.Unlock()
	d.wakeUp()
}

// wakeUp lets the dispatcher look at the schedule.
func (d *Deliverer) wakeUp() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Run sends mail until ctx ends, then lets transactions under way finish within
// Options.Grace, and settles what they did; then it returns nil. What it leaves is
// in the store.
func (d *Deliverer) Run(ctx context.Context) error {
	conns, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	d.mu.Lock()
	d.ctx, d.cutting = ctx, conns
	d.mu.Unlock()
	settling, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		d.settler.run(settling)
	}()
	d.mu.Lock()
	d.window.horizon = d.o.Now() // nothing is known yet
	d.mu.Unlock()
	for ctx.Err() == nil {
		sleep := time.NewTimer(d.round(ctx))
		select {
		case <-ctx.Done():
		case <-d.wake:
		case <-sleep.C:
		}
		sleep.Stop()
	}
	d.stop(cut)
	d.settler.close()
	defer time.AfterFunc(settleWait, giveUp).Stop()
	<-settled
	return nil
}

// stop waits for the connections, and cuts them when the time of grace is over; what
// waits for one is given back.
func (d *Deliverer) stop(cut func()) {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	grace := time.AfterFunc(d.o.Grace, cut)
	defer grace.Stop()
	d.workers.Wait()
	d.mu.Lock()
	var waiting []*job
	for _, h := range d.hops {
		waiting = append(waiting, h.drop()...)
	}
	d.mu.Unlock()
	for _, j := range waiting {
		d.giveBack(j)
	}
	d.renew()
}

// round leases what is due and there is room for, and returns how long to sleep.
func (d *Deliverer) round(ctx context.Context) time.Duration {
	d.mu.Lock()
	readOnly, paused := d.isReadOnly(), d.paused
	d.paused = readOnly
	d.mu.Unlock()
	switch {
	case readOnly:
		return maxSleep
	case paused:
		d.resume()
	}
	for ctx.Err() == nil {
		d.renew()
		more := d.hurry(ctx)
		now := d.o.Now()
		d.mu.Lock()
		stale := d.window.stale(now)
		full := d.leased >= maxLeased || d.settler.stuck.Load() > 0
		name, ok := "", false
		if !stale && !full {
			if name, ok = d.window.pop(now); !ok && d.unparkSome() {
				name, ok = d.window.pop(now)
			}
		}
		next, some := d.window.next()
		d.mu.Unlock()
		switch {
		case full && more:
		case full:
			return maxSleep // release and resume wake
		case stale:
			if err := d.scan(ctx); err != nil {
				d.log.Error("the queue's schedule can't be read: trying again", "error", err)
				return time.Second
			}
		case ok:
			d.lease(ctx, name, now)
		case some:
			return max(0, min(next.Sub(now), maxSleep))
		default:
			return maxSleep
		}
	}
	return 0
}

// hurry leases rows of some destinations that go first, and reports whether there
// are more. They have some room of their own, so that fresh mail is sent though all
// else that may be leased waits for hosts that say nothing.
func (d *Deliverer) hurry(ctx context.Context) (more bool) {
	for range urgentRun {
		now := d.o.Now()
		d.mu.Lock()
		name, ok := "", false
		if d.leased < maxUrgent && d.settler.stuck.Load() == 0 {
			name, ok = d.window.popUrgent()
		}
		d.mu.Unlock()
		if !ok || ctx.Err() != nil {
			return false
		}
		d.lease(ctx, name, now)
	}
	return true
}

// renew gives back what has waited for too long, so that it is leased anew.
func (d *Deliverer) renew() {
	d.mu.Lock()
	waited := d.waited
	d.waited = nil
	d.mu.Unlock()
	for _, j := range waited {
		d.giveBack(j)
		d.Kick(domainsOf(j)...)
	}
}

// scan reads which destinations are due when.
func (d *Deliverer) scan(ctx context.Context) error {
	d.mu.Lock()
	d.window.begin()
	d.mu.Unlock()
	for at, err := range d.o.Store.Destinations(ctx, "") {
		d.hurry(ctx)
		if err != nil {
			d.mu.Lock()
			d.window.beyond(d.o.Now())
			d.mu.Unlock()
			return err
		}
		if !at.Frozen {
			d.mu.Lock()
			d.window.add(at.Name, at.Due)
			d.mu.Unlock()
		}
	}
	d.mu.Lock()
	d.window.beyond(d.o.Now().Add(rescan))
	d.mu.Unlock()
	return nil
}

// lease leases rows of a destination that is due, and passes them on.
func (d *Deliverer) lease(ctx context.Context, name string, now time.Time) {
	d.mu.Lock()
	known := d.sites[name]
	if known != nil && !known.room() && !known.dead(now) {
		d.park(known, name, now)
		d.mu.Unlock()
		return
	}
	limit := leaseBatch
	if known != nil && !known.alive && !known.dead(now) || known == nil {
		limit = firstBatch
	}
	d.mu.Unlock()
	all, rows, err := d.fetch(ctx, store.LeaseQuery{
		Destination: name, Now: now, Until: now.Add(leaseTime), Limit: limit,
	})
	if err != nil {
		d.log.Error("rows of the queue can't be leased: trying again", "destination", name, "error", err)
		d.again(name, now.Add(time.Second))
		return
	}
	for i := range all {
		d.pass(ctx, &all[i], name, known, now)
	}
	if rows >= limit {
		d.mu.Lock()
		d.window.soon(name, now, d.sites[name])
		d.mu.Unlock()
		return
	}
	switch at, err := d.o.Store.Destination(ctx, name); {
	case fault.Is(err, fault.NotFound):
	case err != nil:
		d.again(name, now.Add(time.Second))
	case at.Frozen: // Thaw kicks
	case !at.Due.After(now) && rows == 0:
		d.again(name, now.Add(time.Second)) // it was leased by another, or can't be
	default:
		d.again(name, at.Due)
	}
}

// fetch leases rows, and returns how many. They count as leased at once.
func (d *Deliverer) fetch(ctx context.Context, q store.LeaseQuery) (all []store.Leased, rows int, err error) {
	d.mu.Lock()
	d.leasing++
	d.mu.Unlock()
	all, err = d.o.Store.Lease(ctx, q)
	for i := range all {
		rows += len(all[i].Message.Rows)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leasing--
	d.leased += rows
	d.taken += uint64(rows)
	return all, rows, err
}

// again has a destination looked at at a time.
func (d *Deliverer) again(name string, due time.Time) {
	d.mu.Lock()
	d.window.add(name, due)
	d.mu.Unlock()
}

// pass gives leased rows to their hop, or settles what need not be tried. Known is
// the hop that had room for the destination before its rows were leased; another
// that has none takes them when it has.
func (d *Deliverer) pass(ctx context.Context, l *store.Leased, name string, known *hop, now time.Time) {
	if l.Err != nil {
		d.setAside(ctx, l, name)
		return
	}
	called := d.hasCalled(name, now)
	route := d.o.routeOf(&l.Message, name, called)
	j := &job{msg: l.Message, fences: l.Fences, domain: name, latest: now.Add(leaseWait)}
	if by := j.msg.Envelope.DeliverBy; by.Mode == mail.ByReturn && !by.Deadline.IsZero() && !now.Before(by.Deadline) {
		d.finish(j, all(j, tooLate))
		return
	}
	if route.Keep {
		f := d.conclude(j, all(j, kept(route, &j.msg)))
		f.kept = j
		d.settler.add(f)
		return
	}
	j.called = called && d.o.routeOf(&l.Message, name, false).Keep
	d.mu.Lock()
	h := d.hop(route, &j.msg, name)
	d.remember(name, h)
	switch {
	case h.dead(now):
		f := h.failed
		d.mu.Unlock()
		d.finish(j, all(j, f.again()))
	case h != known && !h.room():
		d.park(h, name, now)
		d.mu.Unlock()
		d.giveBack(j)
	default:
		h.put(j)
		d.spawn(h)
		d.mu.Unlock()
	}
}

// setAside takes out of the schedule what can't be read.
func (d *Deliverer) setAside(ctx context.Context, l *store.Leased, name string) {
	for i := range l.Message.Rows {
		row := store.RowLease{Row: store.RowID{Message: l.Message.ID, Index: l.Message.Rows[i].Index}, Fence: l.Fences[i]}
		err := d.o.Store.SetAside(ctx, row)
		d.log.Error("a row of the queue is damaged and was set aside: run 'postrider store check'",
			"message", l.Message.ID.String(), "row", row.Row.Index, "destination", name, "error", l.Err, "set_aside", err == nil)
	}
	d.release(len(l.Message.Rows))
}

// release notes that so many rows are leased no more.
func (d *Deliverer) release(rows int) {
	d.mu.Lock()
	full := d.leased >= maxLeased // or maxUrgent
	d.leased -= rows
	d.mu.Unlock()
	if full {
		d.wakeUp()
	}
}
