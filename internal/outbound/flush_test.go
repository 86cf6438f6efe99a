package outbound

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/mail"
	"postrider/internal/sinktest"
	"postrider/internal/smtp"
	"postrider/internal/store"
)

// slow is a store that does something first: it may let others come in between, and
// take time.
type slow struct {
	Store
	walk, read, settle func() // once each, if not nil
	walked, leased     func() // likewise, but after it
}

func once(f *func()) {
	if do := *f; do != nil {
		*f = nil
		do()
	}
}

func (s *slow) Destinations(ctx context.Context, after string) iter.Seq2[store.Destination, error] {
	return func(yield func(store.Destination, error) bool) {
		once(&s.walk)
		var all []store.Destination
		for at, err := range s.Store.Destinations(ctx, after) {
			if err != nil {
				yield(at, err)
				return
			}
			all = append(all, at)
		}
		once(&s.walked)
		for _, at := range all {
			if !yield(at, nil) {
				return
			}
		}
	}
}

func (s *slow) Queued(ctx context.Context, after mail.ID) iter.Seq2[store.QueuedMessage, error] {
	once(&s.read)
	return s.Store.Queued(ctx, after)
}

func (s *slow) Lease(ctx context.Context, q store.LeaseQuery) ([]store.Leased, error) {
	all, err := s.Store.Lease(ctx, q)
	once(&s.leased)
	return all, err
}

func (s *slow) Settle(ctx context.Context, all []store.Settlement) (int, error) {
	once(&s.settle)
	return s.Store.Settle(ctx, all)
}

// family is what the site of these tests keeps mail for.
var family = []string{"remote.test", ".remote.test"}

// begin starts a site that keeps mail for remote.test and all below. One client may ask for
// all of it (see etrn), one for remote.test alone (see poorer), one for a.remote.test.
func (sl *slow) begin(t *testing.T) *site {
	near := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	s := begin(t, func(_ *site, o *Options) {
		o.Turns = []Turn{
			{Domains: family, Networks: near("198.51.100.0/24")},
			{Domains: family[:1], Networks: near("192.0.2.0/25")},
			{Domains: []string{"a.remote.test"}, Networks: near("192.0.2.128/25")},
		}
		o.Routes = []Route{{Name: "kept", Domains: family, Keep: true}}
		sl.Store, o.Store = o.Store, sl
	})
	zone := zoneText
	for _, name := range []string{"a", "b.a", "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9"} {
		zone += name + ".remote.test. IN MX 10 mx1.remote.test.\n"
	}
	s.zone.Set(t, zone)
	return s
}

// poorer asks for all below remote.test as one who may have remote.test alone.
func (s *site) poorer() (smtp.Flushed, error) {
	return s.d.Flush(s.t.Context(), caller("", "192.0.2.1:4000"), smtp.Node{Kind: smtp.NodeDomain, Name: "remote.test"})
}

func (s *site) wantSent(sink *sinktest.Sink, want int) {
	s.t.Helper()
	synctest.Wait()
	if got := len(sink.Messages()); got != want {
		s.t.Errorf("%d were sent, want %d: %s", got, want, s.logged())
	}
}

func TestETRNTellsNothingOfSubdomainsThatAreAnothers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := (&slow{}).begin(t)
		sink := s.host("203.0.114.1", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@a.remote.test")
		synctest.Wait()
		if n, err := s.poorer(); n != 0 || err != nil {
			t.Errorf("told of %d messages (%v)", n, err)
		}
		s.wantSent(sink, 0)
		s.queue("alice@example.org", nil, "carol@a.remote.test")
		s.queue("alice@example.org", nil, "carol@remote.test")
		s.wantSent(sink, 1) // its own, which comes after the call
		if err := s.store.Freeze(t.Context(), "a.remote.test", "they asked for it", time.Now()); err != nil {
			t.Fatal(err)
		}
		if n, err := s.poorer(); n != 0 || err != nil {
			t.Errorf("told that it is frozen: %d, %v", n, err)
		}
	})
}

func TestARunChangesNothingOfAnothers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := (&slow{}).begin(t)
		sink := s.host("203.0.114.1", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@remote.test")
		id := s.queue("alice@example.org", nil, "bob@a.remote.test")
		time.Sleep(5 * time.Hour) // so that each look at it moves its time
		synctest.Wait()
		before := s.rows(id)[0].Due
		time.Sleep(time.Minute)
		if n, err := s.poorer(); n != 1 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		s.wantSent(sink, 1)
		if rows := s.rows(id); len(rows) != 1 || !rows[0].Due.Equal(before) {
			t.Errorf("got %+v, want it due at %s as before", rows, before)
		}
	})
}

func TestARunForLessDoesNotStandInForOneForMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sl := &slow{}
		s := sl.begin(t)
		sink := s.host("203.0.114.1", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@remote.test")
		s.queue("alice@example.org", nil, "bob@a.remote.test")
		s.queue("alice@example.org", nil, "bob@b.a.remote.test")
		synctest.Wait()
		sl.read = func() { time.Sleep(time.Minute) }
		if n, err := s.poorer(); n != 1 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		synctest.Wait()
		s.wantWaiting(smtp.NodeDomain, "remote.test", 3)
		s.wantSent(sink, 3)
		time.Sleep(time.Hour)
	})
}

// docs/DELIVERY.md: what comes in the next ten minutes is sent.
func TestAfterETRNWhatComesForItsNodeIsSent(t *testing.T) {
	for node, want := range map[smtp.Node]int{
		{Kind: smtp.NodeDomain, Name: "remote.test"}:   3,
		{Kind: smtp.NodeDomain, Name: "a.remote.test"}: 2,
		{Kind: smtp.NodeHost, Name: "a.remote.test"}:   1,
	} {
		t.Run(node.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := (&slow{}).begin(t)
				sink := s.host("203.0.114.1", sinktest.Options{})
				all := func() {
					for _, name := range []string{"remote.test", "a.remote.test", "b.a.remote.test"} {
						s.queue("alice@example.org", nil, "bob@"+name)
					}
				}
				synctest.Wait()
				s.wantWaiting(node.Kind, node.Name, 0)
				time.Sleep(callTime - time.Second)
				all()
				s.wantSent(sink, want)
				time.Sleep(time.Second)
				all()
				s.wantSent(sink, want)
			})
		})
	}
}

func TestAfterALongRunWhatItHasFoundIsNotKeptAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sl := &slow{}
		s := sl.begin(t)
		sink := s.host("203.0.114.1", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@a.remote.test")
		synctest.Wait()
		sl.read = func() { time.Sleep(callTime + time.Minute) }
		s.wantWaiting(smtp.NodeDomain, "remote.test", 1)
		time.Sleep(callTime + 2*time.Minute)
		s.wantSent(sink, 1)
	})
}

func TestWhoAsksAgainDuringARunBeginsNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sl := &slow{}
		s := sl.begin(t)
		s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		sl.read = func() { time.Sleep(time.Minute) }
		s.wantWaiting(smtp.NodeHost, "remote.test", 1)
		synctest.Wait()
		for range 2 {
			s.wantWaiting(smtp.NodeHost, "remote.test", smtp.FlushBegun)
		}
		time.Sleep(time.Hour)
	})
}

func TestETRNIsAnsweredAgainAndAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := (&slow{}).begin(t)
		sink := s.host("203.0.114.1", sinktest.Options{})
		for i := range 2 * (maxFlushes + 2) {
			name := fmt.Sprintf("d%d.remote.test", i/2)
			s.queue("alice@example.org", nil, "bob@"+name)
			synctest.Wait()
			s.wantWaiting(smtp.NodeHost, name, 1)
			s.wantSent(sink, i+1)
			s.wantWaiting(smtp.NodeHost, name, 0)
			time.Sleep(callTime + time.Minute)
		}
	})
}

// The walk of destinations does not find what is leased while it goes on.
func TestETRNForAllBelowKnowsOfWhatIsLeasedMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sl := &slow{}
		s := sl.begin(t)
		s.queue("alice@example.org", func(o *Onward) { o.Due = time.Now().Add(time.Minute) }, "bob@d1.remote.test")
		s.queue("alice@example.org", func(o *Onward) { o.Due = time.Now().Add(time.Minute) }, "bob@other.test")
		s.host("203.0.114.3", sinktest.Options{On: func(sinktest.Command) sinktest.Answer { return sinktest.Answer{Silent: true} }})
		time.Sleep(59 * time.Second)
		synctest.Wait()
		sl.walk = func() { time.Sleep(2 * time.Second) }
		s.wantWaiting(smtp.NodeDomain, "a.remote.test", smtp.FlushBegun)
	})
}

func TestETRNForAllBelowKnowsOfWhatWasLeasedForAWhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sl := &slow{}
		s := sl.begin(t)
		s.queue("alice@example.org", func(o *Onward) { o.Due = time.Now().Add(time.Minute) }, "bob@d1.remote.test")
		time.Sleep(59 * time.Second)
		synctest.Wait()
		sl.settle = func() { time.Sleep(4 * time.Second) }
		sl.walk, sl.walked = func() { time.Sleep(2 * time.Second) }, func() { time.Sleep(4 * time.Second) }
		s.wantWaiting(smtp.NodeDomain, "a.remote.test", smtp.FlushBegun)
	})
}

func TestETRNForAllBelowKnowsOfWhatIsBeingLeased(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := (&slow{leased: func() { time.Sleep(time.Second) }}).begin(t)
		synctest.Wait()
		s.queue("alice@example.org", nil, "bob@d1.remote.test")
		synctest.Wait()
		s.wantWaiting(smtp.NodeDomain, "remote.test", smtp.FlushBegun)
		time.Sleep(time.Minute)
	})
}

// The row has been leased, and its settlement is being committed.
func TestWhatETRNSaysIsStartedIsSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := (&slow{settle: func() { time.Sleep(time.Second) }}).begin(t)
		sink := s.host("203.0.114.1", sinktest.Options{})
		synctest.Wait()
		s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		s.wantWaiting(smtp.NodeHost, "remote.test", 1)
		time.Sleep(2 * time.Second)
		s.wantSent(sink, 1)
	})
}
