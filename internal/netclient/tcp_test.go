package netclient

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"postrider/internal/mail"
	"postrider/internal/netserver"
	"postrider/internal/session"
	"postrider/internal/smtp"
)

// content is a message in memory.
type content struct {
	io.WriterTo
	size int64
	body mail.BodyType
}

func (c *content) Size() int64         { return c.size }
func (c *content) Body() mail.BodyType { return c.body }
func (c *content) Close() error        { return nil }

func outgoing(text string, to ...string) *smtp.Outgoing {
	out := &smtp.Outgoing{Envelope: mail.Envelope{From: mail.Address{Local: "a", Domain: "example.test"}}}
	for _, r := range to {
		local, domain, _ := strings.Cut(r, "@")
		out.Envelope.Recipients = append(out.Envelope.Recipients, mail.Recipient{Address: mail.Address{Local: local, Domain: domain}})
	}
	out.Open = func(context.Context, smtp.Form) (smtp.OutgoingContent, error) {
		return &content{WriterTo: strings.NewReader(text), size: int64(len(text))}, nil
	}
	return out
}

// source gives messages in their order and keeps the results.
type source struct {
	waiting []*smtp.Outgoing
	results []*smtp.Result
}

func (s *source) Next(context.Context, *smtp.Peer) *smtp.Outgoing {
	if len(s.waiting) == 0 {
		return nil
	}
	out := s.waiting[0]
	s.waiting = s.waiting[1:]
	return out
}

func (s *source) Done(_ *smtp.Outgoing, r *smtp.Result) { s.results = append(s.results, r) }

// mailbox is a server's backend that takes everything.
type mailbox struct{ took []string }

func (m *mailbox) Sender(context.Context, *smtp.Transaction) error { return nil }
func (m *mailbox) Recipient(context.Context, *smtp.Transaction, mail.Recipient) error {
	return nil
}
func (m *mailbox) Verify(context.Context, string) ([]string, error) { return nil, nil }
func (m *mailbox) Expand(context.Context, string) ([]string, error) { return nil, nil }
func (m *mailbox) Content(context.Context, *smtp.Transaction) (smtp.Content, error) {
	return &taken{m: m}, nil
}

type taken struct {
	bytes.Buffer
	m *mailbox
}

func (t *taken) Commit(context.Context) error {
	t.m.took = append(t.m.took, t.String())
	return nil
}
func (t *taken) Abort() {}

func TestAMessageIsDeliveredToOurOwnServerOverTCP(t *testing.T) {
	box := &mailbox{}
	srv := netserver.New(netserver.Options{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		served <- srv.Serve(ln, netserver.Listener{
			Listener: session.Listener{Name: "mx", Protocol: "smtp", Role: "mx", Hostname: "mx.example.test"},
			New:      func() session.Session { return smtp.New(box, nil, nil) },
		})
	}()
	s := &source{waiting: []*smtp.Outgoing{
		outgoing("Subject: one\r\n\r\n.dot\r\n", "b@example.test"),
		outgoing("Subject: two\r\n\r\n", "b@example.test", "c@example.test"),
	}}
	nc, err := Dial(t.Context(), netip.MustParseAddrPort(ln.Addr().String()), DialOptions{Local: netip.MustParseAddr("127.0.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	if err := Converse(t.Context(), nc, smtp.NewClient(smtp.ClientOptions{Hostname: "client.example.test"}, s), Options{ID: "o1"}); err != nil {
		t.Errorf("got %v", err)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if len(s.results) != 2 || len(box.took) != 2 || box.took[0] != "Subject: one\r\n\r\n.dot\r\n" {
		t.Fatalf("got results %v, messages %q", s.results, box.took)
	}
	for i, r := range s.results {
		for _, one := range r.Recipients {
			if one.Reply == nil || one.Reply.Code != 250 || one.Stage != smtp.StageEnd || r.Lost != "" || r.Fault != nil {
				t.Errorf("message %d: got %+v, %+v", i, r, one.Reply)
			}
		}
	}
}
