package outbound

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/sinktest"
	"postrider/internal/store"
)

func TestWhatHasWaitedLongIsSentOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) { o.Terms.Connections, o.Terms.RetryFirst = 1, time.Hour })
		var slow atomic.Bool
		slow.Store(true)
		sink := s.host("203.0.114.1", sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
			switch {
			case !slow.Load():
			case c.Verb == "MAIL", c.Verb == "RCPT":
				return sinktest.Answer{Delay: 4*time.Minute + 50*time.Second}
			case c.Verb == "END":
				return sinktest.Answer{Delay: 9 * time.Minute}
			}
			return sinktest.Answer{}
		}})
		for range 150 {
			s.queue("alice@example.org", nil, "bob@remote.test")
		}
		time.Sleep(leaseTime + time.Hour) // those at the end of the line have lost their leases
		for range 5 {
			s.queue("alice@example.org", nil, "bob@remote.test")
		}
		time.Sleep(time.Hour)
		slow.Store(false)
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		if got := len(recipients(sink)); got != 155 {
			t.Errorf("got %d deliveries of 155", got)
		}
	})
}

// broken is a signer that panics.
type broken struct{}

func (broken) Sign(context.Context, *store.QueuedMessage, Content, Content) ([]byte, error) {
	var none []byte
	return none[:len(none)+1], nil
}

func TestAMessageThatBreaksUsIsDeferredAndTheLogSaysWhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) { o.Signer = broken{} })
		s.host("203.0.114.1", sinktest.Options{})
		s.host("203.0.114.2", sinktest.Options{})
		id := s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		rows := s.rows(id)
		if len(rows) != 1 || rows[0].Attempts != 1 || rows[0].Leased || strings.Contains(rows[0].Reply, "panic") {
			t.Errorf("got %+v, want it to be tried later, in words for people", rows)
		}
		if log := s.logged(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "lease_test.go") {
			t.Errorf("the log does not say where: %s", log)
		}
		if len(s.dialled()) != 1 {
			t.Errorf("our fault was tried with %d hosts", len(s.dialled()))
		}
	})
}
