package certs

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/store/storetest"
)

// selfSignedManager is the least that can shake hands.
func selfSignedManager(t *testing.T) *Manager {
	t.Helper()
	return newManager(t, Options{Names: []string{"mail.example.org"}, SelfSigned: true})
}

func TestALPNIsCheckedWhereItIsRegistered(t *testing.T) {
	m := selfSignedManager(t)
	for _, c := range []struct {
		protocol string
		offers   []string
		want     string
		fails    bool
	}{
		{"pop3", nil, "", false},
		{"pop3", []string{"pop3"}, "pop3", false},
		{"pop3", []string{"imap"}, "", true},
		{"pop3", []string{"http/1.1"}, "", true},
		{"imap", []string{"pop3", "imap"}, "imap", false},
		{"smtp", nil, "", false},
	} {
		t.Run(c.protocol, func(t *testing.T) {
			cs, err := shake(t, m.Config(c.protocol, nil), &tls.Config{InsecureSkipVerify: true, NextProtos: c.offers})
			if (err != nil) != c.fails || cs.NegotiatedProtocol != c.want {
				t.Errorf("offering %q: got %q, %v, want %q, failure %v", c.offers, cs.NegotiatedProtocol, err, c.want, c.fails)
			}
		})
	}
}

func TestOldVersionsOfTLSAreRefused(t *testing.T) {
	for _, c := range []struct {
		name     string
		least    uint16
		client   uint16
		succeeds bool
	}{
		{"default, 1.1", 0, tls.VersionTLS11, false},
		{"default, 1.2", 0, tls.VersionTLS12, true},
		{"1.0 wanted, 1.1", tls.VersionTLS10, tls.VersionTLS11, false},
		{"1.3 wanted, 1.2", tls.VersionTLS13, tls.VersionTLS12, false},
		{"1.3 wanted, 1.3", tls.VersionTLS13, tls.VersionTLS13, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newManager(t, Options{SelfSigned: true, MinVersion: c.least})
			_, err := shake(t, m.Config("smtp", nil), &tls.Config{
				InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: c.client,
			})
			if (err == nil) != c.succeeds {
				t.Errorf("got %v, want success %v", err, c.succeeds)
			}
		})
	}
}

func TestKeyExchangeIsPostQuantumByDefault(t *testing.T) {
	cs, err := shake(t, selfSignedManager(t).Config("smtp", nil), &tls.Config{InsecureSkipVerify: true})
	if err != nil || cs.CurveID != tls.X25519MLKEM768 {
		t.Errorf("got %v, %v, want %v", cs.CurveID, err, tls.X25519MLKEM768)
	}
}

func TestSessionGoesOnAtAnotherListenerOfTheSameProtocolOnly(t *testing.T) {
	pool := x509.NewCertPool()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, c := range []struct {
			name    string
			to      string
			ca      *x509.CertPool
			resumes bool
		}{
			{"same protocol", "smtp", nil, true},
			{"other protocol", "pop3", nil, false},
			{"other authorities", "smtp", pool, false},
		} {
			t.Run(tls.VersionName(version)+" "+c.name, func(t *testing.T) {
				m := selfSignedManager(t)
				client := &tls.Config{
					InsecureSkipVerify: true, ServerName: "mail.example.org", MaxVersion: version,
					ClientSessionCache: tls.NewLRUClientSessionCache(1),
				}
				if _, err := shake(t, m.Config("smtp", nil).Clone(), client); err != nil {
					t.Fatal(err)
				}
				cs, err := shake(t, m.Config(c.to, c.ca).Clone(), client)
				if err != nil || cs.DidResume != c.resumes {
					t.Errorf("got resumed %v, %v, want %v", cs.DidResume, err, c.resumes)
				}
			})
		}
	}
}

func TestClientCertificateIsTakenOnlyFromItsAuthorities(t *testing.T) {
	m, ca := selfSignedManager(t), newTestCA(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	client := func(ca testCA) *tls.Config {
		leaf := ca.leaf(t, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}, "client.example.org")
		return &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{leaf.cert.Raw}, PrivateKey: leaf.key}, nil
		}}
	}
	for _, c := range []struct {
		name   string
		pool   *x509.CertPool
		client *tls.Config
		fails  bool
	}{
		{"none shown", pool, &tls.Config{InsecureSkipVerify: true}, false},
		{"of the authority", pool, client(ca), false},
		{"of a stranger", pool, client(newTestCA(t)), true},
		{"not asked for", nil, client(newTestCA(t)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := shake(t, m.Config("smtp", c.pool), c.client); (err != nil) != c.fails {
				t.Errorf("got %v, want failure %v", err, c.fails)
			}
		})
	}
}

func TestWithoutAnyCertificateHandshakesFail(t *testing.T) {
	m := newManager(t, Options{})
	if _, err := shake(t, m.Config("smtp", nil), &tls.Config{InsecureSkipVerify: true}); err == nil {
		t.Error("got a handshake, want a failure")
	}
	if got := m.List(); len(got) != 0 {
		t.Errorf("got %+v, want an empty list", got)
	}
}

func TestMetricsSayWhenCertificatesEndAndCountRenewals(t *testing.T) {
	ca, dir, r := newTestCA(t), t.TempDir(), prometheus.NewRegistry()
	ends := time.Now().Add(50 * time.Hour).Truncate(time.Second)
	soon := func(c *x509.Certificate) { c.NotAfter = ends }
	p := ca.put(t, ca.leaf(t, nil, "mail.example.org"), dir, "one")
	q := ca.put(t, ca.leaf(t, soon, "mail.example.org"), dir, "two")
	m := newManager(t, Options{Files: []Pair{p, q}, Registerer: r})
	ca.put(t, ca.leaf(t, nil, "mail.example.org"), dir, "one")
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, one := range f.Metric {
			key := f.GetName()
			for _, l := range one.Label {
				key += " " + l.GetValue()
			}
			got[key] = one.GetGauge().GetValue() + one.GetCounter().GetValue()
		}
	}
	want := map[string]float64{
		"postrider_certificate_not_after_seconds mail.example.org file": float64(ends.Unix()),
		"postrider_certificate_renewals_total ok file":                  1,
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: got %v, want %v (all: %v)", k, got[k], v, got)
		}
	}
	if _, err := New(Options{Registerer: r, Records: storetest.NewModel()}); err == nil {
		t.Error("a second registration: got no error")
	}
}

func TestManagerIsReadyWithItsFirstCertificate(t *testing.T) {
	acme := &ACME{Directory: "https://127.0.0.1:1/directory", Names: []string{"mail.example.org"}, HTTP: "127.0.0.1:0"}
	for _, c := range []struct {
		name string
		o    Options
		want bool
	}{
		{"self-signed", Options{SelfSigned: true}, true},
		{"none from the authority yet", Options{ACME: acme}, false},
		{"a self-signed one until then", Options{ACME: acme, SelfSigned: true}, true},
	} {
		if got := newManager(t, c.o).Ready(); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
