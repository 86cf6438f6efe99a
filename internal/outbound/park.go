package outbound

import "time"

// park has a destination wait until a hop has room for its rows, under mu.
func (d *Deliverer) park(h *hop, name string, now time.Time) {
	if len(h.parked) >= maxParked {
		d.window.beyond(now.Add(parkPause))
		return
	}
	if h.parked == nil {
		h.parked = map[string]struct{}{}
	}
	h.parked[name] = struct{}{}
	d.crowded[h] = struct{}{}
}

// unpark lets some of the destinations that wait for room be looked at again, under
// mu: as many as could fill it. When they have not, the dispatcher asks for others.
func (d *Deliverer) unpark(h *hop) {
	now := d.o.Now()
	n := 0
	for name := range h.parked {
		if n == leaseBatch {
			break
		}
		n++
		delete(h.parked, name)
		d.window.soon(name, now, h)
	}
	if len(h.parked) == 0 {
		h.parked = nil
		delete(d.crowded, h)
	}
	d.wakeUp()
}

// unparkSome is unpark for all hops with room, under mu; it reports whether there
// was any.
func (d *Deliverer) unparkSome() bool {
	some := false
	for h := range d.crowded {
		if h.room() {
			d.unpark(h)
			some = true
		}
	}
	return some
}
