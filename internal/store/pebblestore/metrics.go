package pebblestore

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the store does.
type metrics struct {
	commits   prometheus.Counter
	ops       prometheus.Counter
	written   prometheus.Counter
	reclaimed prometheus.Counter
	flushes   prometheus.Counter
	sync      prometheus.Histogram
	queued    atomic.Int64 // messages in the queue
	rows      atomic.Int64 // of them
	all       []prometheus.Collector
	from      prometheus.Registerer
}

// newMetrics makes the metrics and registers them, unless r is nil.
func newMetrics(r prometheus.Registerer, h *health) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "postrider", Subsystem: "store", Name: name, Help: help})
	}
	m := &metrics{
		commits:   counter("commits_total", "Commits: writes to the log, each synced once."),
		ops:       counter("operations_total", "Operations that the commits were made of."),
		written:   counter("written_octets_total", "Octets written to the log and to large files; those of the index come on top."),
		reclaimed: counter("reclaimed_octets_total", "Octets of messages copied in order to free segments."),
		flushes:   counter("index_flushes_total", "Flushes of the index's tables in memory."),
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "postrider", Subsystem: "store", Name: "sync_seconds",
			Help:    "Time of the log's syncs.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 16),
		}),
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "postrider", Subsystem: "store", Name: name, Help: help}, f)
	}
	readOnly := gauge("read_only", "1 since a sync or write failed: no mail is taken.", func() float64 {
		if h.broken.Load() != nil {
			return 1
		}
		return 0
	})
	free := gauge("disk_free_octets", "Octets free on the store's disk.", func() float64 {
		n, _, _ := h.space.enough()
		return float64(n)
	})
	queued := gauge("queued_messages", "Messages that wait to be sent to other hosts.", func() float64 { return float64(m.queued.Load()) })
	rows := gauge("queued_recipients", "Recipients of the messages that wait to be sent to other hosts.", func() float64 { return float64(m.rows.Load()) })
	m.all = []prometheus.Collector{m.commits, m.ops, m.written, m.reclaimed, m.flushes, m.sync, readOnly, free, queued, rows}
	if r == nil {
		return m, nil
	}
	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			for _, c := range m.all[:i] {
				r.Unregister(c)
			}
			return nil, err
		}
	}
	m.from = r
	return m, nil
}

// syncing begins to time a sync; what it returns ends it.
func (m *metrics) syncing() func() {
	start := time.Now()
	return func() { m.sync.Observe(time.Since(start).Seconds()) }
}

// close takes the metrics out of the registry.
func (m *metrics) close() {
	if m.from == nil {
		return
	}
	for _, c := range m.all {
		m.from.Unregister(c)
	}
}
