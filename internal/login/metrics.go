package login

import "github.com/prometheus/client_golang/prometheus"

// metrics are what is counted.
type metrics struct {
	logins   *prometheus.CounterVec
	lockouts *prometheus.CounterVec
}

func newMetrics(s *Service) *metrics {
	m := &metrics{
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_logins_total", Help: "Logins by protocol, mechanism and result.",
		}, []string{"protocol", "mechanism", "result"}),
		lockouts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_login_lockouts_total", Help: "Lock-outs that have begun: of an address, or of a pair of address and account.",
		}, []string{"of"}),
	}
	if s.o.Registerer == nil {
		return m
	}
	s.o.Registerer.MustRegister(m.logins, m.lockouts, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "postrider_login_answers_delayed", Help: "Answers to failed logins that are held back now.",
	}, func() float64 { return float64(s.held.Load()) }))
	for what, size := range map[string]func() int{
		"addresses": s.guard.addresses.len, "pairs": s.guard.pairs.len,
		"accounts": s.guard.accounts.len, "known": s.guard.known.len, "visitors": s.visits.table.len,
	} {
		s.o.Registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "postrider_login_records", Help: "What is remembered of logins, by kind.",
			ConstLabels: prometheus.Labels{"kind": what},
		}, func() float64 { return float64(s.counted(size)) }))
	}
	return m
}

// counted asks a table for its size.
func (s *Service) counted(size func() int) int {
	s.guard.mu.Lock()
	defer s.guard.mu.Unlock()
	s.visits.mu.Lock()
	defer s.visits.mu.Unlock()
	return size()
}
