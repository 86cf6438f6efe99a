package netserver

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/session"
)

func TestPanicEndsItsConnectionOnly(t *testing.T) {
	for _, tt := range []struct{ name, send string }{
		{"in a line", "panic geheim\r\n"},
		{"out of range", "index geheim\r\n"},
		{"in a sink", "evil\r\ngeheim\r\n"},
		{"with replies waiting", "echo a\r\npanic geheim\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{}, Listener{})
				defer w.stop()
				other, c := w.dial(), w.dial()
				c.send(tt.send)
				c.expectEnd("hi\r\n")
				if n := w.rec.count("closed"); n != 1 {
					t.Errorf("Closed came %d times, want once", n)
				}
				other.send("echo a\r\n")
				other.expect("hi\r\na\r\n")
				log := w.log.String()
				if !strings.Contains(log, "session panicked") || !strings.Contains(log, "fake_test.go") {
					t.Errorf("log lacks the panic or its stack: %s", log)
				}
				if strings.Contains(log, "geheim") {
					t.Errorf("log has what the peer sent: %s", log)
				}
			})
		})
	}
}

// touchy panics when it hears of anything.
type touchy struct{ fake }

func (*touchy) Event(session.Event) session.Step { panic("event") }

func TestPanicInClosedIsHarmless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := new(record)
		w := newWorld(t, Options{}, Listener{New: func() session.Session { return &touchy{fake{rec: rec}} }})
		defer w.stop()
		c := w.dial()
		c.send("quit\r\n")
		c.expectEnd("hi\r\nbye\r\n")
	})
}

func TestMetricsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		w := newWorld(t, Options{Registerer: reg, MaxConnsPerAddr: 1}, Listener{})
		defer w.stop()
		c := w.dialFrom("192.0.2.1:1")
		c.expect("hi\r\n")
		w.dialFrom("192.0.2.1:2").expectEnd("event shed\r\n")
		w.dialFrom("192.0.2.2:2").send("panic\r\n")
		synctest.Wait()
		want := map[string]float64{
			"postrider_connections_total":         3,
			"postrider_connections_open":          1,
			"postrider_connections_refused_total": 1,
			"postrider_session_panics_total":      1,
			"postrider_connection_octets_total":   7 + 12 + 4,
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			sum := 0.0
			for _, m := range f.Metric {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
			if sum != want[f.GetName()] {
				t.Errorf("%s: got %v, want %v", f.GetName(), sum, want[f.GetName()])
			}
			delete(want, f.GetName())
		}
		if len(want) > 0 {
			t.Errorf("not there: %v", want)
		}
	})
}
