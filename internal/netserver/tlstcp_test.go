package netserver

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"postrider/internal/session"
)

// overTLS makes the client's handshake of a connection.
func overTLS(t testing.TB, c net.Conn, cfg *tls.Config) (*tls.Conn, *bufio.Reader) {
	t.Helper()
	over := tls.Client(c, cfg)
	if err := over.Handshake(); err != nil {
		t.Fatal(err)
	}
	return over, bufio.NewReader(over)
}

func TestDialogueOverTLSAndTCP(t *testing.T) {
	server, good := ends(t)
	for _, way := range ways {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(way.name+"/"+tls.VersionName(version), func(t *testing.T) {
				ln := listen(t, "127.0.0.1:0")
				l := way.listener(server)
				l.New = func() session.Session { return &fake{rec: &record{}} }
				serveAs(t, Options{}, ln, l)
				cfg := good.Clone()
				cfg.MaxVersion = version
				raw, r := dialTCP(t, "tcp", ln.Addr().String())
				if !l.Implicit {
					expectLine(t, r, "hi")
					io.WriteString(raw, "tls\r\n")
					expectLine(t, r, "go ahead")
				}
				c, r := overTLS(t, raw, cfg)
				if l.Implicit {
					expectLine(t, r, "hi")
				}
				fmt.Fprintf(c, "echo a\r\ndata\r\n")
				expectLine(t, r, "a")
				expectLine(t, r, "go on")
				text := strings.Repeat("some text\r\n", 50_000)
				io.WriteString(c, text+".\r\nbody 1000000\r\nquit\r\n")
				expectLine(t, r, fmt.Sprintf("got %d <nil>", len(text)))
				rest, err := io.ReadAll(r)
				if want := "body\r\n" + strings.Repeat("b", 1_000_000) + "bye\r\n"; string(rest) != want || err != nil {
					t.Errorf("got %q, %v; want %q", brief(string(rest)), err, brief(want))
				}
			})
		}
	}
}

func TestLastWordOverTLSReachesAPeerThatSendsOn(t *testing.T) {
	server, good := ends(t)
	ln := listen(t, "127.0.0.1:0")
	l := implicit(server)
	l.New = func() session.Session { return &fake{rec: &record{}} }
	serveAs(t, Options{}, ln, l)
	for range 10 {
		raw, _ := dialTCP(t, "tcp", ln.Addr().String())
		c, r := overTLS(t, raw, good)
		io.WriteString(c, "quit\r\n"+strings.Repeat("more\r\n", 30_000))
		got, err := io.ReadAll(r)
		if string(got) != "hi\r\nbye\r\n" || err != nil {
			t.Fatalf("got %q, %v; want the greeting, the last word and a clean end", got, err)
		}
		raw.Close()
	}
}

// BenchmarkIdleTLSConnection is BenchmarkIdleConnection over TLS. The clients
// forget their side of it before the memory is looked at.
func BenchmarkIdleTLSConnection(b *testing.B) {
	const n = 500
	server, good := ends(b)
	for b.Loop() {
		ln := listen(b, "127.0.0.1:0")
		var clients []net.Conn
		for range n {
			c, _ := dialTCP(b, "tcp", ln.Addr().String())
			clients = append(clients, c)
		}
		before := inUse()
		l := implicit(server)
		l.New = func() session.Session { return &fake{rec: &record{}} }
		serveAs(b, Options{MaxConnsPerAddr: -1}, ln, l)
		for _, c := range clients {
			_, r := overTLS(b, c, good)
			expectLine(b, r, "hi")
		}
		b.ReportMetric(float64(inUse()-before)/n, "octets/conn")
	}
}

// BenchmarkHandshake is a connection with nothing but its handshake, greeting
// and quit, both sides of it.
func BenchmarkHandshake(b *testing.B) {
	server, good := ends(b)
	resuming := good.Clone()
	resuming.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for _, bb := range []struct {
		name string
		cfg  *tls.Config
	}{{"whole", good}, {"resumed", resuming}} {
		b.Run(bb.name, func(b *testing.B) {
			ln := listen(b, "127.0.0.1:0")
			l := implicit(server)
			l.New = func() session.Session { return &fake{rec: &record{}} }
			serveAs(b, Options{}, ln, l)
			b.ReportAllocs()
			for b.Loop() {
				raw, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				c := tls.Client(raw, bb.cfg)
				io.WriteString(c, "quit\r\n")
				if _, err := io.ReadAll(c); err != nil {
					b.Fatal(err)
				}
				raw.Close()
			}
		})
	}
}
