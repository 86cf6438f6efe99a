package outbound

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/sinktest"
	"postrider/internal/store"
)

// silent answers nothing.
func silent(sinktest.Command) sinktest.Answer { return sinktest.Answer{Silent: true} }

func TestASlowSmarthostOfManyDomainsTakesNoMoreRowsThanItNeeds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var slow atomic.Bool
		slow.Store(true)
		s := begin(t, func(_ *site, o *Options) {
			o.Routes = []Route{{Name: "smarthost", Hosts: []HostPort{{Host: "192.0.2.9"}}}}
		})
		sink := s.host("192.0.2.9", sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
			return sinktest.Answer{Silent: slow.Load() && c.Verb == "CONNECT"}
		}})
		const domains = 1000
		for i := range domains {
			s.queue("alice@example.org", nil, fmt.Sprintf("bob@d%d.test", i))
		}
		synctest.Wait()
		s.d.mu.Lock()
		leased := s.d.leased
		s.d.mu.Unlock()
		if leased > 3*leaseBatch {
			t.Errorf("%d rows are leased for a host that takes nothing", leased)
		}
		slow.Store(false)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(sink.Messages()); n != domains {
			t.Errorf("got %d of %d once it is awake", n, domains)
		}
	})
}

func TestADestinationWaitsForRoomOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		s.host("203.0.114.1", sinktest.Options{On: silent})
		for range 300 {
			s.queue("alice@example.org", nil, "bob@remote.test")
			synctest.Wait()
		}
		s.d.mu.Lock()
		defer s.d.mu.Unlock()
		if h := s.d.sites["remote.test"]; len(h.parked) != 1 {
			t.Errorf("it waits %d times", len(h.parked))
		}
	})
}

func TestTheDestinationsRememberedAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) {
			o.Routes = []Route{{Name: "smarthost", Hosts: []HostPort{{Host: "192.0.2.9"}}}}
		})
		sink := s.host("192.0.2.9", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		s.d.mu.Lock()
		for i := range maxSites {
			s.d.sites[fmt.Sprintf("d%d.test", i)] = s.d.sites["remote.test"]
		}
		s.d.mu.Unlock()
		s.queue("alice@example.org", nil, "bob@other.test")
		synctest.Wait()
		s.d.mu.Lock()
		n := len(s.d.sites)
		s.d.mu.Unlock()
		if n > maxSites || len(sink.Messages()) != 2 {
			t.Errorf("%d destinations are remembered, and %d of 2 messages sent", n, len(sink.Messages()))
		}
	})
}

func TestManyDeadHopsCostANewOneLittle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		synctest.Wait()
		d := s.d
		d.mu.Lock()
		defer d.mu.Unlock()
		m := &store.QueuedMessage{}
		dead := final("5.0.0", "dead")
		for i := range 8 * maxHops {
			h := d.hop(&byMX, m, fmt.Sprintf("d%d.test", i))
			h.failed, h.deadUntil = &dead, time.Now().Add(time.Hour)
		}
		// Looked at one by one at each new hop they would take minutes to come here.
		if len(d.hops) > maxHops || d.forgetAt != maxHops {
			t.Errorf("%d hops are remembered, and looked through at %d", len(d.hops), d.forgetAt)
		}
	})
}

func TestSilentHostsDoNotShareAllConnectionsAmongThem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) { o.Connections = 40 })
		zone := zoneText
		for i := range 12 {
			zone += fmt.Sprintf("$ORIGIN d%d.test.\n@ IN A 203.0.115.%d\n", i, i)
			s.host(fmt.Sprintf("203.0.115.%d", i), sinktest.Options{On: silent})
		}
		s.zone.Set(t, zone)
		for i := range 12 {
			for range 10 {
				s.queue("alice@example.org", nil, fmt.Sprintf("bob@d%d.test", i))
			}
		}
		synctest.Wait()
		sink := s.host("203.0.114.3", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@other.test")
		synctest.Wait()
		if n := len(sink.Messages()); n != 1 {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			t.Errorf("got %d; there are %d connections to hosts that say nothing", n, s.d.conns)
		}
	})
}
