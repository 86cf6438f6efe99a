package netserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/session"
	"postrider/internal/wire"
)

// fake is a session of a small protocol that can do everything a session may
// ask of its driver.
type fake struct {
	rec  *record
	conn *session.Conn
	inTx bool
	sink bytes.Buffer
	mode session.Mode
	wait time.Duration
}

// record is what the sessions of a test have seen, in order.
type record struct {
	mu     sync.Mutex
	events []string
	data   []string
	conns  []*session.Conn
	lives  map[session.Session]*life
	block  chan struct{} // "block" waits for it
}

func (r *record) add(e string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *record) count(e string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, x := range r.events {
		if x == e {
			n++
		}
	}
	return n
}

func (r *record) contents() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.data)
}

func (r *record) lastConn() *session.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conns[len(r.conns)-1]
}

func (f *fake) Start(c *session.Conn) session.Step {
	f.conn = c
	f.rec.hear(f, "start")
	f.rec.mu.Lock()
	f.rec.conns = append(f.rec.conns, c)
	f.rec.mu.Unlock()
	return say("hi")
}

func say(s string) session.Step { return session.Step{Reply: []byte(s + "\r\n")} }

func (f *fake) Line(l wire.Line) session.Step {
	if l.Flaws != 0 && !f.conn.Listener.Teach || l.Flaws&wire.TooLong != 0 {
		return say(fmt.Sprintf("flawed %d", l.Flaws))
	}
	if f.mode == session.SecretLine {
		f.mode = session.Line
		return say("secret of " + fmt.Sprint(len(l.Bytes)))
	}
	word, arg, _ := strings.Cut(string(l.Bytes), " ")
	if do := fakeCommands[word]; do != nil {
		return do(f, arg)
	}
	return say("? " + string(l.Bytes))
}

var fakeCommands = map[string]func(f *fake, arg string) session.Step{
	"echo": func(f *fake, arg string) session.Step { return say(arg) },
	"log": func(f *fake, arg string) session.Step {
		s := say("ok")
		s.Log = arg
		return s
	},
	"wait": func(f *fake, arg string) session.Step {
		s := say("ok")
		s.Wait, _ = time.ParseDuration(arg)
		return s
	},
	"begin":  func(f *fake, _ string) session.Step { f.inTx = true; return say("ok") },
	"end":    func(f *fake, _ string) session.Step { f.inTx = false; return say("ok") },
	"data":   func(f *fake, _ string) session.Step { return f.want(session.Dots, 0, &f.sink) },
	"nosink": func(f *fake, _ string) session.Step { return f.want(session.Dots, 0, nil) },
	"full":   func(f *fake, _ string) session.Step { return f.want(session.Dots, 0, fullSink{}) },
	"evil":   func(f *fake, _ string) session.Step { return f.want(session.Dots, 0, evilSink{}) },
	"fullo":  func(f *fake, arg string) session.Step { return f.want(session.Octets, number(arg), fullSink{}) },
	"octets": func(f *fake, arg string) session.Step { return f.want(session.Octets, number(arg), &f.sink) },
	"body": func(f *fake, arg string) session.Step {
		s := say("body")
		s.Body = body(number(arg))
		return s
	},
	"badbody": func(f *fake, arg string) session.Step {
		s := say("body")
		s.Body = failingBody{}
		return s
	},
	"secret": func(f *fake, _ string) session.Step {
		f.mode = session.SecretLine
		s := say("go on")
		s.Next = session.SecretLine
		return s
	},
	"block": func(f *fake, _ string) session.Step {
		<-f.rec.block
		return say("unblocked")
	},
	"pass": func(f *fake, arg string) session.Step {
		s := say("secret of " + fmt.Sprint(len(arg)))
		s.Secret = true
		return s
	},
	"tls": func(f *fake, arg string) session.Step {
		if arg == "later" {
			<-f.rec.block
		}
		s := say("go ahead")
		s.Next = session.StartTLS
		return s
	},
	"panic": func(f *fake, arg string) session.Step { panic(arg) },
	"index": func(f *fake, arg string) session.Step { _ = arg[len(arg):][0]; return session.Step{} },
	"strange": func(f *fake, _ string) session.Step {
		return session.Step{Reply: []byte("what\r\n"), Next: 99}
	},
	"become": func(f *fake, arg string) session.Step {
		s := say("ok")
		s.Become, s.Next = &fake{rec: f.rec}, session.Close // Next is not looked at
		if arg != "" {
			s.Become = &other{rec: f.rec, fails: arg}
		}
		if arg == "body" {
			s.Body = evilBody{}
		}
		f.rec.inherits(s.Become)
		return s
	},
	"quit": func(f *fake, _ string) session.Step {
		s := say("bye")
		s.Next = session.Close
		return s
	},
}

func (f *fake) want(m session.Mode, n int64, sink io.Writer) session.Step {
	f.sink.Reset()
	s := say("go on")
	s.Next, s.N, s.Sink, s.Wait = m, n, sink, f.wait
	return s
}

func (f *fake) Data(n int64, err error) session.Step {
	f.rec.mu.Lock()
	f.rec.data = append(f.rec.data, f.sink.String())
	f.rec.mu.Unlock()
	return say(fmt.Sprintf("got %d %v", n, err))
}

var eventNames = map[session.Event]string{
	session.Timeout: "timeout", session.Shutdown: "shutdown", session.Shed: "shed",
	session.TLSReady: "tls", session.Flood: "flood", session.Closed: "closed",
}

func (f *fake) Event(e session.Event) session.Step {
	f.rec.hear(f, eventNames[e])
	if e == session.TLSReady {
		if t := f.conn.TLS; t != nil {
			f.rec.add("tls " + t.Version)
		}
		return session.Step{}
	}
	if e == session.Shutdown && f.inTx {
		return session.Step{}
	}
	s := say("event " + eventNames[e])
	s.Next = session.Close
	return s
}

type fullSink struct{}

var errDisk = errors.New("disk full")

func (fullSink) Write(p []byte) (int, error) { return 0, errDisk }

type evilSink struct{}

func (evilSink) Write(p []byte) (int, error) { panic("sink") }

// body writes a number of octets in pieces of 5,000.
type body int64

func (b body) WriteTo(w io.Writer) (n int64, err error) {
	piece := bytes.Repeat([]byte("b"), 5000)
	for n < int64(b) && err == nil {
		var k int
		k, err = w.Write(piece[:min(int64(len(piece)), int64(b)-n)])
		n += int64(k)
	}
	return n, err
}

type failingBody struct{}

func (failingBody) WriteTo(w io.Writer) (int64, error) { return 0, errDisk }

type evilBody struct{}

func (evilBody) WriteTo(w io.Writer) (int64, error) { panic("body") }

func number(s string) int64 {
	var n int64
	fmt.Sscan(s, &n)
	return n
}

// pipes is a net.Listener whose connections are made by dial.
type pipes struct {
	conns  chan net.Conn
	errs   chan error
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), errs: make(chan error), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case err := <-p.errs:
		return nil, err
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// pipeConn is the server's end of a pipe: it has TCP addresses, and counts.
type pipeConn struct {
	net.Conn
	remote net.Addr
	writes atomic.Int64
}

func (p *pipeConn) RemoteAddr() net.Addr { return p.remote }
func (p *pipeConn) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25} }

func (p *pipeConn) Write(b []byte) (int, error) {
	p.writes.Add(1)
	return p.Conn.Write(b)
}

// world is a server with one listener of pipes.
type world struct {
	t     *testing.T
	srv   *Server
	pipes *pipes
	rec   *record
	log   *logged
	done  chan error
}

// newWorld starts a server; it is shut down when the test ends. Call it within
// a bubble.
func newWorld(t *testing.T, o Options, l Listener) *world {
	w := &world{t: t, rec: &record{block: make(chan struct{})}, pipes: newPipes(), log: new(logged), done: make(chan error, 1)}
	o.Logger = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	if l.Name == "" {
		l.Name = "test"
	}
	if l.New == nil {
		l.New = func() session.Session { return &fake{rec: w.rec} }
	}
	w.srv = New(o)
	go func() { w.done <- w.srv.Serve(w.pipes, l) }()
	return w
}

// stop shuts the server down and checks what must be true of every session.
func (w *world) stop() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = w.srv.Shutdown(ctx) // it may have to cut
	if err := <-w.done; err != nil {
		w.t.Errorf("Serve: got %v, want nil", err)
	}
	w.rec.checkLives(w.t)
	w.srv.mu.Lock()
	defer w.srv.mu.Unlock()
	if n := len(w.srv.conns) + len(w.srv.perAddr) + w.srv.gate.active + w.srv.leaving; n != 0 {
		w.t.Errorf("server still counts: %d connections, %d addresses, %d active, %d leaving",
			len(w.srv.conns), len(w.srv.perAddr), w.srv.gate.active, w.srv.leaving)
	}
}

// dial connects from 192.0.2.9 and reads what comes.
func (w *world) dial() *client { return w.dialFrom("192.0.2.9:1000") }

func (w *world) dialFrom(addr string) *client {
	c := w.dialMute(addr)
	go c.readAll()
	return c
}

// dialMute connects and reads nothing.
func (w *world) dialMute(addr string) *client {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		w.t.Fatal(err)
	}
	near, far := net.Pipe()
	server := &pipeConn{Conn: far, remote: a}
	w.pipes.conns <- server
	return &client{t: w.t, nc: near, server: server, log: w.log}
}

// client is the peer of a session.
type client struct {
	t      *testing.T
	nc     net.Conn
	server *pipeConn
	log    *logged // of the server
	mu     sync.Mutex
	got    bytes.Buffer
	eof    bool
	err    error // that ended it
}

func (c *client) readAll() {
	b := make([]byte, 4096)
	for {
		n, err := c.nc.Read(b)
		c.mu.Lock()
		c.got.Write(b[:n])
		c.eof = c.eof || err != nil
		c.err = err
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// send sends s and does not mind if the connection ends meanwhile.
func (c *client) send(s string) {
	if s != "" {
		_, _ = io.WriteString(c.nc, s)
	}
}

// expect checks what has come since the last time, when all is quiet.
func (c *client) expect(want string) {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := c.got.String(); got != want {
		c.t.Errorf("got %q, want %q", brief(got), brief(want))
	}
	c.got.Reset()
}

// expectEnd is expect, and checks that the connection is closed after it.
func (c *client) expectEnd(want string) {
	c.t.Helper()
	c.expect(want)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.eof {
		c.t.Errorf("connection is open, want it closed")
	}
}

func brief(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%s…(%d)", s[:200], len(s))
	}
	return s
}

// logged is what the log has.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
