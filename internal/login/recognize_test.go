package login

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

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
