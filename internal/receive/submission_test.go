package receive

import (
	"bytes"
	"context"
	"io"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"postrider/internal/dialogue"
	"postrider/internal/fault"
	pmail "postrider/internal/mail"
	"postrider/internal/message"
	"postrider/internal/session"
	"postrider/internal/smtp"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// submitted is a site where somebody has logged in.
func submitted(t testing.TB, who string, limits SubmissionLimits) *site {
	s := newLimitedSite(t, nil, limits)
	s.submitter = who
	return s
}

// submit sends a message in a session of its own and returns the last reply.
func (s *site) submit(from, content string, to ...string) string {
	s.t.Helper()
	m := s.connect()
	defer m.Close()
	all := say(s.t, m, "MAIL FROM:<"+from+">")
	for _, r := range to {
		say(s.t, m, "RCPT TO:<"+r+">")
	}
	if !strings.HasPrefix(all[0], "250 ") {
		return all[0]
	}
	if all = say(s.t, m, "DATA"); !strings.HasPrefix(all[0], "354 ") {
		return all[0]
	}
	all = say(s.t, m, content+".")
	return all[len(all)-1]
}

var (
	receivedField  = regexp.MustCompile(`^Return-Path: <.*>\r\nDelivered-To: .*\r\nReceived: from [^;]*\swith ([A-Z0-9]+)[^;]*;\r?\n?\s[^\r]*\r\n`)
	messageIDField = regexp.MustCompile(`Message-ID: <[0-9a-z]{26}@mx\.example\.test>\r\n`)
)

const (
	dateField = "Date: Sat, 21 Nov 2026 10:00:00 +0000\r\n"
	idField   = "Message-ID: <ID>\r\n"
	own       = "From: Alice <alice@example.test>\r\n"
	complete  = own + "Date: yesterday\r\nMessage-ID: <a@b>\r\n"
)

// arrived returns what is under the trace fields of a message, with its
// generated Message-ID replaced.
func arrived(t testing.TB, stored string) string {
	t.Helper()
	top := receivedField.FindString(stored)
	if top == "" {
		t.Fatalf("no trace fields on top of\n%s", stored)
	}
	return messageIDField.ReplaceAllString(stored[len(top):], idField)
}

func TestSubmittedHeadersAreMended(t *testing.T) {
	for _, c := range []struct {
		name, who, from, content, want string
	}{
		{"nothing is missing", "alice", "alice@example.test", complete + "\r\nHi\r\n", complete + "\r\nHi\r\n"},
		{"odd but complete", "alice", "alice@example.test", "X-Odd:\tx \r\n y\r\nfrom:alice@EXAMPLE.test\r\nDATE:\r\nmessage-id: \r\nTo: \xff\r\n\r\n\x00\r\n", "X-Odd:\tx \r\n y\r\nfrom:alice@EXAMPLE.test\r\nDATE:\r\nmessage-id: \r\nTo: \xff\r\n\r\n\x00\r\n"},
		{"white space before colons", "alice", "alice@example.test", "Subject : x : y \r\n z : w\r\nFrom\t : alice@example.test\r\nTo :\r\n\r\na : b\r\n", "Subject: x : y \r\n z : w\r\nFrom: alice@example.test\r\nTo:\r\n" + dateField + idField + "\r\na : b\r\n"},
		{"Date and Message-ID", "alice", "alice@example.test", own + "\r\nHi\r\n", own + dateField + idField + "\r\nHi\r\n"},
		{"From from the reverse-path", "alice", "al@example.test", "Subject: x\r\n\r\nHi\r\n", "Subject: x\r\nFrom: al@example.test\r\n" + dateField + idField + "\r\nHi\r\n"},
		{"From from the login", "alice", "", "Subject: x\r\n\r\nHi\r\n", "Subject: x\r\nFrom: alice@example.test\r\n" + dateField + idField + "\r\nHi\r\n"},
		{"From from a granted reverse-path", "carol", "alice@example.test", "Subject: x\r\n\r\nHi\r\n", "Subject: x\r\nFrom: alice@example.test\r\nSender: carol@example.test\r\n" + dateField + idField + "\r\nHi\r\n"},
		{"no header", "alice", "alice@example.test", "Hi there\r\nSubject: x\r\n", "From: alice@example.test\r\n" + dateField + idField + "\r\nHi there\r\nSubject: x\r\n"},
		{"no header, blank line", "alice", "alice@example.test", "\r\nHi\r\n", "From: alice@example.test\r\n" + dateField + idField + "\r\nHi\r\n"},
		{"nothing", "alice", "alice@example.test", "", "From: alice@example.test\r\n" + dateField + idField},
		{"header only", "alice", "alice@example.test", own, own + dateField + idField},
		{"no blank line", "alice", "alice@example.test", complete + "Hi there\r\n", complete + "\r\nHi there\r\n"},
		{"From line of a mailbox file", "alice", "alice@example.test", "From a@b Sat Nov 21 10:00:00 2026\r\n" + complete + "\r\nHi\r\n", complete + "\r\nHi\r\n"},
		{"Bcc", "alice", "alice@example.test", "BCC: bob@example.test,\r\n carol@example.test\r\n" + complete + "Resent-Bcc : x\r\nX-Bcc: y\r\n\r\nBcc: z\r\n", complete + "X-Bcc: y\r\n\r\nBcc: z\r\n"},
		{"Return-Path", "alice", "alice@example.test", "Return-Path: <x@y.test>\r\n" + complete + "\r\n", complete + "\r\n"},
		{"fields twice", "alice", "alice@example.test", complete + "Date: today\r\nSubject: a\r\nSubject: b\r\nTo: x\r\nTo: y\r\n\r\n", complete + "Date: today\r\nSubject: a\r\nSubject: b\r\nTo: x\r\nTo: y\r\n\r\n"},
		{"granted From", "carol", "carol@example.test", complete + "\r\nHi\r\n", complete + "Sender: carol@example.test\r\n\r\nHi\r\n"},
		{"granted From with a Sender", "carol", "carol@example.test", complete + "Sender: carol+x@example.test\r\n\r\nHi\r\n", complete + "Sender: carol+x@example.test\r\n\r\nHi\r\n"},
		{"several authors", "alice", "alice@example.test", "From: al@example.test, alice@example.test\r\nDate: x\r\nMessage-ID: x\r\n\r\n", "From: al@example.test, alice@example.test\r\nDate: x\r\nMessage-ID: x\r\nSender: alice@example.test\r\n\r\n"},
		{"several authors with a Sender", "alice", "alice@example.test", "Sender: al@example.test\r\nFrom: al@example.test, alice@example.test\r\nDate: x\r\nMessage-ID: x\r\n\r\n", "Sender: al@example.test\r\nFrom: al@example.test, alice@example.test\r\nDate: x\r\nMessage-ID: x\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := submitted(t, c.who, SubmissionLimits{})
			wantPrefix(t, "message", s.submit(c.from, c.content, "bob@example.test"), "250 2.0.0")
			if got := arrived(t, s.inbox("bob")[0]); got != c.want {
				t.Errorf("got\n%q\nwant\n%q", got, c.want)
			}
		})
	}
}

func TestNobodySendsAsAnother(t *testing.T) {
	from := func(s string) string { return "From: " + s + "\r\n\r\nHi\r\n" }
	for _, c := range []struct{ name, who, from, content, want string }{
		{"own", "alice", "alice@example.test", from("alice@example.test"), "250 2.0.0"},
		{"alias", "alice", "al@example.test", from("al@example.test"), "250 2.0.0"},
		{"sub-address", "alice", "alice+x@example.test", from("alice+y@example.test"), "250 2.0.0"},
		{"null reverse-path", "alice", "", from("alice@example.test"), "250 2.0.0"},
		{"granted", "carol", "alice@example.test", from("alice@example.test"), "250 2.0.0"},
		{"granted domain", "carol", "carol@example.test", from("anybody@catch.test"), "250 2.0.0"},

		{"another's reverse-path", "alice", "bob@example.test", from("alice@example.test"), "550 5.7.1 The sender's address is not yours: send as alice@example.test, or ask the operator for a grant"},
		{"foreign reverse-path", "alice", "alice@example.org", from("alice@example.test"), "550 5.7.1"},
		{"an alias for several", "alice", "team@example.test", from("alice@example.test"), "550 5.7.1"},
		{"nobody's reverse-path", "alice", "nobody@example.test", from("alice@example.test"), "550 5.7.1"},
		{"another's From", "alice", "alice@example.test", from("bob@example.test"), "550 5.7.1 An address in the message's From field is not yours"},
		{"another's From, null reverse-path", "alice", "", from("bob@example.test"), "550 5.7.1"},
		{"another's From beside the own", "alice", "alice@example.test", from("alice@example.test, bob@example.test"), "550 5.7.1"},
		{"another's From behind a name", "alice", "alice@example.test", from(`"alice@example.test" <bob@example.test>`), "550 5.7.1"},
		{"another's Sender", "alice", "alice@example.test", "Sender: bob@example.test\r\n" + from("alice@example.test"), "550 5.7.1 The address in the message's Sender field"},
		{"another's From, one's Sender", "alice", "alice@example.test", "Sender: alice@example.test\r\n" + from("bob@example.test"), "550 5.7.1"},
		{"no From to be seen", "alice", "alice@example.test", from("bob"), "550 5.6.0 The message's From field can't be taken"},
		{"empty From", "alice", "alice@example.test", from(""), "550 5.6.0"},
		{"two From fields", "alice", "alice@example.test", own + from("alice@example.test"), "550 5.6.0 The message's From field can't be taken: there are two of them"},
		{"two From fields, one in odd case", "alice", "alice@example.test", own + "fROM :bob@example.test\r\n\r\n", "550 5.6.0"},
		{"two Sender fields", "alice", "alice@example.test", "Sender: alice@example.test\r\nSender: alice@example.test\r\n" + own, "550 5.6.0"},
		{"two senders", "alice", "alice@example.test", "Sender: alice@example.test, al@example.test\r\n" + own, "550 5.6.0"},
		{"a group", "alice", "alice@example.test", from("us: alice@example.test;"), "550 5.6.0"},
		{"another's From encoded before a granted domain", "carol", "carol@example.test", from("=?utf-8?q?bob=40example.test=00?=@catch.test"), "550 5.6.0"},
		{"NUL in From", "alice", "alice@example.test", from("alice@example.test\x00"), "550 5.6.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := submitted(t, c.who, SubmissionLimits{})
			wantPrefix(t, "message", s.submit(c.from, c.content, "bob@example.test"), c.want)
			want := 0
			if strings.HasPrefix(c.want, "250") {
				want = 1
			}
			if got := len(s.inbox("bob")); got != want {
				t.Errorf("got %d messages, want %d", got, want)
			}
		})
	}
}

func TestRightsThatCannotBeLookedUpAreNoRefusalForGood(t *testing.T) {
	s := submitted(t, "alice", SubmissionLimits{})
	m := s.connect()
	defer m.Close()
	s.model.FailNext(storetest.OpLookup, fault.New(fault.Transient, "x", io.ErrUnexpectedEOF))
	wantPrefix(t, "MAIL", say(t, m, "MAIL FROM:<alice@example.test>")[0], "451 4.3.0")
	say(t, m, "MAIL FROM:<alice@example.test>", "RCPT TO:<bob@example.test>", "DATA")
	s.model.FailNext(storetest.OpLookup, fault.New(fault.Transient, "x", io.ErrUnexpectedEOF))
	wantPrefix(t, "message", say(t, m, own+"\r\nHi\r\n.")[0], "451 4.3.0")
	if n := strings.Count(s.log.String(), "mail refused"); n != 2 {
		t.Errorf("logged %d refusals, want 2:\n%s", n, s.log.String())
	}
}

func TestAnAccountThatWasDisabledHearsThatItMayNotSend(t *testing.T) {
	const want = "550 5.7.1 The account may not send mail"
	s := submitted(t, "alice", SubmissionLimits{})
	m := s.connect()
	defer m.Close()
	say(t, m, "MAIL FROM:<>", "RCPT TO:<bob@example.test>", "DATA")
	a, err := s.model.Account(t.Context(), s.accounts["alice"])
	if err != nil {
		t.Fatal(err)
	}
	a.Disabled = true
	if _, err := s.model.Change(t.Context(), store.PutAccount{Account: a}); err != nil {
		t.Fatal(err)
	}
	wantPrefix(t, "message", say(t, m, own+"\r\nHi\r\n.")[0], want)
	wantPrefix(t, "MAIL", say(t, m, "MAIL FROM:<alice@example.test>")[0], want)
	wantPrefix(t, "MAIL as another", say(t, m, "MAIL FROM:<bob@example.test>")[0], want)
}

func TestBlindRecipientsBelowAMalformedLineAreNotShown(t *testing.T) {
	const refused = "550 5.6.0 A line of the header has no field name"
	for _, c := range []struct{ name, content, want string }{
		{"Bcc", complete + "Subject hello\r\nBcc: carol@example.test\r\n\r\nHi\r\n", refused},
		{"first line", "Subject hello\r\nTo: x\r\nBcc: carol@example.test\r\n\r\nHi\r\n", refused},
		{"Resent-Bcc in odd case", complete + "\xff: x\r\nX: y\r\nRESENT-bcc\t :carol@example.test\r\n\r\nHi\r\n", refused},
		{"blanks without end", complete + "Bcc" + strings.Repeat(" ", 2*message.MaxFieldName) + ": carol@example.test\r\n\r\nHi\r\n", refused},
		{"no blank line", complete + "hello\r\nBcc: carol@example.test\r\n", refused},

		{"below the blank line", complete + "hello\r\n\r\nBcc: carol@example.test\r\n", "250 2.0.0"},
		{"a sound header", complete + "\r\nBcc: carol@example.test\r\n", "250 2.0.0"},
		{"another name", complete + "hello\r\nX-Bcc: carol@example.test\r\nBccs: x\r\nBcc\r\n\r\n", "250 2.0.0"},
		{"within a line", complete + "hello\r\nwith Bcc: carol@example.test\r\n\r\n", "250 2.0.0"},
		{"far below", complete + strings.Repeat("hello\r\n", MaxHeader/7+1) + "Bcc: x\r\n", "250 2.0.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := submitted(t, "alice", SubmissionLimits{})
			wantPrefix(t, "message", s.submit("alice@example.test", c.content, "bob@example.test"), c.want)
			want := "bob 1"
			if c.want == refused {
				want = "bob 0"
			}
			if got := s.counts("bob"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestSubmissionGoesToLocalRecipientsOnly(t *testing.T) {
	s := submitted(t, "alice", SubmissionLimits{})
	m := s.connect()
	defer m.Close()
	say(t, m, "MAIL FROM:<alice@example.test>")
	wantPrefix(t, "elsewhere", say(t, m, "RCPT TO:<x@example.org>")[0], "550 5.7.1 That domain is not local, and relaying is not configured")
	wantPrefix(t, "unknown", say(t, m, "RCPT TO:<nobody@example.test>")[0], "550 5.1.1")
	wantPrefix(t, "alias", say(t, m, "RCPT TO:<team@example.test>")[0], "250 2.1.5")
}

func TestReceivedSaysHowTheNameWasProven(t *testing.T) {
	for _, c := range []struct {
		name, tls, want string
		recognized      bool
	}{
		{"login", "", "ESMTPA", false},
		{"login and TLS", "TLS1.3", "ESMTPSA", false},
		{"POP-before-SMTP", "", "ESMTP", true},
		{"POP-before-SMTP and TLS", "TLS1.3", "ESMTPS", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := submitted(t, "alice", SubmissionLimits{})
			conn := &session.Conn{
				ID: "c1", Context: s.ctx, Now: s.now,
				Listener: &session.Listener{Name: "x", Protocol: "smtp", Role: "submission", Hostname: "mx.example.test"},
			}
			if c.tls != "" {
				conn.TLS = &session.TLS{Version: c.tls, Cipher: "X"}
			}
			a := &anybody{recognized: c.recognized}
			a.identity.Account, a.identity.Address = s.accounts["alice"], "alice@example.test"
			m := dialogue.NewMemory(smtp.New(s.receiver, a, nil), conn)
			replies(t, m)
			say(t, m, "EHLO x")
			if !c.recognized {
				wantPrefix(t, "AUTH", say(t, m, "AUTH PLAIN eA==")[0], "235 ")
			}
			say(t, m, "MAIL FROM:<alice@example.test>", "RCPT TO:<bob@example.test>", "DATA")
			wantPrefix(t, "message", say(t, m, own+"\r\n.")[0], "250 2.0.0")
			if got := receivedField.FindStringSubmatch(s.inbox("bob")[0]); got == nil || got[1] != c.want {
				t.Errorf("got %q, want %s", got, c.want)
			}
		})
	}
}

func TestTheClientOfASubmissionIsHiddenIfAsked(t *testing.T) {
	for _, hide := range []bool{false, true} {
		s := submitted(t, "alice", SubmissionLimits{})
		s.receiver.o.HideClient = hide
		wantPrefix(t, "message", s.submit("alice@example.test", complete+"\r\nHi\r\n", "bob@example.test"), "250 2.0.0")
		got := s.inbox("bob")[0]
		shown := strings.Contains(got, "client.example.org") && strings.Contains(got, "192.0.2.1")
		if hidden := strings.Contains(got, "\r\nReceived: from localhost by mx.example.test with "); shown == hide || hidden != hide {
			t.Errorf("hide %v: got\n%s", hide, got)
		}
		if !strings.Contains(s.log.String(), "remote=192.0.2.1") {
			t.Errorf("hide %v: the log has no address", hide)
		}
		s.submitter = ""
		wantPrefix(t, "message", s.send(hello, "alice@example.test"), "250 2.0.0")
		under(t, s.inbox("alice")[0]) // what other servers bring is never hidden
	}
}

func TestNobodySubmitsWithoutAName(t *testing.T) {
	s := newSite(t, nil)
	tx := &smtp.Transaction{Client: &smtp.Client{Role: "submission"}}
	err := s.receiver.Sender(t.Context(), tx)
	if r, ok := err.(*smtp.Reply); !ok || r.Code != 530 {
		t.Errorf("got %v, want 530", err)
	}
}

func TestHeaderOfASubmissionIsBounded(t *testing.T) {
	field := "X: " + strings.Repeat("x", 995) + "\r\n" // 1,000 octets
	for _, c := range []struct {
		name, content, want string
		stored              int
	}{
		{"as long as allowed", own + strings.Repeat(field, MaxHeader/1000-1) + "\r\n" + strings.Repeat("body\r\n", 100_000), "250 2.0.0", 1},
		{"too long", own + strings.Repeat(field, MaxHeader/1000+1) + "\r\nbody\r\n", "552 5.3.4", 0},
		{"too long, no end", own + strings.Repeat(field, 1000), "552 5.3.4", 0},
		{"a long body without a header", strings.Repeat("hello world\r\n", MaxHeader/10), "250 2.0.0", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := submitted(t, "alice", SubmissionLimits{})
			wantPrefix(t, "message", s.submit("alice@example.test", c.content, "bob@example.test"), c.want)
			if got := len(s.inbox("bob")); got != c.stored {
				t.Errorf("got %d messages, want %d", got, c.stored)
			}
		})
	}
}

func TestMemoryDoesNotGrowWithASubmission(t *testing.T) {
	s := newSite(t, func(*storetest.Model) Store { return new(hole) })
	piece := bytes.Repeat([]byte(strings.Repeat("X", 62)+"\r\n"), 1<<10)
	for _, first := range []string{own + "\r\n", "hello world ", "A: "} {
		content := s.beginSubmission("alice", "bob@example.test")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := content.Write([]byte(first))
		for range 1024 { // 64 MiB
			if err == nil {
				_, err = content.Write(piece)
			}
		}
		if err == nil {
			err = content.Commit(t.Context())
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 2<<20 {
			t.Errorf("%q: 64 MiB took %d octets of memory, want at most 2 MiB (%v)", first, grown, err)
		}
	}
}

// beginSubmission is a message that is about to be submitted.
func (s *site) beginSubmission(who string, to ...string) smtp.Content {
	s.t.Helper()
	tx := &smtp.Transaction{Client: &smtp.Client{
		ConnID: "c1", Hostname: "mx.example.test", Role: "submission", Extended: true, Mechanism: "PLAIN",
		Account: s.accounts[who], Login: who + "@example.test",
	}}
	if err := s.receiver.Sender(context.Background(), tx); err != nil {
		s.t.Fatal(err)
	}
	for _, r := range to {
		a, err := pmail.ParseAddress(r)
		if err != nil {
			s.t.Fatal(err)
		}
		if err := s.receiver.Recipient(context.Background(), tx, pmail.Recipient{Address: a}); err != nil {
			s.t.Fatal(err)
		}
		tx.Envelope.Recipients = append(tx.Envelope.Recipients, pmail.Recipient{Address: a})
	}
	c, err := s.receiver.Content(context.Background(), tx)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func TestOverLongLinesOfASubmissionAreEncoded(t *testing.T) {
	long := strings.Repeat("long ", 1000)
	s := submitted(t, "alice", SubmissionLimits{})
	wantPrefix(t, "message", s.submit("alice@example.test", complete+"\r\n"+long+"\r\n", "bob@example.test"), "250 2.0.0")
	got := arrived(t, s.inbox("bob")[0])
	header, body, _ := strings.Cut(got, "\r\n\r\n")
	if want := complete + "Content-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0"; header != want {
		t.Errorf("header: got %q, want %q", header, want)
	}
	if b, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body))); err != nil || string(b) != long+"\r\n" {
		t.Errorf("body: %v, got %.100q", err, b)
	}
}

func TestOverLongLinesThatCannotBeEncodedAreRefused(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, c := range []struct{ name, content, want string }{
		{"header", complete + "X: " + long + "\r\n\r\nHi\r\n", "554 5.6.0 The message has a line of more than 998 octets that can't be encoded: a header line"},
		{"signed", complete + "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n" + long + "\r\n--b--\r\n", "554 5.6.1 The message has a line of more than 998 octets that can't be encoded: a line is too long in a part that is signed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := submitted(t, "alice", SubmissionLimits{})
			wantPrefix(t, "message", s.submit("alice@example.test", c.content, "bob@example.test"), c.want)
			if got := s.counts("bob"); got != "bob 0" {
				t.Errorf("got %s", got)
			}
			if got := s.metric("postrider_refused_total", "reason=line too long", "role=submission"); got != 1 {
				t.Errorf("counted %v refusals, want 1", got)
			}
		})
	}
}

func TestAStoreThatFailsWhileLinesAreShortenedKeepsNothing(t *testing.T) {
	long := complete + "\r\n" + strings.Repeat("x", 1000) + "\r\n"
	for _, op := range []storetest.Op{storetest.OpNewContent, storetest.OpWrite} {
		s := newSite(t, nil)
		c := s.beginSubmission("alice", "bob@example.test")
		if _, err := c.Write([]byte(long)); err != nil {
			t.Fatal(err)
		}
		s.model.FailNext(op, fault.New(fault.NoSpace, "x", io.ErrShortWrite))
		if err := c.Commit(t.Context()); !fault.Is(err, fault.NoSpace) {
			t.Errorf("%s: got %v, want no space", op, err)
		}
		if got := s.counts("bob"); got != "bob 0" {
			t.Errorf("%s: got %s", op, got)
		}
	}
}

func TestOtherMailKeepsItsOverLongLinesAndHeader(t *testing.T) {
	s := newSite(t, nil)
	content := "From: a, b\r\nFrom: x\r\nBcc: y\r\nReturn-Path: z\r\n\r\n" + strings.Repeat("x", 5000) + "\r\n"
	wantPrefix(t, "message", s.send(content, "alice@example.test"), "250 2.0.0")
	if got := under(t, s.inbox("alice")[0]); got != content {
		t.Errorf("got %.200q, want it unchanged", got)
	}
}

func TestLoopsAreStoppedInSubmissions(t *testing.T) {
	s := submitted(t, "alice", SubmissionLimits{})
	content := "Delivered-To: bob@example.test\r\n" + complete + "\r\n"
	wantPrefix(t, "message", s.submit("alice@example.test", content, "bob@example.test"), "554 5.4.6")
}

func TestSubmissionsAreLoggedWithTheirAccount(t *testing.T) {
	s := submitted(t, "alice", SubmissionLimits{})
	wantPrefix(t, "message", s.submit("al@example.test", complete+"\r\n", "team@example.test", "carol@example.test"), "250 2.0.0")
	for _, want := range []string{
		`msg="message accepted"`, "account=alice@example.test", "from=al@example.test", "recipients=2", "copies=3", "message_id=<a@b>", "listener=test-submission",
	} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log has no %s: %s", want, s.log.String())
		}
	}
	if got := s.metric("postrider_messages_accepted_total", "role=submission"); got != 1 {
		t.Errorf("counted %v submissions, want 1", got)
	}
	if got := s.metric("postrider_messages_accepted_total", "role=mx"); got != 0 {
		t.Errorf("counted %v other messages, want 0", got)
	}
}

// Whatever its octets and pieces: a submission is refused, or it arrives with
// one author who is the account's, with no Bcc and no line that is too long,
// above a body that is the same in any pieces.
func FuzzSubmission(f *testing.F) {
	long := strings.Repeat("long ", 300)
	for _, s := range []string{
		"", "a", complete + "\r\nHi\r\n", "Bcc: x\r\n" + own, own + "x\r\nBcc : y\r\n\r\n", "X : y\r\n" + own, " folded", "From x y\r\nA: b", "\r\n", "\r", own + "\r\n" + long,
		"From: bob@example.test\r\n\r\n", "Subject: " + long + "\r\n", own + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + long + "\r\n--b--\r\n",
	} {
		f.Add([]byte(s), uint16(1))
	}
	f.Fuzz(func(t *testing.T, content []byte, n uint16) {
		content = bytes.ReplaceAll(bytes.ReplaceAll(content, []byte("\r"), nil), []byte("\n"), []byte("\r\n"))
		whole, pieces := submitPieces(t, content, len(content)+1), submitPieces(t, content, int(n)+1)
		if whole != pieces {
			t.Fatalf("%q: whole %q, in pieces %q", content, whole, pieces)
		}
		if whole == "" {
			return
		}
		for line := range strings.SplitSeq(whole, "\r\n") {
			if len(line) > 998 {
				t.Fatalf("%q: a line has %d octets", content, len(line))
			}
		}
		for f := range message.SplitFields([]byte(whole)) {
			if f.Name == nil || f.Raw[len(f.Name)] != ':' {
				t.Fatalf("%q: got the field %q", content, f.Raw)
			}
		}
		m, err := mail.ReadMessage(strings.NewReader(whole))
		if err != nil {
			return // a field name that only net/mail can't read
		}
		if from := m.Header["From"]; len(from) != 1 || len(m.Header["Bcc"]) > 0 || len(m.Header["Date"]) == 0 {
			t.Fatalf("%q: header %v", content, m.Header)
		}
	})
}

// submitPieces submits content as alice and returns what has arrived, or "".
func submitPieces(t testing.TB, content []byte, n int) string {
	s := newSite(t, nil)
	c := s.beginSubmission("alice", "bob@example.test")
	defer c.Abort()
	for p := content; len(p) > 0; {
		m := min(n, len(p))
		if _, err := c.Write(p[:m]); err != nil {
			return ""
		}
		p = p[m:]
	}
	if err := c.Commit(t.Context()); err != nil {
		if got := s.counts("bob"); got != "bob 0" {
			t.Fatalf("refused and stored: %s", got)
		}
		return ""
	}
	return arrived(t, s.inbox("bob")[0])
}

func BenchmarkSubmission(b *testing.B) {
	s := newLimitedSite(b, func(*storetest.Model) Store { return new(hole) }, SubmissionLimits{-1, -1, -1, -1})
	content := []byte(own + "Subject: x\r\n\r\n" + strings.Repeat("This is a line of the message's body.\r\n", 25))
	b.ReportAllocs()
	for b.Loop() {
		c := s.beginSubmission("alice", "bob@example.test")
		if _, err := c.Write(content); err != nil {
			b.Fatal(err)
		}
		if err := c.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
		s.log.Reset()
	}
}
