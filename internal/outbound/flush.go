package outbound

import (
	"context"
	"net/netip"

	"postrider/internal/fault"
	"postrider/internal/smtp"
	"postrider/internal/store"
)

// maxFlushes is how many runs are under way at most, from the count on: each reads all
// of the queue, and who may ask for all below a domain has names without end.
const maxFlushes = 8

// Flush implements smtp.Turner: it has what waits for a domain tried now. The mail
// goes to the domain's own hosts, so that who asks gets nothing that is not theirs.
func (d *Deliverer) Flush(ctx context.Context, c *smtp.Client, node smtp.Node) (smtp.Flushed, error) {
	const op = "flush the queue"
	if node.Kind == smtp.NodeQueue {
		return 0, fault.Newf(fault.Denied, op, "queues have no names here")
	}
	a, ok := d.askedBy(c, node)
	if !ok {
		return 0, fault.Newf(fault.Denied, op, "%s may not ask for %s", c.Remote, node.Name)
	}
	switch first, err := d.beginFlush(a); {
	case err != nil:
		return 0, fault.Wrap(op, err)
	case !first:
		return smtp.FlushBegun, nil
	}
	waiting, err := d.count(ctx, a)
	if err == nil && waiting != 0 {
		err = d.spawnFlush(a, c.Remote)
	}
	switch {
	case err != nil:
		d.endFlush(a, err)
		return 0, fault.Wrap(op, err)
	case waiting == 0:
		d.endFlush(a, nil)
		d.log.Info("delivery was asked for", "node", node.Name, "remote", c.Remote.String(), "rows", 0)
	}
	return waiting, nil
}

// beginFlush takes a place for a run, and notes the call: what comes from now on is not
// kept. False: a run for the same mail has begun already.
func (d *Deliverer) beginFlush(a *asked) (first bool, err error) {
	const op = "begin a run"
	d.mu.Lock()
	defer d.mu.Unlock()
	key := a.key()
	switch {
	case !d.running():
		return false, errNotRunning(op)
	case d.flushing[key]:
		d.call(a)
		return false, nil
	case len(d.flushing) >= maxFlushes:
		return false, fault.Newf(fault.Transient, op, "%d others are under way", len(d.flushing))
	}
	d.call(a)
	d.flushing[key] = true
	return true, nil
}

// spawnFlush starts a run that has its place.
func (d *Deliverer) spawnFlush(a *asked, remote netip.AddrPort) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.running() {
		return errNotRunning("begin a run")
	}
	d.workers.Add(1)
	go d.flush(d.ctx, a, remote)
	return nil
}

// endFlush gives a run's place back. If the client was refused it has not called.
func (d *Deliverer) endFlush(a *asked, refused error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.flushing, a.key())
	if refused != nil {
		d.uncall(a)
	}
}

// flush makes what waits for a node due now, and forgets that its hosts could not be
// reached. That routes don't keep it counts from then: a long queue takes a while.
func (d *Deliverer) flush(ctx context.Context, a *asked, remote netip.AddrPort) {
	defer d.workers.Done()
	n, err := d.Retry(ctx, func(_ *store.QueuedMessage, r *store.Row) bool {
		if !a.has(r.Recipient.Address.Domain) || isHeldBack(r, d.o.Now()) {
			return false
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.call(a)
		return true
	})
	attrs := []any{"node", a.node.Name, "remote", remote.String(), "rows", n}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	d.log.Info("delivery was asked for", attrs...)
	d.endFlush(a, nil)
}

// letGo makes kept rows due now if their hosts have called meanwhile. Whoever called
// while they were leased was told of them, but the run passed them over; a later run
// finds them itself.
func (d *Deliverer) letGo(ctx context.Context, j *job) {
	now := d.o.Now()
	if !d.hasCalled(j.domain, now) {
		return
	}
	var rows []int
	for i := range j.msg.Rows {
		rows = append(rows, j.msg.Rows[i].Index)
	}
	_, err := d.o.Store.ChangeRows(ctx, j.msg.ID, rows, store.RetryRows, now)
	if err != nil && !fault.Is(err, fault.Busy) && !fault.Is(err, fault.NotFound) {
		d.log.Error("mail that was asked for stays in the queue until it is asked for again", "destination", j.domain, "error", err)
		return
	}
	d.Kick(j.domain)
}
