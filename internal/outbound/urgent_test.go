package outbound

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/sinktest"
)

func TestWhatHasJustComeGoesBeforeWhatIsOnlyDue(t *testing.T) {
	start := time.Unix(1000, 0)
	w := newWindow(100)
	for i := range 50 {
		w.add(fmt.Sprint("d", i), start)
	}
	w.hurry("fresh", start.Add(time.Hour))
	w.hurry("d7", start)
	w.add("fresh", start) // changes nothing: it goes first in any case
	if next, ok := w.next(); !ok || next.After(start.Add(time.Hour)) {
		t.Errorf("got %v, %v", next, ok)
	}
	w.begin()
	w.add("d7", start)
	var got []string
	for name, ok := w.popUrgent(); ok; name, ok = w.popUrgent() {
		got = append(got, name)
	}
	if fmt.Sprint(got) != "[d7 fresh]" {
		t.Errorf("got %v", got)
	}
	if name, ok := w.pop(start); ok {
		t.Errorf("got %s, want nothing: it is in the window once", name)
	}
}

func TestWhatGoesFirstHasRoomForAPart(t *testing.T) {
	start := time.Unix(1000, 0)
	w := newWindow(10)
	for i := range 10 {
		w.hurry(fmt.Sprint("d", i), start)
	}
	if len(w.urgent) != 10/urgentShare || len(w.order) != 8 || len(w.places) != 10 {
		t.Errorf("got %d, %d and %d", len(w.urgent), len(w.order), len(w.places))
	}
}

func TestEveryDestinationHasItsTurnThoughAllAreDueAtOnce(t *testing.T) {
	start := time.Unix(1000, 0)
	left := map[string]bool{}
	for i := range 1000 {
		left[fmt.Sprint(i)] = true
	}
	w := newWindow(100)
	w.horizon = start
	scans := 0
	for len(left) > 0 && scans < 100 {
		if w.stale(start) {
			scans++
			w.begin()
			for name := range left {
				w.add(name, start)
			}
			continue
		}
		name, ok := w.pop(start)
		if !ok || !left[name] {
			t.Fatalf("got %q, %v", name, ok)
		}
		delete(left, name)
	}
	if scans > 21 {
		t.Errorf("the store was asked %d times", scans)
	}
}

func TestFreshMailIsSentThoughAllThatMayBeLeasedWaitsForSilentHosts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		zone := zoneText
		var o Options
		s := begin(t, func(_ *site, opts *Options) { o = *opts })
		s.stop()
		for i := range 300 {
			zone += fmt.Sprintf("$ORIGIN d%d.test.\n@ IN A 203.0.115.%d\n", i, i%250)
		}
		s.zone.Set(t, zone)
		for i := range 250 {
			s.host(fmt.Sprintf("203.0.115.%d", i), sinktest.Options{On: func(sinktest.Command) sinktest.Answer { return sinktest.Answer{Silent: true} }})
		}
		for i := range 300 {
			for range 2 {
				var to []string
				for n := range 64 {
					to = append(to, fmt.Sprintf("u%d@d%d.test", n, i))
				}
				s.queue("alice@example.org", nil, to...)
			}
		}
		s.d = New(o) // it finds them in the store
		s.run()
		synctest.Wait()
		if s.d.leased < maxLeased {
			t.Fatalf("got %d rows under lease, want all that may be", s.d.leased)
		}
		sink := s.host("203.0.114.3", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@other.test")
		synctest.Wait()
		if n := len(sink.Messages()); n != 1 {
			t.Errorf("got %d messages of 1; %d rows are leased, %d connections open", n, s.d.leased, s.d.conns)
		}
	})
}

func TestHopsThatAreDeadAreForgottenWhenThereAreTooMany(t *testing.T) {
	d := New(Options{Hostname: "mail.example.org"})
	dead := failing("4.4.1", "nobody is there")
	for i := range maxHops {
		name := fmt.Sprintf("d%d.test", i)
		h := d.newHop(name, &byMX, name)
		h.failed, h.deadUntil = &dead, time.Now().Add(time.Hour)
		d.hops[name], d.sites[name] = h, h
	}
	d.hops["d7.test"].running = 1
	d.forgetHops()
	if n := len(d.hops); n != maxHops/2 || len(d.sites) != n || d.hops["d7.test"] == nil {
		t.Errorf("got %d hops and %d sites, want %d", n, len(d.sites), maxHops/2)
	}
}

func TestARowIsSentWhenSomebodyElsesLeaseOfItHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var o Options
		s := begin(t, func(_ *site, opts *Options) { o = *opts })
		s.stop()
		id := s.queue("alice@example.org", nil, "bob@other.test")
		if _, err := s.store.LeaseRows(t.Context(), id, nil, time.Now().Add(30*time.Minute)); err != nil {
			t.Fatal(err)
		}
		sink := s.host("203.0.114.3", sinktest.Options{})
		s.d = New(o)
		s.run()
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		if n := len(sink.Messages()); n != 0 {
			t.Fatalf("got %d messages of 0", n)
		}
		time.Sleep(rescan)
		synctest.Wait()
		if n := len(sink.Messages()); n != 1 {
			t.Errorf("got %d messages of 1", n)
		}
	})
}
