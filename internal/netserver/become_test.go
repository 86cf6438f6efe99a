package netserver

import (
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/session"
	"postrider/internal/wire"
)

// other is a session that says nothing at first, as clients do.
type other struct {
	rec   *record
	fails string // where it panics
}

func (o *other) Start(*session.Conn) session.Step {
	o.rec.hear(o, "start")
	if o.fails == "start" {
		panic("start")
	}
	return session.Step{Wait: time.Minute}
}

func (o *other) Line(wire.Line) session.Step { return say("asked") }

func (o *other) Data(int64, error) session.Step { return session.Step{Next: session.Close} }

func (o *other) Event(e session.Event) session.Step {
	o.rec.hear(o, eventNames[e])
	return session.Step{Next: session.Close}
}

// TestEachSessionOfAConnectionIsClosedOnce holds for one that goes on with the
// connection of another, too.
func TestEachSessionOfAConnectionIsClosedOnce(t *testing.T) {
	for _, tt := range []struct {
		name, send string
		then       func(c *client)
		want       []string
	}{
		{"the peer goes", "become quiet\r\n", func(c *client) { c.nc.Close() }, []string{"start", "closed", "other start", "other closed"}},
		{
			"the peer is silent", "become quiet\r\n", func(*client) { time.Sleep(2 * time.Minute) },
			[]string{"start", "closed", "other start", "other timeout", "other closed"},
		},
		{"it panics at once", "become start\r\n", func(*client) {}, []string{"start", "closed", "other start", "other closed"}},
		{"the last word before panics", "become body\r\n", func(*client) {}, []string{"start", "closed", "other closed"}},
		{"it is of the same kind", "become\r\nquit\r\n", func(*client) {}, []string{"start", "closed", "start", "closed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{}, Listener{})
				defer w.stop()
				c := w.dial()
				c.send(tt.send)
				synctest.Wait()
				tt.then(c)
				synctest.Wait()
				w.rec.mu.Lock()
				defer w.rec.mu.Unlock()
				if got := w.rec.events; !slices.Equal(got, tt.want) {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// TestSessionThatCantGoOnHearsOfTheEnd has the peer go while the last word of the
// session before is sent: at once, and behind what waits for the rest of the input.
func TestSessionThatCantGoOnHearsOfTheEnd(t *testing.T) {
	for name, send := range map[string]string{"at once": "become quiet\r\n", "kept": "become quiet\r\nmore\r\n"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{}, Listener{})
				defer w.stop()
				c := w.dialMute("192.0.2.9:1000")
				if _, err := io.ReadFull(c.nc, make([]byte, len("hi\r\n"))); err != nil {
					t.Fatal(err)
				}
				c.send(send)
				synctest.Wait()
				c.nc.Close()
				synctest.Wait()
				w.rec.mu.Lock()
				defer w.rec.mu.Unlock()
				if got, want := w.rec.events, []string{"start", "closed", "other closed"}; !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		})
	}
}

func TestStoppingServerTellsTheSessionThatWentOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, Listener{})
		c := w.dial()
		c.send("become quiet\r\n")
		c.expect("hi\r\nok\r\n")
		w.stop()
		if w.rec.count("other shutdown") != 1 || w.rec.count("shutdown") != 0 || w.rec.count("other closed") != 1 {
			t.Errorf("got %q", w.rec.events)
		}
	})
}
