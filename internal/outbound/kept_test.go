package outbound

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/mail"
	"postrider/internal/sinktest"
	"postrider/internal/smtp"
)

func TestMailThatARouteKeepsWasNotTried(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := branch(t)
		id := s.queue("alice@example.org", nil, "bob@remote.test")
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		rows := s.rows(id)
		if len(rows) != 1 || rows[0].Attempts != 0 || rows[0].Reply != "it waits until its host calls" {
			t.Errorf("got %+v", rows)
		}
		if n := strings.Count(s.logged(), `msg="message deferred"`); n > 10 {
			t.Errorf("%d lines in the log of a day", n)
		}
		time.Sleep(5 * 24 * time.Hour)
		synctest.Wait()
		told := s.told()
		if len(told) != 2 || told[0].what != "delayed" || told[1].what != "failed" {
			t.Fatalf("got %v", told)
		}
		for _, n := range told {
			if strings.Contains(n.text, "attempts were made") || strings.Contains(n.text, "again and again") {
				t.Errorf("nothing was tried:\n%s", n.text)
			}
		}
	})
}

func TestKeptMailIsReturnedAtTheTimeThatItsSenderSet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := branch(t)
		s.queue("alice@example.org", func(o *Onward) {
			o.Envelope.DeliverBy = mail.DeliverBy{Deadline: time.Now().Add(time.Hour), Mode: mail.ByReturn}
		}, "bob@remote.test")
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		if told := s.told(); len(told) != 1 || told[0].what != "failed" {
			t.Errorf("got %v", told)
		}
	})
}

func TestETRNHasKeptMailSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := branch(t)
		sink := s.host("203.0.114.1", sinktest.Options{})
		from := caller("", "198.51.100.9:4000")
		s.queue("alice@example.org", nil, "bob@remote.test")
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(sink.Messages()); n != 0 {
			t.Fatalf("got %d before the call", n)
		}
		if _, err := s.d.Flush(t.Context(), from, smtp.Node{Name: "remote.test"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.queue("alice@example.org", nil, "carol@remote.test") // while the host is there
		synctest.Wait()
		if n := len(sink.Messages()); n != 2 {
			t.Errorf("got %d after the call, want both", n)
		}
		time.Sleep(callTime)
		s.queue("alice@example.org", nil, "dave@remote.test")
		synctest.Wait()
		if n := len(sink.Messages()); n != 2 {
			t.Errorf("got %d, though the call was long ago", n)
		}
	})
}

// The domain's MX may be this server alone: its host gets the mail by ATRN.
func TestACallReturnsNothingToItsSender(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) {
			o.Turns = []Turn{{Domains: []string{"gone.test"}, Account: "branch@example.org"}}
			o.Routes = []Route{{Name: "branch", Domains: []string{"gone.test"}, Keep: true}}
		})
		id := s.queue("alice@example.org", nil, "bob@gone.test")
		synctest.Wait()
		if _, err := s.d.Flush(t.Context(), caller("branch@example.org", "198.51.100.9:4000"), smtp.Node{Name: "gone.test"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		rows := s.rows(id)
		if len(rows) != 1 || rows[0].Attempts != 0 || !strings.Contains(rows[0].Reply, "gone.test") || len(s.told()) != 0 {
			t.Errorf("got %+v, told %v", rows, s.told())
		}
	})
}

// They fit into one transaction again (RFC 5321 §4.5.4.1).
func TestRecipientsThatFailTogetherAreTriedTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		var full atomic.Bool
		full.Store(true)
		sink := s.host("203.0.114.1", sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
			switch {
			case full.Load() && c.Verb == "RCPT":
				return sinktest.Answer{Raw: "452 4.3.1 no room\r\n"}
			case full.Load() && c.Verb == "DATA":
				return sinktest.Answer{Raw: "554 5.5.1 for whom?\r\n"}
			}
			return sinktest.Answer{}
		}})
		id := s.queue("alice@example.org", nil, "bob@remote.test", "carol@remote.test", "dave@remote.test")
		time.Sleep(time.Minute)
		synctest.Wait()
		rows := s.rows(id)
		if len(rows) != 3 || !rows[0].Due.Equal(rows[1].Due) || !rows[1].Due.Equal(rows[2].Due) {
			t.Errorf("got %+v", rows)
		}
		full.Store(false)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(sink.Messages()); n != 1 || len(recipients(sink)) != 3 {
			t.Errorf("got %d messages for %v, want one for all", n, recipients(sink))
		}
	})
}

func TestAReplyIsShownAsItCame(t *testing.T) {
	r := &smtp.Reply{Code: 550, Enhanced: "1.1", Text: "nobody\nof that name"}
	if got, want := replyText(r), "550-5.1.1 nobody\n550 5.1.1 of that name"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := replyText(&smtp.Reply{Code: 421}), "421"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r = &smtp.Reply{Code: 550, Enhanced: "0.0", Text: "ok\nso", Said: "2.0.0 ok\nso"}
	if got, want := replyText(r), "550-2.0.0 ok\n550 so"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAHostIsShownWithItsPort(t *testing.T) {
	for where, at := range map[string]*target{
		"mx.remote.test [192.0.2.1]":      {host: "mx.remote.test", address: netip.MustParseAddrPort("192.0.2.1:25")},
		"[192.0.2.1], port 2525":          {address: netip.MustParseAddrPort("192.0.2.1:2525")},
		"mx.remote.test [2001:db8::1]":    {host: "mx.remote.test", address: netip.MustParseAddrPort("[2001:db8::1]:25")},
		"a.test [2001:db8::1], port 1025": {host: "a.test", address: netip.MustParseAddrPort("[2001:db8::1]:1025")},
	} {
		if got := at.where(); got != where {
			t.Errorf("got %q, want %q", got, where)
		}
	}
}
