package receive

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// holding is a site in a bubble, with ReleaseHeld running; stop ends that.
func holding(t *testing.T) (s *site, stop func()) {
	s = submitted(t, "alice", SubmissionLimits{})
	s.now = time.Now
	return s, s.release()
}

// release runs ReleaseHeld until stop.
func (s *site) release() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.receiver.ReleaseHeld(ctx) }()
	synctest.Wait()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("ReleaseHeld: got %v, want nil", err)
		}
	}
}

// hold submits a message for bob that is to be held for some seconds.
func (s *site) hold(seconds string) {
	s.t.Helper()
	m := s.connect()
	defer m.Close()
	say(s.t, m, "MAIL FROM:<alice@example.test> HOLDFOR="+seconds, "RCPT TO:<bob@example.test>", "DATA")
	wantPrefix(s.t, "message", say(s.t, m, own+"\r\nHi\r\n.")[0], "250 2.0.0")
	synctest.Wait()
}

// bobHas fails the test unless bob has n messages.
func (s *site) bobHas(n int) {
	s.t.Helper()
	synctest.Wait()
	if got := len(s.inbox("bob")); got != n {
		s.t.Fatalf("after %v: got %d messages, want %d", time.Since(bubbleStart), got, n)
	}
}

var bubbleStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func TestHeldMailAppearsWhenItIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := holding(t)
		defer stop()
		s.hold("7200")
		s.hold("3600") // due before the one that is waited for
		s.bobHas(0)
		time.Sleep(time.Hour - time.Second)
		s.bobHas(0)
		time.Sleep(time.Second)
		s.bobHas(1)
		time.Sleep(time.Hour)
		s.bobHas(2)
		if got := s.metric("postrider_held_released_total"); got != 2 {
			t.Errorf("counted %v, want 2", got)
		}
		for _, want := range []string{"held_until=", "held message released"} {
			if !strings.Contains(s.log.String(), want) {
				t.Errorf("the log has no %s", want)
			}
		}
	})
}

func TestHeldMailIsNeverEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := holding(t)
		defer stop()
		time.Sleep(700 * time.Millisecond)
		s.hold("60")
		time.Sleep(time.Minute - time.Millisecond)
		s.bobHas(0)
		time.Sleep(time.Second)
		s.bobHas(1)
	})
}

func TestHeldMailOutlivesAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := holding(t)
		s.hold("3600")
		stop()
		time.Sleep(2 * time.Hour)
		s.bobHas(0)
		defer s.release()()
		s.bobHas(1)
	})
}

func TestAHeldMessageThatIsDueAtOnceIsNotHeld(t *testing.T) {
	s := newSite(t, nil)
	for _, hold := range []time.Time{testTime, testTime.Add(-time.Hour)} {
		c := s.beginSubmission("alice", "bob@example.test").(*submission)
		c.hold = hold
		if err := c.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.counts("bob"); got != "bob 2" {
		t.Errorf("got %s, want 2", got)
	}
}

func TestAReleaseThatFailsIsTriedAgainEverLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := holding(t)
		defer stop()
		down := fault.New(fault.Internal, "x", errors.New("disk on fire"))
		s.hold("60")
		s.model.FailNext(storetest.OpRelease, down)
		time.Sleep(time.Minute)
		s.bobHas(0)
		s.model.FailNext(storetest.OpRelease, down)
		time.Sleep(minHoldPause)
		s.bobHas(0)
		time.Sleep(2*minHoldPause - time.Millisecond)
		s.bobHas(0)
		time.Sleep(time.Millisecond)
		s.bobHas(1)
		if n := strings.Count(s.log.String(), "held mail is not released"); n != 1 {
			t.Errorf("logged %d times, want 1:\n%s", n, s.log.String())
		}
	})
}

// refusing is a store that can't release one message.
type refusing struct {
	*storetest.Model
	first *mail.ID
	tries *atomic.Int64
}

func (r refusing) Release(ctx context.Context, id mail.ID, now time.Time) (store.Accepted, error) {
	if r.first.IsZero() {
		*r.first = id
	}
	if id == *r.first {
		r.tries.Add(1)
		return store.Accepted{}, fault.New(fault.Corrupt, "release", nil)
	}
	return r.Model.Release(ctx, id, now)
}

func TestAMessageThatCannotBeReleasedHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bad mail.ID
		var tries atomic.Int64
		s := newSite(t, func(m *storetest.Model) Store { return refusing{m, &bad, &tries} })
		s.submitter, s.now = "alice", time.Now
		defer s.release()()
		s.hold("60")
		s.hold("61")
		s.hold("62")
		time.Sleep(62 * time.Second)
		s.bobHas(2)
		before := tries.Load()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := tries.Load() - before; n < 24*5 || n > 24*7 {
			t.Errorf("got %d tries in a day, want one in ten minutes", n)
		}
	})
}

func TestOneMessageIsLoggedEverLaterAndThenOnceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bad mail.ID
		s := newSite(t, func(m *storetest.Model) Store { return refusing{m, &bad, new(atomic.Int64)} })
		s.submitter, s.now = "alice", time.Now
		defer s.release()()
		s.hold("60")
		for _, row := range []struct {
			name  string
			after time.Duration
			most  int
		}{{"an hour", time.Hour, 3}, {"a day", 23 * time.Hour, 6}, {"ten days more", 240 * time.Hour, 11}} {
			s.log.Reset()
			time.Sleep(row.after)
			synctest.Wait()
			if n := strings.Count(s.log.String(), "held mail is not released"); n < 1 || n > row.most {
				t.Errorf("%s: logged %d times, want 1 to %d", row.name, n, row.most)
			}
		}
	})
}

// hopeless is a store that can't release the messages that bad names.
type hopeless struct {
	*storetest.Model
	bad *sync.Map // by mail.ID
}

func (h hopeless) Release(ctx context.Context, id mail.ID, now time.Time) (store.Accepted, error) {
	if _, bad := h.bad.Load(id); bad {
		return store.Accepted{}, fault.New(fault.Corrupt, "release", nil)
	}
	return h.Model.Release(ctx, id, now)
}

// holdBad holds n messages for bob, due in some seconds, that can't be released.
func (h hopeless) holdBad(s *site, n int, seconds time.Duration) {
	for range n {
		content, err := h.NewContent(s.ctx, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		id := mail.NewID(s.now())
		h.bad.Store(id, nil)
		_, err = h.Accept(s.ctx, store.Accept{
			ID: id, Content: content, Received: s.now(), Hold: s.now().Add(seconds * time.Second),
			Deliveries: []store.Delivery{{Account: s.accounts["bob"], Mailbox: mail.Inbox}},
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestHoweverManyCannotBeReleasedTheyHoldUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bad hopeless
		s := newSite(t, func(m *storetest.Model) Store {
			bad = hopeless{m, new(sync.Map)}
			return bad
		})
		s.submitter, s.now = "alice", time.Now
		bad.holdBad(s, 2*maxHoldRetries+1, 60)
		defer s.release()()
		s.hold("60") // has the last place of those due then
		s.hold("61")
		bad.holdBad(s, 1, 62)
		s.hold("62")
		s.hold("3600")
		time.Sleep(time.Minute)
		s.bobHas(1)
		time.Sleep(2 * time.Second)
		s.bobHas(3)
		s.log.Reset()
		time.Sleep(time.Hour - 62*time.Second)
		s.bobHas(4)
		if n, most := strings.Count(s.log.String(), "held mail is not released"), 3*(maxHoldRetries+1); n > most {
			t.Errorf("logged %d times in an hour, want at most %d", n, most)
		}
		if !strings.Contains(s.log.String(), "messages=1002") {
			t.Error("the log does not say how many there are beyond those it names")
		}
		bad.bad.Clear()
		time.Sleep(2 * maxHoldPause)
		s.bobHas(4 + 2*maxHoldRetries + 2)
	})
}

// smudged is a store that can't read one record of what it holds.
type smudged struct{ *storetest.Model }

func (s smudged) Held(ctx context.Context) iter.Seq2[store.Held, error] {
	return func(yield func(store.Held, error) bool) {
		if !yield(store.Held{ID: mail.NewID(bubbleStart)}, fault.New(fault.Corrupt, "read", nil)) {
			return
		}
		s.Model.Held(ctx)(yield)
	}
}

func TestARecordThatCannotBeReadHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(m *storetest.Model) Store { return smudged{m} })
		s.submitter, s.now = "alice", time.Now
		defer s.release()()
		s.hold("60")
		time.Sleep(time.Minute)
		s.bobHas(1)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := strings.Count(s.log.String(), "held mail is not released"); n < 1 || n > 4 {
			t.Errorf("logged %d times in an hour, want 1 to 4", n)
		}
	})
}

func TestAStoreThatIsNotWellIsLeftInPeace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := holding(t)
		defer stop()
		for range 10 {
			s.hold("60")
		}
		s.model.SetHealth(fault.New(fault.ReadOnly, "sync", nil))
		time.Sleep(time.Hour)
		s.bobHas(0)
		if n := strings.Count(s.log.String(), "held mail is not released"); n > 20 {
			t.Errorf("logged %d times in an hour", n)
		}
		s.model.SetHealth(nil)
		time.Sleep(maxHoldPause)
		s.bobHas(10)
	})
}

func TestManyThatAreDueTogetherAreAllReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := holding(t)
		for range 2*holdBatch + 1 {
			s.hold("60")
		}
		stop()
		time.Sleep(time.Hour)
		defer s.release()()
		s.bobHas(2*holdBatch + 1)
	})
}

func TestAHeldMessageThatIsDroppedIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := holding(t)
		defer stop()
		s.hold("60")
		for h, err := range s.model.Held(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if err := s.model.DropHeld(t.Context(), h.ID); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		s.bobHas(0)
		if strings.Contains(s.log.String(), "level=ERROR") {
			t.Errorf("got %s", s.log.String())
		}
	})
}

func TestHeldMailCountsInTheQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := holding(t)
		defer stop()
		s.hold("3600")
		full, err := s.model.Account(t.Context(), s.accounts["bob"])
		if err != nil || full.HeldOctets == 0 {
			t.Fatalf("bob has %d octets held, error %v", full.HeldOctets, err)
		}
		full.Quota = full.HeldOctets + 10
		if _, err := s.model.Change(t.Context(), store.PutAccount{Account: full}); err != nil {
			t.Fatal(err)
		}
		m := s.connect()
		defer m.Close()
		for _, hold := range []string{"", " HOLDFOR=60"} {
			got := say(t, m, "RSET", "MAIL FROM:<alice@example.test> SIZE=100"+hold, "RCPT TO:<bob@example.test>")
			wantPrefix(t, "RCPT with"+hold, got[2], "452 4.2.2 Over quota")
		}
		time.Sleep(time.Hour)
		s.bobHas(1) // what was accepted is released all the same
	})
}
