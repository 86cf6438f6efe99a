package outbound

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"postrider/internal/netclient"
	"postrider/internal/sinktest"
	"postrider/internal/tlspolicy"
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
			t.Errorf("%d messages arrived, want one; dialled %v\n%s", n, s.dialled(), s.logged())
		}
	})
}

func TestAHandshakeThatFailsSaysWhyWithoutThePeersWords(t *testing.T) {
	for _, c := range []struct {
		name string
		err  netclient.HandshakeError
		want string
	}{
		{"TLSA", netclient.HandshakeError{Reason: netclient.ReasonOther, Err: fmt.Errorf("verify: %w", tlspolicy.ErrTLSA)}, "TLSA"},
		{"another name", netclient.HandshakeError{Reason: netclient.ReasonName, Err: errors.New("evil.example")}, string(netclient.ReasonName)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := plain(&netclient.Error{Stage: netclient.StageHandshake, Err: &c.err})
			if !strings.Contains(got, c.want) || strings.Contains(got, "evil") {
				t.Errorf("got %q, want %q in it", got, c.want)
			}
		})
	}
}

func TestRoutesOfOneNameKeepTheirOwnHosts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) {
			o.Routes = []Route{
				{Name: "smarthost", Domains: []string{"remote.test"}, Hosts: []HostPort{{Host: "192.0.2.8"}}},
				{Name: "smarthost", Domains: []string{"other.test"}, Hosts: []HostPort{{Host: "192.0.2.9"}}},
			}
		})
		first, second := s.host("192.0.2.8", sinktest.Options{}), s.host("192.0.2.9", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@remote.test")
		s.queue("alice@example.org", nil, "bob@other.test")
		synctest.Wait()
		if len(first.Messages()) != 1 || len(second.Messages()) != 1 {
			t.Errorf("got %d and %d, want one each", len(first.Messages()), len(second.Messages()))
		}
	})
}
