package outbound

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fault"
	"postrider/internal/sinktest"
	"postrider/internal/store"
)

// whats returns what notices tell, in their order.
func whats(all []told) string {
	var b []string
	for _, n := range all {
		b = append(b, n.what)
	}
	return strings.Join(b, " ")
}

func TestOfOneAliasOneFailureIsTold(t *testing.T) {
	for name, row := range map[string]struct {
		warrant store.Warrant
		want    string
	}{
		"an alias":   {store.AliasWarrant("all@example.org"), "failed"},
		"an account": {store.AccountWarrant(1, "alice@example.org"), "failed failed failed"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := begin(t, nil)
				s.host("203.0.114.1", sinktest.Options{On: on("RCPT", "550 5.1.1 No such user")})
				s.host("203.0.114.3", sinktest.Options{On: on("RCPT", "554 5.7.1 No")})
				id := s.queueUnder(row.warrant, "eve@sender.test", nil, "a@remote.test", "b@other.test", "c@nowhere.test")
				time.Sleep(time.Hour)
				synctest.Wait()
				if got := whats(s.told()); got != row.want || s.rows(id) != nil {
					t.Errorf("told %q, rows %v", got, s.rows(id))
				}
				if n := strings.Count(s.told()[0].text, "\r\nFinal-Recipient: "); n != 1 {
					t.Errorf("%d recipients in %s", n, s.told()[0].text)
				}
			})
		})
	}
}

func TestALaterFailureOfTheSameAliasIsOnlyLogged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		s.host("203.0.114.1", sinktest.Options{On: on("RCPT", "450 4.2.0 Later")})
		s.host("203.0.114.3", sinktest.Options{On: on("RCPT", "450 4.2.0 Later")})
		id := s.queueUnder(store.AliasWarrant("all@example.org"), "eve@sender.test", nil, "a@remote.test", "b@other.test", "c@nowhere.test")
		another := s.queueUnder(store.AliasWarrant("all@example.org"), "eve@sender.test", nil, "c@nowhere.test")
		time.Sleep(10 * 24 * time.Hour)
		synctest.Wait()
		if got := whats(s.told()); got != "failed failed delayed" || s.rows(id) != nil || s.rows(another) != nil {
			t.Errorf("told %q, rows %v, %v", got, s.rows(id), s.rows(another))
		}
		if log := s.logged(); !strings.Contains(log, "level=WARN msg=\"a sender is not told again") || !strings.Contains(log, "alias=all@example.org") {
			t.Errorf("the log does not say that it was not told: %s", log)
		}
	})
}

func TestAFailureThatCouldNotBeToldStandsForNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var broken atomic.Bool
		broken.Store(true)
		s := begin(t, func(s *site, o *Options) {
			o.Originate = func(ctx context.Context, n Notification) error {
				if broken.Load() {
					return fault.New(fault.Invalid, "originate", nil)
				}
				return s.originate(ctx, n)
			}
		})
		s.host("203.0.114.1", sinktest.Options{On: on("RCPT", "450 4.2.0 Later")})
		id := s.queueUnder(store.AliasWarrant("all@example.org"), "eve@sender.test", nil, "a@remote.test", "c@nowhere.test", "d@nowhere2.test")
		time.Sleep(time.Minute)
		synctest.Wait()
		broken.Store(false)
		if rows := s.rows(id); len(rows) != 3 || rows[1].State != store.RowHeld || rows[2].State != store.RowHeld {
			t.Fatalf("got %+v, want those that failed held", rows)
		}
		if _, err := s.d.Bounce(t.Context(), id, nil, "no"); err != nil {
			t.Fatal(err)
		}
		if got := whats(s.told()); got != "failed" || s.rows(id) != nil {
			t.Errorf("told %q, rows %v", got, s.rows(id))
		}
	})
}

func TestTellingsAreBounded(t *testing.T) {
	var all tellings
	for i := range maxTellings + 1 {
		all.add(telling{message: [16]byte{byte(i), byte(i >> 8), byte(i >> 16)}})
	}
	if len(all.all) != 1 {
		t.Errorf("%d are remembered", len(all.all))
	}
}
