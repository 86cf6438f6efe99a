package smtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/wire"
)

// fakeBackend accepts what is addressed to example.test, with some exceptions,
// and keeps messages in memory.
type fakeBackend struct {
	stored   []stored
	open     int   // contents neither committed nor aborted
	content  error // of Content
	write    error // of Write
	commit   error // of Commit
	sender   error // of Sender
	relays   bool  // takes mail for anywhere on relay listeners
	verified []string
}

type stored struct {
	envelope mail.Envelope
	client   Client
	octets   string
}

func (b *fakeBackend) Sender(context.Context, *Transaction) error { return b.sender }

func (b *fakeBackend) Recipient(_ context.Context, tx *Transaction, r mail.Recipient) error {
	switch {
	case r.Address.Domain == "":
		return nil
	case r.Address.Domain != "example.test" && b.relays && tx.Client.Role == "relay":
		return nil
	case r.Address.Domain != "example.test":
		return fault.New(fault.Denied, "relay", nil)
	case r.Address.Local == "full":
		return fault.New(fault.OverQuota, "rcpt", nil)
	case strings.HasPrefix(r.Address.Local, "unknown"):
		return fault.New(fault.NotFound, "rcpt", nil)
	case r.Address.Local == "own":
		return &Reply{Code: 550, Enhanced: "7.1", Text: "Own words\nin two lines"}
	case r.Address.Local == "go":
		return &Reply{Code: 421, Enhanced: "7.0", Text: "Go away"}
	}
	return nil
}

func (b *fakeBackend) Content(_ context.Context, tx *Transaction) (Content, error) {
	if b.content != nil {
		return nil, b.content
	}
	b.open++
	return &fakeContent{backend: b, tx: tx}, nil
}

func (b *fakeBackend) Verify(_ context.Context, who string) ([]string, error) {
	if who == "nobody" {
		return nil, fault.New(fault.NotFound, "verify", nil)
	}
	return b.verified, nil
}

func (b *fakeBackend) Expand(ctx context.Context, alias string) ([]string, error) {
	return b.Verify(ctx, alias)
}

type fakeContent struct {
	backend *fakeBackend
	tx      *Transaction
	octets  bytes.Buffer
	over    bool
}

func (c *fakeContent) Write(p []byte) (int, error) {
	if c.backend.write != nil {
		return 0, c.backend.write
	}
	return c.octets.Write(p)
}

func (c *fakeContent) Commit(context.Context) error {
	if c.over {
		return errors.New("commit after the end")
	}
	if c.backend.commit != nil {
		return c.backend.commit
	}
	c.end()
	c.backend.stored = append(c.backend.stored, stored{c.tx.Envelope, *c.tx.Client, c.octets.String()})
	return nil
}

func (c *fakeContent) Abort() { c.end() }

func (c *fakeContent) end() {
	if !c.over {
		c.over = true
		c.backend.open--
	}
}

// driver drives a session as package netserver would, in memory.
type driver struct {
	session session.Session
	lines   wire.Splitter
	dots    wire.DotReader
	step    session.Step
	in      []byte // not yet consumed
	out     bytes.Buffer
	taken   int64 // of step.N
	sinkErr error
	closed  bool
	ended   bool
	log     string
	conn    *session.Conn
	// transcript is the lines that a driver may keep.
	transcript []string
}

const testHost = "mx.example.test"

var testTime = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// newDriver connects to a plain mx listener.
func newDriver(b Backend, o *Options, teach bool) *driver {
	return connect(setup{backend: b, options: o, Listener: session.Listener{Role: "mx", Teach: teach}})
}

// setup is what a driver connects to.
type setup struct {
	session.Listener
	backend Backend
	logins  sasl.Authenticator
	options *Options
	// implicit: TLS is on from the first octet.
	implicit bool
}

var testTLS = &session.TLS{Version: "TLS 1.3", Cipher: "AES-128-GCM", Binding: func(string) []byte { return nil }}

func connect(u setup) *driver {
	u.Name, u.Protocol, u.Hostname = "test", "smtp", testHost
	d := &driver{session: New(u.backend, u.logins, u.options), lines: wire.Splitter{Teach: u.Teach}}
	d.conn = &session.Conn{
		ID: "c1", Context: context.Background(),
		Remote: netip.MustParseAddrPort("192.0.2.9:4711"), Local: netip.MustParseAddrPort("192.0.2.1:25"),
		Listener: &u.Listener, Now: func() time.Time { return testTime },
	}
	if u.implicit {
		d.conn.TLS = testTLS
	}
	if u.logins != nil {
		d.lines.Limit = MaxAuthLine + 2
	}
	d.take(d.session.Start(d.conn))
	return d
}

// take does what a step says.
func (d *driver) take(s session.Step) {
	d.out.Write(s.Reply)
	d.step, d.taken, d.sinkErr = s, 0, nil
	if s.Log != "" {
		d.log = s.Log
	}
	if s.Become != nil {
		d.session.Event(session.Closed)
		d.session = s.Become
		d.take(d.session.Start(d.conn))
		return
	}
	switch s.Next {
	case session.Close:
		d.end()
	case session.Dots:
		d.dots.Reset(s.Sink)
	case session.StartTLS:
		d.in, d.lines = nil, wire.Splitter{Teach: d.lines.Teach, Limit: d.lines.Limit}
		d.conn.TLS = testTLS
		d.take(d.session.Event(session.TLSReady))
	}
}

// end is the connection's end.
func (d *driver) end() {
	d.closed = true
	if !d.ended {
		d.ended = true
		d.session.Event(session.Closed)
	}
}

// feed gives octets to the session until it wants more.
func (d *driver) feed(p []byte) {
	d.in = append(d.in, p...)
	for !d.closed && d.one() {
	}
}

// one makes one call of the session if there is enough input for it.
func (d *driver) one() bool {
	switch d.step.Next {
	case session.Dots:
		n, done := d.dots.Feed(d.in)
		d.in = d.in[n:]
		if done {
			d.take(d.session.Data(d.dots.Written(), d.dots.Err()))
		}
		return done
	case session.Octets:
		p := d.in[:min(int64(len(d.in)), d.step.N-d.taken)]
		d.in = d.in[len(p):]
		d.taken += int64(len(p))
		if d.step.Sink != nil && d.sinkErr == nil {
			_, d.sinkErr = d.step.Sink.Write(p)
		}
		done := d.taken == d.step.N
		if done {
			d.take(d.session.Data(d.taken, d.sinkErr))
		}
		return done
	}
	line, n, got := d.lines.Next(d.in)
	switch got {
	case wire.HaveLine:
		d.line(line, n)
		return true
	case wire.Flooded:
		d.take(d.session.Event(session.Flood))
	}
	d.in = d.in[n:]
	return got == wire.HaveLine
}

// line gives the session a line of n octets, and forgets it if it was a secret.
func (d *driver) line(line wire.Line, n int) {
	text, secret := string(line.Bytes), d.step.Next == session.SecretLine
	step := d.session.Line(line)
	if secret || step.Secret {
		clear(line.Bytes)
	} else {
		d.transcript = append(d.transcript, text)
	}
	d.in = d.in[n:]
	d.take(step)
}

// say sends text and returns what the server answers.
func (d *driver) say(text string) string {
	d.out.Reset()
	d.feed([]byte(text))
	return d.out.String()
}

// lines sends lines with CRLF.
func crlf(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n" }

// codes returns the code of every reply, with its enhanced code, as
// "250-2.1.0"; lines that go on are left out.
func codes(replies string) string {
	var all []string
	for line := range strings.SplitSeq(strings.TrimSuffix(replies, "\r\n"), "\r\n") {
		if len(line) < 4 || line[3] == '-' {
			continue
		}
		words := strings.SplitN(line, " ", 3)
		code := words[0]
		if len(words) > 1 && len(words[1]) >= 5 && words[1][0] == code[0] && words[1][1] == '.' {
			code += " " + words[1]
		}
		all = append(all, code)
	}
	return strings.Join(all, ", ")
}

// wellFormed checks what every answer of a server must be: whole lines of
// printable ASCII, each with a code, of at most 512 octets (RFC 5321 §4.2,
// §4.5.3.1.5).
func wellFormed(replies string) error {
	if replies != "" && !strings.HasSuffix(replies, "\r\n") {
		return fmt.Errorf("%q is not whole lines", replies)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(replies, "\r\n"), "\r\n") {
		switch {
		case replies == "":
		case len(line) > 510:
			return fmt.Errorf("%q has %d octets", line, len(line))
		case len(line) < 4 || line[0] < '2' || line[0] > '5' || line[3] != ' ' && line[3] != '-':
			return fmt.Errorf("%q is no reply", line)
		case !isPrintable(line):
			return fmt.Errorf("%q is not printable ASCII", line)
		}
	}
	return nil
}

// check fails the test if the answer to text has other codes than wanted.
func (d *driver) check(t *testing.T, text, want string) {
	t.Helper()
	got := d.say(text)
	if codes(got) != want {
		t.Errorf("to %.200q: got %q (%.300q), want %q", text, codes(got), got, want)
	}
	if err := wellFormed(got); err != nil {
		t.Errorf("to %.200q: %v", text, err)
	}
}

var _ io.Writer = (*sink)(nil)
