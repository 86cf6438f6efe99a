//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
)

// TestAppPasswordsKeepToTheirScope logs in with an app password that is for
// sending only, with one for everything, and with one that was revoked.
func TestAppPasswordsKeepToTheirScope(t *testing.T) {
	p := startPeople(t, forgiving)
	add := func(args ...string) string {
		return p.printed(append([]string{"account", "app-password", "add", p.alice()}, args...)...)
	}
	passwords := map[string]string{"printer": add("printer", "--scope", "smtp"), "phone": add("phone"), "lost": add("lost")}
	p.printed("account", "app-password", "revoke", p.alice(), "lost")
	for _, c := range []struct {
		password, client string
		l                login
		taken            bool
	}{
		{"printer", "msmtp", login{submissions, "PLAIN"}, true},
		{"printer", "swaks", login{submission, "LOGIN"}, true},
		{"printer", "mpop", login{pop3s, "USER"}, false},
		{"printer", "fetchmail", login{pop3, "USER"}, false},
		{"phone", "msmtp", login{submission, "PLAIN"}, true},
		{"phone", "mpop", login{pop3s, "PLAIN"}, true},
		{"phone", "Python poplib", login{pop3, "USER"}, true},
		{"lost", "msmtp", login{submissions, "PLAIN"}, false},
		{"lost", "mpop", login{pop3s, "USER"}, false},
	} {
		t.Run(c.password+" "+c.client+" "+c.l.service, func(t *testing.T) {
			all := slices.Concat(senders, collectors)
			i := slices.IndexFunc(all, func(one client) bool { return one.name == c.client })
			text, _ := p.letter("app password")
			p.deliver(t, p.alice(), text)
			r := all[i].recipe(c.l.service, c.l.mechanism).with(p.words(c.l.service, passwords[c.password], "", text))
			printed, err := r.run(t, p.folder(t, text))
			if (err == nil) != c.taken {
				t.Errorf("got %v, taken should be %v\n%s", err, c.taken, printed)
			}
			if a := p.lastAttempt(); (a.Result == "ok") != c.taken || a.Listener != c.l.service {
				t.Errorf("the latest login is %+v, taken should be %v", a, c.taken)
			}
		})
	}
	if list := p.printed("account", "app-password", "list", p.alice()); !strings.Contains(list, "printer") || strings.Contains(list, "lost") {
		t.Errorf("got %q, want the printer's and not the lost one", list)
	}
}
