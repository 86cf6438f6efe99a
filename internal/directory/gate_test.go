package directory

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"postrider/internal/fault"
)

var (
	attacker = netip.MustParseAddr("192.0.2.66")
	owner    = netip.MustParseAddr("198.51.100.7")
)

// waiters sends n to the gate from an address, and returns how many of them have
// got a place, and how many were refused, so far. Each holds its place until it
// gets something from release.
func waiters(t *testing.T, g *gate, from netip.Addr, n int, release <-chan struct{}) (in, busy *atomic.Int64) {
	in, busy = new(atomic.Int64), new(atomic.Int64)
	for range n {
		go func() {
			err := g.enter(t.Context(), from)
			switch {
			case err == nil:
				in.Add(1)
				<-release
				g.leave(from)
			case fault.Is(err, fault.Busy):
				busy.Add(1)
			default:
				t.Errorf("enter: %v", err)
			}
		}()
	}
	synctest.Wait()
	return in, busy
}

func TestTenThousandAttemptsFromOneAddressHoldUpNobodyElse(t *testing.T) {
	for _, places := range []int{1, 2, 5} {
		t.Run(fmt.Sprint(places), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, release, ownerDone := newGate(places), make(chan struct{}), make(chan struct{})
				in, busy := waiters(t, g, attacker, 10_000, release)
				if in.Load() != int64(places) || busy.Load() != int64(10_000-places-MaxWaitingPerAddress) {
					t.Fatalf("%d have a place and %d are refused", in.Load(), busy.Load())
				}
				own, _ := waiters(t, g, owner, 1, ownerDone)
				if own.Load() != 0 {
					t.Fatal("there is one place too many")
				}
				release <- struct{}{} // one of those that ran when the owner came
				synctest.Wait()
				if own.Load() != 1 || in.Load() != int64(places) {
					t.Errorf("after one hash %d of the owner's and %d of the others have got a place, want 1 and %d", own.Load(), in.Load(), places)
				}
				close(ownerDone)
				close(release)
				synctest.Wait()
				if g.free != places || g.waiting != 0 || len(g.lines) != 0 {
					t.Errorf("at the end %d places are free, %d wait in %d lines", g.free, g.waiting, len(g.lines))
				}
				if in.Load() != int64(places+MaxWaitingPerAddress) {
					t.Errorf("%d got a place in the end", in.Load())
				}
			})
		})
	}
}

func TestSiteOfIPv6HoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, release := newGate(1), make(chan struct{})
		waiters(t, g, netip.Addr{}, 1, release)
		for i := range 1000 { // one guess from each of its networks
			from := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0, byte(i >> 8), byte(i), 15: 1})
			waiters(t, g, from, 1, release)
		}
		own, _ := waiters(t, g, owner, 1, release)
		for range 2 {
			release <- struct{}{}
			synctest.Wait()
		}
		if own.Load() != 1 {
			t.Errorf("after two hashes the owner has no place, and %d wait in %d lines", g.waiting, len(g.lines))
		}
		close(release)
		synctest.Wait()
	})
}

func TestLinesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, release := newGate(1), make(chan struct{})
		one, _ := waiters(t, g, netip.MustParseAddr("192.0.2.1"), 50, release)
		two, _ := waiters(t, g, netip.MustParseAddr("192.0.2.2"), 50, release)
		three, _ := waiters(t, g, netip.MustParseAddr("192.0.2.3"), 5, release)
		for range 12 {
			release <- struct{}{}
			synctest.Wait()
		}
		if one.Load() != 5 || two.Load() != 4 || three.Load() != 4 {
			t.Errorf("of 13 places the addresses got %d, %d and %d", one.Load(), two.Load(), three.Load())
		}
		close(release)
		synctest.Wait()
	})
}

func TestFullGateSendsAwayFromTheLongestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, release := newGate(1), make(chan struct{})
		waiters(t, g, netip.Addr{}, 1, release)
		refused := func() (n int64) { return }
		for i := range MaxWaiting / MaxWaitingPerAddress {
			_, busy := waiters(t, g, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), MaxWaitingPerAddress, release)
			before := refused
			refused = func() int64 { return before() + busy.Load() }
		}
		if g.waiting != MaxWaiting || refused() != 0 {
			t.Fatalf("%d wait and %d were refused", g.waiting, refused())
		}
		own, ownBusy := waiters(t, g, owner, 1, release)
		if refused() != 1 || ownBusy.Load() != 0 || g.waiting != MaxWaiting {
			t.Errorf("%d of the others were refused, %d of the owner, %d wait", refused(), ownBusy.Load(), g.waiting)
		}
		for range MaxWaiting/MaxWaitingPerAddress + 1 {
			release <- struct{}{}
			synctest.Wait()
		}
		if own.Load() != 1 {
			t.Error("the owner has no place after one hash of each other address")
		}
		close(release)
		synctest.Wait()
	})
}

func TestWaiterThatLeavesTakesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, Options{HashAtOnce: 1})
		release := make(chan struct{})
		waiters(t, h.hashing, attacker, 1, release)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			left <- h.hash(ctx, owner, func() { t.Error("a hash ran for one who left") })
		}()
		synctest.Wait()
		cancel()
		h.fails("a waiter that left", <-left, fault.Transient)
		if h.hashing.waiting != 0 || len(h.hashing.lines) != 0 {
			t.Errorf("%d wait in %d lines", h.hashing.waiting, len(h.hashing.lines))
		}
		close(release)
		synctest.Wait()
		if h.hashing.free != 1 {
			t.Errorf("%d places are free, want 1", h.hashing.free)
		}
	})
}

func TestPlaceThatComesTooLateIsGivenOn(t *testing.T) {
	g := newGate(1)
	if err := g.enter(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	late, _ := g.queue(origin(attacker))
	next, _ := g.queue(origin(owner))
	g.leave(owner)
	g.abandon(origin(attacker), late) // its context ended in the same moment
	if err := <-next; err != nil {
		t.Errorf("the next got %v", err)
	}
	g.leave(owner)
	if g.free != 1 || g.waiting != 0 {
		t.Errorf("%d places are free and %d wait", g.free, g.waiting)
	}
}

func TestAddressesOfOneNetworkShareALine(t *testing.T) {
	for _, row := range []struct {
		name, a, b string
		same       bool
	}{
		{"the same IPv4", "192.0.2.1", "192.0.2.1", true},
		{"two of IPv4", "192.0.2.1", "192.0.2.2", false},
		{"IPv4 within IPv6", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"one /64", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		{"two /64 of one site", "2001:db8:0:1::1", "2001:db8:0:2::1", true},
		{"two sites", "2001:db8:1:1::1", "2001:db8:2:1::1", false},
		{"with a zone", "fe80::1%eth0", "fe80::2", true},
	} {
		if got := origin(netip.MustParseAddr(row.a)) == origin(netip.MustParseAddr(row.b)); got != row.same {
			t.Errorf("%s: share a line: %v, want %v", row.name, got, row.same)
		}
	}
	if origin(netip.Addr{}) != (netip.Prefix{}) {
		t.Error("no address has an origin")
	}
}

func TestOwnerLogsInWhileOthersGuess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, Options{HashAtOnce: 1, SCRAMIterations: -1})
		h.accounts("alice@a.test")
		release, denied, busy := make(chan struct{}), new(atomic.Int64), new(atomic.Int64)
		waiters(t, h.hashing, attacker, 1, release)
		login := func(from netip.Addr, password string) error {
			_, err := h.Authenticate(t.Context(), Login{Name: "alice@a.test", Password: password, From: from})
			return err
		}
		for range 1000 {
			go func() {
				switch err := login(attacker, "wrong"); {
				case fault.Is(err, fault.Denied):
					denied.Add(1)
				case fault.Is(err, fault.Busy):
					busy.Add(1)
				}
			}()
		}
		synctest.Wait()
		var turn int64 // which of the hashes is the owner's
		before := h.hashes.Load()
		go func() {
			if err := h.hash(t.Context(), owner, func() { turn = h.hashes.Load() - before }); err != nil {
				t.Errorf("the owner's hash: %v", err)
			}
			if err := login(owner, "secret"); err != nil {
				t.Errorf("the owner's login: %v", err)
			}
		}()
		synctest.Wait()
		close(release)
		synctest.Wait()
		if turn != 1 {
			t.Errorf("the owner's hash came as number %d after the one that ran, want 1", turn)
		}
		if denied.Load() != MaxWaitingPerAddress || busy.Load() != 1000-MaxWaitingPerAddress {
			t.Errorf("%d guesses were hashed and %d refused", denied.Load(), busy.Load())
		}
	})
}
