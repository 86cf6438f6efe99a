package netserver

import "github.com/prometheus/client_golang/prometheus"

// metrics are the server's families; a listener holds its own members of them.
type metrics struct {
	total, shed, panics, timeouts *prometheus.CounterVec
	refused, octets               *prometheus.CounterVec
	handshakes, discards          *prometheus.CounterVec
	open                          *prometheus.GaugeVec
}

// newMetrics makes the families and registers them, if there is a registerer.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		total:    counter("connections_total", "Connections accepted."),
		shed:     counter("connections_shed_total", "Connections closed to make room for others."),
		panics:   counter("session_panics_total", "Sessions that ended by a defect in the program."),
		timeouts: counter("connection_timeouts_total", "Connections whose peer was silent for too long."),
		refused:  counter("connections_refused_total", "Connections refused, by reason.", "reason"),
		octets:   counter("connection_octets_total", "Octets of ended connections, by direction.", "direction"),
		handshakes: counter("tls_handshakes_total",
			"TLS handshakes, by result (ok, resumed, or why it failed) and version.", "result", "version"),
		discards: counter("starttls_discards_total",
			"Upgrades to TLS at which plaintext behind the command was thrown away."),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "postrider", Name: "connections_open", Help: "Connections open now.",
		}, []string{"listener"}),
	}
	if r == nil {
		return m, nil
	}
	all := []prometheus.Collector{m.total, m.shed, m.panics, m.timeouts, m.refused, m.octets, m.handshakes, m.discards, m.open}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return m, err
		}
	}
	return m, nil
}

// counter makes a family of counters with a listener label and more.
func counter(name, help string, labels ...string) *prometheus.CounterVec {
	opts := prometheus.CounterOpts{Namespace: "postrider", Name: name, Help: help}
	return prometheus.NewCounterVec(opts, append([]string{"listener"}, labels...))
}

// listenerMetrics are the members of one listener.
type listenerMetrics struct {
	total, shed, panics, timeouts prometheus.Counter
	octetsIn, octetsOut, discards prometheus.Counter
	open                          prometheus.Gauge
	refused                       [len(refusals)]prometheus.Counter
}

// refusal is why a newcomer is not served.
type refusal uint8

const (
	admitted refusal = iota
	tooMany
	tooManyOfAddr
	badHeader
)

var refusals = [...]string{
	admitted: "", tooMany: "connections", tooManyOfAddr: "address", badHeader: "proxy_header",
}

// of returns the members of the listener called name.
func (m *metrics) of(name string) listenerMetrics {
	lm := listenerMetrics{
		total:     m.total.WithLabelValues(name),
		shed:      m.shed.WithLabelValues(name),
		panics:    m.panics.WithLabelValues(name),
		timeouts:  m.timeouts.WithLabelValues(name),
		discards:  m.discards.WithLabelValues(name),
		octetsIn:  m.octets.WithLabelValues(name, "in"),
		octetsOut: m.octets.WithLabelValues(name, "out"),
		open:      m.open.WithLabelValues(name),
	}
	for r := tooMany; int(r) < len(refusals); r++ {
		lm.refused[r] = m.refused.WithLabelValues(name, refusals[r])
	}
	return lm
}
