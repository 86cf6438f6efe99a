package netserver

import (
	"io"
	"net"
	"testing"
	"time"

	"postrider/internal/session"
)

// FuzzDriver sends random octets in random pieces to a session. Whatever they
// are, the connection ends soon after its peer, each session hears Closed once,
// and the server does not go down.
func FuzzDriver(f *testing.F) {
	for _, d := range dialogues {
		if len(d.send) < 1000 {
			f.Add([]byte(d.send), uint16(3), d.teach)
		}
	}
	f.Add([]byte(""), uint16(23), false)
	f.Add([]byte("become\r\n"), uint16(34), false)
	for _, how := range []string{"quiet", "start", "body"} {
		f.Add([]byte("become "+how+"\r\nmore\r\n"), uint16(100), false)
	}
	f.Add([]byte("body 70000\r\nocto\r\noctets 5\r\nabc.\r\ndata\r\n.\r\n"), uint16(1), false)
	f.Fuzz(func(t *testing.T, in []byte, seed uint16, teach bool) {
		if len(in) > 1<<14 {
			return
		}
		rec := &record{block: make(chan struct{})}
		close(rec.block)
		p := newPipes()
		srv := New(Options{WriteWait: 5 * time.Second, Grace: 5 * time.Second})
		go srv.Serve(p, Listener{
			Listener: session.Listener{Name: "fuzz", Teach: teach}, Wait: 5 * time.Second,
			New: func() session.Session { return &fake{rec: rec} },
		})
		near, far := net.Pipe()
		p.conns <- far
		heard := make(chan struct{})
		go func() { io.Copy(io.Discard, near); close(heard) }()
		for rest, step := in, uint32(seed); len(rest) > 0; {
			step = step*1664525 + 1013904223
			k := min(1+int(step>>16)%(1+int(seed%700)), len(rest))
			if _, err := near.Write(rest[:k]); err != nil {
				break
			}
			rest = rest[k:]
		}
		near.Close()
		<-heard
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: got %v, want nil", err)
		}
		// There is no session if the shutdown was faster than a peer that had nothing to
		// say; and the last of those that went on with its connection may not have been
		// started.
		if started, unstarted := rec.checkLives(t); unstarted > 1 || started == 0 && len(in) > 0 {
			t.Errorf("%d sessions were started, %d were not", started, unstarted)
		}
	})
}

// FuzzHandshake sends random octets in two pieces where a handshake is due, with
// and without an upgrade before. Whatever they are, no session gets to see them,
// and the server does not go down.
func FuzzHandshake(f *testing.F) {
	server, good := ends(f)
	hello := helloOf(f, good)
	f.Add([]byte(hello), uint16(5), false)
	f.Add([]byte(hello[:len(hello)/2]), uint16(100), true)
	f.Add([]byte(hello+injected), uint16(1), false)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint16(4), false)
	f.Add([]byte("EHLO x\r\n"), uint16(0), true)
	f.Add([]byte("\x15\x03\x01\x00\x02\x02\x28"), uint16(6), false)
	f.Add([]byte("\x80\x2e\x01\x00\x02"), uint16(2), false)
	f.Fuzz(func(t *testing.T, in []byte, cut uint16, upgrade bool) {
		if len(in) > 1<<14 {
			return
		}
		rec := &record{}
		l := implicit(server)
		if upgrade {
			l = upgrading(server)
		}
		l.New = func() session.Session { return &fake{rec: rec} }
		p := newPipes()
		srv := New(Options{HandshakeWait: 5 * time.Second, WriteWait: 5 * time.Second, Grace: 5 * time.Second})
		go srv.Serve(p, l)
		near, far := net.Pipe()
		p.conns <- far
		c := &client{nc: near}
		if upgrade {
			go c.send("tls\r\n")
			io.CopyN(io.Discard, near, int64(len("hi\r\ngo ahead\r\n")))
		}
		heard := make(chan struct{})
		go func() { io.Copy(io.Discard, near); close(heard) }()
		k := min(int(cut), len(in))
		c.send(string(in[:k]))
		c.send(string(in[k:]))
		near.Close()
		<-heard
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: got %v, want nil", err)
		}
		if n := rec.count("tls") + rec.count("start"); upgrade && n != 1 || !upgrade && n != 0 {
			t.Errorf("upgrade %t: got %d starts and TLSReady", upgrade, n)
		}
	})
}
