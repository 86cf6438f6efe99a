package netserver

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

func TestSessionSeesItsTLS(t *testing.T) {
	server, good := ends(t)
	for _, way := range ways {
		for _, tt := range []struct {
			name, sni, version, wantSNI string
			max                         uint16
		}{
			{"newest", "mail.example", "TLSv1.3", "mail.example", 0},
			{"older", "mail.example", "TLSv1.2", "mail.example", tls.VersionTLS12},
			{"capitals", "MAIL.Example", "TLSv1.3", "mail.example", 0},
			{"no name", "", "TLSv1.3", "", 0},
			{"name that is none", "a b\r\nc", "TLSv1.3", "", 0},
		} {
			t.Run(way.name+"/"+tt.name, func(t *testing.T) {
				cfg := good.Clone()
				cfg.ServerName, cfg.MaxVersion, cfg.InsecureSkipVerify = tt.sni, tt.max, true
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, Options{}, way.listener(server))
					defer w.stop()
					c := w.dialMute("192.0.2.9:1000")
					way.before(c)
					state := c.secure(cfg)
					synctest.Wait()
					got := w.rec.lastConn().TLS
					if got == nil {
						t.Fatal("session sees no TLS")
					}
					if got.Version != tt.version || got.Cipher != tls.CipherSuiteName(state.CipherSuite) || got.ServerName != tt.wantSNI {
						t.Errorf("got %+v, want version %s, cipher %s, name %q",
							got, tt.version, tls.CipherSuiteName(state.CipherSuite), tt.wantSNI)
					}
				})
			})
		}
	}
}

func TestServerNameIsAHostsOrNone(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"host", "Mail.Example", "mail.example"},
		{"digits and hyphens", "mx-1.example", "mx-1.example"},
		{"underscore", "_x.example", "_x.example"},
		{"empty", "", ""},
		{"longest", strings.Repeat("a", maxServerName), strings.Repeat("a", maxServerName)},
		{"too long", strings.Repeat("a", maxServerName+1), ""},
		{"space", "a b", ""},
		{"line ending", "a\r\nb", ""},
		{"NUL", "a\x00b", ""},
		{"8 bit", "bücher.example", ""},
		{"at", "@", ""},
		{"bracket", "[", ""},
	} {
		if got := serverName(tt.in); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestClientIsNamedByAVerifiedCertificateOnly(t *testing.T) {
	server, good := ends(t)
	trusted, stranger := newAuthority(t, newKey(t)), newAuthority(t, newKey(t))
	many := make([]string, 2*maxClientNames)
	for i := range many {
		many[i] = fmt.Sprintf("u%d@example.org", i)
	}
	for _, tt := range []struct {
		name string
		ask  tls.ClientAuthType
		by   *authority
		mail []string
		want []string
	}{
		{"none asked", tls.NoClientCert, trusted, []string{"ann@example.org"}, nil},
		{"none given", tls.VerifyClientCertIfGiven, nil, nil, nil},
		{"verified", tls.VerifyClientCertIfGiven, trusted, []string{"ann@example.org", "a@example.net"}, []string{"ann@example.org", "a@example.net"}},
		{"verified, of no mail address", tls.VerifyClientCertIfGiven, trusted, nil, nil},
		{"not verified", tls.RequestClientCert, trusted, []string{"ann@example.org"}, nil},
		{"not verified, of a stranger", tls.RequireAnyClientCert, stranger, []string{"ann@example.org"}, nil},
		{"too many", tls.RequireAndVerifyClientCert, trusted, many, many[:maxClientNames]},
		{"too long", tls.RequireAndVerifyClientCert, trusted, []string{strings.Repeat("x", 250) + "@example.org", "b@example.org"}, []string{"b@example.org"}},
		{"not printable", tls.RequireAndVerifyClientCert, trusted, []string{"a\r\nb@example.org", "b@example.org"}, []string{"b@example.org"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv, cfg := server.Clone(), good.Clone()
			srv.ClientAuth, srv.ClientCAs = tt.ask, trusted.pool
			if tt.by != nil {
				cert := tt.by.issue(t, 0, "", tt.mail...)
				cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
			}
			cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{}, implicit(srv))
				defer w.stop()
				for _, resumed := range []bool{false, true} {
					c, state := w.dialTLS(cfg)
					c.expect("hi\r\n")
					if got := w.rec.lastConn().TLS.ClientNames; !slices.Equal(got, tt.want) {
						t.Errorf("resumed %t: got %q, want %q", resumed, got, tt.want)
					}
					if state.DidResume != resumed {
						t.Errorf("resumed %t, want %t", state.DidResume, resumed)
					}
				}
			})
		})
	}
}

func TestCertificateIsChosenByName(t *testing.T) {
	a := newAuthority(t, newKey(t))
	certs := []tls.Certificate{a.issue(t, 0, "one.example"), a.issue(t, 0, "two.example")}
	for _, tt := range []struct {
		name   string
		server *tls.Config
	}{
		{"list", &tls.Config{Certificates: certs}},
		{"GetCertificate", &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &certs[strings.Index("ot", hello.ServerName[:1])], nil
		}}},
		{"GetCertificate, else the list", &tls.Config{
			Certificates: certs[:1],
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				if hello.ServerName == "two.example" {
					return &certs[1], nil
				}
				return nil, nil
			},
		}},
		{"GetConfigForClient", &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			at := strings.Index("ot", hello.ServerName[:1])
			return &tls.Config{Certificates: certs[at : at+1]}, nil
		}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{}, implicit(tt.server))
				defer w.stop()
				for i, name := range []string{"one.example", "two.example"} {
					c, state := w.dialTLS(&tls.Config{RootCAs: a.pool, ServerName: name})
					c.expect("hi\r\n")
					if got, want := state.PeerCertificates[0].Raw, certs[i].Certificate[0]; !slices.Equal(got, want) {
						t.Errorf("%s got the certificate of %v", name, state.PeerCertificates[0].DNSNames)
					}
					if got, want := w.rec.lastConn().TLS.Binding("tls-server-end-point"), endPointOf(&certs[i]); !slices.Equal(got, want) {
						t.Errorf("%s: binding to another certificate: got %x, want %x", name, got, want)
					}
				}
			})
		})
	}
}

func TestStrictALPNRefusesForeignProtocols(t *testing.T) {
	server, good := ends(t)
	other := server.Clone()
	other.NextProtos = []string{"h2", "acme-tls/1"}
	perClient := server.Clone()
	perClient.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return other, nil }
	perClient.NextProtos = []string{"h2"}
	noneOwn := server.Clone()
	noneOwn.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
	for _, base := range []struct {
		name string
		cfg  *tls.Config
	}{{"plain", server}, {"with foreign protocols", other}, {"per client", perClient}, {"per client, none", noneOwn}} {
		for _, tt := range []struct {
			name  string
			offer []string
			want  string // negotiated
			ok    bool
		}{
			{"none", nil, "", true},
			{"ours", []string{"pop3"}, "pop3", true},
			{"our other", []string{"pop"}, "pop", true},
			{"ours among others", []string{"h2", "pop3"}, "pop3", true},
			{"foreign", []string{"h2", "http/1.1"}, "", false},
			{"of ACME", []string{"acme-tls/1"}, "", false},
			{"of a sibling", []string{"imap"}, "", false},
		} {
			t.Run(base.name+"/"+tt.name, func(t *testing.T) {
				strict := StrictALPN(base.cfg, "pop3", "pop")
				cfg := good.Clone()
				cfg.NextProtos = tt.offer
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, Options{}, implicit(strict))
					defer w.stop()
					c := w.dialMute("192.0.2.9:1000")
					over := tls.Client(pump(c.nc), cfg)
					err := over.Handshake()
					if (err == nil) != tt.ok || over.ConnectionState().NegotiatedProtocol != tt.want {
						t.Errorf("got %q, %v; want %q, success %t", over.ConnectionState().NegotiatedProtocol, err, tt.want, tt.ok)
					}
					c.nc.Close()
				})
			})
		}
	}
	if !slices.Equal(other.NextProtos, []string{"h2", "acme-tls/1"}) {
		t.Errorf("the caller's configuration was changed: %q", other.NextProtos)
	}
}
