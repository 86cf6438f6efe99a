package outbound

import (
	"time"

	"golang.org/x/time/rate"

	"postrider/internal/store"
)

// hop returns the hop of a message on its route, under mu.
func (d *Deliverer) hop(route *Route, m *store.QueuedMessage, domain string) *hop {
	key := route.hopKey(m, domain)
	h := d.hops[key]
	if h == nil {
		if len(d.hops) >= d.forgetAt {
			d.forgetHops()
		}
		h = d.newHop(key, route, domain)
		h.requireTLS, h.relaxed = requiresTLS(m), relaxed(m)
		d.hops[key] = h
	}
	return h
}

func (d *Deliverer) newHop(key string, route *Route, domain string) *hop {
	terms := *d.o.termsOf(domain)
	h := &hop{
		key: key, route: route, domain: domain, terms: terms,
		limit: float64(terms.InitialConnections), signal: make(chan struct{}, 1),
	}
	if terms.MessagesPerMinute > 0 {
		h.rate = rate.NewLimiter(rate.Every(time.Minute/time.Duration(terms.MessagesPerMinute)), 1)
	}
	return h
}

// remember notes to which hop a destination's rows go, under mu.
func (d *Deliverer) remember(name string, h *hop) {
	if _, ok := d.sites[name]; !ok && len(d.sites) >= maxSites {
		now := d.o.Now()
		for other, at := range d.sites {
			if at.rows == 0 && !at.dead(now) {
				delete(d.sites, other)
			}
		}
		if len(d.sites) > maxSites*3/4 {
			clear(d.sites)
		}
	}
	d.sites[name] = h
}

// forgetHops drops hops that do nothing, under mu, until half of them are left: first
// those that are well, then those of which only is known that they are dead. If most
// do something it is long until it is done again, so that it costs each new one
// little.
func (d *Deliverer) forgetHops() {
	now := d.o.Now()
	for _, evenDead := range []bool{false, true} {
		for key, h := range d.hops {
			if len(d.hops) <= maxHops/2 {
				break
			}
			if h.running == 0 && len(h.jobs) == 0 && len(h.parked) == 0 && !h.queued && (evenDead || !h.dead(now)) {
				delete(d.hops, key)
			}
		}
	}
	for name, h := range d.sites {
		if d.hops[h.key] != h {
			delete(d.sites, name)
		}
	}
	d.forgetAt = max(maxHops, 2*len(d.hops))
}

// spawn starts connections of a hop as it bears and as there is work for, under
// mu. A job that waits wakes an idle one first.
func (d *Deliverer) spawn(h *hop) {
	if d.stopped || d.ctx == nil || d.ctx.Err() != nil || d.settler.stuck.Load() > 0 || d.o.Now().Before(h.notBefore) {
		return
	}
	if h.idle > 0 && len(h.jobs) > 0 {
		h.wakeOne()
	}
	for len(h.jobs) > h.idle+h.starting && h.running < int(h.limit) {
		if h.running > 0 && !h.alive && d.conns >= d.o.Connections*3/4 {
			return // the last connections are not for more to a host that may be silent
		}
		if d.conns >= d.o.Connections {
			if !h.queued {
				h.queued = true
				d.starved = append(d.starved, h)
			}
			return
		}
		h.running++
		h.starting++
		d.conns++
		d.workers.Add(1)
		go d.work(d.ctx, h)
	}
}

// ended notes that a connection of a hop has ended, and lets the next hop have its
// place.
func (d *Deliverer) ended(h *hop) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h.running--
	d.conns--
	for len(d.starved) > 0 && d.conns < d.o.Connections {
		next := d.starved[0]
		d.starved = d.starved[1:]
		next.queued = false
		d.spawn(next)
	}
	d.spawn(h)
	if len(h.parked) > 0 && h.room() {
		d.unpark(h)
	}
}

// succeeded notes that the hop has taken a message.
func (d *Deliverer) succeeded(h *hop) {
	d.mu.Lock()
	defer d.mu.Unlock()
	more := !h.alive // it may have more connections than one
	h.failed, h.failures, h.alive = nil, 0, true
	if h.limit < float64(h.terms.Connections) {
		h.limit = min(h.limit+1/max(h.limit, 1), float64(h.terms.Connections))
		more = true
	}
	if more {
		d.spawn(h)
	}
}

// hopFailed notes that no host of the hop could be reached. When the last of its
// connections has failed so, it is dead for a while, and what waits for it shares
// the failure: it returns those jobs.
func (d *Deliverer) hopFailed(h *hop, f *failure) []*job {
	d.mu.Lock()
	defer d.mu.Unlock()
	h.limit = max(h.limit-1, 1)
	h.failures++
	h.alive = false
	if h.limit > 1 && h.failures <= h.terms.InitialConnections {
		return nil
	}
	now := d.o.Now()
	h.failed = f
	h.deadUntil = now.Add(h.terms.pause(1, chance()) / 2)
	h.limit = 1
	d.unpark(h)
	return h.drop()
}
