package netserver

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"postrider/internal/mail"
	"postrider/internal/session"
	"postrider/internal/smtp"
	"postrider/internal/wire"
)

// turner is a session that hands its connection on, whatever it hears.
type turner struct {
	next   session.Session
	events []session.Event
}

func (s *turner) Start(*session.Conn) session.Step { return say("hi") }
func (s *turner) Data(int64, error) session.Step   { return session.Step{} }
func (s *turner) Event(e session.Event) session.Step {
	s.events = append(s.events, e)
	return session.Step{Next: session.Close}
}

func (s *turner) Line(wire.Line) session.Step {
	return session.Step{Reply: []byte("250 your turn\r\n"), Become: s.next}
}

// oneMessage is a client's source.
type oneMessage struct {
	out    *smtp.Outgoing
	result *smtp.Result
	done   chan struct{}
}

func (s *oneMessage) Next(context.Context, *smtp.Peer) *smtp.Outgoing {
	out := s.out
	s.out = nil
	return out
}

func (s *oneMessage) Done(_ *smtp.Outgoing, r *smtp.Result) {
	s.result = r
	close(s.done)
}

type text struct{ *strings.Reader }

func (t text) Body() mail.BodyType { return mail.Body7Bit }
func (t text) Close() error        { return nil }

func newOneMessage() *oneMessage {
	return &oneMessage{done: make(chan struct{}), out: &smtp.Outgoing{
		Envelope: mail.Envelope{Recipients: []mail.Recipient{{Address: mail.Address{Local: "b", Domain: "x.test"}}}},
		Open: func(context.Context, smtp.Form) (smtp.OutgoingContent, error) {
			return text{strings.NewReader("Subject: x\r\n\r\n.\r\n")}, nil
		},
	}}
}

// turnTCP serves one listener on loopback and returns where, and what stops it.
func turnTCP(t *testing.T, l Listener) (addr string, stop func()) {
	t.Helper()
	srv := New(Options{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln, l) }()
	return ln.Addr().String(), func() {
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestAConnectionGoesOnWithAnotherSession: a client's session sends mail to who
// has connected (RFC 2645 §4).
func TestAConnectionGoesOnWithAnotherSession(t *testing.T) {
	for _, teach := range []bool{false, true} {
		source := newOneMessage()
		first := &turner{next: smtp.NewClient(smtp.ClientOptions{Hostname: "me.test", TLS: smtp.TLSNever}, source)}
		addr, stop := turnTCP(t, Listener{
			Listener: session.Listener{Name: "t", Teach: teach},
			New:      func() session.Session { return first },
		})
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		send(t, nc, "hi\r\n", "ATRN\r\n")
		send(t, nc, "250 your turn\r\n", "220 x ESMTP\r\n")
		send(t, nc, "EHLO me.test\r\n", "250-x\r\n250 PIPELINING\r\n")
		send(t, nc, "MAIL FROM:<>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n", "250 ok\r\n250 ok\r\n354 go\r\n")
		send(t, nc, "Subject: x\r\n\r\n..\r\n.\r\n", "250 taken\r\n")
		send(t, nc, "QUIT\r\n", "221 bye\r\n")
		if _, err := io.ReadFull(nc, make([]byte, 1)); err != io.EOF {
			t.Errorf("got %v at the end, want EOF", err)
		}
		nc.Close()
		<-source.done
		stop()
		if r := source.result; r == nil || r.Recipients[0].Reply == nil || r.Recipients[0].Reply.Code != 250 || r.Lost != "" {
			t.Errorf("got %+v", r)
		}
		if len(first.events) != 1 || first.events[0] != session.Closed {
			t.Errorf("the session before heard %v, want Closed once", first.events)
		}
	}
}

// send reads what is wanted and then says something.
func send(t *testing.T, nc net.Conn, want, say string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(nc, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v, want %q", got[:n], err, want)
	}
	if _, err := nc.Write([]byte(say)); err != nil {
		t.Fatal(err)
	}
}

// TestALostConnectionIsToldToWhoHasItNow and to nobody else.
func TestALostConnectionIsToldToWhoHasItNow(t *testing.T) {
	source := newOneMessage()
	first := &turner{next: smtp.NewClient(smtp.ClientOptions{Hostname: "me.test"}, source)}
	addr, stop := turnTCP(t, Listener{Listener: session.Listener{Name: "t"}, New: func() session.Session { return first }})
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	send(t, nc, "hi\r\n", "ATRN\r\n")
	send(t, nc, "250 your turn\r\n", "220 x ESMTP\r\n")
	send(t, nc, "EHLO me.test\r\n", "")
	nc.Close()
	<-source.done
	stop()
	if r := source.result; r == nil || r.Lost != smtp.StageHello {
		t.Errorf("got %+v", r)
	}
	if len(first.events) != 1 {
		t.Errorf("the session before heard %v, want Closed once", first.events)
	}
}

// TestWhoGetsAConnectionCanNotAskForTLS: the driver would play the server's part.
func TestWhoGetsAConnectionCanNotAskForTLS(t *testing.T) {
	server, _ := ends(t)
	source := newOneMessage()
	first := &turner{next: smtp.NewClient(smtp.ClientOptions{Hostname: "me.test"}, source)}
	addr, stop := turnTCP(t, Listener{
		Listener: session.Listener{Name: "t", StartTLS: true}, TLS: server,
		New: func() session.Session { return first },
	})
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	send(t, nc, "hi\r\n", "ATRN\r\n")
	send(t, nc, "250 your turn\r\n", "220 x ESMTP\r\n")
	send(t, nc, "EHLO me.test\r\n", "250-x\r\n250 STARTTLS\r\n")
	send(t, nc, "STARTTLS\r\n", "220 go\r\n")
	if _, err := io.ReadFull(nc, make([]byte, 1)); err == nil {
		t.Error("the connection goes on, want it closed")
	}
	nc.Close()
	<-source.done
	stop()
	if r := source.result; r == nil || r.Lost != smtp.StageTLS {
		t.Errorf("got %+v", r)
	}
}
