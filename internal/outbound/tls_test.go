package outbound

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/sinktest"
	"postrider/internal/tlspolicy"
)

// serverTLS returns a certificate for names that is valid at the bubble's time, and
// who vouches for it.
func serverTLS(t *testing.T, names ...string) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots
}

func TestARoutesTLSIsKept(t *testing.T) {
	good, roots := serverTLS(t, "mx1.remote.test", "remote.test")
	bad, _ := serverTLS(t, "mx1.remote.test", "remote.test") // of somebody else
	other, otherRoots := serverTLS(t, "elsewhere.test")
	refuse := on("STARTTLS", "454 4.7.0 not now")
	for name, row := range map[string]struct {
		rule  TLSRule
		host  sinktest.Options
		roots *x509.CertPool
		sent  bool
		tls   bool
	}{
		"offered":                      {TLSAsPublished, sinktest.Options{TLS: good}, nil, true, true},
		"not offered":                  {TLSAsPublished, sinktest.Options{}, nil, true, false},
		"refused":                      {TLSAsPublished, sinktest.Options{TLS: good, On: refuse}, nil, true, false},
		"off":                          {TLSOff, sinktest.Options{TLS: good}, nil, true, false},
		"wanted":                       {TLSEncrypt, sinktest.Options{TLS: bad}, nil, true, true},
		"wanted and not offered":       {TLSEncrypt, sinktest.Options{}, nil, false, false},
		"wanted and refused":           {TLSEncrypt, sinktest.Options{TLS: good, On: refuse}, nil, false, false},
		"verified":                     {TLSVerify, sinktest.Options{TLS: good}, roots, true, true},
		"verified, somebody else's":    {TLSVerify, sinktest.Options{TLS: bad}, roots, false, false},
		"verified, another name's":     {TLSVerify, sinktest.Options{TLS: other}, otherRoots, false, false},
		"verified and not offered":     {TLSVerify, sinktest.Options{}, roots, false, false},
		"broken handshake":             {TLSAsPublished, sinktest.Options{TLS: &tls.Config{}}, nil, true, false},
		"broken handshake, but wanted": {TLSEncrypt, sinktest.Options{TLS: &tls.Config{}}, nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := begin(t, func(_ *site, o *Options) {
					o.Routes = []Route{{Name: "way", TLS: row.rule, Roots: row.roots}}
				})
				s.zone.Set(t, "$ORIGIN remote.test.\n@ IN MX 10 mx1\nmx1 IN A 203.0.114.1\n")
				sink := s.host("203.0.114.1", row.host)
				id := s.queue("alice@example.org", nil, "bob@remote.test")
				time.Sleep(time.Minute) // over a pipe without room the alert waits for the server's own words
				synctest.Wait()
				ms := sink.Messages()
				if sent := len(ms) == 1; sent != row.sent || sent && ms[0].TLS != row.tls {
					t.Fatalf("got %d messages (%+v); the row: %+v", len(ms), ms, s.rows(id))
				}
				if logged := strings.Contains(s.logged(), `tls="TLS 1.3, `); logged != row.tls {
					t.Errorf("the log says that there was TLS: %v; %s", logged, s.logged())
				}
				if rows := s.rows(id); !row.sent && (len(rows) != 1 || rows[0].Attempts != 1 || rows[0].Reply == "") {
					t.Errorf("got %+v", rows)
				}
			})
		})
	}
}

func TestInjectedPlaintextEndsTheDelivery(t *testing.T) {
	good, _ := serverTLS(t, "mx1.remote.test")
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		s.zone.Set(t, "$ORIGIN remote.test.\n@ IN MX 10 mx1\nmx1 IN A 203.0.114.1\n")
		sink := s.host("203.0.114.1", sinktest.Options{TLS: good, On: func(c sinktest.Command) sinktest.Answer {
			if c.Verb == "STARTTLS" {
				return sinktest.Answer{Raw: "220 go\r\n250-injected\r\n250 AUTH PLAIN\r\n"}
			}
			return sinktest.Answer{}
		}})
		id := s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		if n := len(sink.Messages()); n != 0 {
			t.Errorf("got %d messages", n)
		}
		if rows := s.rows(id); len(rows) != 1 || !strings.Contains(rows[0].Reply, "injected") {
			t.Errorf("got %+v", rows)
		}
		if !strings.Contains(s.logged(), "somebody on the way meddles") {
			t.Errorf("the log: %s", s.logged())
		}
	})
}

func TestRequireTLSIsNeverSentWithoutProof(t *testing.T) {
	good, roots := serverTLS(t, "mx1.remote.test", "remote.test")
	for name, row := range map[string]struct {
		host sinktest.Options
		rule TLSRule
		sent bool
	}{
		"proven":          {sinktest.Options{TLS: good, Extensions: []string{"STARTTLS", "REQUIRETLS"}}, TLSVerify, true},
		"not announced":   {sinktest.Options{TLS: good, Extensions: []string{"STARTTLS"}}, TLSVerify, false},
		"nobody verifies": {sinktest.Options{TLS: good, Extensions: []string{"STARTTLS", "REQUIRETLS"}}, TLSAsPublished, false},
		"no TLS":          {sinktest.Options{Extensions: []string{"REQUIRETLS"}}, TLSAsPublished, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := begin(t, func(_ *site, o *Options) {
					o.Routes = []Route{{Name: "way", TLS: row.rule, Roots: roots}}
				})
				s.zone.Set(t, "$ORIGIN remote.test.\n@ IN MX 10 mx1\nmx1 IN A 203.0.114.1\n")
				sink := s.host("203.0.114.1", row.host)
				s.queue("alice@example.org", func(o *Onward) { o.Envelope.RequireTLS = true }, "bob@remote.test")
				synctest.Wait()
				ms := sink.Messages()
				if sent := len(ms) == 1; sent != row.sent {
					t.Fatalf("got %d messages; the log: %s", len(ms), s.logged())
				}
				if row.sent && !strings.Contains(ms[0].Mail, "REQUIRETLS") {
					t.Errorf("got %q", ms[0].Mail)
				}
			})
		})
	}
}

func TestRequireTLSTriesEachHostAndIsReturnedIfNoneWillDo(t *testing.T) {
	good, roots := serverTLS(t, "mx1.remote.test", "mx2.remote.test", "remote.test")
	for name, row := range map[string]struct {
		first, second sinktest.Options
		sent          bool
		status        string
	}{
		"the second announces it": {
			sinktest.Options{TLS: good, Extensions: []string{"STARTTLS"}},
			sinktest.Options{TLS: good, Extensions: []string{"STARTTLS", "REQUIRETLS"}},
			true, "",
		},
		"none announces it": {
			sinktest.Options{TLS: good, Extensions: []string{"STARTTLS"}},
			sinktest.Options{TLS: good, Extensions: []string{"STARTTLS"}},
			false, "5.7.30",
		},
		"none has TLS": {sinktest.Options{Extensions: []string{"DSN"}}, sinktest.Options{Extensions: []string{"DSN"}}, false, "5.7.10"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := begin(t, func(_ *site, o *Options) {
					o.Routes = []Route{{Name: "way", TLS: TLSVerify, Roots: roots}}
				})
				first, second := s.host("203.0.114.1", row.first), s.host("203.0.114.2", row.second)
				s.queue("alice@example.org", func(o *Onward) { o.Envelope.RequireTLS = true }, "bob@remote.test")
				synctest.Wait()
				if n := len(first.Messages()); n != 0 {
					t.Errorf("the first host got %d", n)
				}
				if sent := len(second.Messages()) == 1; sent != row.sent {
					t.Errorf("sent by the second: %v; the log: %s", sent, s.logged())
				}
				n := s.told()
				if row.sent != (len(n) == 0) || !row.sent && !strings.Contains(n[0].text, "Status: "+row.status) {
					t.Errorf("got notices %v, want status %q", n, row.status)
				}
			})
		})
	}
}

func TestANotificationWithRequireTLSIsSentAllTheSame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		sink := s.host("203.0.114.1", sinktest.Options{})
		s.queue("", func(o *Onward) { o.Envelope.RequireTLS = true }, "bob@remote.test")
		synctest.Wait()
		if n := len(sink.Messages()); n != 1 {
			t.Errorf("got %d; the log: %s", n, s.logged())
		}
	})
}

// TestAMessageThatNeedsNoTLSArrivesAllTheSame is RFC 8689 §4.2.2: the destination
// publishes a key (DANE) that its host does not have.
func TestAMessageThatNeedsNoTLSArrivesAllTheSame(t *testing.T) {
	wrong, _ := serverTLS(t, "mx1.remote.test")
	for name, row := range map[string]struct {
		optional bool
		host     sinktest.Options
		rule     TLSRule
		sent     bool
		tls      bool
	}{
		"the policy holds":          {false, sinktest.Options{TLS: wrong}, TLSAsPublished, false, false},
		"the wrong certificate":     {true, sinktest.Options{TLS: wrong}, TLSAsPublished, true, true},
		"no TLS":                    {true, sinktest.Options{}, TLSAsPublished, true, false},
		"the operator's word lasts": {true, sinktest.Options{}, TLSEncrypt, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := begin(t, func(s *site, o *Options) {
					o.Policies = tlspolicy.New(tlspolicy.Options{Resolver: s.zone.Resolver(t), Records: s.store, Log: o.Logger})
					o.Routes = []Route{{Name: "way", TLS: row.rule}}
				})
				s.zone.Set(t, "$ORIGIN remote.test.\n@ IN MX 10 mx1\nmx1 IN A 203.0.114.1\n_25._tcp.mx1 IN TLSA 3 1 1 "+strings.Repeat("ab", 32)+"\n")
				s.zone.Secure()
				sink := s.host("203.0.114.1", row.host)
				s.queue("alice@example.org", func(o *Onward) { o.Envelope.TLSOptional = row.optional }, "bob@remote.test")
				time.Sleep(time.Minute)
				synctest.Wait()
				ms := sink.Messages()
				if sent := len(ms) == 1; sent != row.sent || sent && ms[0].TLS != row.tls {
					t.Errorf("got %d messages (%+v); the log: %s", len(ms), ms, s.logged())
				}
			})
		})
	}
}
