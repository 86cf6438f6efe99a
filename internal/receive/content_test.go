package receive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/smtp"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// under returns what is under the trace fields of a message for alice, and fails
// the test when they are not as they should be.
func under(t *testing.T, stored string) string {
	t.Helper()
	const top = "Return-Path: <sender@example.org>\r\n" +
		"Delivered-To: alice@example.test\r\n" +
		"Received: from client.example.org ([192.0.2.1]) by mx.example.test with ESMTP\r\n\tid "
	const date = "Sat, 21 Nov 2026 10:00:00 +0000\r\n"
	rest, ok := strings.CutPrefix(stored, top)
	id, rest, _ := strings.Cut(rest, ";")
	rest, found := strings.CutPrefix(strings.TrimLeft(rest, "\r\n\t "), date)
	id, to, _ := strings.Cut(id, " for ")
	if _, err := mail.ParseID(id); !ok || !found || err != nil || to != "" && to != "<alice@example.test>" {
		t.Fatalf("got\n%s\nwant it to begin\n%s…;%s", stored, top, date)
	}
	return rest
}

func TestMessageIsKeptOctetByOctetUnderItsTraceFields(t *testing.T) {
	for _, c := range []struct{ name, content, above string }{
		{"usual", hello, ""},
		{"header only", "Subject: hi\r\n", ""},
		{"blank line first", "\r\ntext\r\n", ""},
		{"nothing", "", ""},
		{"no header", "Hello, Alice.\r\nReceived: it\r\n", "\r\n"},
		{"one short line", "Hi\r\n", "\r\n"},
		{"white space that would fold into the Received field", " injected\r\nBcc: x\r\n\r\n", "\r\n"},
		{"tab", "\tx\r\n", "\r\n"},
		{"no blank line before the body", "Subject: hi\r\nHow are you?\r\n", ""},
		{"From line", "From a@b Sat Nov 21\r\nSubject: hi\r\n\r\n", ""},
		{"NUL", "Subject: \x00\r\n\r\n\x00\r\n", ""},
		{"8-bit", "Subject: gr\xc3\xbc\xff\r\n\r\n\xfe\r\n", ""},
		{"long line without a colon", strings.Repeat("x", 1_000_000) + "\r\n", "\r\n"},
		{"long header line", "A: " + strings.Repeat("x", 1_000_000) + "\r\n\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, nil)
			wantPrefix(t, "message", s.send(c.content, "alice@example.test"), "250 2.0.0")
			got := s.inbox("alice")
			if len(got) != 1 {
				t.Fatalf("got %d messages, want 1", len(got))
			}
			if got := under(t, got[0]); got != c.above+c.content {
				t.Errorf("got %.200q, want %.200q", got, c.above+c.content)
			}
		})
	}
}

// Only content of exact octets (BDAT) can lack the end of its last line.
func TestTheLastLineIsEnded(t *testing.T) {
	for _, c := range []struct{ name, content, want string }{
		{"in the body", "Subject: hi\r\n\r\nHello", "Subject: hi\r\n\r\nHello\r\n"},
		{"in the header", "Subject: hi", "Subject: hi\r\n"},
		{"one octet", "x", "\r\nx\r\n"},
		{"NULs", "A: b\r\n\r\n\x00\x00", "A: b\r\n\r\n\x00\x00\r\n"},
		{"ended", "A: b\r\n", "A: b\r\n"},
		{"empty", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, nil)
			tx := s.transaction("alice@example.test")
			content, err := s.receiver.Content(t.Context(), tx)
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.content {
				if _, err := content.Write([]byte{c.content[i]}); err != nil {
					t.Fatal(err)
				}
			}
			if err := content.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, got, _ := strings.Cut(s.inbox("alice")[0], "+0000\r\n")
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestNoRecipientLearnsOfAnother(t *testing.T) {
	s := newSite(t, nil)
	wantPrefix(t, "message", s.send(hello, "alice@example.test", "bob@example.test"), "250 2.0.0")
	alice, bob := s.inbox("alice")[0], s.inbox("bob")[0]
	if under(t, alice) != hello || strings.Contains(alice, "bob") || strings.Contains(bob, "alice") {
		t.Errorf("alice's copy:\n%s\nbob's copy:\n%s", alice, bob)
	}
}

func TestEnvelopeIsKeptWithTheMessage(t *testing.T) {
	s := newSite(t, nil)
	m := s.connect()
	defer m.Close()
	say(t, m, "EHLO x", "MAIL FROM:<> RET=HDRS ENVID=a+2Bb BODY=8BITMIME",
		"RCPT TO:<al@example.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;al@example.org", "DATA")
	wantPrefix(t, "message", say(t, m, hello+".")[0], "250 2.0.0")
	r, err := s.model.Open(t.Context(), s.accounts["alice"], mail.Inbox, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	e, err := r.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	want := mail.Envelope{
		ID: e.ID, Ret: mail.RetHeaders, EnvID: "a+b", Body: mail.Body8BitMIME,
		Recipients: []mail.Recipient{{
			Address: mail.Address{Local: "al", Domain: "example.test"},
			Notify:  mail.NotifyFailure | mail.NotifyDelay, ORcpt: "rfc822;al@example.org",
		}},
	}
	if got, want := fmt.Sprintf("%+v", e), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	wantPrefix(t, "null reverse-path", s.inbox("alice")[0], "Return-Path: <>\r\nDelivered-To: alice@example.test\r\n")
}

func TestLoopsAreStopped(t *testing.T) {
	hops := func(n int) string { return strings.Repeat("Received: from a by b; date\r\n", n) }
	both := []string{"alice@example.test", "bob@example.test"}
	for _, c := range []struct {
		name, content string
		to            []string
		want, stored  string
	}{
		{"as many hops as allowed", hops(DefaultMaxReceived) + hello, both, "250 2.0.0", "alice 1 bob 1"},
		{"one hop more", hops(DefaultMaxReceived+1) + hello, both, "554 5.4.6", "alice 0 bob 0"},
		{"hops in the body", hello + hops(100), both, "250 2.0.0", "alice 1 bob 1"},
		{"hops behind a From line", "From a@b Sat\r\n" + hops(51), both, "554 5.4.6", "alice 0 bob 0"},
		{"delivered here before", "Delivered-To: alice@example.test\r\n" + hello, both[:1], "554 5.4.6", "alice 0 bob 0"},
		{"written another way", "DELIVERED-TO :\r\n \"ALICE\"@Example.Test. \r\n" + hello, both[:1], "554 5.4.6", "alice 0 bob 0"},
		{"by an alias", "Delivered-To: alice@example.test\r\n" + hello, []string{"al@example.test"}, "554 5.4.6", "alice 0 bob 0"},
		{"one of two has it", "Delivered-To: bob@example.test\r\n" + hello, both, "554 5.4.6", "alice 0 bob 0"},
		{"delivered to somebody else", "Delivered-To: carol@example.test\r\n" + hello, both, "250 2.0.0", "alice 1 bob 1"},
		{"no address", "Delivered-To: Mailing List\r\n" + hello, both, "250 2.0.0", "alice 1 bob 1"},
		{"more than can be remembered", strings.Repeat("Delivered-To: x@y.test\r\n", 65) + hello, both, "554 5.4.6", "alice 0 bob 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, nil)
			wantPrefix(t, "message", s.send(c.content, c.to...), c.want)
			if got := s.counts("alice", "bob"); got != c.stored {
				t.Errorf("got %s, want %s", got, c.stored)
			}
		})
	}
}

func TestAMessageThatComesBackIsStopped(t *testing.T) {
	s := newSite(t, nil)
	wantPrefix(t, "first time", s.send(hello, "team@example.test"), "250 2.0.0")
	wantPrefix(t, "sent back to the alias", s.send(s.inbox("bob")[0], "team@example.test"), "554 5.4.6 Mail loop")
	if got := s.counts("alice", "bob"); got != "alice 1 bob 1" {
		t.Errorf("got %s", got)
	}
}

func TestAStoreThatFailsIsAnsweredAndNothingIsStored(t *testing.T) {
	down := errors.New("disk on fire")
	for _, c := range []struct {
		name string
		op   storetest.Op
		err  error
		want string
	}{
		{"no space at the beginning", storetest.OpNewContent, fault.New(fault.NoSpace, "x", down), "452 4.3.1"},
		{"no space in the message", storetest.OpWrite, fault.New(fault.NoSpace, "x", down), "452 4.3.1"},
		{"failure in the message", storetest.OpWrite, down, "451 4.3.0"},
		{"failed sync", storetest.OpAccept, fault.New(fault.ReadOnly, "x", down), "451 4.3.0"},
		{"failed commit", storetest.OpAccept, down, "451 4.3.0"},
		{"account gone since RCPT", storetest.OpAccept, fault.New(fault.NotFound, "x", down), "451 4.3.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, nil)
			m := s.connect()
			defer m.Close()
			say(t, m, "EHLO x", "MAIL FROM:<a@b.test>", "RCPT TO:<team@example.test>")
			s.model.FailNext(c.op, c.err)
			got := say(t, m, "DATA")
			if c.op != storetest.OpNewContent {
				got = say(t, m, hello+".")
			}
			wantPrefix(t, "message", got[len(got)-1], c.want)
			if got := s.counts("alice", "bob"); got != "alice 0 bob 0" {
				t.Errorf("stored by halves: %s", got)
			}
			if strings.Contains(strings.Join(got, ""), down.Error()) {
				t.Errorf("the reply gives the cause away: %q", got)
			}
			log := s.log.String()
			if !strings.Contains(log, "level=ERROR") || !strings.Contains(log, down.Error()) || !strings.Contains(log, "advice=") {
				t.Errorf("the log does not tell the operator: %s", log)
			}
			if n := strings.Count(log, "mail refused"); n != 1 {
				t.Errorf("logged %d times, want once: %s", n, log)
			}
			wantPrefix(t, "still in step", say(t, m, "RSET")[0], "250")
			wantPrefix(t, "the next one", s.send(hello, "alice@example.test"), "250 2.0.0")
		})
	}
}

func TestALostAnswerOfTheStoreIsNo250(t *testing.T) {
	s := newSite(t, nil)
	s.model.LoseAnswer(storetest.OpAccept, errors.New("connection reset"))
	wantPrefix(t, "message", s.send(hello, "alice@example.test"), "451 4.3.0")
}

// leaving is a store during whose commit the client goes away.
type leaving struct {
	*storetest.Model
	cancel context.CancelFunc
}

func (l leaving) Accept(ctx context.Context, a store.Accept) (store.Accepted, error) {
	l.cancel()
	return l.Model.Accept(ctx, a)
}

func TestACommitThatHasBegunIsFinished(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newSite(t, func(m *storetest.Model) Store { return leaving{m, cancel} })
	s.ctx = ctx
	wantPrefix(t, "message", s.send(hello, "alice@example.test"), "250 2.0.0")
	if got := s.counts("alice"); got != "alice 1" {
		t.Errorf("got %s", got)
	}
}

func TestNothingIsStoredForAClientThatIsGone(t *testing.T) {
	s := newSite(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	tx := s.transaction("alice@example.test")
	c, err := s.receiver.Content(ctx, tx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte(hello)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := c.Commit(ctx); !fault.Is(err, fault.Transient) {
		t.Errorf("got %v, want a transient fault", err)
	}
	if got := s.counts("alice"); got != "alice 0" {
		t.Errorf("got %s", got)
	}
}

func TestOneIDIsNotTwoMessages(t *testing.T) {
	s := newSite(t, nil)
	tx := s.transaction("alice@example.test")
	for i, want := range []bool{true, false} {
		c, err := s.receiver.Content(t.Context(), tx)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Commit(t.Context()); (err == nil) != want {
			t.Errorf("commit %d with one ID: got %v", i+1, err)
		}
	}
}

func TestContentNeedsARecipient(t *testing.T) {
	s := newSite(t, nil)
	tx := &smtp.Transaction{Client: new(smtp.Client)}
	if _, err := s.receiver.Content(t.Context(), tx); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v, want invalid", err)
	}
}

// transaction is one that recipients have been accepted for.
func (s *site) transaction(to ...string) *smtp.Transaction {
	s.t.Helper()
	tx := &smtp.Transaction{Client: &smtp.Client{ConnID: "c1", Helo: "client.example.org", Hostname: "mx.example.test"}}
	if err := s.receiver.Sender(context.Background(), tx); err != nil {
		s.t.Fatal(err)
	}
	for _, r := range to {
		a, err := mail.ParseAddress(r)
		if err != nil {
			s.t.Fatal(err)
		}
		rcpt := mail.Recipient{Address: a}
		if err := s.receiver.Recipient(context.Background(), tx, rcpt); err != nil {
			s.t.Fatal(err)
		}
		tx.Envelope.Recipients = append(tx.Envelope.Recipients, rcpt)
	}
	return tx
}

// hole is a store that keeps nothing.
type hole struct {
	store.Holds
	size int64
}

func (h *hole) NewContent(context.Context, int64) (store.Content, error) { return &hole{}, nil }
func (h *hole) Accept(_ context.Context, a store.Accept) (store.Accepted, error) {
	return store.Accepted{Placed: make([]store.Placed, len(a.Deliveries))}, nil
}

func (h *hole) Open(context.Context, mail.AccountID, mail.MailboxID, mail.UID) (store.Reader, error) {
	return nil, fault.New(fault.NotFound, "open", nil)
}
func (h *hole) Health() error               { return nil }
func (h *hole) Write(p []byte) (int, error) { h.size += int64(len(p)); return len(p), nil }
func (h *hole) Size() int64                 { return h.size }
func (h *hole) Discard()                    {}

func (h *hole) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }

func TestMemoryDoesNotGrowWithTheMessage(t *testing.T) {
	s := newSite(t, func(*storetest.Model) Store { return new(hole) })
	piece := bytes.Repeat([]byte("X"), 64<<10)
	for _, c := range []struct{ name, first string }{
		{"one endless header line", "A: "},
		{"no header", "hello world "},
		{"an endless Delivered-To", "Delivered-To: "},
	} {
		tx := s.transaction("alice@example.test")
		content, err := s.receiver.Content(t.Context(), tx)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = content.Write([]byte(c.first))
		for range 1024 { // 64 MiB
			if err == nil {
				_, err = content.Write(piece)
			}
		}
		if err == nil {
			err = content.Commit(t.Context())
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; err != nil || grown > 1<<20 {
			t.Errorf("%s: 64 MiB took %d octets of memory, want at most 1 MiB (%v)", c.name, grown, err)
		}
	}
}

func FuzzContentIsKeptWhateverItsPieces(f *testing.F) {
	for _, s := range []string{"", "a", hello, " folded", "From x y\r\nA: b", "\r\n", "\r", "Delivered-To: alice@example.test", "x\x00y"} {
		f.Add([]byte(s), uint8(1))
	}
	f.Fuzz(func(t *testing.T, content []byte, n uint8) {
		s := newSite(t, nil)
		c, err := s.receiver.Content(t.Context(), s.transaction("alice@example.test"))
		if err != nil {
			t.Fatal(err)
		}
		for p := content; len(p) > 0; {
			m := min(int(n)+1, len(p))
			if _, err := c.Write(p[:m]); err != nil {
				t.Fatal(err)
			}
			p = p[m:]
		}
		if err := c.Commit(t.Context()); err != nil {
			if got := s.inbox("alice"); len(got) != 0 {
				t.Fatalf("refused and stored: %q", got)
			}
			return
		}
		got := s.inbox("alice")
		if len(content) > 0 && !bytes.HasSuffix(content, []byte("\r\n")) {
			content = append(content, "\r\n"...)
		}
		if len(got) != 1 || !strings.HasSuffix(got[0], string(content)) {
			t.Fatalf("got %q, want it to end with %q", got, content)
		}
		top := strings.TrimSuffix(got[0], string(content))
		if !strings.HasSuffix(top, "+0000\r\n") && !strings.HasSuffix(top, "+0000\r\n\r\n") {
			t.Fatalf("above the content: %q", top)
		}
	})
}

func BenchmarkMessage(b *testing.B) {
	s := newSite(b, func(*storetest.Model) Store { return new(hole) })
	content := []byte(hello + strings.Repeat("This is a line of the message's body.\r\n", 25))
	b.ReportAllocs()
	for b.Loop() {
		c, err := s.receiver.Content(b.Context(), s.transaction("alice@example.test"))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Write(content); err != nil {
			b.Fatal(err)
		}
		if err := c.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
		s.log.Reset()
	}
}
