package receive

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"postrider/internal/mail"
	"postrider/internal/smtp"
)

func TestLogNamesEverythingAboutAMessage(t *testing.T) {
	s := newSite(t, nil)
	wantPrefix(t, "message", s.send(hello, "team@example.test", "nobody@example.test", "carol@example.test"), "250 2.0.0")
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %d lines, want a refusal and an acceptance:\n%s", len(lines), s.log.String())
	}
	about := []string{
		"level=INFO", "conn=c1", "message=", "listener=test-mx", "remote=192.0.2.1",
		"helo=client.example.org", "from=sender@example.org",
	}
	for i, want := range [][]string{
		append(about, `msg="mail refused"`, "stage=rcpt", `reason="unknown user"`, "to=nobody@example.test"),
		append(about, `msg="message accepted"`, "recipients=2", `to="team@example.test, carol@example.test"`, "copies=3", "octets="),
	} {
		for _, w := range want {
			if !strings.Contains(lines[i], w) {
				t.Errorf("line %d has no %s: %s", i+1, w, lines[i])
			}
		}
	}
	for name, want := range map[string]float64{
		"postrider_messages_accepted_total": 1, "postrider_recipients_accepted_total": 2,
		"postrider_copies_accepted_total": 3, "postrider_accept_seconds": 1, "postrider_refused_total": 1,
	} {
		if got := s.metric(name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if got := s.metric("postrider_octets_accepted_total"); got < float64(len(hello)) {
		t.Errorf("octets: got %v, want at least %d", got, len(hello))
	}
}

func TestLogSaysWhichMailboxIsFull(t *testing.T) {
	s := newSite(t, nil)
	m := s.connect()
	defer m.Close()
	say(t, m, "EHLO x", "MAIL FROM:<a@b.test> SIZE=1000000", "RCPT TO:<crowd@example.test>")
	if log := s.log.String(); !strings.Contains(log, `reason="over quota: full@example.test"`) {
		t.Errorf("got %s", log)
	}
}

func TestLogLinesAreBounded(t *testing.T) {
	s := newSite(t, nil)
	tx := &smtp.Transaction{Client: &smtp.Client{Helo: strings.Repeat("h", 10_000), Remote: netip.AddrPort{}}}
	for range 1000 {
		tx.Envelope.Recipients = append(tx.Envelope.Recipients, mail.Recipient{Address: mail.Address{Local: "a", Domain: "b.test"}})
	}
	s.receiver.accepted(t.Context(), tx, acceptance{octets: 1, copies: 1})
	if n := len(s.log.String()); n > 1000 {
		t.Errorf("got a line of %d octets", n)
	}
	if got := addresses(tx.Envelope.Recipients[:2]).LogValue(); !got.Equal(slog.StringValue("a@b.test, a@b.test")) {
		t.Errorf("got %v", got)
	}
}
