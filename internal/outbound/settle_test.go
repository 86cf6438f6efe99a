package outbound

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/sinktest"
	"postrider/internal/store"
)

// troubled is a store that fails as it is told.
type troubled struct {
	Store
	settle  atomic.Bool // Settle fails
	damaged atomic.Bool // reading a message's octets fails
}

var errDisk = fault.New(fault.Internal, "settle", errors.New("the disk is away"))

func (s *troubled) Settle(ctx context.Context, all []store.Settlement) (int, error) {
	if s.settle.Load() {
		return 0, errDisk
	}
	return s.Store.Settle(ctx, all)
}

func (s *troubled) OpenQueued(ctx context.Context, id mail.ID) (store.Reader, error) {
	r, err := s.Store.OpenQueued(ctx, id)
	if err != nil || !s.damaged.Load() {
		return r, err
	}
	return damagedReader{r}, nil
}

// damagedReader is a message whose octets fail their checksum.
type damagedReader struct{ store.Reader }

var errDamaged = fault.New(fault.Corrupt, "read message", errors.New("checksum"))

func (damagedReader) ReadAt([]byte, int64) (int, error) { return 0, errDamaged }
func (damagedReader) Read([]byte) (int, error)          { return 0, errDamaged }
func (damagedReader) WriteTo(io.Writer) (int64, error)  { return 0, errDamaged }

// withTrouble starts a site on a store that may fail.
func withTrouble(t *testing.T, edit func(s *site, o *Options)) (*site, *troubled) {
	var bad *troubled
	s := begin(t, func(s *site, o *Options) {
		bad = &troubled{Store: o.Store}
		o.Store = bad
		if edit != nil {
			edit(s, o)
		}
	})
	return s, bad
}

func TestNoMoreIsSentWhileNothingCanBeSettled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, bad := withTrouble(t, nil)
		sink := s.host("203.0.114.1", sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
			if c.Verb == "END" {
				return sinktest.Answer{Delay: time.Second}
			}
			return sinktest.Answer{}
		}})
		bad.settle.Store(true)
		for range 500 {
			s.queue("alice@example.org", nil, "bob@remote.test")
		}
		time.Sleep(time.Minute)
		sent := len(sink.Messages())
		if sent == 0 || sent > 2*s.d.o.Terms.Connections { // those under way when it first fails
			t.Errorf("got %d messages sent that can't be settled", sent)
		}
		time.Sleep(time.Hour)
		if n := len(sink.Messages()); n != sent {
			t.Errorf("got %d an hour later, want still %d", n, sent)
		}
		bad.settle.Store(false)
		time.Sleep(10 * time.Minute)
		if n := len(sink.Messages()); n != 500 {
			t.Errorf("got %d of 500 once the store settles again", n)
		}
	})
}

// TestNoMoreIsBegunOnceTheStoreIsReadOnly has a store fail while messages are under
// way, before the first of them is to be settled.
func TestNoMoreIsBegunOnceTheStoreIsReadOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		var begun atomic.Int32
		sink := s.host("203.0.114.1", sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
			switch c.Verb {
			case "MAIL":
				begun.Add(1)
			case "END":
				return sinktest.Answer{Delay: time.Minute}
			}
			return sinktest.Answer{}
		}})
		for range 100 {
			s.queue("alice@example.org", nil, "bob@remote.test")
		}
		time.Sleep(30 * time.Second)
		under := begun.Load()
		s.store.SetHealth(fault.Newf(fault.ReadOnly, "write", "the disk is full"))
		time.Sleep(time.Hour)
		if n := begun.Load(); under == 0 || n != under {
			t.Errorf("got %d messages begun, %d of them before the store was read-only", n, under)
		}
		s.store.SetHealth(nil)
		time.Sleep(time.Hour)
		if n := len(sink.Messages()); n != 100 {
			t.Errorf("got %d of 100 once it is not", n)
		}
	})
}

func TestSendingGoesOnAfterASettlementThatCameTooLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fails := 1
		s := begin(t, func(s *site, o *Options) {
			o.Originate = func(context.Context, Notification) error {
				if fails--; fails >= 0 {
					return errDisk
				}
				return fault.New(fault.Denied, "settle", nil)
			}
		})
		s.host("203.0.114.1", sinktest.Options{On: on("RCPT", "550 5.1.1 No such user")})
		s.queue("alice@example.org", nil, "bob@remote.test")
		time.Sleep(5 * time.Second)
		other := s.host("203.0.114.3", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@other.test")
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := len(other.Messages()); n != 1 {
			t.Errorf("got %d: sending has stopped for good", n)
		}
	})
}

func TestABounceWhoseCallerHasGoneStopsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, bad := withTrouble(t, nil)
		id := s.queue("alice@example.org", func(o *Onward) {
			o.Due = o.Due.Add(time.Hour)
			o.Envelope.Recipients[0].Notify = mail.NotifyNever
		}, "bob@remote.test")
		synctest.Wait()
		bad.settle.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := s.d.Bounce(ctx, id, nil, ""); err == nil {
			t.Error("got no error")
		}
		bad.settle.Store(false)
		other := s.host("203.0.114.3", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@other.test")
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := len(other.Messages()); n != 1 {
			t.Errorf("got %d: sending has stopped for good", n)
		}
		sink := s.host("203.0.114.1", sinktest.Options{})
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(sink.Messages()); n != 1 {
			t.Errorf("got %d: the row that was not bounced has been forgotten", n)
		}
	})
}

func TestANoticeOfADamagedMessageHoldsUpNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, bad := withTrouble(t, nil)
		bad.damaged.Store(true)
		s.queue("alice@example.org", nil, "bob@nowhere.test")
		time.Sleep(time.Minute)
		synctest.Wait()
		n := s.told()
		if len(n) != 1 || n[0].what != "failed" || !strings.Contains(n[0].text, "nowhere.test") {
			t.Errorf("got %v, want a notice without the original; the log: %s", n, s.logged())
		}
		bad.damaged.Store(false)
		other := s.host("203.0.114.3", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@other.test")
		synctest.Wait()
		if n := len(other.Messages()); n != 1 {
			t.Errorf("got %d: sending has stopped", n)
		}
	})
}

func TestRowsWhoseNoticeCanNotBeMadeAreHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(s *site, o *Options) {
			o.Originate = func(context.Context, Notification) error { return fault.New(fault.Invalid, "originate", nil) }
		})
		id := s.queue("alice@example.org", nil, "bob@nowhere.test")
		time.Sleep(time.Minute)
		synctest.Wait()
		if rows := s.rows(id); len(rows) != 1 || rows[0].State != store.RowHeld || rows[0].Leased {
			t.Errorf("got %+v, want the row held", rows)
		}
		other := s.host("203.0.114.3", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@other.test")
		synctest.Wait()
		if n := len(other.Messages()); n != 1 {
			t.Errorf("got %d: sending has stopped", n)
		}
	})
}
