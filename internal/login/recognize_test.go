package login

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fault"
	"postrider/internal/session"
)

func TestPopBeforeSMTP(t *testing.T) {
	const window = 10 * time.Minute
	pop := func(address, name, password string) func(*testing.T, *desk) {
		return func(t *testing.T, d *desk) { _, _ = d.Password(from(t, address), name, password) }
	}
	alice := pop("192.0.2.1", "alice@example.org", alicesPassword)
	bob := pop("192.0.2.1", "bob@example.org", bobsPassword)
	wait := func(d time.Duration) func(*testing.T, *desk) {
		return func(*testing.T, *desk) { time.Sleep(d) }
	}
	for _, c := range []struct {
		name   string
		before []func(*testing.T, *desk)
		change func(*session.Listener)
		policy func(*Options)
		want   string
	}{
		{"nobody has been there", nil, nil, nil, ""},
		{"alice has", []func(*testing.T, *desk){alice}, nil, nil, "alice@example.org"},
		{"alice has, often", []func(*testing.T, *desk){alice, wait(window), alice, alice}, nil, nil, "alice@example.org"},
		{"alice has, long ago", []func(*testing.T, *desk){alice, wait(window)}, nil, nil, ""},
		{"with the wrong password", []func(*testing.T, *desk){pop("192.0.2.1", "alice@example.org", "wrong")}, nil, nil, ""},
		{"from another address", []func(*testing.T, *desk){pop("192.0.2.2", "alice@example.org", alicesPassword)}, nil, nil, ""},
		{"from the same, written as IPv6", []func(*testing.T, *desk){pop("::ffff:192.0.2.1", "alice@example.org", alicesPassword)}, nil, nil, "alice@example.org"},
		{"with an app password", []func(*testing.T, *desk){pop("192.0.2.1", "alice@example.org", appPassword)}, nil, nil, ""},
		{"with both passwords", []func(*testing.T, *desk){alice, pop("192.0.2.1", "alice@example.org", appPassword)}, nil, nil, "alice@example.org"},
		{"bob was there too", []func(*testing.T, *desk){alice, bob}, nil, nil, ""},
		{"bob was there before", []func(*testing.T, *desk){bob, alice}, nil, nil, ""},
		{"bob was there between", []func(*testing.T, *desk){alice, bob, alice}, nil, nil, ""},
		{"bob was there long ago", []func(*testing.T, *desk){bob, wait(window), alice}, nil, nil, "alice@example.org"},
		{"bob was there by an app password", []func(*testing.T, *desk){
			func(_ *testing.T, d *desk) {
				d.people.accounts["bob@example.org"].app = map[string]string{"appapp": "tablet"}
			},
			alice, pop("192.0.2.1", "bob@example.org", "appapp"), alice,
		}, nil, nil, ""},
		{"the listener does not allow it", []func(*testing.T, *desk){alice}, func(l *session.Listener) { l.PopBeforeSMTP = 0 }, nil, ""},
		{"within the trusted networks", []func(*testing.T, *desk){alice}, func(l *session.Listener) {
			l.TrustedNetworks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		}, nil, "alice@example.org"},
		{"outside of the trusted networks", []func(*testing.T, *desk){alice}, func(l *session.Listener) {
			l.TrustedNetworks = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
		}, nil, ""},
		{"the address is many people's", []func(*testing.T, *desk){alice}, nil, func(o *Options) {
			o.Policy.Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
		}, ""},
		{"somebody guesses there", []func(*testing.T, *desk){alice, func(t *testing.T, d *desk) {
			d.fails(t, from(t, "192.0.2.1"), "alice@example.org", DefaultPairFailures)
		}}, nil, func(o *Options) { o.Policy.MaxDelay = -1 }, ""},
		{"the account was disabled", []func(*testing.T, *desk){alice, func(_ *testing.T, d *desk) {
			d.people.accounts["alice@example.org"].Disabled = true
		}}, nil, nil, ""},
		{"the password was changed", []func(*testing.T, *desk){alice, func(_ *testing.T, d *desk) {
			d.people.accounts["alice@example.org"].Version++
		}}, nil, nil, ""},
		{"the account was removed", []func(*testing.T, *desk){alice, func(_ *testing.T, d *desk) {
			delete(d.people.accounts, "alice@example.org")
		}}, nil, nil, ""},
		{"the account was made again", []func(*testing.T, *desk){alice, func(_ *testing.T, d *desk) {
			d.people.accounts["alice@example.org"].ID = 77
		}}, nil, nil, ""},
		{"alice has logged in by SMTP", []func(*testing.T, *desk){func(t *testing.T, d *desk) {
			c := from(t, "192.0.2.1")
			c.Listener.Protocol = "smtp"
			_, _ = d.Password(c, "alice@example.org", alicesPassword)
		}}, nil, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, c.policy)
				for _, do := range c.before {
					do(t, d)
				}
				conn := from(t, "192.0.2.1")
				conn.Listener = &session.Listener{Protocol: "smtp", PopBeforeSMTP: window}
				if c.change != nil {
					c.change(conn.Listener)
				}
				id, ok := d.Recognize(conn)
				if id.Address != c.want || ok != (c.want != "") || id.Mechanism != "" || ok && id.Account == 0 {
					t.Errorf("got %+v, %v; want %q", id, ok, c.want)
				}
			})
		})
	}
}

// TestPopBeforeSMTPIsLogged: once for a connection, whoever asks how often.
func TestPopBeforeSMTPIsLogged(t *testing.T) {
	const window = 10 * time.Minute
	network := func(s string) func(*desk, *session.Listener) {
		return func(_ *desk, l *session.Listener) { l.TrustedNetworks = []netip.Prefix{netip.MustParsePrefix(s)} }
	}
	collect := func(t *testing.T, d *desk, name, password string) {
		_, _ = d.Password(from(t, "192.0.2.1"), name, password)
	}
	for _, c := range []struct {
		name   string
		who    string // have collected mail: a for alice, A with an app password, b for bob
		before func(*desk, *session.Listener)
		level  string
		want   string
	}{
		{"nobody was there", "", nil, "DEBUG", "nobody has collected mail"},
		{"too long ago", "a", func(*desk, *session.Listener) { time.Sleep(window) }, "INFO", "nobody has collected mail from the address lately"},
		{"two were there", "ab", nil, "INFO", "two accounts"},
		{"an app password", "A", nil, "INFO", "app password only"},
		{"outside of the trusted networks", "a", network("198.51.100.0/24"), "INFO", "outside of trusted_networks"},
		{"many people's", "a", func(d *desk, _ *session.Listener) {
			d.o.Policy.Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		}, "INFO", "many people's"},
		{"disabled", "a", func(d *desk, _ *session.Listener) { d.people.accounts["alice@example.org"].Disabled = true }, "INFO", "changed since"},
		{"trouble", "a", func(d *desk, _ *session.Listener) { d.people.lookup = fault.New(fault.Corrupt, "test", nil) }, "ERROR", "error=\"test: corrupt\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, nil)
				for _, who := range c.who {
					switch who {
					case 'a':
						collect(t, d, "alice@example.org", alicesPassword)
					case 'A':
						collect(t, d, "alice@example.org", appPassword)
					case 'b':
						collect(t, d, "bob@example.org", bobsPassword)
					}
				}
				conn := from(t, "192.0.2.1")
				conn.Listener = &session.Listener{Name: "old", Protocol: "smtp", PopBeforeSMTP: window}
				if c.before != nil {
					c.before(d, conn.Listener)
				}
				logged := len(d.Log(LogFilter{}))
				for range 20 {
					if _, ok := d.Recognize(conn); ok {
						t.Fatal("recognized")
					}
				}
				const message = "msg=\"not recognized by a recent login\""
				if got := strings.Count(d.log.String(), message); got != 1 {
					t.Errorf("%d lines, want 1:\n%s", got, d.log)
				}
				if !strings.Contains(d.log.String(), "level="+c.level+" "+message) || !strings.Contains(d.log.String(), c.want) {
					t.Errorf("the log is\n%s\nwant level %s and %q", d.log, c.level, c.want)
				}
				if len(d.Log(LogFilter{})) != logged {
					t.Error("it is in the log of logins")
				}
			})
		})
	}
}

func TestWhoIsRecognizedIsInTheLogOfLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		_, _ = d.Password(from(t, "192.0.2.1"), "alice@example.org", alicesPassword)
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 2 {
			conn := from(t, "192.0.2.1")
			conn.ID, conn.Context = fmt.Sprint("s", i), ctx
			conn.Listener = &session.Listener{Name: "old", Protocol: "smtp", PopBeforeSMTP: time.Minute}
			for range 20 {
				if _, ok := d.Recognize(conn); !ok {
					t.Fatal("not recognized")
				}
			}
		}
		entries := d.Log(LogFilter{Account: "alice@example.org"})
		if len(entries) != 3 {
			t.Fatalf("%d entries, want the login and one for each connection", len(entries))
		}
		want := Entry{
			Time: time.Now(), Conn: "s1", Listener: "old", Protocol: "smtp", Remote: "192.0.2.1:40000",
			Name: "alice@example.org", Account: "alice@example.org", Mechanism: "POP-before-SMTP", Result: OK,
		}
		if entries[2] != want {
			t.Errorf("got  %+v\nwant %+v", entries[2], want)
		}
		if got := strings.Count(d.log.String(), "level=INFO msg=login conn=s1 listener=old remote=192.0.2.1:40000 mechanism=POP-before-SMTP"); got != 1 {
			t.Errorf("%d lines of the log, want 1:\n%s", got, d.log)
		}
		cancel()
		synctest.Wait()
		if n := len(d.told.on); n != 0 {
			t.Errorf("%d connections are remembered that are gone", n)
		}
	})
}
