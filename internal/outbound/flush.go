package outbound

import (
	"context"
	"maps"
	"net/netip"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/smtp"
	"postrider/internal/store"
)

// maxFlushes is how many runs are under way at most: each reads all of the queue, and
// who may ask for all below a domain has names without end.
const maxFlushes = 8

// Flush implements smtp.Turner: it has what waits for a domain tried now. The mail
// goes to the domain's own hosts, so that who asks gets nothing that is not theirs.
func (d *Deliverer) Flush(ctx context.Context, c *smtp.Client, node smtp.Node) (smtp.Flushed, error) {
	const op = "flush the queue"
	if node.Kind == smtp.NodeQueue {
		return 0, fault.Newf(fault.Denied, op, "queues have no names here")
	}
	if !d.mayFlush(c, node.Name) {
		return 0, fault.Newf(fault.Denied, op, "%s may not ask for %s", c.Remote, node.Name)
	}
	d.mu.Lock()
	running := d.running()
	d.mu.Unlock()
	if !running {
		return 0, errNotRunning(op)
	}
	d.call(node.Name) // first: what comes while it is counted is not kept
	waiting, err := d.count(ctx, node)
	if err != nil {
		return 0, fault.Wrap(op, err)
	}
	if waiting == 0 {
		d.log.Info("delivery was asked for", "node", node.Name, "remote", c.Remote.String(), "rows", 0)
		return 0, nil
	}
	if err := d.beginFlush(node, c.Remote); err != nil {
		return 0, fault.Wrap(op, err)
	}
	return waiting, nil
}

// beginFlush starts a run, unless one for the node is under way.
func (d *Deliverer) beginFlush(node smtp.Node, remote netip.AddrPort) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.running():
		return errNotRunning("begin a run")
	case d.flushing[node]:
		return nil
	case len(d.flushing) >= maxFlushes:
		return fault.Newf(fault.Transient, "begin a run", "%d others are under way", len(d.flushing))
	}
	d.flushing[node] = true
	d.workers.Add(1)
	go d.flush(d.ctx, node, remote)
	return nil
}

func (d *Deliverer) mayFlush(c *smtp.Client, domain string) bool {
	for i := range d.o.Turns {
		t := &d.o.Turns[i]
		if !fitsAny(t.Domains, domain) {
			continue
		}
		if t.isOf(c) {
			return true
		}
		for _, n := range t.Networks {
			if n.Contains(c.Remote.Addr().Unmap()) {
				return true
			}
		}
	}
	return false
}

// isOf reports whether a domain's mail is what a node names.
func isOf(domain string, node smtp.Node) bool {
	return domain == node.Name || node.Kind == smtp.NodeDomain && strings.HasSuffix(domain, "."+node.Name)
}

// flush makes what waits for a domain due now, and forgets that its hosts could
// not be reached, and that a route keeps it.
func (d *Deliverer) flush(ctx context.Context, node smtp.Node, remote netip.AddrPort) {
	defer d.workers.Done()
	n, err := d.Retry(ctx, func(_ *store.QueuedMessage, r *store.Row) bool {
		domain := r.Recipient.Address.Domain
		if !isOf(domain, node) || isHeldBack(r, d.o.Now()) {
			return false
		}
		d.call(domain)
		return true
	})
	attrs := []any{"node", node.Name, "remote", remote.String(), "rows", n}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	d.log.Info("delivery was asked for", attrs...)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.flushing, node)
}

// callTime is how long after ETRN a domain's hosts are taken for connected: mail for
// it is not kept for them.
const callTime = 10 * time.Minute

// maxCalled is how many domains are known to be connected at most.
const maxCalled = 10_000

// call notes that a domain's hosts have asked for its mail.
func (d *Deliverer) call(domain string) {
	now := d.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.called[domain]; !ok && len(d.called) >= maxCalled {
		maps.DeleteFunc(d.called, func(_ string, until time.Time) bool { return !now.Before(until) })
		if len(d.called) >= maxCalled {
			return
		}
	}
	d.called[domain] = now.Add(callTime)
}

// hasCalled reports whether a domain's hosts have asked for its mail a moment ago.
func (d *Deliverer) hasCalled(domain string, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return now.Before(d.called[domain])
}
