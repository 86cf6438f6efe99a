package netserver

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"postrider/internal/session"
	"postrider/internal/wire"
)

// listen returns a listener on a free port of an address. A machine without the
// address, IPv6's loopback say, fails the test: what is skipped is not tested.
func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	ln, err := Listen(t.Context(), address)
	if err != nil {
		t.Fatalf("listen on %s: %v", address, err)
	}
	return ln
}

// serveTCP serves fake sessions on ln until the test ends.
func serveTCP(t testing.TB, o Options, ln net.Listener) *record {
	t.Helper()
	rec := &record{}
	serveOn(t, o, ln, func() session.Session { return &fake{rec: rec} })
	return rec
}

// serveOn serves any sessions on ln until the test ends.
func serveOn(t testing.TB, o Options, ln net.Listener, sessions func() session.Session) {
	t.Helper()
	serveAs(t, o, ln, Listener{New: sessions})
}

// serveAs serves ln as l says until the test ends.
func serveAs(t testing.TB, o Options, ln net.Listener, l Listener) {
	t.Helper()
	srv := New(o)
	done := make(chan error, 1)
	l.Name = "tcp"
	go func() { done <- srv.Serve(ln, l) }()
	t.Cleanup(func() {
		if err := srv.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// dialTCP connects, with a deadline so that a defect ends the test.
func dialTCP(t testing.TB, network, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// expectLine reads a line and checks it.
func expectLine(t testing.TB, r *bufio.Reader, want string) {
	t.Helper()
	got, err := r.ReadString('\n')
	if err != nil || strings.TrimRight(got, "\r\n") != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func TestDialogueOverTCP(t *testing.T) {
	for _, tt := range []struct{ listen, dial, remote string }{
		{"127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
		{"[::1]:0", "::1", "::1"},
		{"[::]:0", "127.0.0.1", "127.0.0.1"},
	} {
		t.Run(tt.listen, func(t *testing.T) {
			ln := listen(t, tt.listen)
			rec := serveTCP(t, Options{}, ln)
			port := fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
			c, r := dialTCP(t, "tcp", net.JoinHostPort(tt.dial, port))
			expectLine(t, r, "hi")
			if got := rec.lastConn().Remote.Addr().String(); got != tt.remote {
				t.Errorf("session sees %s, want %s", got, tt.remote)
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

func TestLastWordReachesAPeerThatSendsOn(t *testing.T) {
	ln := listen(t, "127.0.0.1:0")
	serveTCP(t, Options{}, ln)
	for range 20 {
		c, r := dialTCP(t, "tcp", ln.Addr().String())
		io.WriteString(c, "quit\r\n"+strings.Repeat("more\r\n", 30_000))
		got, err := io.ReadAll(r)
		if string(got) != "hi\r\nbye\r\n" || err != nil {
			t.Fatalf("got %q, %v; want the greeting and the last word", got, err)
		}
		c.Close()
	}
}

func TestLimitOfAnAddressOverTCP(t *testing.T) {
	ln := listen(t, "127.0.0.1:0")
	serveTCP(t, Options{MaxConnsPerAddr: 1}, ln)
	_, r := dialTCP(t, "tcp", ln.Addr().String())
	expectLine(t, r, "hi")
	_, r = dialTCP(t, "tcp", ln.Addr().String())
	expectLine(t, r, "event shed")
}

// parrot answers every line and content with the same reply; content follows
// the line "data". It allocates nothing.
type parrot struct{}

var parrotReply = []byte("ok\r\n")

func (parrot) Start(*session.Conn) session.Step { return session.Step{Reply: []byte("hi\r\n")} }
func (parrot) Line(l wire.Line) session.Step {
	if string(l.Bytes) == "data" {
		return session.Step{Reply: parrotReply, Next: session.Dots}
	}
	return session.Step{Reply: parrotReply}
}
func (parrot) Data(int64, error) session.Step       { return session.Step{Reply: parrotReply} }
func (parrot) Event(session.Event) (s session.Step) { s.Next = session.Close; return s }

// BenchmarkDialogue is a transaction of two round trips, with 1,000 octets of
// content, over loopback.
func BenchmarkDialogue(b *testing.B) {
	ln := listen(b, "127.0.0.1:0")
	serveOn(b, Options{}, ln, func() session.Session { return parrot{} })
	c, r := dialTCP(b, "tcp", ln.Addr().String())
	expectLine(b, r, "hi")
	b.ReportAllocs()
	group := []byte("mail\r\nrcpt\r\ndata\r\n")
	content := []byte(strings.Repeat("ten octet\r\n", 91) + ".\r\n")
	for b.Loop() {
		for _, round := range []struct {
			send  []byte
			lines int
		}{{group, 3}, {content, 1}} {
			c.Write(round.send)
			for range round.lines {
				if _, err := r.ReadSlice('\n'); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

// BenchmarkConnection is a connection with nothing but its greeting and quit.
func BenchmarkConnection(b *testing.B) {
	ln := listen(b, "127.0.0.1:0")
	serveTCP(b, Options{}, ln)
	b.ReportAllocs()
	buf := make([]byte, 100)
	for b.Loop() {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		io.WriteString(c, "quit\r\n")
		for err == nil {
			_, err = c.Read(buf)
		}
		c.Close()
	}
}

// BenchmarkIdleConnection reports the memory of the driver's side of a
// connection that waits for a line: heap and stack, in octets.
func BenchmarkIdleConnection(b *testing.B) {
	const n = 500
	for b.Loop() {
		ln := listen(b, "127.0.0.1:0")
		var clients []net.Conn
		for range n {
			c, _ := dialTCP(b, "tcp", ln.Addr().String())
			clients = append(clients, c)
		}
		before := inUse()
		serveTCP(b, Options{MaxConnsPerAddr: -1}, ln)
		greeting := make([]byte, 4)
		for _, c := range clients {
			if _, err := io.ReadFull(c, greeting); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(inUse()-before)/n, "octets/conn")
	}
}

// inUse returns the octets of heap and stacks after a collection.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
