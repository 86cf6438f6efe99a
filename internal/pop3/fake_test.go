package pop3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/dialogue"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/store"
)

// fakeMessage is a message of fakeBackend. Size, if not zero, is announced in
// place of the content's length.
type fakeMessage struct {
	uid     mail.UID
	content string
	size    int64
	uidl    string // empty: made from uid
}

func (m *fakeMessage) record() store.Message {
	size := m.size
	if size == 0 {
		size = int64(len(m.content))
	}
	uidl := m.uidl
	if uidl == "" {
		uidl = fmt.Sprintf("uidl-%d", m.uid)
	}
	return store.Message{UID: m.uid, Size: size, UIDL: uidl}
}

// fakeBackend has one password for everybody, and a maildrop for each name.
type fakeBackend struct {
	drops    map[string][]fakeMessage
	accounts []string // by AccountID-1
	locked   map[mail.AccountID]bool
	// What is asked for is counted and kept.
	logins, proven, opens, lists, closes, readers int
	done                                          []Summary
	gone                                          []sasl.Identity
	removed                                       []mail.UID
	contexts                                      []context.Context
	// What is to fail.
	beginErr, loginErr, openErr, listErr, readErr, removeErr error
	listErrAt                                                int
	// whole makes readers write a message at once.
	whole bool
	// digest lets people log in with APOP and CRAM-MD5.
	digest bool
	// cut makes readers give that many octets less than announced.
	cut int
}

const fakePassword = " a secret with spaces "

func newFake(messages ...string) *fakeBackend {
	b := &fakeBackend{
		drops: map[string][]fakeMessage{}, locked: map[mail.AccountID]bool{},
		accounts: []string{"alice@example.test"},
	}
	for i, m := range messages {
		b.add("alice@example.test", fakeMessage{uid: mail.UID(i + 5), content: m})
	}
	return b
}

func (b *fakeBackend) add(user string, m fakeMessage) {
	if !slices.Contains(b.accounts, user) {
		b.accounts = append(b.accounts, user)
	}
	b.drops[user] = append(b.drops[user], m)
}

func (b *fakeBackend) Open(_ context.Context, _ *session.Conn, who sasl.Identity) (store.Maildrop, error) {
	account := who.Account
	if b.openErr != nil {
		return nil, b.openErr
	}
	if b.locked[account] {
		return nil, fault.New(fault.Busy, "open maildrop", nil)
	}
	b.opens++
	b.locked[account] = true
	return &fakeMaildrop{b: b, account: account, messages: slices.Clone(b.drops[b.accounts[account-1]])}, nil
}

func (b *fakeBackend) Done(_ *session.Conn, who sasl.Identity, s Summary) {
	b.done, b.gone = append(b.done, s), append(b.gone, who)
}

type fakeMaildrop struct {
	b        *fakeBackend
	account  mail.AccountID
	messages []fakeMessage
	closed   bool
}

func (d *fakeMaildrop) Mailbox() store.Mailbox {
	m := store.Mailbox{Account: d.account, ID: mail.Inbox, Messages: int64(len(d.messages))}
	for i := range d.messages {
		m.Octets += d.messages[i].record().Size
	}
	return m
}

func (d *fakeMaildrop) List(context.Context) iter.Seq2[store.Message, error] {
	d.b.lists++
	return func(yield func(store.Message, error) bool) {
		for i := range d.messages {
			if d.b.listErr != nil && i == d.b.listErrAt {
				yield(store.Message{}, d.b.listErr)
				return
			}
			if !yield(d.messages[i].record(), nil) {
				return
			}
		}
	}
}

func (d *fakeMaildrop) Open(_ context.Context, uid mail.UID) (store.Reader, error) {
	if d.b.readErr != nil {
		return nil, d.b.readErr
	}
	for i := range d.messages {
		if m := &d.messages[i]; m.uid == uid {
			d.b.readers++
			return &fakeReader{Reader: strings.NewReader(m.content[:len(m.content)-d.b.cut]), d: d, size: m.record().Size}, nil
		}
	}
	return nil, fault.New(fault.NotFound, "open message", nil)
}

func (d *fakeMaildrop) Remove(_ context.Context, uids []mail.UID) error {
	if d.b.removeErr != nil {
		return d.b.removeErr
	}
	d.b.removed = append(d.b.removed, uids...)
	user := d.b.accounts[d.account-1]
	d.b.drops[user] = slices.DeleteFunc(d.b.drops[user], func(m fakeMessage) bool { return slices.Contains(uids, m.uid) })
	return nil
}

func (d *fakeMaildrop) Close() {
	d.b.closes++
	if !d.closed {
		d.closed = true
		d.b.locked[d.account] = false
	}
}

// fakeReader writes in small pieces, so that lines are cut anywhere.
type fakeReader struct {
	*strings.Reader
	d    *fakeMaildrop
	size int64
}

func (r *fakeReader) Close() error                     { r.d.b.readers--; return nil }
func (r *fakeReader) Size() int64                      { return r.size }
func (r *fakeReader) Envelope() (mail.Envelope, error) { return mail.Envelope{}, nil }
func (r *fakeReader) WriteTo(w io.Writer) (int64, error) {
	if r.d.b.whole {
		return r.Reader.WriteTo(w)
	}
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r.Reader}, make([]byte, 7))
}

// newConn returns what a session is started with: a connection without TLS that
// may ask for it, and on which passwords are taken as they are.
func newConn(teach bool) *session.Conn {
	return &session.Conn{
		ID: "c1", Context: context.Background(), Now: time.Now,
		Remote: netip.MustParseAddrPort("127.0.0.1:40000"),
		Local:  netip.MustParseAddrPort("127.0.0.1:110"),
		Listener: &session.Listener{
			Name: "pop3", Protocol: "pop3", Teach: teach, Hostname: "mail.example.test", StartTLS: true, PlaintextAuth: true,
		},
	}
}

// client is a session in memory that tests talk to.
type client struct {
	t *testing.T
	*dialogue.Memory
}

// connect opens a connection and reads the greeting.
func connect(t *testing.T, b *fakeBackend, o *Options, teach bool) *client {
	t.Helper()
	return connectWith(t, b, o, newConn(teach))
}

// connectWith is connect with a connection that is known.
func connectWith(t *testing.T, b *fakeBackend, o *Options, conn *session.Conn) *client {
	t.Helper()
	c := &client{t, dialogue.NewMemory(New(b, b, o), conn)}
	if got := c.read(); !strings.HasPrefix(got, "+OK mail.example.test ") {
		t.Fatalf("got greeting %q", got)
	}
	return c
}

// login connects and logs in as alice.
func login(t *testing.T, b *fakeBackend, o *Options) *client {
	t.Helper()
	c := connect(t, b, o, false)
	if got := c.say("USER alice@example.test", "PASS "+fakePassword); strings.Count(got, "+OK") != 2 {
		t.Fatalf("got %q for the login", got)
	}
	return c
}

// say sends lines and returns everything that comes back.
func (c *client) say(lines ...string) string {
	c.t.Helper()
	return c.sayRaw(strings.Join(lines, "\r\n") + "\r\n")
}

// sayRaw is say for octets.
func (c *client) sayRaw(octets string) string {
	c.t.Helper()
	if _, err := c.Write([]byte(octets)); err != nil {
		c.t.Fatalf("send %.40q: %v", octets, err)
	}
	return c.read()
}

// read returns what the server has said.
func (c *client) read() string {
	var b bytes.Buffer
	_, _ = b.ReadFrom(c.Memory) // ends with ErrSilent or EOF
	return b.String()
}

// closed reports whether the server has closed.
func (c *client) closed() bool {
	_, err := c.Read(make([]byte, 1))
	return err == io.EOF
}

// want checks an answer: one line, that begins so.
func (c *client) want(line, prefix string) {
	c.t.Helper()
	got := c.say(line)
	if !strings.HasPrefix(got, prefix) || strings.Count(got, "\r\n") != 1 || !strings.HasSuffix(got, "\r\n") {
		c.t.Errorf("%.60s: got %q, want one line beginning with %q", line, got, prefix)
	}
}
