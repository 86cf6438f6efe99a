package outbound

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/netclient"
	"postrider/internal/session"
	"postrider/internal/sinktest"
	"postrider/internal/smtp"
)

// branch is a site with a host that is seldom connected.
func branch(t *testing.T) *site {
	return begin(t, func(_ *site, o *Options) {
		o.Turns = []Turn{{
			Domains: []string{"remote.test", ".remote.test"}, Account: "branch@example.org",
			Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
		}}
		o.Routes = []Route{{Name: "branch", Domains: []string{"remote.test"}, Keep: true, Why: "it waits until its host calls"}}
	})
}

func caller(login, remote string) *smtp.Client {
	c := &smtp.Client{Remote: netip.MustParseAddrPort(remote)}
	if login != "" {
		c.Account, c.Login = 7, login
	}
	return c
}

func TestATRNSendsWhatWaitsOverTheCallersConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := branch(t)
		for range 100 {
			s.queue("alice@example.org", nil, "bob@remote.test")
		}
		other := s.host("203.0.114.3", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@other.test")
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(other.Messages()) != 1 || len(s.dialled()) != 1 {
			t.Fatalf("got connections to %v, want one to the other domain's host", s.dialled())
		}
		from := caller("branch@example.org", "198.51.100.1:4000")
		from.TLS = "TLSv1.3 of theirs"
		session, err := s.d.Turn(t.Context(), from, nil)
		if err != nil || session == nil {
			t.Fatal(session, err)
		}
		sink := sinktest.New(sinktest.Options{})
		ours, theirs := net.Pipe()
		go sink.Serve(theirs)
		if err := netclient.Converse(t.Context(), ours, session, netclient.Options{}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := len(sink.Messages()); n != 100 {
			t.Errorf("got %d of 100", n)
		}
		if !strings.Contains(s.log.String(), `tls="TLSv1.3 of theirs"`) {
			t.Error("the log does not say what protected it")
		}
		if u, _ := s.store.QueueUsage(t.Context()); u.Rows != 0 {
			t.Errorf("%d rows are left", u.Rows)
		}
		if session, err := s.d.Turn(t.Context(), caller("branch@example.org", "198.51.100.1:4000"), nil); session != nil || err != nil {
			t.Errorf("with nothing left: got %v, %v", session, err)
		}
	})
}

// RFC 4865: what is held until a time is not released sooner, whoever asks.
func TestNoCallReleasesWhatItsSenderHoldsBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := branch(t)
		later := time.Now().Add(24 * time.Hour)
		var held []mail.ID
		for range 3 * leaseBatch {
			held = append(held, s.queue("alice@example.org", func(o *Onward) { o.Due = later }, "bob@remote.test"))
		}
		s.queue("alice@example.org", nil, "bob@remote.test")
		time.Sleep(time.Hour)
		synctest.Wait()
		from := caller("branch@example.org", "198.51.100.1:4000")
		if _, err := s.d.Flush(t.Context(), from, smtp.Node{Name: "remote.test"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		session, err := s.d.Turn(t.Context(), from, nil)
		if err != nil {
			t.Fatal(err)
		}
		sink := sinktest.New(sinktest.Options{})
		ours, theirs := net.Pipe()
		go sink.Serve(theirs)
		if err := netclient.Converse(t.Context(), ours, session, netclient.Options{}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := len(sink.Messages()); n != 1 {
			t.Errorf("got %d messages, want the one that is not held back", n)
		}
		s.d.mu.Lock()
		if s.d.leased != 0 {
			t.Errorf("%d rows count as leased, though none is", s.d.leased)
		}
		s.d.mu.Unlock()
		for _, id := range held {
			if rows := s.rows(id); len(rows) != 1 || rows[0].Leased || !rows[0].Due.Equal(later.Truncate(time.Millisecond)) {
				t.Fatalf("got %+v", rows)
			}
		}
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		session, err = s.d.Turn(t.Context(), from, nil)
		if err != nil || session == nil {
			t.Fatal(session, err)
		}
		ours, theirs = net.Pipe()
		go sink.Serve(theirs)
		if err := netclient.Converse(t.Context(), ours, session, netclient.Options{}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := len(sink.Messages()); n != 1+len(held) {
			t.Errorf("afterwards: got %d messages", n)
		}
	})
}

func TestWhatATRNLeavesIsNotForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := branch(t)
		for range 3 {
			s.queue("alice@example.org", nil, "bob@remote.test")
		}
		synctest.Wait()
		session, err := s.d.Turn(t.Context(), caller("branch@example.org", "198.51.100.1:4000"), nil)
		if err != nil {
			t.Fatal(err)
		}
		// All is due, and looked for, while the conversation goes on.
		sink := sinktest.New(sinktest.Options{
			Extensions: []string{"LIMITS MAILMAX=1"},
			On: func(c sinktest.Command) sinktest.Answer {
				if c.Verb == "END" {
					return sinktest.Answer{Delay: 9 * time.Minute}
				}
				return sinktest.Answer{}
			},
		})
		ours, theirs := net.Pipe()
		go sink.Serve(theirs)
		if err := netclient.Converse(t.Context(), ours, session, netclient.Options{}); err != nil {
			t.Error(err)
		}
		time.Sleep(6 * 24 * time.Hour)
		synctest.Wait()
		failed := 0
		for _, n := range s.told() {
			if n.what == "failed" {
				failed++
			}
		}
		if u, _ := s.store.QueueUsage(t.Context()); len(sink.Messages()) != 1 || failed != 2 || u.Rows != 0 {
			t.Errorf("got %d sent, %d told of, %d left", len(sink.Messages()), failed, u.Rows)
		}
	})
}

func TestATRNThatBreaksOffLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := branch(t)
		for range 100 {
			s.queue("alice@example.org", nil, "bob@remote.test")
		}
		synctest.Wait()
		session, err := s.d.Turn(t.Context(), caller("branch@example.org", "198.51.100.1:4000"), []string{"remote.test"})
		if err != nil {
			t.Fatal(err)
		}
		sink := sinktest.New(sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
			return sinktest.Answer{Drop: c.Verb == "MAIL" && c.N == 30}
		}})
		ours, theirs := net.Pipe()
		go sink.Serve(theirs)
		_ = netclient.Converse(t.Context(), ours, session, netclient.Options{})
		synctest.Wait()
		u, _ := s.store.QueueUsage(t.Context())
		if n := len(sink.Messages()); n != 30 || int(u.Rows) != 70 {
			t.Errorf("got %d sent and %d left of 100", n, u.Rows)
		}
		if at, err := s.store.Destination(t.Context(), "remote.test"); err != nil {
			t.Errorf("what is left is still leased: %v %v", at, err)
		}
	})
}

func TestATRNWhoseCallerIsGoneTriesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := branch(t)
		id := s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		before := s.rows(id)[0]
		turned, err := s.d.Turn(t.Context(), caller("branch@example.org", "198.51.100.1:4000"), nil)
		if err != nil {
			t.Fatal(err)
		}
		turned.Event(session.Closed)
		if after := s.rows(id)[0]; after.Attempts != before.Attempts || after.Leased {
			t.Errorf("got %+v, want it as it was: %+v", after, before)
		}
	})
}

func TestATRNIsForTheAccountThatIsNamed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := branch(t)
		s.queue("alice@example.org", nil, "bob@remote.test")
		for name, row := range map[string]struct {
			login   string
			domains []string
		}{
			"nobody":         {"", nil},
			"another":        {"alice@example.org", nil},
			"another domain": {"branch@example.org", []string{"remote.test", "other.test"}},
		} {
			if session, err := s.d.Turn(t.Context(), caller(row.login, "198.51.100.1:4000"), row.domains); session != nil || !fault.Is(err, fault.Denied) {
				t.Errorf("%s: got %v, %v", name, session, err)
			}
		}
	})
}

func TestETRNHasADomainTriedNow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) {
			o.Turns = []Turn{{Domains: []string{"remote.test"}, Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}}
		})
		for range 20 {
			s.queue("alice@example.org", nil, "bob@remote.test")
		}
		time.Sleep(20 * time.Minute) // nobody is there
		sink := s.host("203.0.114.1", sinktest.Options{})
		synctest.Wait()
		if n := len(sink.Messages()); n != 0 {
			t.Fatalf("got %d before", n)
		}
		node := smtp.Node{Kind: smtp.NodeDomain, Name: "remote.test"}
		if _, err := s.d.Flush(t.Context(), caller("", "192.0.2.1:4000"), node); !fault.Is(err, fault.Denied) {
			t.Errorf("a stranger: got %v", err)
		}
		if _, err := s.d.Flush(t.Context(), caller("", "198.51.100.9:4000"), smtp.Node{Kind: smtp.NodeDomain, Name: "other.test"}); !fault.Is(err, fault.Denied) {
			t.Errorf("another domain: got %v", err)
		}
		if n, err := s.d.Flush(t.Context(), caller("", "198.51.100.9:4000"), node); err != nil || n != 20 {
			t.Errorf("got %v, %v, want 20 messages", n, err)
		}
		synctest.Wait()
		if n := len(sink.Messages()); n != 20 {
			t.Errorf("got %d of 20", n)
		}
		if n, err := s.d.Flush(t.Context(), caller("", "198.51.100.9:4000"), node); err != nil || n != 0 {
			t.Errorf("with nothing left: got %v, %v", n, err)
		}
	})
}

func TestFewRunsAreUnderWayAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := branch(t)
		s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		from, node := caller("", "198.51.100.9:4000"), smtp.Node{Name: "remote.test"}
		s.d.mu.Lock()
		for i := range maxFlushes {
			s.d.flushing[fmt.Sprint(i)] = true
		}
		s.d.mu.Unlock()
		if _, err := s.d.Flush(t.Context(), from, node); !fault.Is(err, fault.Transient) {
			t.Errorf("one more: got %v", err)
		}
		if s.d.hasCalled(node.Name, time.Now()) {
			t.Error("who was refused is taken for connected")
		}
		s.d.mu.Lock()
		delete(s.d.flushing, "0")
		s.d.mu.Unlock()
		if _, err := s.d.Flush(t.Context(), from, node); err != nil {
			t.Errorf("after the end of one: got %v", err)
		}
	})
}

func TestAnOperatorBouncesAMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		id := s.queue("alice@example.org", nil, "bob@remote.test", "carol@remote.test")
		synctest.Wait()
		n, err := s.d.Bounce(t.Context(), id, []int{1}, "spam")
		if err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if rows := s.rows(id); len(rows) != 1 || rows[0].Index != 0 {
			t.Errorf("got %+v", rows)
		}
		if told := s.told(); len(told) != 1 || told[0].what != "failed" {
			t.Errorf("got %v", told)
		}
	})
}

func TestHopsAreShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		s.queue("alice@example.org", nil, "bob@remote.test")
		time.Sleep(time.Second)
		synctest.Wait()
		s.host("203.0.114.3", sinktest.Options{On: func(sinktest.Command) sinktest.Answer { return sinktest.Answer{Silent: true} }})
		s.queue("alice@example.org", nil, "bob@other.test")
		synctest.Wait()
		hops := s.d.Hops()
		if len(hops) != 1 || hops[0].Hop != "other.test" || hops[0].Connections != 1 {
			t.Errorf("got %+v", hops)
		}
	})
}

// What a turned connection has sent when the server stops is settled all the same:
// else it would come twice.
func TestTheDelivererStopsAfterItsTurnedConnections(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := branch(t)
		s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		ended := make(chan *sinktest.Sink)
		go func() {
			ended <- s.turn(sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
				if c.Verb == "END" {
					return sinktest.Answer{Delay: time.Minute}
				}
				return sinktest.Answer{}
			}})
		}()
		synctest.Wait()
		s.stop()
		if n := len((<-ended).Messages()); n != 1 {
			t.Fatalf("got %d messages, want 1", n)
		}
		if u, _ := s.store.QueueUsage(t.Context()); u.Rows != 0 {
			t.Errorf("%d rows are left, and would be sent again", u.Rows)
		}
		if session, err := s.d.Turn(t.Context(), caller("branch@example.org", "198.51.100.1:4000"), nil); session != nil || !fault.Is(err, fault.Transient) {
			t.Errorf("afterwards: got %v, %v", session, err)
		}
	})
}

// turn gives a caller what waits, on a connection to a sink.
func (s *site) turn(o sinktest.Options, domains ...string) *sinktest.Sink {
	s.t.Helper()
	session, err := s.d.Turn(s.t.Context(), caller("branch@example.org", "198.51.100.1:4000"), domains)
	if err != nil {
		s.t.Fatal(err)
	}
	sink := sinktest.New(o)
	if session != nil {
		ours, theirs := net.Pipe()
		go sink.Serve(theirs)
		_ = netclient.Converse(s.t.Context(), ours, session, netclient.Options{})
	}
	return sink
}

func TestWhatATurnedConnectionGivesBackIsTriedAsBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) {
			o.Turns = []Turn{{Domains: []string{"remote.test"}, Account: "branch@example.org"}}
			o.Terms.MessagesPerConnection = 1
		})
		for range 3 {
			s.queue("alice@example.org", nil, "bob@remote.test") // nobody is there
		}
		synctest.Wait()
		caught := s.turn(sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
			if c.Verb == "MAIL" || c.Verb == "RCPT" {
				return sinktest.Answer{Delay: 4 * time.Minute} // their time comes meanwhile
			}
			return sinktest.Answer{}
		}})
		if n := len(caught.Messages()); n != 1 {
			t.Fatalf("got %d, want one by the turned connection", n)
		}
		sink := s.host("203.0.114.1", sinktest.Options{})
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(sink.Messages()); n != 2 {
			t.Errorf("got %d of the 2 that were given back", n)
		}
	})
}
