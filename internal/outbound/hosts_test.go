package outbound

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/resolver"
	"postrider/internal/resolver/zonetest"
	"postrider/internal/sinktest"
	"postrider/internal/tlspolicy"
)

func TestManyAddressesOfOneFamilyDoNotHideTheOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		zone := "$ORIGIN both.test.\n@ IN MX 10 mx\n"
		for i := range 8 {
			zone += fmt.Sprintf("mx IN AAAA 2001:4860::%d\n", i+1) // no way there
		}
		s.zone.Set(t, zone+"mx IN A 203.0.114.7\n")
		sink := s.host("203.0.114.7", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@both.test")
		synctest.Wait()
		if n := len(sink.Messages()); n != 1 {
			t.Errorf("got %d; tried: %v", n, s.dialled())
		}
	})
}

func TestNoAttemptAsksOnAndOnForKeysThatTheDNSDoesNotGive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(s *site, o *Options) {
			o.Policies = tlspolicy.New(tlspolicy.Options{Resolver: s.zone.Resolver(t), Records: s.store, Log: o.Logger})
		})
		zone := "$ORIGIN slow.test.\n"
		for i := range 50 {
			zone += fmt.Sprintf("@ IN MX %d h%d\nh%d IN A 203.0.114.9\n", i, i, i)
			s.zone.Break(fmt.Sprintf("_25._tcp.h%d.slow.test", i), dns.TypeTLSA, zonetest.ServFail)
		}
		s.zone.Set(t, zone)
		s.zone.Secure()
		id := s.queue("alice@example.org", nil, "bob@slow.test")
		synctest.Wait()
		hosts := map[string]bool{}
		for _, q := range s.zone.Asked() {
			if _, name, ok := strings.Cut(q, "_25._tcp."); ok {
				hosts[name] = true
			}
		}
		rows := s.rows(id)
		if len(rows) != 1 || rows[0].Attempts != 1 || len(hosts) != maxTries {
			t.Fatalf("asked for the keys of %d hosts, left %+v", len(hosts), rows)
		}
		if !strings.Contains(s.logged(), "status="+statusNoDNS) {
			t.Errorf("got the log %s, want %s", s.logged(), statusNoDNS)
		}
	})
}

func TestMailGoesToNobodyBehindUsUnderWhateverNameWeAreListed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) {
			o.IsSelf = func(a netip.AddrPort) bool { return a.Addr().String() == "203.0.114.1" }
		})
		backup := s.host("203.0.114.2", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@remote.test") // mx1 is ours, mx2 behind it
		synctest.Wait()
		if n := len(backup.Messages()); n != 0 {
			t.Errorf("the backup got %d: it would send them back here", n)
		}
		if n := s.told(); len(n) != 1 || !strings.Contains(n[0].text, "Status: 5.4.6") {
			t.Errorf("got notices %v", n)
		}
	})
}

// RFC 5321 §5.1: all at our preference are left out, and all behind.
func TestMailGoesToNobodyWhomTheDNSPrefersAsMuchAsUs(t *testing.T) {
	const addresses = "we IN A 203.0.114.1\npeer IN A 203.0.114.2\nbehind IN A 203.0.114.3\nfirst IN A 203.0.114.4\n"
	for name, row := range map[string]struct {
		zone  string
		first bool // there is a host before us, which gets it
	}{
		"a peer":                    {"@ IN MX 10 we\n@ IN MX 10 peer\n@ IN MX 20 behind\n", false},
		"a peer, and one before us": {"@ IN MX 5 first\n@ IN MX 10 we\n@ IN MX 10 peer\n@ IN MX 20 behind\n", true},
		"one address of several":    {"@ IN MX 10 both\nboth IN A 203.0.114.2\nboth IN A 203.0.114.1\n@ IN MX 10 peer\n", false},
		"by our name":               {"@ IN MX 10 mail.example.org.\n@ IN MX 10 peer\n@ IN MX 20 behind\n", false},
		"no MX":                     {"@ IN A 203.0.114.1\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			for range 8 { // those of one preference come in random order
				bubble(t, func(t *testing.T) {
					s := begin(t, func(_ *site, o *Options) {
						o.IsSelf = func(a netip.AddrPort) bool {
							return a.Port() == smtpPort && a.Addr().String() == "203.0.114.1"
						}
					})
					s.zone.Set(t, "$ORIGIN loop.test.\n"+row.zone+addresses)
					for _, a := range []string{"203.0.114.1", "203.0.114.2", "203.0.114.3"} {
						s.host(a, sinktest.Options{})
					}
					first := s.host("203.0.114.4", sinktest.Options{})
					s.queue("alice@example.org", nil, "bob@loop.test")
					time.Sleep(time.Minute)
					synctest.Wait()
					told := s.told()
					if row.first {
						if len(first.Messages()) != 1 || len(told) != 0 || len(s.dialled()) != 1 {
							t.Errorf("connected to %v, told %v", s.dialled(), told)
						}
						return
					}
					if len(s.dialled()) != 0 || len(told) != 1 || !strings.Contains(told[0].text, "Status: 5.4.6") {
						t.Errorf("connected to %v, told %v", s.dialled(), told)
					}
				})
			}
		})
	}
}

// A private or loopback address that this machine has too may be another's; and mail by
// the DNS does not go there anyway.
func TestAPrivateAddressInTheDNSIsNotTakenForOurs(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "10.0.0.1"} {
		for _, allowed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, allow_private=%t", address, allowed), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					s := begin(t, func(_ *site, o *Options) {
						o.AllowPrivate = allowed
						o.IsSelf = func(a netip.AddrPort) bool { return a.Port() == smtpPort && a.Addr().String() == address }
					})
					s.zone.Set(t, "$ORIGIN split.test.\n@ IN MX 10 inside\n@ IN MX 20 real\ninside IN A "+address+"\nreal IN A 203.0.114.4\n")
					sink := s.host("203.0.114.4", sinktest.Options{})
					s.queue("alice@example.org", nil, "bob@split.test")
					time.Sleep(time.Minute)
					synctest.Wait()
					sent, told := len(sink.Messages()), len(s.told())
					if allowed && (sent != 0 || told != 1) || !allowed && (sent != 1 || told != 0) {
						t.Errorf("the host behind it got %d, told %d", sent, told)
					}
				})
			})
		}
	}
}

// What is said is why the hosts before us failed.
func TestThatWeComeLaterIsNotWhyMailFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) {
			o.IsSelf = func(a netip.AddrPort) bool { return a.Addr().String() == "203.0.114.1" }
		})
		s.zone.Set(t, "$ORIGIN split.test.\n@ IN MX 10 inside\n@ IN MX 20 we\ninside IN A 10.0.0.1\nwe IN A 203.0.114.1\n")
		s.queue("alice@example.org", nil, "bob@split.test")
		time.Sleep(time.Minute)
		synctest.Wait()
		if told := s.told(); len(told) != 1 || !strings.Contains(told[0].text, "Status: 5.4.4") {
			t.Errorf("told %v", told)
		}
	})
}

// slowAddresses takes its time for each host.
type slowAddresses struct {
	Resolver
	each  time.Duration
	asked atomic.Int32
	// under are the look-ups under way, most the most there were at once.
	under, most atomic.Int32
	// stuck look-ups of a host never end: the first of each, if it is not nil.
	stuck *sync.Map
}

func (r *slowAddresses) Addresses(ctx context.Context, host string) (resolver.Addresses, error) {
	r.asked.Add(1)
	n := r.under.Add(1)
	defer r.under.Add(-1)
	for m := r.most.Load(); n > m && !r.most.CompareAndSwap(m, n); m = r.most.Load() {
	}
	each := r.each
	if r.stuck != nil {
		if _, again := r.stuck.LoadOrStore(host, true); !again {
			each = 24 * time.Hour
		}
	}
	select {
	case <-time.After(each):
	case <-ctx.Done():
		return resolver.Addresses{}, ctx.Err()
	}
	return r.Resolver.Addresses(ctx, host)
}

func TestTheFirstHostDoesNotWaitLongForItsPeers(t *testing.T) {
	for each, most := range map[time.Duration]time.Duration{time.Second: 8 * time.Second, 5 * time.Second: levelWait + time.Second} {
		t.Run(each.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := &slowAddresses{each: each}
				s := begin(t, func(_ *site, o *Options) {
					o.IsSelf = func(netip.AddrPort) bool { return false }
					r.Resolver, o.Resolver = o.Resolver, r
				})
				zone := "$ORIGIN slow.test.\n"
				for i := range 60 {
					zone += fmt.Sprintf("@ IN MX 10 h%d\nh%d IN A 203.0.114.9\n", i, i)
				}
				s.zone.Set(t, zone)
				sink := s.host("203.0.114.9", sinktest.Options{})
				s.queue("alice@example.org", nil, "bob@slow.test")
				time.Sleep(most)
				synctest.Wait()
				if n := r.asked.Load(); len(sink.Messages()) != 1 || n > maxHosts {
					t.Errorf("after %v %d hosts were looked up, connected to %v", most, n, s.dialled())
				}
				if n := r.most.Load(); n != levelLookups {
					t.Errorf("got %d look-ups at once, want %d", n, levelLookups)
				}
			})
		})
	}
}

func TestAHostThatWasNotFoundSoonEnoughIsLookedUpWhenItsTurnComes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := &slowAddresses{stuck: new(sync.Map)}
		s := begin(t, func(_ *site, o *Options) {
			o.IsSelf = func(netip.AddrPort) bool { return false }
			r.Resolver, o.Resolver = o.Resolver, r
		})
		sink := s.host("203.0.114.1", sinktest.Options{})
		s.queue("alice@example.org", nil, "bob@remote.test")
		time.Sleep(levelWait + time.Second)
		synctest.Wait()
		if len(sink.Messages()) != 1 {
			t.Errorf("connected to %v", s.dialled())
		}
	})
}

func TestWeAreFoundAmongManyHosts(t *testing.T) {
	for range 10 {
		bubble(t, func(t *testing.T) {
			s := begin(t, nil)
			zone := "$ORIGIN many.test.\n"
			for i := range 60 {
				zone += fmt.Sprintf("@ IN MX 20 h%d\nh%d IN A 203.0.114.9\n", i, i)
			}
			s.zone.Set(t, zone+"@ IN MX 20 mail.example.org.\n")
			s.host("203.0.114.9", sinktest.Options{})
			s.queue("alice@example.org", nil, "bob@many.test")
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(s.dialled()) != 0 {
				t.Errorf("a host of our preference was connected to: %v", s.dialled())
			}
		})
	}
}

func TestMailWaitsForTheHostsBeforeUs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) {
			o.IsSelf = func(a netip.AddrPort) bool { return a.Addr().String() == "203.0.114.2" }
		})
		id := s.queue("alice@example.org", nil, "bob@remote.test") // mx1 does not answer, mx2 is ours
		time.Sleep(time.Minute)
		synctest.Wait()
		if rows := s.rows(id); len(rows) != 1 || rows[0].Attempts != 1 || len(s.told()) != 0 {
			t.Errorf("got %+v, told %v", rows, s.told())
		}
	})
}

func TestASmarthostThatTheDNSDoesNotKnowReturnsNoMail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) {
			o.Routes = []Route{{Name: "relay", MX: true, Hosts: []HostPort{{Host: "mistyped.test"}, {Host: "other.test"}}}}
		})
		id := s.queue("alice@example.org", nil, "bob@remote.test")
		synctest.Wait()
		if rows := s.rows(id); len(rows) != 1 || len(s.told()) != 0 {
			t.Errorf("got rows %+v and notices %v, want it to be tried again", rows, s.told())
		}
		sink := s.host("203.0.114.3", sinktest.Options{})
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(sink.Messages()); n != 1 {
			t.Errorf("the second smarthost got %d", n)
		}
	})
}

func TestTooManyRecipientsAreSentInFurtherTransactions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		sink := s.host("203.0.114.1", sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
			if c.Verb == "RCPT" && c.Message != nil && len(c.Message.Rcpts) >= 10 {
				return sinktest.Answer{Text: "452 4.5.3 Too many recipients"}
			}
			return sinktest.Answer{}
		}})
		var to []string
		for i := range 60 {
			to = append(to, fmt.Sprintf("bob%d@remote.test", i))
		}
		id := s.queue("alice@example.org", nil, to...)
		synctest.Wait()
		got := map[string]bool{}
		for _, r := range recipients(sink) {
			if got[r] {
				t.Errorf("%s got it twice", r)
			}
			got[r] = true
		}
		if rows := s.rows(id); len(got) != 60 || len(rows) != 0 {
			t.Errorf("got %d of 60, and %d rows are left", len(got), len(rows))
		}
	})
}

func TestAMailboxThatIsFullIsTriedLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, nil)
		sink := s.host("203.0.114.1", sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
			if c.Verb == "RCPT" && strings.Contains(c.Line, "full@") {
				return sinktest.Answer{Text: "452 4.2.2 Mailbox full"}
			}
			return sinktest.Answer{}
		}})
		id := s.queue("alice@example.org", nil, "bob@remote.test", "full@remote.test")
		synctest.Wait()
		if rows := s.rows(id); len(sink.Messages()) != 1 || len(rows) != 1 || rows[0].Attempts != 1 {
			t.Errorf("got %d messages and rows %+v", len(sink.Messages()), rows)
		}
	})
}

func TestNoConnectionIdlesWhileOtherHostsWaitForOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := begin(t, func(_ *site, o *Options) { o.Connections = 1 })
		zone := ""
		for i := range 20 {
			zone += fmt.Sprintf("$ORIGIN d%d.test.\n@ IN MX 10 mx\nmx IN A 203.0.114.7\n", i)
		}
		s.zone.Set(t, zone)
		sink := s.host("203.0.114.7", sinktest.Options{})
		for i := range 20 {
			s.queue("alice@example.org", nil, fmt.Sprintf("bob@d%d.test", i))
		}
		time.Sleep(2 * DefaultIdle)
		synctest.Wait()
		if n := len(sink.Messages()); n != 20 {
			t.Errorf("got %d of 20 in twice the time that one connection may idle", n)
		}
	})
}
