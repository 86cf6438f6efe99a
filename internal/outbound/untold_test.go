package outbound

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/sinktest"
	"postrider/internal/store"
)

// noticeText is a notification as package dsn writes it, with a subject that would
// meddle with a terminal.
const noticeText = "From: Mail Delivery System <MAILER-DAEMON@mail.example.org>\r\n" +
	"Subject: Your message to \x1b[2Jbob@gone.test\r\n could not be delivered\r\n\r\n" +
	"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mail.example.org\r\nX-Postrider-ID: 041061050r3gg2820000000000\r\n\r\n"

// refusing takes no recipient.
func refusing(c sinktest.Command) sinktest.Answer {
	if c.Verb == "RCPT" {
		return sinktest.Answer{Raw: "550 5.1.1 nobody of that name\r\n"}
	}
	return sinktest.Answer{}
}

// lineOf returns the line of the log that has a text.
func lineOf(log, text string) string {
	for line := range strings.Lines(log) {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

func TestANotificationThatCannotBeDeliveredIsWarnedOf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		s := begin(t, func(s *site, o *Options) { s.text, o.Registerer = noticeText, reg })
		s.host("203.0.114.1", sinktest.Options{On: refusing})
		id := s.queueUnder(store.ServerWarrant("failed"), "", nil, "mallory@remote.test")
		time.Sleep(time.Minute)
		synctest.Wait()
		line := lineOf(s.logged(), `msg="notification could not be sent"`)
		for _, want := range []string{
			"level=WARN", "queued=" + id.String(), "to=mallory@remote.test", "550 5.1.1 nobody", "what=failed",
			"about=041061050r3gg2820000000000", `subject="Your message to ?[2Jbob@gone.test could not be delivered"`, "advice=",
		} {
			if !strings.Contains(line, want) {
				t.Errorf("%s is not in the line %q of %s", want, line, s.logged())
			}
		}
		if n := counted(t, reg, "postrider_outbound_untold_total"); n != 1 || len(s.told()) != 0 || s.rows(id) != nil {
			t.Errorf("counted %v, told %v, rows %v", n, s.told(), s.rows(id))
		}
	})
}

func TestOtherMailWithoutASenderThatFailsIsWarnedOf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		s.host("203.0.114.1", sinktest.Options{On: refusing})
		s.queueUnder(store.AliasWarrant("all@example.org"), "", nil, "bob@remote.test")
		time.Sleep(time.Minute)
		synctest.Wait()
		line := lineOf(s.logged(), "has no sender who could be told")
		if !strings.Contains(line, "level=WARN") || !strings.Contains(line, "subject=hello") || !strings.Contains(line, "advice=") {
			t.Errorf("got %q of %s", line, s.logged())
		}
	})
}

func TestWhatSomebodyIsToldOfOrNobodyMissesIsNotWarnedOf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		s := begin(t, func(_ *site, o *Options) { o.Registerer = reg })
		s.host("203.0.114.1", sinktest.Options{On: refusing})
		s.queue("alice@example.org", nil, "bob@remote.test")
		s.queueUnder(store.ServerWarrant(TLSReport), "", nil, "reports@remote.test")
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := counted(t, reg, "postrider_outbound_untold_total"); n != 0 || strings.Contains(s.logged(), "level=WARN") {
			t.Errorf("counted %v: %s", n, s.logged())
		}
		if n := len(s.told()); n != 1 {
			t.Errorf("told %d", n)
		}
	})
}

// counted returns the value of a counter without labels.
func counted(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}
