package dialogue_test

import (
	"bytes"
	"context"
	"io"
	"slices"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/session"
	"postrider/internal/smtp"
)

// turner has the mail that testdata/dialogues/README.md says is waiting.
type turner struct{}

func (turner) Flush(_ context.Context, _ *smtp.Client, n smtp.Node) (smtp.Flushed, error) {
	switch n {
	case smtp.Node{Kind: smtp.NodeHost, Name: "host.example.org"}:
		return 1, nil
	case smtp.Node{Kind: smtp.NodeDomain, Name: "example.org"}:
		return smtp.FlushSome, nil
	case smtp.Node{Kind: smtp.NodeQueue, Name: "slow"}:
		return smtp.FlushBegun, nil
	case smtp.Node{Kind: smtp.NodeHost, Name: "empty.example"}:
		return 0, nil
	case smtp.Node{Kind: smtp.NodeQueue, Name: "none"}:
		return 0, fault.New(fault.NotFound, "flush", nil)
	}
	return 0, fault.New(fault.Denied, "flush", nil)
}

func (turner) Turn(_ context.Context, c *smtp.Client, domains []string) (session.Session, error) {
	switch {
	case c.Login != "alice@example.test":
		return nil, nil
	case len(domains) > 0 && !slices.Equal(domains, []string{"example.org"}):
		return nil, fault.New(fault.Denied, "turn", nil)
	}
	return smtp.NewClient(smtp.ClientOptions{Hostname: c.Hostname, TLS: smtp.TLSNever}, &waiting{}), nil
}

// waiting is a source that has one message.
type waiting struct{ given bool }

func (w *waiting) Next(context.Context, *smtp.Peer) *smtp.Outgoing {
	if w.given {
		return nil
	}
	w.given = true
	return &smtp.Outgoing{
		Envelope: mail.Envelope{
			From:       mail.Address{Local: "alice", Domain: "example.test"},
			Recipients: []mail.Recipient{{Address: mail.Address{Local: "carol", Domain: "example.org"}}},
		},
		Open: func(context.Context, smtp.Form) (smtp.OutgoingContent, error) {
			return content{bytes.NewReader([]byte("Subject: waiting\r\n\r\nHello, Carol.\r\n"))}, nil
		},
	}
}

func (*waiting) Done(*smtp.Outgoing, *smtp.Result) {}

// content is a message in memory.
type content struct{ *bytes.Reader }

func (content) Body() mail.BodyType { return mail.Body7Bit }
func (content) Close() error        { return nil }

var _ io.WriterTo = content{}
