package outbound

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"postrider/internal/smtp"
)

// work is the life of one of a hop's connections, and of those that follow it as
// long as there is work.
func (d *Deliverer) work(ctx context.Context, h *hop) {
	defer d.workers.Done()
	defer d.ended(h)
	for first := true; ; first = false {
		d.mu.Lock()
		j := d.takeNow(h, h.terms.RecipientsPerMessage)
		if first {
			h.starting--
		}
		d.mu.Unlock()
		if j == nil {
			return
		}
		if ctx.Err() != nil {
			d.giveBack(j)
			return
		}
		d.guarded(ctx, h, j)
	}
}

// guarded is deliver that lets no message end the process: one at which this
// program has a fault stays leased, and out of the way, until the next start.
func (d *Deliverer) guarded(ctx context.Context, h *hop, j *job) {
	id := j.msg.ID.String()
	ok := false
	defer func() {
		if !ok {
			// The value could hold something of the message; its type can't.
			d.log.Error("sending a message panicked; it waits until the next start: please report it",
				"queued", id, "domain", h.domain, "panic", fmt.Sprintf("%T", recover()), "stack", string(debug.Stack()))
		}
	}()
	d.deliver(ctx, h, j)
	ok = true
}

// giveBack ends the leases of a job that is not tried.
func (d *Deliverer) giveBack(j *job) {
	d.o.Store.Unlease(context.Background(), j.leases())
	d.release(j.rows())
}

// deliver tries the hosts of a hop for a job, and for others that come meanwhile
// on the connection that it gets.
func (d *Deliverer) deliver(ctx context.Context, h *hop, j *job) {
	w, f := d.way(ctx, h, j.domain)
	if f != nil {
		if ctx.Err() != nil {
			d.giveBack(j)
			return
		}
		d.unreachable(h, j, f)
		return
	}
	var last *failure
	tries, unknown := 0, 0
	for t, f := range w.targets(ctx) {
		if f != nil {
			last = worse(last, f)
			// Looking up what does not answer takes its time too, and this connection's
			// place with it.
			if f.status == statusNoDNS {
				unknown++
			}
			if unknown == maxTries || ctx.Err() != nil {
				break
			}
			continue
		}
		c := d.converse(ctx, h, w, t, j)
		if c.left == nil {
			return
		}
		j, last = c.left, worse(last, c.failure)
		if ctx.Err() != nil && !c.failure.uncertain {
			d.giveBack(j)
			return
		}
		tries++
		if c.failure.uncertain || c.failure.ours || tries == maxTries {
			break
		}
	}
	if last == nil {
		f := final("5.4.4", "no host takes mail for "+j.domain)
		last = &f
	}
	d.unreachable(h, j, last)
}

// worse returns the failure that decides when one host after another has failed:
// one that may pass if there is one, and of those the last.
func worse(before, f *failure) *failure {
	if before != nil && before.kind == deferred && f.kind == failed {
		return before
	}
	return f
}

// unreachable ends a job whose hop could not be reached; when that makes the hop
// count as dead, those that wait share its failure.
func (d *Deliverer) unreachable(h *hop, j *job, f *failure) {
	var shared []*job
	if f.kind == deferred && !f.ours && !f.uncertain {
		shared = d.hopFailed(h, f)
	}
	d.finish(j, all(j, *f))
	for _, other := range shared {
		d.finish(other, all(other, f.again()))
	}
}

// errCut is why a conversation ends when the time of grace is over.
var errCut = errors.New("the server has stopped")

// lostText says that a conversation has ended too soon.
func lostText(stage smtp.Stage, why string) string {
	if why == "" {
		why = "the connection broke"
	}
	return why + " (at " + string(stage) + ")"
}
