package tlspolicy_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fault"
	"postrider/internal/tlspolicy"
)

// askFor asks for example.test with so much time, and tells when it has an answer.
func (h *house) askFor(t *testing.T, d time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		_, err := h.Domain(ctx, "example.test", authenticMX("mx1.example.test"))
		done <- err
	}()
	synctest.Wait()
	return done
}

// after answers with the policy after a while.
func after(d time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			policy(enforce)(w, r)
		case <-r.Context().Done():
		}
	}
}

func TestWhoSharesAFetchMayGiveUpSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := newSTSHouse(t, enforce, nil)
		w.set(h.ca.issue(t, nil, "mta-sts.example.test"), after(50*time.Second))
		first, second := h.askFor(t, time.Hour), h.askFor(t, time.Second)
		begun := time.Now()
		if err := <-second; !fault.Is(err, fault.Transient) {
			t.Errorf("who had a second: got %v, want a fault of kind transient", err)
		}
		if d := time.Since(begun); d > time.Second {
			t.Errorf("who had a second waited %s for another's fetch", d)
		}
		if err := <-first; err != nil || w.count() != 1 {
			t.Errorf("who had more: got %v after %d requests", err, w.count())
		}
	})
}

func TestAFetchGoesOnForWhoStillWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := newSTSHouse(t, enforce, nil)
		w.set(h.ca.issue(t, nil, "mta-sts.example.test"), slowly)
		impatient := h.askFor(t, 500*time.Millisecond)
		if host := h.host(t, h.domain(t, "example.test"), "mx1.example.test"); host.Kind != tlspolicy.KindSTS || w.count() != 1 {
			t.Errorf("got %+v after %d requests, want the policy after one", host, w.count())
		}
		if err := <-impatient; !fault.Is(err, fault.Transient) {
			t.Errorf("who began it: got %v, want a fault of kind transient", err)
		}
	})
}

func TestAWebServerIsWaitedForAMinuteAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, w := newSTSHouse(t, enforce, nil)
		w.set(h.ca.issue(t, nil, "mta-sts.example.test"), after(time.Hour))
		begun := time.Now()
		first := h.askFor(t, 55*time.Second)
		time.Sleep(30 * time.Second)
		for _, waiter := range []<-chan error{h.askFor(t, time.Hour), h.askFor(t, time.Hour)} {
			if err := <-waiter; err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(begun); d > time.Minute {
			t.Errorf("waited %s", d)
		}
		if err := <-first; !fault.Is(err, fault.Transient) {
			t.Errorf("who gave up: got %v, want a fault of kind transient", err)
		}
	})
}
