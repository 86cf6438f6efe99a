package outbound

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/netclient"
	"postrider/internal/sinktest"
	"postrider/internal/smtp"
)

// RFC 8689 §4.2.1
func TestACallerGetsWhatRequiresTLSOnlyIfItIsTheOtherEnd(t *testing.T) {
	good, roots := serverTLS(t, "branch.test")
	requires := sinktest.Options{TLS: good, Implicit: true, Extensions: []string{"REQUIRETLS"}}
	for name, row := range map[string]struct {
		mechanism string
		host      sinktest.Options
		why       string // what its rows say if it is not sent
	}{
		"a login bound to the connection":      {"SCRAM-SHA-256-PLUS", requires, ""},
		"a client certificate":                 {"EXTERNAL", requires, ""},
		"a password, perhaps passed on":        {"PLAIN", requires, "only where TLS is verified"},
		"a proof that may have been too":       {"SCRAM-SHA-256", requires, "only where TLS is verified"},
		"no TLS":                               {"EXTERNAL", sinktest.Options{Extensions: []string{"REQUIRETLS"}}, "only where TLS is verified"},
		"a host that does not know REQUIRETLS": {"EXTERNAL", sinktest.Options{TLS: good, Implicit: true}, "only to servers with REQUIRETLS"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := branch(t)
				id := s.queue("alice@example.org", func(o *Onward) { o.Envelope.RequireTLS = true }, "bob@remote.test")
				s.queue("alice@example.org", nil, "carol@remote.test")
				synctest.Wait()
				if rows := s.rows(id); len(rows) != 1 || !strings.Contains(rows[0].Reply, "SCRAM-SHA-256-PLUS") {
					t.Errorf("it does not say which calls get it: %+v", rows)
				}
				from := caller("branch@example.org", "198.51.100.1:4000")
				from.Mechanism = row.mechanism
				if row.host.TLS != nil {
					from.TLS = "TLSv1.3"
				}
				sink := s.call(from, row.host, &tls.Config{ServerName: "branch.test", RootCAs: roots})
				synctest.Wait()
				sent, all := 0, sink.Messages()
				for _, m := range all {
					if strings.Contains(m.Mail, "REQUIRETLS") {
						sent++
					}
				}
				rows := s.rows(id)
				if row.why == "" {
					if sent != 1 || len(all) != 2 || len(rows) != 0 {
						t.Errorf("got %d of %d messages, rows %+v: %s", sent, len(all), rows, s.logged())
					}
					return
				}
				if sent != 0 || len(all) != 1 || len(rows) != 1 || rows[0].Attempts != 0 || !strings.Contains(rows[0].Reply, row.why) || len(s.told()) != 0 {
					t.Errorf("got %d of %d messages, rows %+v, told %v", sent, len(all), rows, s.told())
				}
				time.Sleep(6 * 24 * time.Hour)
				synctest.Wait()
				told := s.told()
				if n := len(told); n != 2 || told[0].what != "delayed" || told[1].what != "failed" || !strings.Contains(told[1].text, "Status: 4.7.10") {
					t.Errorf("told %v", told)
				}
			})
		})
	}
}

// Both prove who is at the other end of TLS.
func TestALoginWithoutTLSIsBoundToNothing(t *testing.T) {
	for _, mechanism := range []string{"EXTERNAL", "SCRAM-SHA-256-PLUS"} {
		c := &smtp.Client{Mechanism: mechanism}
		if bound(c) {
			t.Errorf("%s: without TLS", mechanism)
		}
		if c.TLS = "TLSv1.3"; !bound(c) {
			t.Errorf("%s: with TLS", mechanism)
		}
	}
}

// call has a host ask for its mail, and be what the options say.
func (s *site) call(from *smtp.Client, host sinktest.Options, with *tls.Config) *sinktest.Sink {
	s.t.Helper()
	session, err := s.d.Turn(s.t.Context(), from, nil)
	if err != nil || session == nil {
		s.t.Fatal(session, err)
	}
	sink := sinktest.New(host)
	ours, theirs := net.Pipe()
	go sink.Serve(theirs)
	o := netclient.Options{Implicit: host.Implicit}
	if host.Implicit {
		o.TLS = with
	}
	if err := netclient.Converse(s.t.Context(), ours, session, o); err != nil {
		s.t.Error(err)
	}
	return sink
}
