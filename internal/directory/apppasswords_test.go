package directory

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/fault"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// app makes an app password.
func (h *house) app(address, name string, scope ...string) string {
	h.t.Helper()
	password, err := h.AddAppPassword(h.ctx, address, name, scope)
	h.ok(err)
	return password
}

// loginTo logs in to a protocol, and returns with which app password it was.
func (h *house) loginTo(protocol, login, password string) (string, error) {
	got, err := h.Authenticate(h.ctx, Login{Name: login, Password: password, Protocol: protocol})
	return got.AppPassword, err
}

func TestAppPasswordsHaveAFormThatCanBeTyped(t *testing.T) {
	seen := map[string]bool{}
	used := map[rune]bool{}
	for range 200 {
		letters := newAppPassword()
		shown := showAppPassword(letters)
		if groups := strings.Split(shown, "-"); len(groups) != 6 || len(shown) != 29 {
			t.Fatalf("%q is not six groups of four", shown)
		}
		if got, ok := readAppPassword(shown); !ok || got != letters || seen[letters] {
			t.Fatalf("%q is read as %q, %v; seen before: %v", shown, got, ok, seen[letters])
		}
		seen[letters] = true
		for _, r := range letters {
			used[r] = true
		}
	}
	if len(used) != len(appAlphabet) || strings.ContainsAny(appAlphabet, "ilo01") {
		t.Errorf("%d letters of %d are used", len(used), len(appAlphabet))
	}
	for _, typed := range []string{"", "----", "abcd", strings.Repeat("a", 23), strings.Repeat("a", 25), strings.Repeat("a", 23) + "l", strings.Repeat("a", 24) + "\x00", strings.Repeat("a-", 24) + strings.Repeat(" ", 100)} {
		if letters, ok := readAppPassword(typed); ok {
			t.Errorf("%q is read as %q", typed, letters)
		}
	}
}

func TestAppPasswordLogsInWithoutAHash(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test", "bob@a.test")
	phone := h.app("alice@a.test", "phone")
	for name, typed := range map[string]string{
		"as shown": phone, "in capitals": strings.ToUpper(phone), "without hyphens": strings.ReplaceAll(phone, "-", ""),
		"with spaces": " " + strings.ReplaceAll(phone, "-", "  ") + " ", "with other spaces": strings.ReplaceAll(phone, "-", "\u00a0"),
	} {
		h.costs(name, 0, func() {
			got, err := h.loginTo("smtp", "Alice@a.test", typed)
			h.ok(err)
			if got != "phone" {
				t.Errorf("%s: it was %q", name, got)
			}
		})
	}
	h.costs("of another", 1, func() { h.fails("of another", h.login("bob@a.test", phone), fault.Denied) })
	h.ok(h.login("alice@a.test", "secret")) // its own stays good
	h.ok(h.SetPassword(h.ctx, "alice@a.test", "other"))
	h.costs("after a change of its own", 0, func() { h.ok(h.login("alice@a.test", phone)) })

	_, err := h.AddAccount(h.ctx, NewAccount{Address: "apps-only@a.test"})
	h.ok(err)
	only := h.app("apps-only@a.test", "x")
	h.costs("an account without a password of its own", 0, func() { h.ok(h.login("apps-only@a.test", only)) })
}

func TestWrongAppPasswordIsAWrongPassword(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test", "disabled@a.test")
	words := h.login("alice@a.test", "wrong").Error()
	phone, mail := h.app("alice@a.test", "phone"), h.app("alice@a.test", "mail", "SMTP", " imap ", "smtp")
	lost, off := h.app("alice@a.test", "lost"), h.app("disabled@a.test", "x")
	h.ok(h.login("alice@a.test", lost))
	h.ok(h.RevokeAppPassword(h.ctx, "alice@a.test", "lost"))
	h.ok(h.login("disabled@a.test", off))
	h.ok(h.SetDisabled(h.ctx, "disabled@a.test", true))
	for _, row := range []struct{ name, login, protocol, password string }{
		{"revoked", "alice@a.test", "smtp", lost},
		{"disabled", "disabled@a.test", "smtp", off},
		{"for another protocol", "alice@a.test", "pop3", mail},
		{"for no protocol", "alice@a.test", "", mail},
		{"one that nobody has", "alice@a.test", "smtp", showAppPassword(newAppPassword())},
		{"unknown user", "nobody@a.test", "smtp", phone},
		{"part of one", "alice@a.test", "smtp", phone[:24]},
		{"two of them", "alice@a.test", "smtp", phone + phone},
	} {
		h.costs(row.name, 1, func() {
			got, err := h.loginTo(row.protocol, row.login, row.password)
			h.fails(row.name, err, fault.Denied)
			if got != "" || err.Error() != words {
				t.Errorf("%s: got %q, %v", row.name, got, err)
			}
		})
	}
	for _, protocol := range []string{"smtp", "imap"} {
		if got, err := h.loginTo(protocol, "alice@a.test", mail); got != "mail" || err != nil {
			t.Errorf("%s: got %q, %v", protocol, got, err)
		}
	}
	for _, secret := range []string{phone, mail, lost, off, strings.ReplaceAll(mail, "-", "")} {
		if strings.Contains(h.log.String(), secret) {
			t.Errorf("the log has an app password:\n%s", h.log)
		}
	}
}

func TestAppPasswordsAreListedWithoutVerifiers(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.app("alice@a.test", "phone", "smtp", "pop3")
	h.app("alice@a.test", "Büro")
	h.app("alice@a.test", " cafe\u0301 ")
	list, err := h.AppPasswords(h.ctx, "ALICE@a.test")
	h.ok(err)
	account, err := h.Lookup(h.ctx, "alice@a.test")
	h.ok(err)
	logged, err := h.LoginAccount(h.ctx, "alice@a.test")
	h.ok(err)
	var got []string
	for _, p := range slices.Concat(list, account.AppPasswords, logged.AppPasswords) {
		if p.Hash != nil || p.SCRAM != "" || !p.Created.Equal(h.now) || !p.Used.IsZero() {
			t.Errorf("%s is shown as %+v", p.Name, p)
		}
		got = append(got, p.Name+fmt.Sprint(p.Scope))
	}
	if want := "Büro[] café[] phone[pop3 smtp]"; strings.Join(got, " ") != want+" "+want+" "+want {
		t.Errorf("listed %q", got)
	}
	kept, err := h.account(h.ctx, "alice@a.test")
	h.ok(err)
	if len(kept.AppPasswords) != 3 || len(kept.AppPasswords[0].Hash) != 32 || kept.AppPasswords[0].SCRAM == "" {
		t.Errorf("what is shown has changed what is kept: %+v", kept.AppPasswords)
	}
}

func TestAppPasswordsThatCantBeMadeOrRevoked(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.ok(h.SetAlias(h.ctx, "alias@a.test", []string{"alice@a.test"}))
	h.app("alice@a.test", "phone")
	for _, row := range []struct {
		name, address, app string
		scope              []string
		kind               fault.Kind
	}{
		{"name taken", "alice@a.test", " phone", nil, fault.Exists},
		{"empty name", "alice@a.test", " ", nil, fault.Invalid},
		{"long name", "alice@a.test", strings.Repeat("x", MaxAppPasswordName+1), nil, fault.Invalid},
		{"control character", "alice@a.test", "a\nb", nil, fault.Invalid},
		{"not UTF-8", "alice@a.test", "a\xff", nil, fault.Invalid},
		{"no such protocol", "alice@a.test", "x", []string{"smtp", "pop2"}, fault.Invalid},
		{"no such account", "nobody@a.test", "x", nil, fault.NotFound},
		{"alias", "alias@a.test", "x", nil, fault.NotFound},
		{"no address", "alice", "x", nil, fault.Invalid},
	} {
		password, err := h.AddAppPassword(h.ctx, row.address, row.app, row.scope)
		h.fails(row.name, err, row.kind)
		if password != "" {
			t.Errorf("%s: a password is returned all the same", row.name)
		}
	}
	h.fails("revoking what is not there", h.RevokeAppPassword(h.ctx, "alice@a.test", "tablet"), fault.NotFound)
	h.fails("revoking of nobody", h.RevokeAppPassword(h.ctx, "nobody@a.test", "phone"), fault.NotFound)
	h.fails("revoking without a name", h.RevokeAppPassword(h.ctx, "alice@a.test", ""), fault.Invalid)
	for i := range MaxAppPasswords - 1 {
		h.app("alice@a.test", fmt.Sprint("n", i))
	}
	_, err := h.AddAppPassword(h.ctx, "alice@a.test", "one more", nil)
	h.fails("one more", err, fault.TooLarge)
	h.ok(h.RevokeAppPassword(h.ctx, "alice@a.test", "n7"))
	h.app("alice@a.test", "one more")
}

func TestUseIsNotedOnceAnHour(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.app("alice@a.test", "phone")
	h.app("alice@a.test", "tablet")
	account, err := h.Lookup(h.ctx, "alice@a.test")
	h.ok(err)
	at := time.Date(2026, 3, 1, 10, 20, 30, 0, time.FixedZone("", 3600))
	for _, row := range []struct {
		name    string
		app     string
		at      time.Time
		changes uint64
	}{
		{"first", "phone", at, 1},
		{"again", "phone", at, 0},
		{"in the same hour", "phone", at.Add(39 * time.Minute), 0},
		{"of another", "tablet", at, 1},
		{"in the next hour", "phone", at.Add(40 * time.Minute), 1},
		{"earlier", "phone", at.Add(-time.Hour), 0},
		{"unknown", "laptop", at, 0},
		{"the account's own", "", at.Add(24 * time.Hour), 0},
	} {
		before, err := h.account(h.ctx, "alice@a.test")
		h.ok(err)
		h.ok(h.Used(h.ctx, account.ID, row.app, row.at))
		after, err := h.account(h.ctx, "alice@a.test")
		h.ok(err)
		if got := after.Version - before.Version; got != row.changes {
			t.Errorf("%s: %d changes, want %d", row.name, got, row.changes)
		}
	}
	h.ok(h.Used(h.ctx, account.ID+1, "phone", at))
	list, err := h.AppPasswords(h.ctx, "alice@a.test")
	h.ok(err)
	if want := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC); !list[0].Used.Equal(want) || !list[1].Used.Equal(want.Add(-time.Hour)) {
		t.Errorf("used at %v and %v", list[0].Used, list[1].Used)
	}
}

// TestNothingIsHalfDoneWhenTheStoreTakesNoChanges: each change of credentials
// ends with the store's error and leaves the account as it was; logins go on.
func TestNothingIsHalfDoneWhenTheStoreTakesNoChanges(t *testing.T) {
	h := newHouse(t, Options{CacheTTL: -1, KeyFile: t.TempDir() + "/key"})
	h.accounts("alice@a.test")
	phone := h.app("alice@a.test", "phone")
	_, err := h.SetLegacySecret(h.ctx, "alice@a.test", "legacy")
	h.ok(err)
	h.ok(h.Grant(h.ctx, "alice@a.test", "@b.test"))
	before, err := h.account(h.ctx, "alice@a.test")
	h.ok(err)
	for name, change := range map[string]func() error{
		"SetPassword":        func() error { return h.SetPassword(h.ctx, "alice@a.test", "other") },
		"RevokeAppPassword":  func() error { return h.RevokeAppPassword(h.ctx, "alice@a.test", "phone") },
		"RemoveLegacySecret": func() error { return h.RemoveLegacySecret(h.ctx, "alice@a.test") },
		"Grant":              func() error { return h.Grant(h.ctx, "alice@a.test", "x@a.test") },
		"Ungrant":            func() error { return h.Ungrant(h.ctx, "alice@a.test", "@b.test") },
		"Used":               func() error { return h.Used(h.ctx, before.ID, "phone", h.now) },
		"AddAppPassword": func() error {
			password, err := h.AddAppPassword(h.ctx, "alice@a.test", "new", nil)
			if password != "" {
				t.Error("an app password is shown that was not kept")
			}
			return err
		},
		"SetLegacySecret": func() error {
			secret, err := h.SetLegacySecret(h.ctx, "alice@a.test", "")
			if secret != "" {
				t.Error("a legacy secret is shown that was not kept")
			}
			return err
		},
	} {
		for given, want := range map[fault.Kind]fault.Kind{
			fault.ReadOnly: fault.ReadOnly, fault.NoSpace: fault.NoSpace, fault.Denied: fault.Transient,
		} {
			h.st.FailNext(storetest.OpChange, fault.New(given, "test", nil))
			h.fails(name, change(), want)
		}
		after, err := h.account(h.ctx, "alice@a.test")
		h.ok(err)
		if after.Version != before.Version {
			t.Errorf("%s has changed the account", name)
		}
	}
	// A login that would make keys is good without them.
	h.ok(h.update(h.ctx, "test", "alice@a.test", func(a *store.Account) error {
		a.SCRAM, a.AppPasswords[0].SCRAM = "", ""
		return nil
	}))
	h.st.SetHealth(fault.New(fault.ReadOnly, "test", nil))
	h.ok(h.login("alice@a.test", "secret"))
	h.ok(h.login("alice@a.test", phone))
	h.scram("alice@a.test", "smtp", false)
}
