package netserver

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"
)

// v2 returns a version 2 header.
func v2(t *testing.T, h proxyproto.Header) string {
	t.Helper()
	h.Version = 2
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func tcp(ip string, port int) *net.TCPAddr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: port} }

func trusting() Listener {
	return Listener{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
}

func TestProxyHeaderNamesThePeer(t *testing.T) {
	four := proxyproto.Header{
		Command: proxyproto.PROXY, TransportProtocol: proxyproto.TCPv4,
		SourceAddr: tcp("198.51.100.7", 4000), DestinationAddr: tcp("203.0.113.1", 25),
	}
	mapped := proxyproto.Header{
		Command: proxyproto.PROXY, TransportProtocol: proxyproto.TCPv6,
		SourceAddr: tcp("::ffff:198.51.100.7", 4000), DestinationAddr: tcp("2001:db8::2", 25),
	}
	local := proxyproto.Header{Command: proxyproto.LOCAL}
	for _, tt := range []struct{ name, header, remote, local string }{
		{"v1 IPv4", "PROXY TCP4 198.51.100.7 203.0.113.1 4000 25\r\n", "198.51.100.7:4000", "203.0.113.1:25"},
		{"v1 IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 4000 25\r\n", "[2001:db8::1]:4000", "[2001:db8::2]:25"},
		{"v1 unknown", "PROXY UNKNOWN\r\n", "192.0.2.9:1000", "192.0.2.1:25"},
		{"v2", v2(t, four), "198.51.100.7:4000", "203.0.113.1:25"},
		{"v2 mapped", v2(t, mapped), "198.51.100.7:4000", "[2001:db8::2]:25"},
		{"v2 local", v2(t, local), "192.0.2.9:1000", "192.0.2.1:25"},
	} {
		for _, then := range []string{"", "echo a\r\n"} { // in the same packet
			t.Run(tt.name+then, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, Options{}, trusting())
					defer w.stop()
					c := w.dial()
					c.expect("")
					c.send(tt.header + then)
					c.expect(strings.Replace("hi\r\n"+then, "echo ", "", 1))
					got := w.rec.lastConn()
					if got.Remote.String() != tt.remote || got.Local.String() != tt.local {
						t.Errorf("got %v to %v, want %s to %s", got.Remote, got.Local, tt.remote, tt.local)
					}
				})
			})
		}
	}
}

func TestTrustedProxyMustSendAHeader(t *testing.T) {
	for _, tt := range []struct{ name, send string }{
		{"none", "EHLO x\r\n"},
		{"bad", "PROXY TCP4 1 2 3 4\r\n"},
		{"endless", "PROXY " + strings.Repeat("x", 2000)},
		{"v2 cut", string(proxyproto.SIGV2) + "\x21\x11\x00\x01x"},
		{"udp", v2(t, proxyproto.Header{
			Command: proxyproto.PROXY, TransportProtocol: proxyproto.UDPv4,
			SourceAddr:      &net.UDPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 1},
			DestinationAddr: &net.UDPAddr{IP: net.IPv4(198, 51, 100, 8), Port: 2},
		})},
		{"silence", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Options{}, trusting())
				defer w.stop()
				c := w.dial()
				c.send(tt.send)
				if tt.send == "" {
					time.Sleep(headerWait + slack(headerWait))
				}
				c.expectEnd("")
				if n := w.rec.count("start"); n != 0 {
					t.Errorf("%d sessions started, want none", n)
				}
				synctest.Wait()
				if tt.send == "" && !strings.Contains(w.log.String(), `why="PROXY header: timeout"`) {
					t.Errorf("the log doesn't say that it was the header:\n%s", w.log.String())
				}
			})
		})
	}
}

func TestProxyHeaderOfOthersIsInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, trusting())
		defer w.stop()
		c := w.dialFrom("198.51.100.99:1000")
		c.send("PROXY TCP4 1.2.3.4 203.0.113.1 4000 25\r\n")
		c.expect("hi\r\n? PROXY TCP4 1.2.3.4 203.0.113.1 4000 25\r\n")
		if got := w.rec.lastConn().Remote.String(); got != "198.51.100.99:1000" {
			t.Errorf("got %s, want the real address", got)
		}
	})
}

func TestLimitOfAnAddressCountsWhomTheProxyNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{MaxConnsPerAddr: 1}, trusting())
		defer w.stop()
		for _, tt := range []struct{ from, want string }{
			{"198.51.100.1", "hi\r\n"}, {"198.51.100.2", "hi\r\n"}, {"198.51.100.1", "event shed\r\n"},
		} {
			c := w.dial()
			c.send("PROXY TCP4 " + tt.from + " 203.0.113.1 4000 25\r\n")
			c.expect(tt.want)
		}
	})
}

func TestShutdownDoesNotWaitForAProxyHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, trusting())
		defer w.stop()
		w.dial()
		synctest.Wait()
		if err := w.srv.Shutdown(t.Context()); err != nil {
			t.Errorf("got %v, want nil", err)
		}
		if !strings.Contains(w.log.String(), "why=shutdown") {
			t.Errorf("the log doesn't say that it was the shutdown:\n%s", w.log.String())
		}
	})
}
