package netclient

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/internal/dialogue"
	"postrider/internal/session"
	"postrider/internal/smtp"
)

// sameMessage gives one message n times.
type sameMessage struct {
	out   *smtp.Outgoing
	n     int
	taken int
}

func (s *sameMessage) Next(context.Context, *smtp.Peer) *smtp.Outgoing {
	if s.n == 0 {
		return nil
	}
	s.n--
	return s.out
}

func (s *sameMessage) Done(_ *smtp.Outgoing, r *smtp.Result) {
	if reply := r.Recipients[0].Reply; reply != nil && reply.Code == 250 {
		s.taken++
	}
}

var kibibyte = "Subject: x\r\n\r\n" + strings.Repeat("a line of 64 octets ............................................\r\n", 16)

// memoryContent is a content without allocations of its own.
type memoryContent struct {
	content
	text string
}

func (c *memoryContent) Size() int64 { return int64(len(c.text)) }

func (c *memoryContent) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, c.text)
	return int64(n), err
}

func newSameMessage(n int) *sameMessage {
	out := outgoing("", "b@x.test")
	c := &memoryContent{text: kibibyte}
	out.Open = func(context.Context, smtp.Form) (smtp.OutgoingContent, error) { return c, nil }
	return &sameMessage{out: out, n: n}
}

// BenchmarkSession is a delivery of 1 KiB on a reused connection, without the
// network: what the session costs.
func BenchmarkSession(b *testing.B) {
	s := newSameMessage(b.N)
	m := dialogue.NewMemory(smtp.NewClient(smtp.ClientOptions{Hostname: "me.test"}, s), &session.Conn{
		Context: b.Context(), Listener: &session.Listener{}, Now: time.Now,
	})
	buf := make([]byte, 64<<10)
	say := func(text string) {
		_, _ = m.Write([]byte(text))
		_, _ = m.Read(buf)
	}
	say("220 x\r\n")
	say("250-x\r\n250-SIZE 1000000\r\n250 PIPELINING\r\n")
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		say("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n")
		say("250 2.0.0 Ok: queued as 12345\r\n")
	}
	if s.taken != b.N {
		b.Fatalf("%d of %d were taken", s.taken, b.N)
	}
}

// BenchmarkDelivery is the same over loopback, with a server that does nothing but
// answer: its cost, and the kernel's, are in it.
func BenchmarkDelivery(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	go answer(ln)
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	s := newSameMessage(b.N)
	b.ReportAllocs()
	if err := Converse(b.Context(), nc, smtp.NewClient(smtp.ClientOptions{Hostname: "me.test"}, s), Options{}); err != nil {
		b.Fatal(err)
	}
	if s.taken != b.N {
		b.Fatalf("%d of %d were taken", s.taken, b.N)
	}
}

// answer is the server: a flight that ends in DATA gets three replies, another
// one.
func answer(ln net.Listener) {
	nc, err := ln.Accept()
	if err != nil {
		return
	}
	defer nc.Close()
	group := []byte("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n")
	single := []byte("250 2.0.0 Ok: queued as 12345\r\n")
	hello := []byte("250-x\r\n250-SIZE 1000000\r\n250 PIPELINING\r\n")
	_, err = nc.Write([]byte("220 x\r\n"))
	buf := make([]byte, 64<<10)
	for err == nil {
		var n int
		if n, err = nc.Read(buf); err != nil {
			return
		}
		switch text := buf[:n]; {
		case strings.HasPrefix(string(text[:4]), "EHLO"):
			_, err = nc.Write(hello)
		case strings.HasPrefix(string(text[:4]), "MAIL"):
			_, err = nc.Write(group)
		default:
			_, err = nc.Write(single)
		}
	}
}
