package outbound

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// metrics is what a Deliverer counts.
type metrics struct {
	rows    *prometheus.CounterVec // by outcome
	conns   *prometheus.CounterVec // by tls
	open    prometheus.Gauge
	notices *prometheus.CounterVec // by kind
	untold  prometheus.Counter
	seconds prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_outbound_attempts_total", Help: "Attempts to send to a recipient at another host, by outcome.",
		}, []string{"outcome"}),
		conns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_outbound_connections_total", Help: "Connections to other hosts, by what came of them: a version of TLS, plaintext, or failed.",
		}, []string{"result"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postrider_outbound_connections", Help: "Connections to other hosts that are open.",
		}),
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_outbound_notifications_total", Help: "Delivery status notifications made, by kind.",
		}, []string{"kind"}),
		untold: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_outbound_untold_total", Help: "Failures that nobody is told of: of notifications, and of other mail without a sender.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postrider_outbound_delay_seconds", Help: "Time from a message's acceptance to its delivery to another host.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 14), // 1 ms to 18 hours
		}),
	}
	if reg != nil {
		reg.MustRegister(m.rows, m.conns, m.open, m.notices, m.untold, m.seconds)
	}
	return m
}

// report counts and logs what came of a row. It comes before the settlement: if
// that is lost with the process, this line explains why the message came twice.
func (d *Deliverer) report(j *job, i int, o *outcome, s *store.Settlement) {
	d.m.rows.WithLabelValues(o.kind.String()).Inc()
	now := d.o.Now()
	level, text := slog.LevelInfo, "message sent"
	untold := isUntold(&j.msg, o)
	switch {
	case untold:
		d.m.untold.Inc()
		level, text = slog.LevelWarn, untoldText(&j.msg)
	case o.kind == delivered:
		d.m.seconds.Observe(age(&j.msg, now).Seconds())
	case o.kind == deferred:
		text = "message deferred"
	case o.kind == failed:
		text = "message could not be sent"
	case o.kind == held:
		level, text = slog.LevelError, "message held"
	}
	if !d.log.Enabled(context.Background(), level) {
		return
	}
	row := &j.msg.Rows[i]
	attrs := append(make([]slog.Attr, 0, 16),
		slog.String("message", j.msg.AcceptID.String()),
		slog.String("queued", j.msg.ID.String()),
		slog.Int("row", row.Index),
		slog.String("from", j.msg.Envelope.From.String()),
		slog.String("to", row.Recipient.Address.String()),
		slog.String("host", o.host),
		slog.String("tls", o.tls),
		slog.String("status", o.code()),
		slog.String("reply", clip(o.says())),
		slog.Duration("age", age(&j.msg, now)))
	if o.kind != delivered {
		attrs = append(attrs, slog.String("stage", string(o.stage)), slog.Int("attempts", s.Progress.Attempts))
	}
	if o.kind == deferred && !s.Remove {
		attrs = append(attrs, slog.Time("next", s.Due))
	}
	if o.uncertain || row.Uncertain {
		attrs = append(attrs, slog.Bool("may_come_twice", true))
	}
	if untold {
		attrs = append(attrs, d.untoldAttrs(&j.msg)...)
	}
	d.log.LogAttrs(context.Background(), level, text, attrs...)
}

// age returns how long ago a message was accepted, to the millisecond. The store has
// that to the second; the ID was made at MAIL, which tells more of it.
func age(m *store.QueuedMessage, now time.Time) time.Duration {
	begun := m.Accepted
	if made := m.ID.Time(); made.After(begun) {
		begun = made
	}
	return max(0, now.Sub(begun)).Truncate(time.Millisecond)
}

// maxLogged bounds what a peer can make a log line hold, in octets.
const maxLogged = 256

func clip(s string) string {
	if len(s) > maxLogged {
		return mail.Cut(s, maxLogged) + "…"
	}
	return s
}
