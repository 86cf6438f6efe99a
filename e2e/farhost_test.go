//go:build e2e

package e2e

import (
	"bytes"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/sinktest"
)

// farHost is where the server's queue goes: a sink on one port of loopback that
// is cut off and comes back, and that writes down each message that it has taken.
// What it wrote down outlives its connections and the server.
type farHost struct {
	t    *testing.T
	addr string

	mu     sync.Mutex
	ln     net.Listener // nil while nobody listens
	conns  map[*farConn]bool
	copies map[string][]*farCopy // by recipient
	count  int                   // connections since it was last cut off
	calm   bool                  // it does nothing wrong any more
	life   int                   // which of the server's lives it is
	// strike is called at a place within a conversation, at most once; what it does
	// is done before the conversation goes on.
	strike func()
	place  place
	left   int // places to pass before strike
	taken  chan struct{}
}

// place is where a conversation may be struck.
type place int

const (
	nowhere place = iota
	atCommand
	beforeReply // all of a message is there, the 250 is not sent
	afterReply  // the 250 is sent, and the client has said nothing since
)

// farCopy is one recipient's copy of a message that the host has taken.
type farCopy struct {
	id   string
	data []byte
	at   time.Time
	life int
	conn *farConn
	turn int // which of the connection's messages it is
}

// last reports whether nothing came on its connection after it: it was cut, by
// either side, when the whole message had been sent and nothing shows that the
// other side has seen the reply.
func (c *farCopy) last() bool {
	c.conn.host.mu.Lock()
	defer c.conn.host.mu.Unlock()
	return c.conn.turn == c.turn && !c.conn.wentOn
}

func startFarHost(t *testing.T) *farHost {
	h := &farHost{t: t, conns: map[*farConn]bool{}, copies: map[string][]*farCopy{}, taken: make(chan struct{}, 1)}
	h.listen("127.0.0.1:0")
	h.addr = h.ln.Addr().String()
	t.Cleanup(func() { h.cutOff(false) })
	return h
}

// listen lets the host be reached.
func (h *farHost) listen(addr string) {
	ln, err := net.Listen("tcp", addr)
	if err != nil { // somebody's outgoing connection has the port for a moment
		time.AfterFunc(100*time.Millisecond, func() { h.listen(addr) })
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ln = ln
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			h.serve(nc)
		}
	}()
}

// serve begins a conversation, and now and then cuts the host off instead.
func (h *farHost) serve(nc net.Conn) {
	c := &farConn{Conn: nc, host: h}
	h.mu.Lock()
	h.conns[c] = true
	h.count++
	away := !h.calm && h.count > 8 && rand.IntN(10) == 0
	h.mu.Unlock()
	if away {
		h.cutOff(true)
		return
	}
	go func() {
		sinktest.New(sinktest.Options{Hostname: "far.remote.test", On: c.on}).Serve(c)
		h.mu.Lock()
		delete(h.conns, c)
		h.mu.Unlock()
	}()
}

// cutOff cuts every connection and lets nobody in, for some moments or for good.
func (h *farHost) cutOff(comesBack bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ln == nil {
		return
	}
	h.ln.Close()
	h.ln, h.count = nil, 0
	for c := range h.conns {
		c.Conn.Close()
	}
	if comesBack {
		time.AfterFunc(time.Duration(50+rand.IntN(1000))*time.Millisecond, func() { h.listen(h.addr) })
	}
}

// behave ends all that is wrong with the host.
func (h *farHost) behave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calm, h.strike, h.place = true, nil, nowhere
}

// arm has strike called at the n-th time that a conversation comes to a place.
func (h *farHost) arm(p place, n int, strike func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.place, h.left, h.strike = p, n, sync.OnceFunc(strike)
}

// reached calls strike if its time has come.
func (h *farHost) reached(p place) {
	h.mu.Lock()
	var strike func()
	if h.place == p {
		if h.left--; h.left <= 0 {
			strike, h.place = h.strike, nowhere
		}
	}
	h.mu.Unlock()
	if strike != nil {
		strike()
	}
}

// newLife says that the server was started again.
func (h *farHost) newLife(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.life = n
}

// has returns the copies that a recipient got so far.
func (h *farHost) has(rcpt string) []*farCopy {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*farCopy(nil), h.copies[rcpt]...)
}

// farConn is one connection to the host.
type farConn struct {
	net.Conn
	host *farHost
	// Guarded by host.mu.
	turn    int
	wentOn  bool // the client has said something since the last message
	replies bool // the next write is the reply to a message
	drops   bool // and the connection is cut after it
}

// Write strikes between the reply to a message and what the client says to it.
func (c *farConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.host.mu.Lock()
	after, drops := c.replies, c.drops
	c.replies = false
	c.host.mu.Unlock()
	if after {
		c.host.reached(afterReply)
	}
	if drops {
		c.Conn.Close()
	}
	return n, err
}

// on answers, wrongly at random.
func (c *farConn) on(cmd sinktest.Command) sinktest.Answer {
	if cmd.Verb == "END" {
		return c.end(cmd.Message)
	}
	c.host.mu.Lock()
	calm := c.host.calm
	if cmd.Verb != "CONNECT" {
		c.wentOn = true
	}
	c.host.mu.Unlock()
	c.host.reached(atCommand)
	switch n := rand.IntN(100); {
	case calm:
	case n == 0:
		return sinktest.Answer{Drop: true}
	case n == 1:
		return sinktest.Answer{Text: "421 4.3.2 Not now", Drop: true}
	case n == 2 && cmd.Verb != "EHLO":
		return sinktest.Answer{Text: "451 4.3.0 Not now"}
	case n < 6 && cmd.Verb == "DATA":
		return sinktest.Answer{DropAfter: 1 + rand.Int64N(2000)}
	}
	return sinktest.Answer{}
}

// end takes a message, or loses the connection before or after that.
func (c *farConn) end(m *sinktest.Message) sinktest.Answer {
	h := c.host
	n := rand.IntN(50)
	h.mu.Lock()
	calm := h.calm
	h.mu.Unlock()
	if n == 0 && !calm {
		return sinktest.Answer{Text: "452 4.3.1 No room"}
	}
	if n == 1 && !calm {
		return sinktest.Answer{Drop: true} // it has all of it, and throws it away
	}
	h.mu.Lock()
	c.turn++
	c.wentOn = false
	for _, rcpt := range m.To() {
		id, _, _ := strings.Cut(rcpt, ".")
		h.copies[rcpt] = append(h.copies[rcpt], &farCopy{id, m.Data, time.Now(), h.life, c, c.turn})
	}
	h.mu.Unlock()
	select {
	case h.taken <- struct{}{}:
	default:
	}
	h.reached(beforeReply)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case calm:
	case n == 2 || n == 3:
		return sinktest.Answer{Drop: true, Take: true} // it has it, and does not say so
	case n == 4 || n == 5:
		c.drops = true // it says so, and is gone
	}
	c.replies = true
	return sinktest.Answer{}
}

// body returns what stands below the trace fields that servers have added.
func body(data []byte) []byte {
	for bytes.HasPrefix(data, []byte("Received: ")) {
		for first := true; first || len(data) > 0 && (data[0] == '\t' || data[0] == ' '); first = false {
			_, rest, _ := bytes.Cut(data, []byte("\r\n"))
			data = rest
		}
	}
	return data
}
