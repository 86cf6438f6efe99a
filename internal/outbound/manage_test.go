package outbound

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fault"
	"postrider/internal/sinktest"
	"postrider/internal/store"
)

func TestADeadHopIsShownAndRevivedAtAWord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		id := s.queue("alice@example.org", nil, "a@remote.test")
		for range 20 { // it takes more than one to find a host dead
			s.queue("alice@example.org", nil, "b@remote.test")
		}
		synctest.Wait()
		if hop := s.d.HopOf("remote.test"); hop != "remote.test" {
			t.Errorf("the hop of remote.test is %q", hop)
		}
		if hop := s.d.HopOf("other.test"); hop != "" {
			t.Errorf("the hop of other.test, to which nothing went, is %q", hop)
		}
		if hops := s.d.Hops(); len(hops) != 1 || hops[0].Hop != "remote.test" || hops[0].Failing == "" || !hops[0].Until.After(time.Now()) {
			t.Errorf("got hops %+v, want that remote.test is not tried", hops)
		}
		sink := s.host("203.0.114.1", sinktest.Options{})
		if _, err := s.store.ChangeRows(t.Context(), id, nil, store.RetryRows, time.Now()); err != nil {
			t.Fatal(err)
		}
		s.d.Revive("remote.test", "unknown.test")
		synctest.Wait()
		if got := recipients(sink); len(got) != 1 || got[0] != "a@remote.test" {
			t.Errorf("sent to %v, want that a's has gone at once", got)
		}
	})
}

func TestBounceReturnsRowsWithTheOperatorsReason(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		later := func(o *Onward) { o.Due = time.Now().Add(time.Hour) }
		id := s.queue("alice@example.org", later, "a@remote.test", "b@other.test", "c@remote.test")
		n, err := s.d.Bounce(t.Context(), id, []int{0, 2}, "no such domain\r\nX-Evil: 1")
		if err != nil || n != 2 {
			t.Fatalf("got %d, %v, want 2 rows returned", n, err)
		}
		synctest.Wait()
		if rows := s.rows(id); len(rows) != 1 || rows[0].Index != 1 || rows[0].Leased {
			t.Errorf("left are %+v, want row 1", rows)
		}
		told := s.told()
		if len(told) != 1 || told[0].to != "alice@example.org" || !strings.Contains(told[0].text, "no such domain") {
			t.Fatalf("told were %+v, want alice, and why", told)
		}
		if strings.Contains(told[0].text, "\nX-Evil") {
			t.Errorf("the reason made a line of its own:\n%s", told[0].text)
		}
		if _, err := s.d.Bounce(t.Context(), id, []int{0}, ""); !fault.Is(err, fault.NotFound) {
			t.Errorf("a row that has gone: got %v, want not found", err)
		}
		if _, err := s.store.LeaseRows(t.Context(), id, nil, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.d.Bounce(t.Context(), id, nil, ""); !fault.Is(err, fault.Busy) {
			t.Errorf("a leased row: got %v, want busy", err)
		}
	})
}
