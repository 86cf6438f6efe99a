package outbound

import (
	"testing"
	"testing/synctest"

	"postrider/internal/sinktest"
)

func TestLocalhostOfARouteIsThisMachineAndIsNotLookedUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) {
			o.Routes = []Route{{Name: "relay-to", Hosts: []HostPort{{Host: "localhost", Port: 1025}}}}
		})
		sink := s.host("127.0.0.1", sinktest.Options{})
		id := s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		if n := len(sink.Messages()); n != 1 || s.rows(id) != nil {
			t.Errorf("%d messages arrived, want one; dialled %v\n%s", n, s.dials, s.log.String())
		}
	})
}
