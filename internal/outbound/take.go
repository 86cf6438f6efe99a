package outbound

import (
	"context"
	"time"

	"postrider/internal/fault"
)

// take returns the next job for a connection of a hop, of at most limit rows, or
// nil: none has come within wait, the rate is used up, or ctx has ended.
func (d *Deliverer) take(ctx context.Context, h *hop, limit int, wait time.Duration) *job {
	var timer *time.Timer
	for {
		if ctx.Err() != nil {
			return nil
		}
		d.mu.Lock()
		j := d.takeNow(h, limit)
		if j != nil || wait <= 0 || len(h.jobs) > 0 || len(d.starved) > 0 {
			d.mu.Unlock()
			return j
		}
		h.idle++
		d.mu.Unlock()
		if timer == nil {
			timer = time.NewTimer(wait)
			defer timer.Stop()
		}
		select {
		case <-h.signal:
		case <-timer.C:
			wait = 0
		case <-ctx.Done():
		}
		d.mu.Lock()
		h.idle--
		d.mu.Unlock()
	}
}

// takeNow is take without waiting, under mu.
func (d *Deliverer) takeNow(h *hop, limit int) *job {
	d.passOver(h)
	if len(h.jobs) == 0 || d.settler.stuck.Load() > 0 || d.isReadOnly() || !d.mayGo(h) {
		return nil
	}
	j := h.pop(min(limit, h.terms.RecipientsPerMessage))
	if len(h.jobs) > 0 && h.idle > 0 {
		h.wakeOne()
	}
	if len(h.parked) > 0 && h.room() {
		d.unpark(h)
	}
	return j
}

// isReadOnly reports, under mu, whether what is sent could not be settled, and would be
// sent again; then the hops wait until round finds that it could.
func (d *Deliverer) isReadOnly() bool {
	if !fault.Is(d.o.Store.Health(), fault.ReadOnly) {
		return false
	}
	d.paused = true
	return true
}

// passOver takes jobs out that have waited for too long, under mu: their leases might
// end while they are tried.
func (d *Deliverer) passOver(h *hop) {
	for len(h.jobs) > 0 && h.jobs[0].latest.Before(d.o.Now()) {
		d.waited = append(d.waited, h.pop(h.jobs[0].rows()))
		d.wakeUp()
	}
}

// mayGo takes a message's part of the hop's rate. Without one the hop has to wait,
// and is started again when there is.
func (d *Deliverer) mayGo(h *hop) bool {
	if h.rate == nil {
		return true
	}
	now := d.o.Now()
	if now.Before(h.notBefore) {
		return false
	}
	r := h.rate.ReserveN(now, 1)
	delay := r.DelayFrom(now)
	if delay <= 0 {
		return true
	}
	r.CancelAt(now)
	h.notBefore = now.Add(delay)
	time.AfterFunc(delay, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.spawn(h)
	})
	return false
}
