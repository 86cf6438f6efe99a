package login

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestNamesThatMayBePasswordsAreNotShown(t *testing.T) {
	d := newDesk(t, nil)
	d.people.add("root@localhost", "x")
	for _, c := range []struct{ name, want string }{
		{"alice@example.org", "alice@example.org"},
		{"Nobody@Example.NET", "Nobody@Example.NET"},
		{"x@xn--bcher-kva.example", "x@xn--bcher-kva.example"},
		{"root@localhost", "root@localhost"}, // an account
		{"", ""},
		{"hunter2", noAddress},
		{"P@ssw0rd", noAddress},
		{"my@secret.123", noAddress},
		{"x@[192.0.2.1]", noAddress},
		{"a@b", noAddress},
		{"correct horse battery staple", noAddress},
		{"a\r\nb@example.org", noAddress},
		{"*)(uid=*", noAddress},
		{strings.Repeat("x", 5000) + "@example.org", noAddress},
	} {
		if got := d.shownName(t.Context(), c.name); got != c.want {
			t.Errorf("%q is shown as %q, want %q", c.name, got, c.want)
		}
	}
}

func TestLogOfLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		here, there := from(t, "192.0.2.1"), from(t, "2001:db8::1")
		begun := time.Now()
		d.fails(t, here, "alice@example.org", 2)
		_, _ = d.Password(here, "Alice@example.org", alicesPassword)
		_, _ = d.Password(there, "alice@example.org", appPassword)
		d.fails(t, there, "hunter2", 1)
		for _, c := range []struct {
			name   string
			filter LogFilter
			want   string
		}{
			{"all", LogFilter{}, "denied denied ok ok denied"},
			{"an account", LogFilter{Account: "ALICE@example.org"}, "denied denied ok ok"},
			{"a name that is no address", LogFilter{Account: "hunter2"}, "denied"},
			{"an address", LogFilter{Address: "192.0.2.1"}, "denied denied ok"},
			{"a network", LogFilter{Address: "2001:db8::/32"}, "ok denied"},
			{"no address", LogFilter{Address: "192.0.2.1.5"}, ""},
			{"failures", LogFilter{FailedOnly: true}, "denied denied denied"},
			{"the newest", LogFilter{Limit: 2}, "ok denied"},
			{"all of it", LogFilter{Account: "alice@example.org", Address: "192.0.2.0/24", FailedOnly: true, Limit: 1}, "denied"},
		} {
			var got []string
			for _, e := range d.Log(c.filter) {
				got = append(got, e.Result)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s: got %v, want %s", c.name, got, c.want)
			}
		}
		all := d.Log(LogFilter{})
		want := Entry{
			Time: begun.Add(leastTime), Conn: "c1", Listener: "pop3s", Protocol: "pop3", Remote: "192.0.2.1:40000",
			Name: "alice@example.org", Mechanism: "USER", Result: Refused, Reason: "authenticate: denied",
			Delay: leastTime,
		}
		if all[1] != want {
			t.Errorf("a failure:\ngot  %+v\nwant %+v", all[1], want)
		}
		want = Entry{
			Time: begun.Add(2 * leastTime), Conn: "c1", Listener: "pop3s", Protocol: "pop3", Remote: "[2001:db8::1]:40000",
			Name: "alice@example.org", Account: "alice@example.org", Mechanism: "USER", AppPassword: "phone", Result: OK,
		}
		if all[3] != want {
			t.Errorf("a success:\ngot  %+v\nwant %+v", all[3], want)
		}
		if all[4].Name != noAddress {
			t.Errorf("a name that is no address is logged as %q", all[4].Name)
		}
	})
}

func TestLogOfLoginsIsBounded(t *testing.T) {
	d := newDesk(t, nil)
	for i := range MaxLog + 10 {
		d.audit.add(record{Entry: Entry{Conn: fmt.Sprint(i)}})
	}
	got := d.Log(LogFilter{})
	if len(got) != MaxLog || got[0].Conn != "10" || got[MaxLog-1].Conn != fmt.Sprint(MaxLog+9) {
		t.Errorf("%d entries from %s to %s, want the last %d", len(got), got[0].Conn, got[len(got)-1].Conn, MaxLog)
	}
}

func TestLockOutIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) { o.Policy.MaxDelay = -1 })
		c := from(t, "192.0.2.1")
		d.fails(t, c, "alice@example.org", DefaultPairFailures)
		for range 1000 {
			_, _ = d.Password(c, "alice@example.org", "wrong")
		}
		if got := strings.Count(d.log.String(), "level=WARN"); got != 1 {
			t.Errorf("%d warnings, want 1", got)
		}
		if !strings.Contains(d.log.String(), "postrider auth unblock 192.0.2.1") {
			t.Error("the warning does not say what to do")
		}
		if got := strings.Count(d.log.String(), "level=INFO msg=\"login refused\""); got != DefaultPairFailures+1 {
			t.Errorf("%d refusals at level info, want %d and the first that was locked out", got, DefaultPairFailures)
		}
		if !strings.Contains(d.log.String(), "level=INFO msg=\"login refused\" conn=c1 listener=pop3s remote=192.0.2.1:40000 mechanism=USER result=\"locked out\"") {
			t.Errorf("that logins are locked out is not in the log")
		}
		entries := d.Log(LogFilter{})
		if n := len(entries); n != DefaultPairFailures+1 || entries[n-1].Result != LockedOut {
			t.Errorf("%d entries, the last %v; want %d and one that is locked out", n, entries[n-1], DefaultPairFailures+1)
		}
		for result, want := range map[Result]float64{Refused: DefaultPairFailures, LockedOut: 1000} {
			if got := testutil.ToFloat64(d.metrics.logins.WithLabelValues("pop3", "USER", result)); got != want {
				t.Errorf("metric %s: %v, want %v", result, got, want)
			}
		}
		if got := testutil.ToFloat64(d.metrics.lockouts.WithLabelValues("pair")); got != 1 {
			t.Errorf("metric of lock-outs: %v, want 1", got)
		}
	})
}

func TestMalformedAndAbandonedExchangesAreNoFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		c := from(t, "192.0.2.1")
		ctx, cancel := context.WithCancel(t.Context())
		c.Context = ctx
		for range 20 {
			_, err := talk(t, d, c, "PLAIN", "no NULs at all")
			wantKind(t, "a malformed message", err, "invalid")
		}
		for range 20 {
			if _, err := d.Begin(c, "PLAIN"); err != nil { // and the client sends *
				t.Fatal(err)
			}
		}
		_, err := d.Password(c, "alice@example.org", alicesPassword)
		wantKind(t, "a login afterwards", err, "ok")
		cancel()
		synctest.Wait()
		for result, want := range map[Result]float64{Malformed: 20, Aborted: 20} {
			if got := testutil.ToFloat64(d.metrics.logins.WithLabelValues("pop3", "PLAIN", result)); got != want {
				t.Errorf("metric %s: %v, want %v", result, got, want)
			}
		}
		if n := len(d.Log(LogFilter{})); n != 1 {
			t.Errorf("%d entries in the log of logins, want 1", n)
		}
		if n := len(d.exchanges.open); n != 0 {
			t.Errorf("%d exchanges are remembered", n)
		}
		if strings.Contains(d.log.String(), "level=ERROR") || strings.Contains(d.log.String(), "level=WARN") {
			t.Errorf("the log has more than debug lines:\n%s", d.log)
		}
	})
}

// TestNoSecretIsKept greps all that comes out of a Service for the secrets that
// went in.
func TestNoSecretIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const token, typo, guess = "eyJhbGciOiJub25lIn0", "Tr0ub4dor&4", "s3cr3t-guess"
		d := newDesk(t, func(o *Options) { o.Tokens = tokens{} })
		c := from(t, "192.0.2.1")
		for range 12 {
			_, _ = d.Password(c, "alice@example.org", guess)
			_, _ = d.Password(c, typo, "alice@example.org") // in the wrong field
		}
		c = from(t, "192.0.2.2")
		_, _ = d.Password(c, "alice@example.org", alicesPassword)
		_, _ = d.Password(c, "alice@example.org", appPassword)
		_, _ = talk(t, d, c, "PLAIN", "\x00alice@example.org\x00"+guess)
		_, _ = talk(t, d, c, "PLAIN", guess)
		_, _ = talk(t, d, c, "LOGIN", guess, guess)
		_, _ = talk(t, d, c, "OAUTHBEARER", "n,,\x01auth=Bearer "+token+"\x01\x01", "\x01")
		_, _ = scramWith(t, d, c, "alice@example.org", "", guess)
		_, _ = d.Digest(c, "alice@example.org", func([]byte) bool { return false })
		_, unblock := d.Unblock(t.Context(), guess)
		entries, _ := json.Marshal(d.Log(LogFilter{}))
		locks, _ := json.Marshal(d.Locked())
		families, err := d.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		out := fmt.Sprint(d.log, string(entries), string(locks), families, unblock)
		for _, secret := range []string{alicesPassword, appPassword, alicesSecret, token, typo, guess} {
			if i := strings.Index(out, secret); i >= 0 {
				t.Errorf("%q is in …%s…", secret, out[max(0, i-200):min(len(out), i+100)])
			}
		}
		if !strings.Contains(out, "postrider_login_records") || len(entries) < 100 {
			t.Error("there is nothing to look through")
		}
	})
}
