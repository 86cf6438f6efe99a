package netserver

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/session"
)

func TestConnectionThatWaitedLongestIsShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{MaxConns: 3}, Listener{})
		defer w.stop()
		var all []*client
		for range 3 {
			c := w.dial()
			c.expect("hi\r\n")
			all = append(all, c)
			time.Sleep(time.Second)
		}
		all[0].send("echo a\r\n") // now the second has waited longest
		all[0].expect("a\r\n")
		time.Sleep(shedAge)
		w.dial().expect("hi\r\n")
		all[1].expectEnd("event shed\r\n")
		w.dial().expect("hi\r\n")
		all[2].expectEnd("event shed\r\n")
		all[0].send("echo b\r\n")
		all[0].expect("b\r\n")
		if n := strings.Count(w.log.String(), whyShed); n != 2 {
			t.Errorf("log says shed %d times, want 2: %s", n, w.log)
		}
	})
}

func TestNewcomerIsRefusedWhenNobodyHasWaitedLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{MaxConns: 1}, Listener{})
		defer w.stop()
		c := w.dial()
		c.expect("hi\r\n")
		time.Sleep(shedAge - 1)
		w.dial().expectEnd("event shed\r\n")
		time.Sleep(time.Nanosecond)
		w.dial().expect("hi\r\n")
		c.expectEnd("event shed\r\n")
	})
}

func TestConnectionAtWorkIsNotShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{MaxConns: 1}, Listener{})
		defer w.stop()
		busy := w.dial()
		busy.send("block\r\n")
		time.Sleep(2 * shedAge)
		w.dial().expectEnd("event shed\r\n")
		close(w.rec.block)
		busy.expect("hi\r\nunblocked\r\n")
	})
}

func TestContentThatComesAtAPaceIsNotShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{MaxConns: 1}, Listener{})
		defer w.stop()
		content := w.dial()
		content.send("data\r\n")
		for range 3 {
			time.Sleep(shedAge - 1)
			content.send(strings.Repeat("x", contentPace-2) + "\r\n")
			synctest.Wait()
			w.dial().expectEnd("event shed\r\n")
		}
		content.send(".\r\n")
		content.expect(fmt.Sprintf("hi\r\ngo on\r\ngot %d <nil>\r\n", 3*contentPace))
	})
}

func TestContentThatDripsIsShed(t *testing.T) {
	for _, command := range []string{"data", "octets 1000000"} {
		t.Run(command, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{MaxConns: 1}, Listener{})
				defer w.stop()
				drip := w.dial()
				drip.send(command + "\r\n")
				for range 6 {
					time.Sleep(shedAge / 5)
					drip.send("x")
				}
				synctest.Wait()
				w.dial().expect("hi\r\n")
				drip.expectEnd("hi\r\ngo on\r\nevent shed\r\n")
				if got := w.rec.contents(); len(got) != 0 {
					t.Errorf("the session got content %q, want none", got)
				}
				if !strings.Contains(w.log.String(), whyShed) {
					t.Errorf("log: %s", w.log)
				}
			})
		})
	}
}

func TestPeerThatDoesNotReadIsShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{MaxConns: 1}, Listener{})
		defer w.stop()
		deaf := w.dialMute("192.0.2.9:1000")
		time.Sleep(shedAge)
		w.dial().expect("hi\r\n")
		if n := w.rec.count("closed"); n != 1 {
			t.Errorf("Closed came %d times, want once", n)
		}
		if !strings.Contains(w.log.String(), whyShed) {
			t.Errorf("log: %s", w.log)
		}
		deaf.nc.Close()
	})
}

func TestFarewellToAPeerThatDoesNotReadIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{MaxConns: 1}, Listener{})
		defer w.stop()
		w.dial().expect("hi\r\n")
		deaf := w.dialMute("192.0.2.9:1000")
		time.Sleep(farewellWait + slack(farewellWait))
		synctest.Wait()
		if n := w.rec.count("closed"); n != 1 {
			t.Errorf("Closed came %d times, want once", n)
		}
		deaf.nc.Close()
	})
}

func TestListenerHasItsOwnLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, Listener{MaxConns: 1})
		defer w.stop()
		other := newPipes()
		done := make(chan error)
		go func() {
			done <- w.srv.Serve(other, Listener{
				Listener: session.Listener{Name: "other"}, MaxConns: 1,
				New: func() session.Session { return &fake{rec: w.rec} },
			})
		}()
		first := w.dial()
		first.expect("hi\r\n")
		time.Sleep(time.Second)
		second := (&world{t: t, pipes: other}).dial()
		second.expect("hi\r\n")
		time.Sleep(shedAge)
		(&world{t: t, pipes: other}).dial().expect("hi\r\n")
		second.expectEnd("event shed\r\n")
		first.expect("") // older, but no use to the other listener
		w.srv.stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: got %v, want nil", err)
		}
	})
}

func TestWaveOfNewcomersShedsTheOldestInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3 * maxVictims
		w := newWorld(t, Options{MaxConns: n, MaxConnsPerAddr: -1}, Listener{Wait: time.Hour})
		defer w.stop()
		var old []*client
		for range n {
			old = append(old, w.dial())
			time.Sleep(time.Second)
		}
		time.Sleep(shedAge)
		for i := range n {
			w.dial()
			old[i].expectEnd("hi\r\nevent shed\r\n")
		}
	})
}

func TestOneAddressHasALimit(t *testing.T) {
	for _, tt := range []struct {
		name, first, second string
		shared              bool
	}{
		{"same IPv4", "192.0.2.1:1", "192.0.2.1:2", true},
		{"another IPv4", "192.0.2.1:1", "192.0.2.2:1", false},
		{"mapped", "192.0.2.1:1", "[::ffff:192.0.2.1]:2", true},
		{"same /64", "[2001:db8::1]:1", "[2001:db8::ffff:2]:1", true},
		{"another /64", "[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{MaxConnsPerAddr: 7}, Listener{MaxConnsPerAddr: 1})
				defer w.stop()
				first := w.dialFrom(tt.first)
				first.expect("hi\r\n")
				second := w.dialFrom(tt.second)
				if !tt.shared {
					second.expect("hi\r\n")
					return
				}
				second.expectEnd("event shed\r\n")
				first.send("quit\r\n")
				first.expectEnd("bye\r\n")
				w.dialFrom(tt.second).expect("hi\r\n")
			})
		})
	}
}

func TestNegativeLimitsAreNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{MaxConns: -1, MaxConnsPerAddr: -1}, Listener{})
		defer w.stop()
		for range DefaultMaxConnsPerAddr + 1 {
			w.dial().expect("hi\r\n")
		}
	})
}

func TestRefusedNewcomersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{MaxConnsPerAddr: 1}, Listener{})
		defer w.stop()
		w.dial().expect("hi\r\n")
		var deaf []*client
		for range maxLeaving {
			deaf = append(deaf, w.dialMute("192.0.2.9:1000"))
		}
		synctest.Wait()
		w.dial().expectEnd("") // without a word
		for _, c := range deaf {
			c.nc.Close()
		}
		synctest.Wait()
		w.dial().expectEnd("event shed\r\n")
	})
}

func TestAcceptFailuresAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, Listener{})
		defer w.stop()
		for range 20 {
			w.pipes.errs <- fmt.Errorf("accept: too many open files")
		}
		w.dial().expect("hi\r\n")
		if n := strings.Count(w.log.String(), `msg="accept failed" listener=test error="accept: too many open files"`); n < 2 || n > 15 {
			t.Errorf("logged %d times for 20 failures in some 14 s", n)
		}
	})
}

func TestServeEndsWhenItsListenerIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := New(Options{})
		ln := newPipes()
		ln.Close()
		if err := srv.Serve(ln, Listener{}); err == nil {
			t.Error("got nil, want an error")
		}
	})
}
