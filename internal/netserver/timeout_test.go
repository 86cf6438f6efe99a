package netserver

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSilentPeerHearsTimeoutAfterWait(t *testing.T) {
	for _, tt := range []struct {
		name, send string
		wait       time.Duration
		heard      string
	}{
		{"default", "", DefaultWait, "hi\r\n"},
		{"in a line", "ech", DefaultWait, "hi\r\n"},
		{"skipping a flawed line", "a\nb", DefaultWait, "hi\r\nflawed 2\r\n"},
		{"of the step", "wait 90s\r\n", 90 * time.Second, "hi\r\nok\r\n"},
		{"longer", "wait 1h\r\n", time.Hour, "hi\r\nok\r\n"},
		{"in content", "data\r\nabc", DefaultWait, "hi\r\ngo on\r\n"},
		{"in octets", "octets 9\r\nabc", DefaultWait, "hi\r\ngo on\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{}, Listener{})
				defer w.stop()
				c := w.dial()
				c.send(tt.send)
				c.expect(tt.heard)
				time.Sleep(tt.wait - time.Second)
				c.expect("")
				time.Sleep(time.Second + slack(tt.wait))
				c.expectEnd("event timeout\r\n")
			})
		})
	}
}

func TestPeerThatTalksIsNotTimedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, Listener{Wait: time.Minute})
		defer w.stop()
		c := w.dial()
		c.expect("hi\r\n")
		for range 100 {
			time.Sleep(59 * time.Second)
			c.send("echo a\r\n")
			c.expect("a\r\n")
		}
		c.send("data\r\n")
		for range 50 {
			time.Sleep(59 * time.Second)
			c.send("x")
		}
		c.send("\r\n.\r\n")
		c.expect("go on\r\ngot 52 <nil>\r\n")
	})
}

func TestLineThatDripsIsTimedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, Listener{Wait: time.Minute})
		defer w.stop()
		c := w.dial()
		c.expect("hi\r\n")
		for range 4 {
			c.send("x")
			time.Sleep(20 * time.Second)
		}
		c.expectEnd("event timeout\r\n")
	})
}

func TestContentThatDripsIsTimedOutInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{ContentTime: 10 * time.Minute}, Listener{Wait: time.Minute})
		defer w.stop()
		c := w.dial()
		c.send("data\r\n")
		for range 22 {
			time.Sleep(30 * time.Second)
			c.send("x")
		}
		c.expectEnd("hi\r\ngo on\r\nevent timeout\r\n")
		if !strings.Contains(w.log.String(), `why="content took too long"`) {
			t.Errorf("log: %s", w.log)
		}
	})
}

func TestPeerThatDoesNotReadIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{WriteWait: time.Minute}, Listener{})
		defer w.stop()
		c := w.dialMute("192.0.2.9:1000")
		time.Sleep(time.Minute + slack(time.Minute))
		synctest.Wait()
		if n := w.rec.count("closed"); n != 1 {
			t.Errorf("Closed came %d times, want once", n)
		}
		if !strings.Contains(w.log.String(), `why="peer does not read"`) {
			t.Errorf("log: %s", w.log)
		}
		c.nc.Close()
	})
}

func TestBodyThatIsNotReadIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{WriteWait: time.Minute}, Listener{})
		defer w.stop()
		c := w.dialMute("192.0.2.9:1000")
		greeting := make([]byte, 4)
		c.nc.Read(greeting)
		c.send("body 10000000\r\n")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := w.rec.count("closed"); n != 1 {
			t.Errorf("Closed came %d times, want once", n)
		}
	})
}
