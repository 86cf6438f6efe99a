package netserver

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"testing"
	"testing/synctest"
)

func TestChannelBindingsAreEqualOnBothSidesAndDifferBetweenConnections(t *testing.T) {
	server, good := ends(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, way := range ways {
			t.Run(way.name+"/"+tls.VersionName(version), func(t *testing.T) {
				cfg := good.Clone()
				cfg.MaxVersion = version
				cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, Options{}, way.listener(server))
					defer w.stop()
					seen := make(map[string]int)
					for i := range 3 { // the last two are resumed
						c := w.dialMute("192.0.2.9:1000")
						way.before(c)
						state := c.secure(cfg)
						c.send("echo a\r\n")
						synctest.Wait()
						bind := w.rec.lastConn().TLS.Binding
						want, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
						if err != nil {
							t.Fatal(err)
						}
						got := bind("tls-exporter")
						if !bytes.Equal(got, want) {
							t.Errorf("connection %d: exporter: got %x, want %x", i, got, want)
						}
						if j, ok := seen[string(got)]; ok {
							t.Errorf("connections %d and %d have the same binding", j, i)
						}
						seen[string(got)] = i
						sum := crypto.SHA256.New()
						sum.Write(state.PeerCertificates[0].Raw)
						if got, want := bind("tls-server-end-point"), sum.Sum(nil); !bytes.Equal(got, want) {
							t.Errorf("connection %d: end point: got %x, want %x", i, got, want)
						}
						if got := bind("tls-unique"); got != nil {
							t.Errorf("tls-unique: got %x, want none", got)
						}
					}
				})
			})
		}
	}
}

// TestResumedSessionIsBoundToItsFirstCertificate renews the certificate between
// two connections: the client still knows the old one.
func TestResumedSessionIsBoundToItsFirstCertificate(t *testing.T) {
	a := newAuthority(t, newKey(t))
	first, second := a.issue(t, 0, "mail.example"), a.issue(t, 0, "mail.example")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			now := &first
			server := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return now, nil }}
			cfg := &tls.Config{
				RootCAs: a.pool, ServerName: "mail.example",
				ClientSessionCache: tls.NewLRUClientSessionCache(1), MaxVersion: version,
			}
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{}, implicit(server))
				defer w.stop()
				for i := range 3 {
					c, state := w.dialTLS(cfg)
					c.expect("hi\r\n")
					if state.DidResume != (i > 0) {
						t.Errorf("connection %d: resumed %t", i, state.DidResume)
					}
					if got, want := w.rec.lastConn().TLS.Binding("tls-server-end-point"), endPointOf(&first); !bytes.Equal(got, want) {
						t.Errorf("connection %d: got %x, want %x", i, got, want)
					}
					now = &second
				}
				cfg.ClientSessionCache = nil
				c, _ := w.dialTLS(cfg)
				c.expect("hi\r\n")
				if got, want := w.rec.lastConn().TLS.Binding("tls-server-end-point"), endPointOf(&second); !bytes.Equal(got, want) {
					t.Errorf("new session: got %x, want %x", got, want)
				}
			})
		})
	}
}

func TestEndPointIsHashedAsTheCertificateIsSigned(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		alg  x509.SignatureAlgorithm
		key  crypto.Signer
		want crypto.Hash
	}{
		{x509.ECDSAWithSHA256, newKey(t), crypto.SHA256},
		{x509.ECDSAWithSHA384, newKey(t), crypto.SHA384},
		{x509.ECDSAWithSHA512, newKey(t), crypto.SHA512},
		{x509.SHA256WithRSA, rsaKey, crypto.SHA256},
		{x509.SHA384WithRSA, rsaKey, crypto.SHA384},
		{x509.SHA512WithRSA, rsaKey, crypto.SHA512},
		{x509.SHA256WithRSAPSS, rsaKey, crypto.SHA256},
		{x509.SHA384WithRSAPSS, rsaKey, crypto.SHA384},
		{x509.SHA512WithRSAPSS, rsaKey, crypto.SHA512},
		{x509.PureEd25519, edKey, 0},
	} {
		t.Run(tt.alg.String(), func(t *testing.T) {
			cert := newAuthority(t, tt.key).issue(t, tt.alg, "mail.example")
			var want []byte
			if tt.want != 0 {
				sum := tt.want.New()
				sum.Write(cert.Certificate[0])
				want = sum.Sum(nil)
			}
			if got := endPointOf(&cert); !bytes.Equal(got, want) {
				t.Errorf("got %x, want %x", got, want)
			}
			if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
				t.Fatal(err)
			}
			if got := endPointOf(&cert); !bytes.Equal(got, want) {
				t.Errorf("with the leaf parsed: got %x, want %x", got, want)
			}
		})
	}
	for name, cert := range map[string]*tls.Certificate{
		"nil": nil, "empty": {}, "malformed": {Certificate: [][]byte{[]byte("x")}},
	} {
		if got := endPointOf(cert); got != nil {
			t.Errorf("%s: got %x, want none", name, got)
		}
	}
}

// TestBindingIsSafeAfterTheConnection asks for bindings when all is over.
func TestBindingIsSafeAfterTheConnection(t *testing.T) {
	server, good := ends(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, implicit(server))
		defer w.stop()
		c, _ := w.dialTLS(good)
		c.send("quit\r\n")
		c.expectEnd("hi\r\nbye\r\n")
		bind := w.rec.lastConn().TLS.Binding
		if got := fmt.Sprint(len(bind("tls-exporter")), len(bind("tls-server-end-point"))); got != "32 32" {
			t.Errorf("got lengths %s, want 32 32", got)
		}
	})
}
