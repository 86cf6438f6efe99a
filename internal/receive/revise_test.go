package receive

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"postrider/internal/dialogue"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store/storetest"
)

const binaryHeader = "From: alice@example.test\r\nDate: x\r\nMessage-ID: <a@b>\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"

// sendBinary sends a message with BODY=BINARYMIME and returns the last reply.
func (s *site) sendBinary(content string, to ...string) string {
	s.t.Helper()
	m := s.connect()
	defer m.Close()
	say(s.t, m, "EHLO client.example.org", "MAIL FROM:<alice@example.test> BODY=BINARYMIME")
	for _, r := range to {
		say(s.t, m, "RCPT TO:<"+r+">")
	}
	return bdat(s.t, m, content)
}

func bdat(t testing.TB, m *dialogue.Memory, content string) string {
	t.Helper()
	if _, err := fmt.Fprintf(m, "BDAT %d LAST\r\n%s", len(content), content); err != nil {
		t.Fatal(err)
	}
	return replies(t, m)[0]
}

func TestBinaryMessagesBecomeLinesForMailboxes(t *testing.T) {
	body := "\x00\x01\r\n\r\rx\n" + strings.Repeat("\xff", 2000)
	for _, c := range []struct {
		name, role, who string
		to              []string
		body            mail.BodyType // in the queue
		local           bool
	}{
		{"a mailbox", "", "", []string{"alice@example.test"}, 0, true},
		{"a mailbox, submitted", "", "alice", []string{"bob@example.test"}, 0, true},
		{"elsewhere, submitted", "", "alice", []string{"x@far.example"}, mail.BodyBinaryMIME, false},
		{"elsewhere, relayed", "relay", "", []string{"x@far.example"}, mail.BodyBinaryMIME, false},
		{"elsewhere, by an alias", "", "", []string{"away@example.test"}, mail.Body8BitMIME, true},
		{"elsewhere, submitted to an alias", "", "alice", []string{"away@example.test"}, mail.BodyBinaryMIME, false},
		{"both", "", "alice", []string{"bob@example.test", "x@far.example"}, mail.Body8BitMIME, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, n := newOnwardSite(t)
			s.role, s.submitter = c.role, c.who
			wantPrefix(t, "message", s.sendBinary(binaryHeader+body, c.to...), "250 2.0.0")
			a := n.accepts[0]
			if binary := strings.HasSuffix(a.octets, "\r\n\r\n"+body); binary == c.local {
				t.Errorf("stored as it came: %v", binary)
			}
			if c.local && (a.Envelope.Body != mail.Body8BitMIME || strings.ContainsRune(a.octets, 0) || !strings.Contains(a.octets, "Content-Transfer-Encoding: base64")) {
				t.Errorf("got %v, %.300q", a.Envelope.Body, a.octets)
			}
			if got := decodedBody(t, a.octets); c.local && got != body {
				t.Errorf("the body has become %.50q (%d octets), want it as it came (%d)", got, len(got), len(body))
			}
			for _, o := range n.messages() {
				if o.Envelope.Body != c.body {
					t.Errorf("in the queue: %v, want %v", o.Envelope.Body, c.body)
				}
			}
		})
	}
}

// decodedBody returns the body of a message without its encoding, if it has one.
func decodedBody(t *testing.T, octets string) string {
	t.Helper()
	header, body, _ := strings.Cut(octets, "\r\n\r\n")
	if !strings.Contains(header, "Content-Transfer-Encoding: base64") {
		return body
	}
	b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\r\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBinaryMessagesThatCannotBeConvertedAreRefused(t *testing.T) {
	signed := "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\x00\r\n--b--\r\n"
	s, n := newOnwardSite(t)
	wantPrefix(t, "for a mailbox", s.sendBinary(signed, "alice@example.test"), "554 5.6.3 The message can't be converted for a recipient here: ")
	// It would come back to whose address a stranger has given.
	wantPrefix(t, "from a stranger, for another host", s.sendBinary(signed, "away@example.test"), "554 5.6.3")
	s.submitter = "alice"
	signed = "From: alice@example.test\r\nDate: x\r\nMessage-ID: <a@b>\r\n" + signed
	wantPrefix(t, "for another host", s.sendBinary(signed, "away@example.test"), "250 2.0.0")
	if len(n.accepts) != 1 || !strings.HasSuffix(n.accepts[0].octets, signed) {
		t.Errorf("got %d messages", len(n.accepts))
	}
}

func TestHeadersAreNeverBinary(t *testing.T) {
	for _, header := range []string{"A: b\rBcc: c\r\n\r\n", "A: b\nX: y\r\n\r\n", "A: \x00\r\n\r\n", "A: b\r", "\n", "\x00", "\r", "A: b\r\r\n\r\n"} {
		for _, c := range []struct{ role, to string }{
			{"relay", "away@example.test"}, {"relay", "alice@example.test"}, {"", "away@example.test"}, {"", "alice@example.test"},
		} {
			s, n := newOnwardSite(t)
			s.role = c.role
			got := s.sendBinary(header, c.to)
			if c == (struct{ role, to string }{"relay", "away@example.test"}) && header[0] > ' ' {
				wantPrefix(t, fmt.Sprintf("%q", header), got, "554 5.6.0")
			}
			for _, a := range n.accepts {
				head, _, _ := strings.Cut(a.octets, "\r\n\r\n")
				if !areLines('\n', []byte(head)) {
					t.Errorf("%q as %+v became %q", header, c, a.octets)
				}
			}
		}
	}
}

func TestAStoreThatFailsWhileABinaryMessageIsConvertedKeepsNothing(t *testing.T) {
	for _, op := range []storetest.Op{storetest.OpNewContent, storetest.OpWrite} {
		s, n := newOnwardSite(t)
		m := s.connect()
		say(t, m, "EHLO x", "MAIL FROM:<a@b.test> BODY=BINARYMIME", "RCPT TO:<alice@example.test>")
		content := binaryHeader + "\x00"
		fmt.Fprintf(m, "BDAT %d\r\n%s", len(content), content)
		wantPrefix(t, "first chunk", replies(t, m)[0], "250 2.0.0")
		s.model.FailNext(op, fault.New(fault.NoSpace, "x", nil))
		wantPrefix(t, string(op), bdat(t, m, ""), "452 4.3.1")
		if len(n.accepts) > 0 {
			t.Errorf("%s: accepted %d", op, len(n.accepts))
		}
		m.Close()
	}
}

func TestBinaryMessagesOfWhateverEndBecomeLines(t *testing.T) {
	for _, content := range []string{"", "\r\n", "Subject: x", "Subject: x\r\n", "Subject: x\r\n\r\n", "Subject: x\r\n\r\nno end", "Subject: x\r\n\r\nends\n", "Subject: x\r\n\r\nends\r"} {
		for _, who := range []string{"", "alice"} {
			s, n := newOnwardSite(t)
			s.submitter = who
			if reply := s.sendBinary(content, "bob@example.test"); len(n.accepts) == 0 {
				t.Errorf("%q by %q: got %q, want it taken", content, who, reply)
				continue
			}
			octets := n.accepts[0].octets
			if rest := strings.ReplaceAll(octets, "\r\n", ""); !strings.HasSuffix(octets, "\r\n") || strings.ContainsAny(rest, "\r\n") {
				t.Errorf("%q by %q: stored %q, which is not lines", content, who, octets)
			}
		}
	}
}
