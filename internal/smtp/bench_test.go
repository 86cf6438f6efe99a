package smtp

import (
	"context"
	"strings"
	"testing"

	"postrider/internal/mail"
	"postrider/internal/session"
	"postrider/internal/wire"
)

// nullBackend takes everything and keeps nothing.
type nullBackend struct{}

func (nullBackend) Sender(context.Context, *Transaction) error                    { return nil }
func (nullBackend) Recipient(context.Context, *Transaction, mail.Recipient) error { return nil }
func (nullBackend) Content(context.Context, *Transaction) (Content, error)        { return nullContent{}, nil }

func (nullBackend) Verify(context.Context, string) ([]string, error) { return nil, nil }

func (nullBackend) Expand(context.Context, string) ([]string, error) { return nil, nil }

type nullContent struct{}

func (nullContent) Write(p []byte) (int, error)  { return len(p), nil }
func (nullContent) Commit(context.Context) error { return nil }
func (nullContent) Abort()                       {}

// BenchmarkDialogue is one message of 1 KiB on a connection that stays: MAIL,
// RCPT and the data; and the same with BDAT.
func BenchmarkDialogue(b *testing.B) {
	body := []byte(strings.Repeat(strings.Repeat("x", 62)+"\r\n", 16))
	command := func(d *driver, line []byte, code byte) {
		d.step = d.session.Line(wire.Line{Bytes: line})
		if len(d.step.Reply) > 0 && d.step.Reply[0] != code {
			b.Fatalf("got %q to %q", d.step.Reply, line)
		}
	}
	from, to := []byte("MAIL FROM:<bob@example.org> SIZE=1024"), []byte("RCPT TO:<alice@example.test>")
	data, bdat := []byte("DATA"), []byte("BDAT 1024 LAST")
	for name, last := range map[string][]byte{"DATA": data, "BDAT": bdat} {
		b.Run(name, func(b *testing.B) {
			d := newDriver(nullBackend{}, &Options{MaxTransactions: -1}, false)
			command(d, []byte("EHLO c.example"), '2')
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				command(d, from, '2')
				command(d, to, '2')
				command(d, last, '3')
				d.step.Sink.Write(body)
				d.step = d.session.Data(int64(len(body)), nil)
				if d.step.Next != session.Line || d.step.Reply[0] != '2' {
					b.Fatalf("got %q", d.step.Reply)
				}
			}
		})
	}
}

// BenchmarkConnection is a whole connection with one message, octets in and out.
func BenchmarkConnection(b *testing.B) {
	in := []byte(ehlo + envelope + "DATA\r\n" + strings.Repeat(strings.Repeat("x", 62)+"\r\n", 16) + ".\r\nQUIT\r\n")
	b.ReportAllocs()
	for b.Loop() {
		d := newDriver(nullBackend{}, nil, false)
		d.feed(in)
		if !d.closed {
			b.Fatal(d.out.String())
		}
	}
}
