package outbound

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/mail"
	"postrider/internal/resolver/zonetest"
	"postrider/internal/sinktest"
	"postrider/internal/store"
)

func TestAQueuedMessageIsSentToItsDomainsHost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		sink := s.host("203.0.114.1", sinktest.Options{})
		id := s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		ms := sink.Messages()
		if len(ms) != 1 || ms[0].From() != "alice@example.org" || !strings.Contains(string(ms[0].Data), "\r\n\r\nhello\r\n") {
			t.Fatalf("got %v", ms)
		}
		if rows := s.rows(id); rows != nil {
			t.Errorf("got rows %v, want none", rows)
		}
		if n := s.told(); len(n) != 0 {
			t.Errorf("got notifications %v", n)
		}
	})
}

func TestRecipientsOfADomainShareATransaction(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		sink := s.host("203.0.114.1", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@remote.test", "carol@remote.test", "dave@remote.test")
		synctest.Wait()
		if ms := sink.Messages(); len(ms) != 1 || len(ms[0].To()) != 3 {
			t.Errorf("got %d messages", len(ms))
		}
	})
}

func TestDomainsOfASmarthostShareATransaction(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) {
			o.Routes = []Route{{Name: "smarthost", Hosts: []HostPort{{Host: "192.0.2.9", Port: 587}}}}
		})
		sink := s.host("192.0.2.9", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@remote.test", "carol@other.test")
		synctest.Wait()
		if got := recipients(sink); len(got) != 2 {
			t.Errorf("got %v", got)
		}
		if s.dialled()[0] != "192.0.2.9:587" {
			t.Errorf("got a connection to %s", s.dialled()[0])
		}
	})
}

func TestTheNextHostIsTriedWhenOneIsDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		sink := s.host("203.0.114.2", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		if got := recipients(sink); !slices.Equal(got, []string{"bob@remote.test"}) {
			t.Errorf("got %v, want bob's by the second host", got)
		}
	})
}

func TestAHostThatGreetsWithAnErrorIsPassedOver(t *testing.T) {
	for _, greeting := range []string{"554 no mail here", "421 too busy"} {
		bubble(t, func(t *testing.T) {
			s := begin(t, nil)
			s.host("203.0.114.1", sinktest.Options{On: on("CONNECT", greeting)})
			sink := s.host("203.0.114.2", sinktest.Options{})
			s.queue("alice@example.org", nil, "bob@remote.test")
			synctest.Wait()
			if got := recipients(sink); len(got) != 1 {
				t.Errorf("%s: got %v", greeting, got)
			}
		})
	}
}

// on answers one verb with a text.
func on(verb, text string) func(sinktest.Command) sinktest.Answer {
	return func(c sinktest.Command) sinktest.Answer {
		if c.Verb == verb {
			return sinktest.Answer{Text: text}
		}
		return sinktest.Answer{}
	}
}

func TestEachRecipientHasItsOwnFate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		sink := s.host("203.0.114.1", sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
			switch {
			case c.Verb != "RCPT":
			case strings.Contains(c.Line, "later@"):
				return sinktest.Answer{Text: "450 4.2.1 Not now"}
			case strings.Contains(c.Line, "nobody@"):
				return sinktest.Answer{Text: "550 5.1.1 No such user"}
			}
			return sinktest.Answer{}
		}})
		id := s.queue("alice@example.org", nil, "bob@remote.test", "later@remote.test", "nobody@remote.test")
		synctest.Wait()
		if got := recipients(sink); !slices.Equal(got, []string{"bob@remote.test"}) {
			t.Errorf("got %v", got)
		}
		rows := s.rows(id)
		if len(rows) != 1 || rows[0].Index != 1 || rows[0].Attempts != 1 || rows[0].Reply != "450 4.2.1 Not now" {
			t.Errorf("got %+v, want the second row with one attempt", rows)
		}
		notices := s.told()
		if len(notices) != 1 || notices[0].to != "alice@example.org" || !strings.Contains(notices[0].text, "No such user") {
			t.Fatalf("got %v", notices)
		}
		if strings.Contains(notices[0].text, "later@") || strings.Contains(notices[0].text, "bob@") {
			t.Errorf("the notice names others: %s", notices[0].text)
		}
	})
}

func TestRetriesGoOnForFiveDaysAndThenTheSenderIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		start := time.Now()
		id := s.queue("alice@example.org", nil, "bob@remote.test")
		time.Sleep(4*time.Hour + time.Minute)
		synctest.Wait()
		notices := s.told()
		if len(notices) != 1 || notices[0].what != "delayed" || notices[0].at.Sub(start) < 4*time.Hour {
			t.Fatalf("after four hours: got %v, want one notice of delay", notices)
		}
		if rows := s.rows(id); len(rows) != 1 || !rows[0].Delayed || rows[0].Attempts < 5 {
			t.Errorf("got %+v", rows)
		}
		time.Sleep(5*24*time.Hour - 4*time.Hour - 2*time.Minute)
		synctest.Wait()
		if rows := s.rows(id); len(rows) != 1 {
			t.Fatalf("before the end: got %v", rows)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		notices = s.told()
		if rows := s.rows(id); rows != nil || len(notices) != 2 || notices[1].what != "failed" {
			t.Fatalf("at the end: got rows %v and notices %v", rows, notices)
		}
		if n := len(s.dialled()); n < 2*30 || n > 2*60 {
			t.Errorf("got %d connections in five days", n)
		}
	})
}

func TestNobodyIsToldOfANotificationThatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		s.host("203.0.114.1", sinktest.Options{On: on("RCPT", "550 5.1.1 No such user")})
		id := s.queue("", nil, "bob@remote.test")
		synctest.Wait()
		if rows := s.rows(id); rows != nil || len(s.told()) != 0 {
			t.Errorf("got rows %v, notices %v", rows, s.told())
		}
	})
}

// RFC 3464 §2.3.6, RFC 2034 §4: a code of another class than the reply's decides
// nothing, and what is quoted stays as it came.
func TestWhatAHostSaidIsQuotedAsItCame(t *testing.T) {
	for answer, row := range map[string]struct{ quoted, status string }{
		"550 2.0.0 ok": {"550 2.0.0 ok", "5.0.0"}, "450 5.1.1 perhaps": {"450 5.1.1 perhaps", "4.1.1"},
		"550 5.1.1\x07 no": {"550 5.1.1? no", "5.0.0"},
	} {
		t.Run(answer, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := begin(t, nil)
				s.host("203.0.114.1", sinktest.Options{On: on("RCPT", answer)})
				s.queue("alice@example.org", nil, "bob@remote.test")
				time.Sleep(5 * time.Hour)
				synctest.Wait()
				told := s.told()
				if len(told) != 1 {
					t.Fatalf("got %d notices", len(told))
				}
				for _, want := range []string{"\r\n    > " + row.quoted + "\r\n", "\r\nDiagnostic-Code: smtp; " + row.quoted + "\r\n", "\r\nStatus: " + row.status + "\r\n"} {
					if !strings.Contains(told[0].text, want) {
						t.Errorf("%q is not in %s", want, told[0].text)
					}
				}
				if log := s.logged(); !strings.Contains(log, row.quoted) || !strings.Contains(log, "status="+row.status) {
					t.Errorf("log: %s", log)
				}
			})
		})
	}
}

// RFC 3464 §4.2: who writes to an alias does not learn where it leads.
func TestWhereAnAliasLeadsIsNotTold(t *testing.T) {
	for name, answer := range map[string]string{
		"refused": "550 5.1.1 <private@remote.test>: no such user", "late": "450 4.2.0 <private@remote.test>: busy",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := begin(t, nil)
				s.host("203.0.114.1", sinktest.Options{On: on("RCPT", answer)})
				s.queueUnder(store.AliasWarrant("info@example.org"), "eve@sender.test", func(o *Onward) { o.Prefix = []byte("Delivered-To: info@example.org\r\n") }, "private@remote.test")
				time.Sleep(5 * time.Hour)
				synctest.Wait()
				told := s.told()
				if len(told) != 1 {
					t.Fatalf("got %d notices", len(told))
				}
				text := told[0].text
				if strings.Contains(text, "private") || strings.Contains(text, "remote.test") || !strings.Contains(text, "\r\nFinal-Recipient: rfc822; info@example.org\r\n") ||
					strings.Contains(text, ".1.1") || strings.Contains(text, "no mailbox") || strings.Contains(text, "letter by letter") || !strings.Contains(text, "The address info@example.org is right") {
					t.Errorf("got %s", text)
				}
			})
		})
	}
}

// Who wrote to an alias may be anybody: a forged sender is not to be sent what the
// message says.
func TestThatForwardedMailWasPassedOnIsToldAsToAStranger(t *testing.T) {
	for name, row := range map[string]struct {
		warrant  store.Warrant
		stranger bool
		trace    bool
	}{
		"an alias":            {store.AliasWarrant("info@example.org"), true, false},
		"an alias, traced":    {store.AliasWarrant("info@example.org"), true, true},
		"an account":          {store.AccountWarrant(1, "alice@example.org"), false, false},
		"a client that sends": {store.ClientWarrant("office"), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := begin(t, nil)
				s.host("203.0.114.1", sinktest.Options{Extensions: []string{"PIPELINING"}})
				s.queueUnder(row.warrant, "victim@example.net", func(o *Onward) {
					o.Envelope.Recipients[0].Notify = mail.NotifySuccess
					o.Envelope.DeliverBy.Trace = row.trace
				}, "bob@remote.test")
				synctest.Wait()
				n := s.told()
				if len(n) != 1 || n[0].what != "relayed" {
					t.Fatalf("got %v", n)
				}
				if got := !strings.Contains(n[0].text, "Subject: hello"); got != row.stranger || n[0].stranger != row.stranger {
					t.Errorf("without its header: %t, as a stranger's: %t; got %s", got, n[0].stranger, n[0].text)
				}
			})
		})
	}
}

func TestNotifyIsHonoured(t *testing.T) {
	for _, row := range []struct {
		notify mail.Notify
		reply  string
		dsn    bool // the host knows DSN
		want   string
	}{
		{0, "550 5.1.1 No", true, "failed"},
		{mail.NotifyNever, "550 5.1.1 No", true, ""},
		{mail.NotifySuccess, "550 5.1.1 No", true, ""},
		{mail.NotifyFailure, "550 5.1.1 No", true, "failed"},
		{mail.NotifySuccess, "", true, ""},
		{mail.NotifySuccess, "", false, "relayed"},
		{mail.NotifyFailure, "", false, ""},
	} {
		bubble(t, func(t *testing.T) {
			s := begin(t, nil)
			o := sinktest.Options{Extensions: []string{"PIPELINING"}}
			if row.dsn {
				o.Extensions = append(o.Extensions, "DSN")
			}
			if row.reply != "" {
				o.On = on("RCPT", row.reply)
			}
			s.host("203.0.114.1", o)
			s.queue("alice@example.org", func(o *Onward) { o.Envelope.Recipients[0].Notify = row.notify }, "bob@remote.test")
			synctest.Wait()
			got := ""
			for _, n := range s.told() {
				got += n.what
			}
			if got != row.want {
				t.Errorf("%+v: got %q", row, got)
			}
		})
	}
}

func TestADeadDestinationHoldsUpNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) { o.Connections = 8 })
		for range 300 {
			s.queue("alice@example.org", nil, "bob@remote.test") // nobody is there
		}
		sink := s.host("203.0.114.3", sinktest.Options{})
		for range 50 {
			s.queue("alice@example.org", nil, "bob@other.test")
		}
		synctest.Wait()
		if n := len(sink.Messages()); n != 50 {
			t.Errorf("got %d of 50", n)
		}
		if n := len(s.dialled()); n > 100 {
			t.Errorf("the dead hosts were tried with %d connections", n)
		}
	})
}

func TestASilentDestinationHoldsUpNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		s.host("203.0.114.1", sinktest.Options{On: func(c sinktest.Command) sinktest.Answer { return sinktest.Answer{Silent: true} }})
		for range 100 {
			s.queue("alice@example.org", nil, "bob@remote.test")
		}
		sink := s.host("203.0.114.3", sinktest.Options{})
		for range 50 {
			s.queue("alice@example.org", nil, "bob@other.test")
		}
		synctest.Wait()
		if n := len(sink.Messages()); n != 50 {
			t.Errorf("got %d of 50", n)
		}
	})
}

func TestAConnectionIsUsedAgainAndLostOnesAreNoFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) { o.Terms.Connections = 1 })
		sink := s.host("203.0.114.1", sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
			if c.Verb == "MAIL" && c.N == 3 {
				return sinktest.Answer{Text: "421 4.3.2 enough", Drop: true}
			}
			return sinktest.Answer{}
		}})
		for range 10 {
			s.queue("alice@example.org", nil, "bob@remote.test")
		}
		synctest.Wait()
		if n := len(sink.Messages()); n != 10 {
			t.Errorf("got %d of 10", n)
		}
		if n := len(s.dialled()); n != 4 {
			t.Errorf("got %d connections, want 4", n)
		}
	})
}

func TestALossAtTheEndIsUncertain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		s.host("203.0.114.1", sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
			if c.Verb == "END" {
				return sinktest.Answer{Drop: true, Take: true}
			}
			return sinktest.Answer{}
		}})
		second := s.host("203.0.114.2", sinktest.Options{})
		id := s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		rows := s.rows(id)
		if len(rows) != 1 || !rows[0].Uncertain || !strings.Contains(rows[0].Reply, "twice") {
			t.Errorf("got %+v, want an uncertain row", rows)
		}
		if n := len(second.Messages()); n != 0 {
			t.Errorf("the other host got it at once: %d", n)
		}
		if !strings.Contains(s.logged(), "may_come_twice=true") {
			t.Errorf("the log does not say so: %s", s.logged())
		}
	})
}

func TestWhatTheDNSSaysDecides(t *testing.T) {
	for name, row := range map[string]struct{ zone, to, status, want string }{
		"no domain":     {"", "bob@nowhere.test", "5.1.2", "failed"},
		"null MX":       {"$ORIGIN null.test.\n@ IN MX 0 .\n", "bob@null.test", "5.1.10", "failed"},
		"ourselves":     {"$ORIGIN self.test.\n@ IN MX 0 mail.example.org.\n", "bob@self.test", "5.4.6", "failed"},
		"private":       {"$ORIGIN in.test.\n@ IN MX 0 h\nh IN A 10.0.0.1\n", "bob@in.test", "5.4.4", "failed"},
		"loopback":      {"$ORIGIN in.test.\n@ IN MX 0 h\nh IN A 127.0.0.1\n", "bob@in.test", "5.4.4", "failed"},
		"literal":       {"", "bob@[127.0.0.1]", "5.4.4", "failed"},
		"no MX, no A":   {"$ORIGIN empty.test.\n@ IN TXT x\n", "bob@empty.test", "5.1.2", "failed"},
		"MX, not there": {"$ORIGIN half.test.\n@ IN MX 0 gone\n", "bob@half.test", "", "deferred"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := begin(t, nil)
				s.zone.Set(t, zoneText+row.zone)
				id := s.queue("alice@example.org", nil, row.to)
				synctest.Wait()
				if row.want == "deferred" {
					if rows := s.rows(id); len(rows) != 1 || rows[0].Attempts != 1 {
						t.Errorf("got %+v", rows)
					}
					return
				}
				n := s.told()
				if len(n) != 1 || n[0].what != row.want || !strings.Contains(n[0].text, "Status: "+row.status) {
					t.Errorf("got %v; the log: %s", n, s.logged())
				}
				if len(s.dialled()) != 0 {
					t.Errorf("got connections to %v", s.dialled())
				}
			})
		})
	}
}

// A zone of hosts that never answer does not keep a connection's place for long.
func TestFewHostsThatCannotBeLookedUpAreAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		zone := zoneText + "$ORIGIN slow.test.\n"
		for i := range 50 {
			zone += fmt.Sprintf("@ IN MX %d h%d\nh%d IN A 203.0.114.9\n", i, i, i)
			s.zone.Break(fmt.Sprintf("h%d.slow.test", i), dns.TypeANY, zonetest.ServFail)
		}
		s.zone.Set(t, zone)
		id := s.queue("alice@example.org", nil, "bob@slow.test")
		synctest.Wait()
		hosts := map[string]bool{}
		for _, q := range s.zone.Asked() {
			if name, _, _ := strings.Cut(q, ".slow.test"); name != q {
				hosts[name[strings.LastIndexByte(name, ' ')+1:]] = true
			}
		}
		if rows := s.rows(id); len(rows) != 1 || rows[0].Attempts != 1 || len(hosts) != maxTries {
			t.Errorf("asked for %d hosts, left %+v", len(hosts), rows)
		}
	})
}

func TestImplicitMXIsTried(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		s.zone.Set(t, "$ORIGIN plain.test.\n@ IN A 203.0.114.9\n")
		sink := s.host("203.0.114.9", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@plain.test")
		synctest.Wait()
		if n := len(sink.Messages()); n != 1 {
			t.Errorf("got %d", n)
		}
	})
}

func TestALiteralIsTried(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		sink := s.host("203.0.114.9", sinktest.Options{})
		six := s.host("2001:4860::9", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@[203.0.114.9]", "bob@[IPv6:2001:4860::9]")
		synctest.Wait()
		if len(sink.Messages()) != 1 || len(six.Messages()) != 1 {
			t.Errorf("got %d and %d", len(sink.Messages()), len(six.Messages()))
		}
	})
}

func TestAPoisonedMessageIsHeldAndTheOthersFlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		sink := s.host("203.0.114.1", sinktest.Options{})
		bad := s.queue("alice@example.org", func(o *Onward) {
			o.Envelope.Recipients[0].Address.Local = "evil\r\nRCPT TO:<x@y>"
		}, "bob@remote.test")
		s.queue("alice@example.org", nil, "carol@remote.test")
		synctest.Wait()
		if got := recipients(sink); !slices.Equal(got, []string{"carol@remote.test"}) {
			t.Errorf("got %q", got)
		}
		if rows := s.rows(bad); len(rows) == 1 && rows[0].State == store.RowWaiting && rows[0].Attempts == 0 {
			t.Errorf("the bad row was not looked at: %+v", rows)
		}
	})
}

func TestDeliverByReturnsInTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		s.queue("alice@example.org", func(o *Onward) {
			o.Envelope.DeliverBy = mail.DeliverBy{Deadline: time.Now().Add(time.Hour)}
		}, "bob@remote.test")
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		if n := s.told(); len(n) != 0 {
			t.Fatalf("got %v", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := s.told(); len(n) != 1 || n[0].what != "failed" {
			t.Errorf("got %v", n)
		}
	})
}

func TestAFrozenDestinationWaitsUntilItIsThawed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		sink := s.host("203.0.114.1", sinktest.Options{})
		if err := s.store.Freeze(t.Context(), "remote.test", "maintenance", time.Now()); err != nil {
			t.Fatal(err)
		}
		s.queue("alice@example.org", nil, "bob@remote.test")
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(sink.Messages()); n != 0 {
			t.Fatalf("got %d while frozen", n)
		}
		if err := s.store.Thaw(t.Context(), "remote.test"); err != nil {
			t.Fatal(err)
		}
		s.d.Kick("remote.test")
		synctest.Wait()
		if n := len(sink.Messages()); n != 1 {
			t.Errorf("got %d after", n)
		}
	})
}

func TestAStopFinishesWhatIsUnderWayAndLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		sink := s.host("203.0.114.1", sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
			if c.Verb == "END" {
				return sinktest.Answer{Delay: 5 * time.Second}
			}
			return sinktest.Answer{}
		}})
		for range 40 {
			s.queue("alice@example.org", nil, "bob@remote.test")
		}
		time.Sleep(time.Second)
		s.stop()
		taken := len(sink.Messages())
		u, err := s.store.QueueUsage(t.Context())
		if err != nil || taken == 0 || taken+int(u.Rows) != 40 {
			t.Errorf("got %d taken and %d left of 40 (%v)", taken, u.Rows, err)
		}
	})
}

func TestTheRateOfADestinationIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) {
			o.Special = []Special{{Domains: []string{"remote.test"}, Terms: Terms{MessagesPerMinute: 6}}}
		})
		sink := s.host("203.0.114.1", sinktest.Options{})
		for range 20 {
			s.queue("alice@example.org", nil, "bob@remote.test")
		}
		time.Sleep(time.Minute - time.Second)
		synctest.Wait()
		if n := len(sink.Messages()); n < 5 || n > 7 {
			t.Errorf("got %d in a minute, want 6", n)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if n := len(sink.Messages()); n != 20 {
			t.Errorf("got %d in the end", n)
		}
	})
}

func TestAHopThatRecoversGetsItsMail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		for range 500 {
			s.queue("alice@example.org", nil, "bob@remote.test")
		}
		time.Sleep(30 * time.Minute)
		sink := s.host("203.0.114.1", sinktest.Options{})
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(sink.Messages()); n != 500 {
			t.Errorf("got %d of 500", n)
		}
	})
}

func TestAConnectionThatBreaksIsToldInWordsForPeople(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		s.host("203.0.114.1", sinktest.Options{On: func(c sinktest.Command) sinktest.Answer { return sinktest.Answer{Drop: c.Verb == "RCPT"} }})
		s.host("203.0.114.2", sinktest.Options{On: func(c sinktest.Command) sinktest.Answer { return sinktest.Answer{Drop: c.Verb == "RCPT"} }})
		id := s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		if rows := s.rows(id); len(rows) != 1 || rows[0].Reply != "the connection was closed by the other side (at RCPT)" {
			t.Errorf("got %+v", rows)
		}
	})
}

func TestAPoisonedRecipientFailsAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		sink := s.host("203.0.114.1", sinktest.Options{})
		id := s.queue("alice@example.org", func(o *Onward) {
			o.Envelope.Recipients[1].Address.Local = "evil\r\nRCPT TO:<x@y>"
			o.Envelope.Recipients[2].ORcpt = "rfc822;a\r\nDATA"
		}, "bob@remote.test", "evil@remote.test", "carol@remote.test")
		synctest.Wait()
		if got := recipients(sink); !slices.Equal(got, []string{"bob@remote.test", "carol@remote.test"}) {
			t.Errorf("got %q", got)
		}
		n := s.told()
		if rows := s.rows(id); len(rows) != 0 || len(n) != 1 || strings.Contains(n[0].text, "\nRCPT TO") {
			t.Errorf("got rows %+v and notices %v, want one notice in which the address does no harm", rows, n)
		}
	})
}

func TestAPoisonedReversePathIsHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		sink := s.host("203.0.114.1", sinktest.Options{})
		id := s.queue("alice@example.org", func(o *Onward) { o.Envelope.From.Local = "evil\r\nQUIT" }, "bob@remote.test")
		synctest.Wait()
		if rows := s.rows(id); len(sink.Messages()) != 0 || len(rows) != 1 || rows[0].State != store.RowHeld {
			t.Errorf("got %d messages and rows %+v", len(sink.Messages()), rows)
		}
	})
}

func TestANoticeOfForwardedMailBringsNothingOfItsBodyBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		s.host("203.0.114.1", sinktest.Options{On: on("RCPT", "550 5.1.1 No such user")})
		s.queueUnder(store.AliasWarrant("list@example.org"), "victim@example.net", func(o *Onward) {
			o.Envelope.Ret = mail.RetFull // a stranger's wish
		}, "bob@remote.test")
		synctest.Wait()
		n := s.told()
		if len(n) != 1 || strings.Contains(n[0].text, "\r\nhello\r\n") || !strings.Contains(n[0].text, "Subject: hello") {
			t.Errorf("got %v", n)
		}
	})
}
