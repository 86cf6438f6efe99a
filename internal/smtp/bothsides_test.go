package smtp

import (
	"context"
	"io"
	"reflect"
	"testing"
	"time"

	"postrider/internal/mail"
	"postrider/internal/session"
)

// oneSource gives one message.
type oneSource struct {
	out    *Outgoing
	peer   Peer
	result *Result
}

func (s *oneSource) Next(_ context.Context, p *Peer) *Outgoing {
	out := s.out
	s.out, s.peer = nil, *p
	return out
}

func (s *oneSource) Done(_ *Outgoing, r *Result) { s.result = r }

// typed is a content of a kind.
type typed struct {
	fuzzContent
	body mail.BodyType
}

func (c *typed) Body() mail.BodyType { return c.body }

// converse lets our client talk to our server.
func converse(t *testing.T, d *driver, r *clientRun) {
	t.Helper()
	r.take(r.sess.Start(r.conn))
	for range 100 {
		said, answered := r.said.Bytes(), d.out.Bytes()
		if len(said) == 0 && len(answered) == 0 {
			break
		}
		answered = append([]byte{}, answered...)
		d.out.Reset()
		if !r.closed {
			r.feed(answered)
		}
		said = append([]byte{}, r.said.Bytes()...)
		r.said.Reset()
		d.feed(said)
	}
	r.end()
}

// TestOurClientAndOurServerAgree: what the one says of a message, the other
// understands.
func TestOurClientAndOurServerAgree(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  mail.Envelope
		text string
		body mail.BodyType
	}{
		{"plain", mail.Envelope{From: mail.Address{Local: "a", Domain: "b.test"}}, "x\r\n", mail.Body7Bit},
		{"null reverse-path", mail.Envelope{}, "", mail.Body7Bit},
		{"everything", mail.Envelope{
			From: mail.Address{Local: `a "b\c`, Domain: "b.test"}, SMTPUTF8: true, Ret: mail.RetHeaders, EnvID: "x+y=z w",
			RequireTLS: true, Priority: -2, DeliverBy: mail.DeliverBy{Deadline: testTime.Add(time.Hour), Mode: mail.ByNotify, Trace: true},
		}, "\xc3\xbc\r\n.\r\n", mail.Body8BitMIME},
		{"binary", mail.Envelope{From: mail.Address{Local: "ü", Domain: "b.test"}, SMTPUTF8: true}, "\x00\r\n\n.\r", mail.BodyBinaryMIME},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := tt.env
			env.Recipients = []mail.Recipient{
				{Address: mail.Address{Local: "alice", Domain: "example.test"}, Notify: mail.NotifySuccess | mail.NotifyFailure, ORcpt: "rfc822;a+b=c d@x"},
				{Address: mail.Address{Local: "b c", Domain: "example.test"}, Notify: mail.NotifyNever, ORcpt: "utf-8;ü@x.test"},
			}
			backend := &fakeBackend{}
			d := connect(setup{
				Listener: session.Listener{Role: "submission"}, backend: backend, implicit: true, logins: &fakeLogins{},
				options: &Options{Binary: true},
			})
			content := &typed{fuzzContent: fuzzContent{text: tt.text, size: int64(len(tt.text))}, body: tt.body}
			source := &oneSource{out: &Outgoing{
				Envelope: env, Open: func(context.Context, Form) (OutgoingContent, error) { return content, nil },
			}}
			o := ClientOptions{Hostname: "me.test", TLS: TLSMust, Verified: true, Login: &ClientLogin{Username: aliceAddress, Password: alicePassword}}
			r := &clientRun{t: t, free: true, sess: NewClient(o, source), conn: &session.Conn{
				Context: context.Background(), Listener: &session.Listener{}, TLS: testTLS, Now: func() time.Time { return testTime },
			}}
			converse(t, d, r)
			if source.result == nil || len(backend.stored) != 1 {
				t.Fatalf("got %+v of %+v, and %d messages", source.result, source.peer, len(backend.stored))
			}
			for i, one := range source.result.Recipients {
				if one.Reply == nil || one.Reply.Code != 250 || !one.Relayed {
					t.Errorf("recipient %d: got %+v, %v", i, one, one.Reply)
				}
			}
			got := backend.stored[0]
			if got.octets != tt.text || got.client.Login != aliceAddress || got.client.Mechanism != "SCRAM-SHA-256" {
				t.Errorf("got %q by %s", got.octets, got.client.Mechanism)
			}
			env.ID, env.Body, env.Size = got.envelope.ID, tt.body, int64(len(tt.text))
			env.SMTPUTF8 = env.SMTPUTF8 || !env.From.ASCII()
			if !reflect.DeepEqual(got.envelope, env) {
				t.Errorf("got  %+v\nwant %+v", got.envelope, env)
			}
		})
	}
}

var _ io.WriterTo = (*typed)(nil)
