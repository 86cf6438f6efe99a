package certs

import "github.com/prometheus/client_golang/prometheus"

// metrics count renewals and say when certificates end.
type metrics struct {
	renewals *prometheus.CounterVec
	ends     *prometheus.Desc
	list     func() []Info
}

// newMetrics makes the metrics of the certificates that list returns.
func newMetrics(list func() []Info) *metrics {
	return &metrics{
		list: list,
		renewals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "postrider", Subsystem: "certificate", Name: "renewals_total",
			Help: "Certificates that were renewed (of files: read again), or could not be, by source and result.",
		}, []string{"source", "result"}),
		ends: prometheus.NewDesc("postrider_certificate_not_after_seconds",
			"When a certificate ends, in seconds since 1970, by its first name and its source.", []string{"name", "source"}, nil),
	}
}

// renewed counts a renewal.
func (m *metrics) renewed(s Source, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.renewals.WithLabelValues(string(s), result).Inc()
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	m.renewals.Describe(ch)
	ch <- m.ends
}

// Collect implements prometheus.Collector. Of several certificates of one name
// and source it gives the end that comes first.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.renewals.Collect(ch)
	type member struct {
		name   string
		source Source
	}
	ends := map[member]int64{}
	for _, i := range m.list() {
		if i.NotAfter.IsZero() {
			continue
		}
		at := member{source: i.Source}
		if len(i.Names) > 0 {
			at.name = i.Names[0]
		}
		if end, ok := ends[at]; !ok || i.NotAfter.Unix() < end {
			ends[at] = i.NotAfter.Unix()
		}
	}
	for at, end := range ends {
		ch <- prometheus.MustNewConstMetric(m.ends, prometheus.GaugeValue, float64(end), at.name, string(at.source))
	}
}
