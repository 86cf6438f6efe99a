package outbound

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fault"
	"postrider/internal/sinktest"
	"postrider/internal/smtp"
)

// called is a site of whose mail some may be asked for, without routes. None of its
// domains' hosts is there.
func called(t *testing.T) *site {
	s := begin(t, func(_ *site, o *Options) {
		o.Turns = []Turn{{Domains: []string{"remote.test", ".remote.test"}, Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}}
	})
	s.zone.Set(t, zoneText+"a.remote.test. IN MX 10 mx1.remote.test.\nb.a.remote.test. IN MX 10 mx1.remote.test.\nnotremote.test. IN MX 10 mx1.remote.test.\n")
	return s
}

// etrn asks as one who may.
func (s *site) etrn(kind smtp.NodeKind, name string) (smtp.Flushed, error) {
	return s.d.Flush(s.t.Context(), caller("", "198.51.100.9:4000"), smtp.Node{Kind: kind, Name: name})
}

func (s *site) wantWaiting(kind smtp.NodeKind, name string, want smtp.Flushed) {
	s.t.Helper()
	if got, err := s.etrn(kind, name); err != nil || got != want {
		s.t.Errorf("%s: got %d, %v, want %d", smtp.Node{Kind: kind, Name: name}, got, err, want)
	}
}

// What is counted are messages and not their recipients, of the node and no other.
func TestETRNCountsTheMessagesOfItsNode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := called(t)
		s.queue("alice@example.org", nil, "bob@remote.test", "carol@remote.test", "dora@a.remote.test")
		s.queue("alice@example.org", nil, "bob@remote.test", "bob@other.test")
		s.queue("alice@example.org", nil, "bob@b.a.remote.test", "bob@notremote.test")
		s.queue("alice@example.org", func(o *Onward) { o.Due = time.Now().Add(24 * time.Hour) }, "held@remote.test")
		time.Sleep(time.Minute)
		synctest.Wait()
		s.wantWaiting(smtp.NodeDomain, "remote.test", 3)
		synctest.Wait()
		s.wantWaiting(smtp.NodeHost, "remote.test", 2)
		synctest.Wait()
		s.wantWaiting(smtp.NodeDomain, "a.remote.test", 2)
		synctest.Wait()
		s.wantWaiting(smtp.NodeHost, "c.remote.test", 0)
		s.wantWaiting(smtp.NodeDomain, "c.remote.test", 0)
	})
}

func TestETRNCountsWhatIsUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := called(t)
		s.host("203.0.114.1", sinktest.Options{On: func(sinktest.Command) sinktest.Answer { return sinktest.Answer{Silent: true} }})
		s.queue("alice@example.org", nil, "bob@remote.test")
		time.Sleep(time.Second)
		synctest.Wait()
		s.wantWaiting(smtp.NodeHost, "remote.test", 1)
		s.wantWaiting(smtp.NodeDomain, "c.remote.test", smtp.FlushBegun)
	})
}

func TestETRNCountsNoFurtherThanIsCheap(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := branch(t)
		for range maxCounted {
			s.queue("alice@example.org", nil, "bob@remote.test")
		}
		s.wantWaiting(smtp.NodeHost, "remote.test", maxCounted)
		synctest.Wait()
		s.queue("alice@example.org", nil, "bob@remote.test")
		s.wantWaiting(smtp.NodeHost, "remote.test", smtp.FlushSome)
	})
}

func TestETRNLooksAtSomeDestinationsOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := branch(t)
		for i := range maxWalked + 1 {
			name := fmt.Sprintf("bob@d%d.test", i)
			s.queue("alice@example.org", func(o *Onward) { o.Due = time.Now().Add(time.Hour) }, name)
		}
		synctest.Wait()
		s.wantWaiting(smtp.NodeHost, "remote.test", 0)
		s.wantWaiting(smtp.NodeDomain, "remote.test", smtp.FlushBegun)
	})
}

func TestETRNSendsNothingThatIsFrozen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := branch(t)
		s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		if err := s.store.Freeze(t.Context(), "remote.test", "they asked for it", time.Now()); err != nil {
			t.Fatal(err)
		}
		if n, err := s.etrn(smtp.NodeHost, "remote.test"); !fault.Is(err, fault.Transient) {
			t.Errorf("got %d, %v", n, err)
		}
		if s.d.hasCalled("remote.test", time.Now()) {
			t.Error("who was refused is taken for connected")
		}
		if n, err := s.etrn(smtp.NodeQueue, "remote.test"); !fault.Is(err, fault.Denied) {
			t.Errorf("a queue: got %d, %v", n, err)
		}
	})
}
