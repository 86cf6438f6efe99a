package netserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/netconn"
	"postrider/internal/tlsfacts"
)

func TestDialogueIsTheSameOverTLS(t *testing.T) {
	server, cfg := ends(t)
	for _, way := range ways {
		for _, tt := range dialogues {
			for _, step := range []int{3, 1 << 20} {
				t.Run(fmt.Sprintf("%s/%s/%d", way.name, tt.name, step), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						l := way.listener(server)
						l.Teach = tt.teach
						w := newWorld(t, Options{}, l)
						defer w.stop()
						c := w.dialMute("192.0.2.9:1000")
						way.before(c)
						c.secure(cfg)
						c.expect(map[bool]string{true: "hi\r\n"}[way.name == "implicit"])
						for in := tt.send; len(in) > 0; {
							k := min(step, len(in))
							c.send(in[:k])
							in = in[k:]
						}
						if tt.ends {
							c.expectEnd(tt.want)
						} else {
							c.expect(tt.want)
						}
						if got := w.rec.contents(); tt.data != nil && fmt.Sprint(got) != fmt.Sprint(tt.data) {
							t.Errorf("content: got %q, want %q", got, tt.data)
						}
					})
				})
			}
		}
	}
}

func TestPipelinedGroupIsAnsweredInOneWriteOverTLS(t *testing.T) {
	server, cfg := ends(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, implicit(server))
		defer w.stop()
		c, _ := w.dialTLS(cfg)
		c.expect("hi\r\n")
		before := c.server.writes.Load()
		c.send("echo a\r\necho b\r\ndata\r\n")
		c.expect("a\r\nb\r\ngo on\r\n")
		if got := c.server.writes.Load() - before; got != 1 {
			t.Errorf("got %d writes, want 1", got)
		}
	})
}

func TestBodyIsWrittenInLargeRecords(t *testing.T) {
	server, cfg := ends(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, implicit(server))
		defer w.stop()
		c, _ := w.dialTLS(cfg)
		c.expect("hi\r\n")
		before := c.server.writes.Load()
		c.send(fmt.Sprintf("body %d\r\n", netconn.BlockSize-6))
		c.expect("body\r\n" + strings.Repeat("b", netconn.BlockSize-6))
		if got, want := c.server.writes.Load()-before, int64(netconn.BlockSize/(16<<10)); got != want {
			t.Errorf("got %d writes, want %d", got, want)
		}
	})
}

func TestEndOverTLSIsToldByCloseNotify(t *testing.T) {
	server, cfg := ends(t)
	for _, tt := range []struct {
		name, send, last string
		wait             time.Duration
	}{
		{"quit", "quit\r\n", "bye\r\n", 0},
		{"timeout", "ech", "event timeout\r\n", DefaultWait + slack(DefaultWait)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{}, implicit(server))
				defer w.stop()
				c := w.dialMute("192.0.2.9:1000")
				heard := &tapped{Conn: c.nc}
				c.nc = heard
				older := cfg.Clone() // which shows an alert as one
				older.MaxVersion = tls.VersionTLS12
				c.secure(older)
				c.expect("hi\r\n")
				c.send(tt.send)
				time.Sleep(tt.wait)
				c.expectEnd(tt.last)
				const alert = 21 // RFC 5246 §6.2.1
				if !errors.Is(c.err, io.EOF) || heard.last[0] != alert {
					t.Errorf("client's connection ended by %v after %x, want a clean end", c.err, heard.last)
				}
				if !strings.Contains(w.log.String(), "tls=TLSv1.2") {
					t.Errorf("log lacks the version: %s", w.log)
				}
			})
		})
	}
}

// heldWrites keeps what is written once hold is set.
type heldWrites struct {
	net.Conn
	hold bool
	kept []byte
}

func (h *heldWrites) Write(p []byte) (int, error) {
	if !h.hold {
		return h.Conn.Write(p)
	}
	h.kept = append(h.kept, p...)
	return len(p), nil
}

// tapped keeps what was read last.
type tapped struct {
	net.Conn
	last []byte
}

func (t *tapped) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if n > 0 {
		t.last = append(t.last[:0], p[:n]...)
	}
	return n, err
}

// headFirst sends a header before what is written first, together with so many
// octets of that.
type headFirst struct {
	net.Conn
	head  string
	first func(string) int
}

func (h *headFirst) Write(p []byte) (int, error) {
	if h.head == "" {
		return h.Conn.Write(p)
	}
	k := h.first(string(p))
	packet := append([]byte(h.head), p[:k]...)
	h.head = ""
	if _, err := h.Conn.Write(packet); err != nil {
		return 0, err
	}
	if k == len(p) {
		return k, nil
	}
	n, err := h.Conn.Write(p[k:])
	return k + n, err
}

func TestWaitWithinARecordIsInterrupted(t *testing.T) {
	server, cfg := ends(t)
	for _, tt := range []struct {
		name, last string
		act        func(w *world)
	}{
		{"shutdown", "event shutdown\r\n", func(w *world) { w.shutdown(w.t.Context()) }},
		{"timeout", "event timeout\r\n", func(*world) { time.Sleep(DefaultWait + slack(DefaultWait)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{}, implicit(server))
				defer w.stop()
				c := w.dialMute("192.0.2.9:1000")
				held := &heldWrites{Conn: c.nc}
				c.nc = held
				c.secure(cfg)
				c.expect("hi\r\n")
				held.hold = true
				c.send("echo a\r\n")
				held.Conn.Write(held.kept[:len(held.kept)/2])
				synctest.Wait()
				tt.act(w)
				c.expectEnd(tt.last)
			})
		})
	}
}

func TestPeerThatGoesWithoutCloseNotifyIsLoggedAsClosed(t *testing.T) {
	server, cfg := ends(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, implicit(server))
		defer w.stop()
		c := w.dialMute("192.0.2.9:1000")
		raw := c.nc
		c.secure(cfg)
		c.expect("hi\r\n")
		raw.Close()
		synctest.Wait()
		if !strings.Contains(w.log.String(), `why="closed by peer"`) {
			t.Errorf("log: %s", w.log)
		}
		if n := w.rec.count("closed"); n != 1 {
			t.Errorf("Closed came %d times, want once", n)
		}
	})
}

func TestPeerThatDoesNotReadIsClosedOverTLS(t *testing.T) {
	server, cfg := ends(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{WriteWait: time.Minute}, implicit(server))
		defer w.stop()
		c := w.dialMute("192.0.2.9:1000")
		over := tls.Client(c.nc, cfg)
		if err := over.Handshake(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute + slack(time.Minute))
		synctest.Wait()
		if n := w.rec.count("closed"); n != 1 {
			t.Errorf("Closed came %d times, want once", n)
		}
		if !strings.Contains(w.log.String(), `why="peer does not read"`) {
			t.Errorf("connection is not closed at once: log %s", w.log)
		}
		c.nc.Close()
	})
}

func TestProxyHeaderBeforeTLS(t *testing.T) {
	server, cfg := ends(t)
	const header = "PROXY TCP4 198.51.100.7 203.0.113.1 4000 465\r\n"
	for _, tt := range []struct {
		name  string
		first func(hello string) int // octets of the hello in the header's packet
	}{
		{"apart", func(string) int { return 0 }},
		{"with the first octet", func(string) int { return 1 }},
		{"with a record's header", func(string) int { return 5 }},
		{"with more", func(string) int { return 50 }},
		{"with all", func(hello string) int { return len(hello) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := trusting()
				l.TLS, l.Implicit = server, true
				w := newWorld(t, Options{}, l)
				defer w.stop()
				c := w.dialMute("192.0.2.9:1000")
				c.nc = &headFirst{Conn: c.nc, head: header, first: tt.first}
				c.secure(cfg)
				c.expect("hi\r\n")
				c.send("echo a\r\nquit\r\n")
				c.expectEnd("a\r\nbye\r\n")
				if got := w.rec.lastConn().Remote.String(); got != "198.51.100.7:4000" {
					t.Errorf("got %s, want the client's address", got)
				}
				if want := "octets_in=14 octets_out=12"; !strings.Contains(w.log.String(), want) {
					t.Errorf("log lacks %s: %s", want, w.log)
				}
			})
		})
	}
}

func TestTicketIsGoodForTheNextConnection(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, own := range []bool{false, true} {
			for _, way := range ways {
				t.Run(fmt.Sprintf("%s/%s/own=%t", way.name, tls.VersionName(version), own), func(t *testing.T) {
					server, cfg := ends(t)
					cfg.ClientSessionCache = tls.NewLRUClientSessionCache(4)
					cfg.MaxVersion = version
					if own {
						plain := server.Clone()
						server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return plain.Clone(), nil }
					}
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t, Options{}, way.listener(server))
						defer w.stop()
						for i, want := range []bool{false, true, true} {
							c := w.dialMute("192.0.2.9:1000")
							way.before(c)
							got := c.secure(cfg).DidResume
							c.send("quit\r\n")
							synctest.Wait()
							if got != want {
								t.Errorf("connection %d: resumed %t, want %t", i, got, want)
							}
						}
						for result, want := range map[string]float64{"ok": 1, "resumed": 2} {
							if got := w.handshakes(result, tlsfacts.Version(version)); got != want {
								t.Errorf("counted %v handshakes with result %s, want %v", got, result, want)
							}
						}
					})
				})
			}
		}
	}
}

func TestServeRefusesTLSThatIsNotSetUp(t *testing.T) {
	server, _ := ends(t)
	for _, tt := range []struct {
		name string
		l    Listener
		want error
	}{
		{"upgrade", upgrading(nil), errNoTLS},
		{"implicit", implicit(nil), errNoTLS},
		{"no certificate", implicit(&tls.Config{}), errNoCertificate},
		{"no certificate for upgrades", upgrading(&tls.Config{}), errNoCertificate},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := New(Options{}).Serve(newPipes(), tt.l); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		newWorld(t, Options{}, implicit(server)).stop()
	})
}

func TestSessionMayNotAskForTLSWhereThereIsNone(t *testing.T) {
	server, cfg := ends(t)
	for _, tt := range []struct {
		name string
		l    Listener
	}{
		{"none", Listener{}},
		{"not for upgrades", Listener{TLS: server}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{}, tt.l)
				defer w.stop()
				c := w.dial()
				c.send("tls\r\n")
				c.expectEnd("hi\r\ngo ahead\r\n")
				if want := errNoTLS.Error(); !strings.Contains(w.log.String(), want) {
					t.Errorf("log lacks %q: %s", want, w.log)
				}
			})
		})
	}
	t.Run("twice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{}, upgrading(server))
			defer w.stop()
			c := w.dialMute("192.0.2.9:1000")
			c.askTLS("")
			c.secure(cfg)
			c.send("tls\r\n")
			c.expectEnd("go ahead\r\n")
			if want := errTLSTwice.Error(); !strings.Contains(w.log.String(), want) {
				t.Errorf("log lacks %q: %s", want, w.log)
			}
		})
	})
}

func TestUpgradeTellsTheSessionBeforeItGoesOn(t *testing.T) {
	server, cfg := ends(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, upgrading(server))
		defer w.stop()
		c := w.dialMute("192.0.2.9:1000")
		c.read("hi\r\n")
		if w.rec.lastConn().TLS != nil {
			t.Error("session sees TLS before it asked")
		}
		c.send("tls\r\n")
		c.read("go ahead\r\n")
		c.secure(cfg)
		c.send("echo a\r\n")
		c.expect("a\r\n")
		if n := w.rec.count("tls TLSv1.3"); n != 1 {
			t.Errorf("TLSReady came %d times with Conn.TLS set, want once", n)
		}
	})
}
