package netserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// handshakes returns how many were counted.
func (w *world) handshakes(result, version string) float64 {
	return valueOf(w.t, w.srv.metrics.handshakes.WithLabelValues("test", result, version))
}

func valueOf(t testing.TB, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// badPeers are clients whose handshake fails, and how that is worded.
var badPeers = []struct {
	name        string
	server      func(t *testing.T, c *tls.Config) // how the server differs
	act         func(t *testing.T, nc net.Conn, good *tls.Config)
	result, why string
}{
	{name: "silent", act: func(*testing.T, net.Conn, *tls.Config) { time.Sleep(time.Minute) }, result: "timeout", why: "timeout"},
	{name: "stalls midway", act: func(t *testing.T, nc net.Conn, good *tls.Config) {
		hello := helloOf(t, good)
		io.WriteString(nc, hello[:len(hello)/2])
		time.Sleep(time.Minute)
	}, result: "timeout", why: "timeout"},
	{name: "stalls after its hello", act: func(t *testing.T, nc net.Conn, good *tls.Config) {
		io.WriteString(nc, helloOf(t, good))
		time.Sleep(time.Minute)
	}, result: "timeout", why: "timeout"},
	{name: "drips", act: func(t *testing.T, nc net.Conn, good *tls.Config) {
		for _, c := range []byte(helloOf(t, good))[:60] {
			nc.Write([]byte{c})
			time.Sleep(time.Second)
		}
	}, result: "timeout", why: "timeout"},
	{name: "goes at once", act: func(*testing.T, net.Conn, *tls.Config) { synctest.Wait() }, result: "closed", why: "closed by peer"},
	{name: "dies midway", act: func(t *testing.T, nc net.Conn, good *tls.Config) {
		hello := helloOf(t, good)
		io.WriteString(nc, hello[:len(hello)/2])
	}, result: "closed", why: "closed by peer"},
	{name: "dies after its hello", act: func(t *testing.T, nc net.Conn, good *tls.Config) {
		io.WriteString(nc, helloOf(t, good))
	}, result: "closed", why: "closed by peer"},
	{name: "HTTP", act: says("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), result: "http", why: "peer spoke HTTP, not TLS"},
	{name: "HTTP POST", act: says("POST /x HTTP/1.1\r\n\r\n"), result: "http", why: "peer spoke HTTP, not TLS"},
	{name: "HTTP 2", act: says("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), result: "http", why: "peer spoke HTTP, not TLS"},
	{name: "SMTP", act: says("EHLO client.example\r\n"), result: "plaintext", why: "peer spoke plain text, not TLS"},
	{name: "POP3", act: says("CAPA\r\n"), result: "plaintext", why: "peer spoke plain text, not TLS"},
	{name: "noise", act: says("\x00\x01\x02\x03\x04\x05\x06\x07"), result: "not_tls", why: "peer did not speak TLS"},
	{name: "noise that looks like TLS", act: says("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"), result: "protocol"},
	{name: "huge record", act: says("\x16\x03\x01\xff\xff" + strings.Repeat("x", 100)), result: "protocol", why: "bad record: "},
	{name: "SSLv2", act: says("\x80\x2e\x01\x00\x02\x00\x15\x00"), result: "version", why: "no common version: SSLv2"},
	{name: "TLS 1.1", act: shakes(func(t *testing.T, c *tls.Config) {
		c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
	}), result: "version", why: "no common version"},
	{
		name: "too new for us", server: func(_ *testing.T, c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		act: shakes(func(t *testing.T, c *tls.Config) {
			c.MinVersion = tls.VersionTLS13
		}), result: "version", why: "no common version",
	},
	{name: "no common cipher", act: shakes(func(t *testing.T, c *tls.Config) {
		c.MaxVersion = tls.VersionTLS12
		c.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	}), result: "cipher", why: "no common cipher suite"},
	{
		name: "no common key exchange", server: func(_ *testing.T, c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} },
		act: shakes(func(t *testing.T, c *tls.Config) {
			c.CurvePreferences = []tls.CurveID{tls.X25519}
		}), result: "cipher", why: "no common key exchange",
	},
	{
		name: "wrong ALPN", server: func(_ *testing.T, c *tls.Config) { c.NextProtos = []string{"pop3"} },
		act: shakes(func(t *testing.T, c *tls.Config) {
			c.NextProtos = []string{"h2", "http/1.1"}
		}), result: "alpn", why: "client is for another application protocol (ALPN)",
	},
	{name: "distrusts us", act: shakes(func(t *testing.T, c *tls.Config) {
		c.RootCAs = x509.NewCertPool()
	}), result: "untrusted", why: "client does not trust our certificate"},
	{name: "distrusts us in TLS 1.2", act: shakes(func(t *testing.T, c *tls.Config) {
		c.RootCAs, c.MaxVersion = x509.NewCertPool(), tls.VersionTLS12
	}), result: "untrusted", why: "client does not trust our certificate"},
	{
		name: "distrusts us before it has keys", act: after("\x15\x03\x03\x00\x02\x02\x30"),
		result: "untrusted", why: "client does not trust our certificate: unknown authority",
	},
	{
		name: "finds us expired before it has keys", act: after("\x14\x03\x03\x00\x01\x01", "\x15\x03", "\x03\x00\x02\x02", "\x2d"),
		result: "untrusted", why: "client does not trust our certificate: expired",
	},
	{
		name: "dislikes our hello before it has keys", act: after("\x15\x03\x03\x00\x02\x02\x2f"),
		result: "alert", why: "client ended it: illegal parameter",
	},
	{
		name: "sends noise in place of an alert", act: after("\x17\x03\x03\x00\x02\x02\x30"),
		result: "protocol", why: "local error: tls: bad record MAC",
	},
	{
		name: "goes when it has seen our certificate", act: after(),
		result: "closed", why: "closed by peer after our certificate, which it may not trust",
	},
	{name: "wants another name", act: shakes(func(t *testing.T, c *tls.Config) {
		c.ServerName = "other.example"
	}), result: "untrusted", why: "client does not trust our certificate"},
	{
		name: "has no certificate", server: func(_ *testing.T, c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert },
		act: shakes(func(*testing.T, *tls.Config) {}), result: "client_certificate", why: "client has no certificate",
	},
	{
		name: "has a certificate of nobody", server: func(t *testing.T, c *tls.Config) {
			c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, newAuthority(t, newKey(t)).pool
		},
		act: shakes(func(t *testing.T, c *tls.Config) {
			cert := newAuthority(t, newKey(t)).issue(t, 0, "", "eve@example.org")
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
		}), result: "client_certificate", why: "client's certificate is not trusted",
	},
	{
		name: "wants a name we have not", server: func(_ *testing.T, c *tls.Config) {
			c.Certificates = nil
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("not ours") }
		},
		act: shakes(func(*testing.T, *tls.Config) {}), result: "no_certificate", why: "no certificate for mail.example: not ours",
	},
	{
		name: "names no server we have", server: func(_ *testing.T, c *tls.Config) {
			c.Certificates = nil
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
		},
		act: shakes(func(_ *testing.T, c *tls.Config) {
			c.ServerName, c.InsecureSkipVerify = "", true
		}), result: "no_certificate", why: "no certificate for a client that names no server: no certificate is set up",
	},
}

// says returns a peer that sends a text and waits for the end.
func says(text string) func(*testing.T, net.Conn, *tls.Config) {
	return func(t *testing.T, nc net.Conn, _ *tls.Config) {
		nc.Write([]byte(text)) // it need not all be read
		expectNoText(t, nc)
	}
}

// expectNoText reads to the end and takes nothing but an alert of TLS, 7 octets.
func expectNoText(t *testing.T, nc net.Conn) {
	got, _ := io.ReadAll(nc)
	if len(got) != 0 && (len(got) != 7 || got[0] != 21) {
		t.Errorf("peer got %q, want at most an alert", got)
	}
}

// shakes returns a client whose handshake must fail.
func shakes(change func(*testing.T, *tls.Config)) func(*testing.T, net.Conn, *tls.Config) {
	return func(t *testing.T, nc net.Conn, good *tls.Config) {
		cfg := good.Clone()
		change(t, cfg)
		over := tls.Client(pump(nc), cfg)
		err := over.Handshake()
		if err == nil { // of TLS 1.3 the client hears of our verdict later
			_, err = over.Read(make([]byte, 1))
		}
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("client got %v, want a failure", err)
		}
	}
}

// after returns a client of TLS 1.3 that takes the server's first flight and then
// sends pieces of records, as they stand here.
func after(pieces ...string) func(*testing.T, net.Conn, *tls.Config) {
	return func(t *testing.T, nc net.Conn, good *tls.Config) {
		io.WriteString(nc, helloOf(t, good))
		pump(nc)
		for _, p := range pieces {
			synctest.Wait()
			io.WriteString(nc, p)
		}
		synctest.Wait()
	}
}

// pumped is a connection whose input is read however busy its user is, as the
// system does for TCP.
type pumped struct {
	net.Conn
	in   chan []byte
	rest []byte
}

func pump(nc net.Conn) *pumped {
	p := &pumped{Conn: nc, in: make(chan []byte, 100)}
	go func() {
		defer close(p.in)
		for {
			b := make([]byte, 4096)
			n, err := nc.Read(b)
			if n > 0 {
				p.in <- b[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	return p
}

func (p *pumped) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		next, ok := <-p.in
		if !ok {
			return 0, io.EOF
		}
		p.rest = next
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func TestFailedHandshakeIsWordedAndCounted(t *testing.T) {
	for _, way := range ways {
		for _, tt := range badPeers {
			t.Run(way.name+"/"+tt.name, func(t *testing.T) {
				server, good := ends(t)
				if tt.server != nil {
					tt.server(t, server)
				}
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, Options{}, way.listener(server))
					defer w.stop()
					c := w.dialMute("192.0.2.9:1000")
					way.before(c)
					tt.act(t, c.nc, good)
					c.nc.Close()
					synctest.Wait()
					if got := w.handshakes(tt.result, ""); got != 1 {
						t.Errorf("counted %v handshakes with result %s, want 1; log: %s", got, tt.result, w.log)
					}
					if want := "TLS handshake: " + tt.why; !strings.Contains(w.log.String(), want) {
						t.Errorf("log lacks %q: %s", want, w.log)
					}
					if got := valueOf(t, w.srv.metrics.timeouts.WithLabelValues("test")); (got == 1) != (tt.result == "timeout") {
						t.Errorf("counted %v timeouts", got)
					}
					if n := w.rec.count("start"); way.name == "implicit" && n != 0 {
						t.Errorf("%d sessions started, want none", n)
					}
					if n := w.rec.count("tls"); n != 0 {
						t.Errorf("TLSReady came %d times, want never", n)
					}
				})
			})
		}
	}
}

func TestHandshakeIsGivenItsWaitOnly(t *testing.T) {
	server, _ := ends(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{HandshakeWait: 7 * time.Second}, implicit(server))
		defer w.stop()
		c := w.dial()
		time.Sleep(7*time.Second - 1)
		c.expect("")
		time.Sleep(time.Nanosecond)
		c.expectEnd("")
	})
}

func TestCertificateThatDoesNotComeIsNotWaitedForForever(t *testing.T) {
	server, good := ends(t)
	server.Certificates = nil
	server.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		<-hello.Context().Done()
		return nil, hello.Context().Err()
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, implicit(server))
		defer w.stop()
		c := w.dialMute("192.0.2.9:1000")
		if err := tls.Client(c.nc, good).Handshake(); err == nil {
			t.Error("client's handshake succeeded")
		}
		synctest.Wait()
		if got := w.handshakes("timeout", "") + w.handshakes("no_certificate", ""); got != 1 {
			t.Errorf("counted %v failures, want 1; log: %s", got, w.log)
		}
	})
}

func TestHandshakeEndsWhenTheConnectionHasToGo(t *testing.T) {
	server, good := ends(t)
	for _, way := range ways {
		for _, stalls := range []string{"before its hello", "after its hello"} {
			for _, tt := range []struct{ name, why string }{
				{"shed", whyShed}, {"shutdown", "TLS handshake: ended by shutdown"},
			} {
				t.Run(way.name+"/"+stalls+"/"+tt.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t, Options{MaxConns: 1, Grace: time.Hour}, way.listener(server))
						defer w.stop()
						c := w.dialMute("192.0.2.9:1000")
						way.before(c)
						if stalls == "after its hello" {
							io.WriteString(c.nc, helloOf(t, good)) // and reads no answer
						}
						synctest.Wait()
						if tt.name == "shutdown" {
							if err := <-w.shutdown(t.Context()); err != nil {
								t.Errorf("Shutdown: got %v, want nil", err)
							}
						} else {
							time.Sleep(shedAge)
							w.dialMute("192.0.2.10:1000")
						}
						synctest.Wait()
						if n := w.handshakes(tt.name, ""); n != 1 {
							t.Errorf("counted %v handshakes with result %s, want 1", n, tt.name)
						}
						if !strings.Contains(w.log.String(), tt.why) {
							t.Errorf("log lacks %q: %s", tt.why, w.log)
						}
					})
				})
			}
		}
	}
}

func TestNoHandshakeBeginsAfterShutdown(t *testing.T) {
	server, _ := ends(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Grace: time.Hour}, upgrading(server))
		defer w.stop()
		c := w.dial()
		c.send("tls later\r\n")
		synctest.Wait()
		result := w.shutdown(t.Context())
		close(w.rec.block)
		c.expectEnd("hi\r\ngo ahead\r\n")
		if err := <-result; err != nil {
			t.Errorf("Shutdown: got %v, want nil", err)
		}
		if !strings.Contains(w.log.String(), "why=shutdown") {
			t.Errorf("log: %s", w.log)
		}
	})
}

func TestNewcomerWithoutRoomGetsNoHandshake(t *testing.T) {
	server, good := ends(t)
	for _, tt := range []struct {
		name string
		o    Options
	}{
		{"of all", Options{MaxConns: 1}},
		{"of the address", Options{MaxConnsPerAddr: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.o, implicit(server))
				defer w.stop()
				first, _ := w.dialTLS(good)
				first.expect("hi\r\n")
				late := w.dial()
				late.expectEnd("")
				first.send("echo a\r\n")
				first.expect("a\r\n")
				if n := w.rec.count("start"); n != 1 {
					t.Errorf("%d sessions started, want 1", n)
				}
			})
		})
	}
}

func TestSessionOverTLSIsShedWithAWord(t *testing.T) {
	server, good := ends(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{MaxConns: 1}, implicit(server))
		defer w.stop()
		first, _ := w.dialTLS(good)
		first.expect("hi\r\n")
		time.Sleep(shedAge)
		second, _ := w.dialTLS(good)
		second.expect("hi\r\n")
		first.expectEnd("event shed\r\n")
	})
}
