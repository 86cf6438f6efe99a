package directory

import (
	"strings"
	"testing"
	"time"

	"postrider/internal/fault"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// costs asks how many passwords f hashes.
func (h *house) costs(what string, want int64, f func()) {
	h.t.Helper()
	before := h.hashes.Load()
	f()
	if got := h.hashes.Load() - before; got != want {
		h.t.Errorf("%s: %d hashes, want %d", what, got, want)
	}
}

func (h *house) login(login, password string) error {
	_, err := h.Authenticate(h.ctx, Login{Name: login, Password: password, Protocol: "pop3"})
	return err
}

func TestRightPasswordGivesTheAccountWithoutItsVerifier(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	for _, login := range []string{"alice@a.test", "Alice@A.TEST", " alice@a.test ", "ａｌｉｃｅ@a.test"} {
		got, err := h.Authenticate(h.ctx, Login{Name: login, Password: "secret"})
		h.ok(err)
		account := got.Account
		if got.AppPassword != "" || account.SCRAM != "" || account.Address != "alice@a.test" || account.ID == 0 || account.Password != "" {
			t.Errorf("%q: got %+v with verifier %q", login, account, account.Password)
		}
	}
}

func TestRefusalsAreOneErrorAndOneHash(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test", "disabled@a.test", "broken@a.test", "cached@a.test")
	_, err := h.AddAccount(h.ctx, NewAccount{Address: "nologin@a.test"})
	h.ok(err)
	h.ok(h.SetAlias(h.ctx, "alias@a.test", []string{"alice@a.test"}))
	h.ok(h.SetAlias(h.ctx, "@b.test", []string{"alice@a.test"}))
	h.ok(h.login("disabled@a.test", "secret")) // remembered before it is disabled
	h.ok(h.SetDisabled(h.ctx, "disabled@a.test", true))
	h.put("broken@a.test", "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	h.ok(h.login("cached@a.test", "secret"))

	words := h.login("alice@a.test", "wrong").Error()
	for _, row := range []struct{ name, login, password string }{
		{"wrong", "alice@a.test", "wrong"},
		{"wrong with another remembered", "cached@a.test", "wrong"},
		{"other case", "alice@a.test", "Secret"},
		{"empty", "alice@a.test", ""},
		{"with NUL", "alice@a.test", "secret\x00"},
		{"too long", "alice@a.test", strings.Repeat("x", MaxPassword+1)},
		{"very long", "alice@a.test", strings.Repeat("x", 1<<20)},
		{"unknown user", "nobody@a.test", "secret"},
		{"unknown domain", "alice@far.example", "secret"},
		{"sub-address", "alice+x@a.test", "secret"},
		{"alias", "alias@a.test", "secret"},
		{"catch-all", "x@b.test", "secret"},
		{"key of the catch-all", "@b.test", "secret"},
		{"no address", "alice", "secret"},
		{"nothing", "", ""},
		{"malformed", "a b\x00@", "secret"},
		{"LDAP filter", "*)(uid=*", "secret"},
		{"LDAP filter in an address", "*)(uid=*@a.test", "secret"},
		{"SQL", "a' OR '1'='1", "secret"},
		{"SQL in an address", `"a' OR '1'='1"@a.test`, "secret"},
		{"NUL behind the name", "alice@a.test\x00", "secret"},
		{"line end in the name", "alice@a.test\r\nQUIT", "secret"},
		{"control character in the name", "al\x1bice@a.test", "secret"},
		{"C1 control character in the name", "al\u0085ice@a.test", "secret"},
		{"name that is not UTF-8", "al\xffice@a.test", "secret"},
		{"name of 10,000 octets", strings.Repeat("a", 10_000), "secret"},
		{"control character in the password", "alice@a.test", "sec\x07ret"},
		{"password that is not UTF-8", "alice@a.test", "secret\xff"},
		{"password in another alphabet's letters", "alice@a.test", "sесrеt\u200b"},
		{"disabled", "disabled@a.test", "secret"},
		{"disabled again", "disabled@a.test", "secret"},
		{"no password", "nologin@a.test", "secret"},
		{"no password, empty", "nologin@a.test", ""},
		{"verifier that can't be run", "broken@a.test", "secret"},
	} {
		h.costs(row.name, 1, func() {
			err := h.login(row.login, row.password)
			h.fails(row.name, err, fault.Denied)
			if err != nil && err.Error() != words {
				t.Errorf("%s: says %q, want %q as all others", row.name, err, words)
			}
		})
	}
	h.ok(h.login("alice@a.test", "secret"))
}

func TestNothingSecretIsLogged(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test", "broken@a.test")
	const hash = "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	h.put("broken@a.test", hash)
	h.put("alice@a.test", foreign[5].hash)
	h.login("broken@a.test", "geheim")
	h.login("alice@a.test", "geheim")
	h.ok(h.login("alice@a.test", foreign[5].password))
	for _, s := range []string{"geheim", "c29tZXNhbHQ", "CTFh", foreign[5].password, "saltstring"} {
		if strings.Contains(h.log.String(), s) {
			t.Errorf("the log has %q:\n%s", s, h.log)
		}
	}
}

func TestSuccessIsRememberedForAWhile(t *testing.T) {
	h := newHouse(t, Options{CacheTTL: time.Minute})
	h.accounts("alice@a.test", "bob@a.test")
	h.costs("first", 1, func() { h.ok(h.login("alice@a.test", "secret")) })
	h.costs("second", 0, func() { h.ok(h.login("Alice@a.test", "secret")) })
	h.costs("of another with the same password", 1, func() { h.ok(h.login("bob@a.test", "secret")) })
	h.now = h.now.Add(59 * time.Second)
	h.costs("just before", 0, func() { h.ok(h.login("alice@a.test", "secret")) })
	h.now = h.now.Add(time.Second)
	h.costs("after", 1, func() { h.ok(h.login("alice@a.test", "secret")) })

	off := newHouse(t, Options{CacheTTL: -1})
	off.accounts("alice@a.test")
	off.costs("without a cache", 2, func() {
		off.ok(off.login("alice@a.test", "secret"))
		off.ok(off.login("alice@a.test", "secret"))
	})
}

func TestChangesTakeEffectAtOnce(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.ok(h.login("alice@a.test", "secret"))
	h.ok(h.SetPassword(h.ctx, "alice@a.test", "other"))
	h.fails("the old password", h.login("alice@a.test", "secret"), fault.Denied)
	h.ok(h.login("alice@a.test", "other"))
	h.ok(h.SetDisabled(h.ctx, "alice@a.test", true))
	h.fails("disabled", h.login("alice@a.test", "other"), fault.Denied)
	h.ok(h.SetDisabled(h.ctx, "alice@a.test", false))
	h.ok(h.login("alice@a.test", "other"))
	h.ok(h.RemoveAccount(h.ctx, "alice@a.test"))
	h.fails("removed", h.login("alice@a.test", "other"), fault.Denied)
	h.accounts("alice@a.test")
	h.fails("the former account's password", h.login("alice@a.test", "other"), fault.Denied)
}

func TestCacheIsBounded(t *testing.T) {
	const size = 8
	now := time.Now()
	s := newSuccesses(time.Hour, size, func() time.Time { return now })
	for i := range 1000 {
		m := s.mark(store.Account{ID: 1, Password: "v"}, strings.Repeat("x", i))
		s.add(m)
		if !s.has(m) {
			t.Fatalf("login %d is forgotten at once", i)
		}
		if n := len(s.young) + len(s.old); n > size {
			t.Fatalf("%d logins are remembered, want at most %d", n, size)
		}
	}
}

func TestMarksDifferInEachPart(t *testing.T) {
	s := newSuccesses(time.Hour, 8, time.Now)
	seen := map[mark]string{}
	for _, row := range []struct {
		account  store.Account
		password string
	}{
		{store.Account{ID: 1, Password: "ab"}, "c"},
		{store.Account{ID: 1, Password: "a"}, "bc"},
		{store.Account{ID: 1, Password: "abc"}, ""},
		{store.Account{ID: 2, Password: "ab"}, "c"},
		{store.Account{ID: 1, Password: "ab"}, "C"},
		{store.Account{ID: 1, SCRAM: "ab"}, "c"},
		{store.Account{ID: 1, SCRAM: "ac"}, "c"},
		{store.Account{ID: 1, Password: "a", SCRAM: "b"}, "c"},
	} {
		m := s.mark(row.account, row.password)
		if other, ok := seen[m]; ok {
			t.Errorf("%+v %q has the mark of %s", row.account, row.password, other)
		}
		seen[m] = row.account.Password + "/" + row.account.SCRAM + "/" + row.password
	}
}

func TestWeakVerifierIsReplacedAtLogin(t *testing.T) {
	for _, row := range foreign {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t, Options{})
			h.accounts("alice@a.test")
			h.put("alice@a.test", row.hash)
			h.fails("wrong password", h.login("alice@a.test", "wrong"), fault.Denied)
			if got := h.verifier("alice@a.test"); got != row.hash {
				t.Fatalf("a wrong password changed the verifier to %s", got)
			}
			h.ok(h.login("alice@a.test", row.password))
			made := h.verifier("alice@a.test")
			if made == row.hash || !strings.HasPrefix(made, "$argon2id$v=19$m=64,t=1,p=1$") {
				t.Fatalf("the verifier is %s", made)
			}
			h.costs("with the new verifier", 0, func() { h.ok(h.login("alice@a.test", row.password)) })
			h.now = h.now.Add(time.Hour)
			h.costs("with the new verifier, forgotten", 1, func() { h.ok(h.login("alice@a.test", row.password)) })
			if got := h.verifier("alice@a.test"); got != made {
				t.Error("the verifier was replaced again")
			}
		})
	}
}

func TestLoginIsGoodWhenTheVerifierCantBeReplaced(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.put("alice@a.test", foreign[5].hash)
	h.st.SetHealth(fault.New(fault.ReadOnly, "test", nil))
	h.ok(h.login("alice@a.test", foreign[5].password))
	if got := h.verifier("alice@a.test"); got != foreign[5].hash {
		t.Errorf("the verifier is %s", got)
	}
	h.costs("remembered", 0, func() { h.ok(h.login("alice@a.test", foreign[5].password)) })
}

// TestReplacingAVerifierIsNoChangeAfterTheLogin since POP before SMTP forgets an
// account that has been changed.
func TestReplacingAVerifierIsNoChangeAfterTheLogin(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.put("alice@a.test", foreign[5].hash)
	got, err := h.Authenticate(h.ctx, Login{Name: "alice@a.test", Password: foreign[5].password, Protocol: "pop3"})
	h.ok(err)
	now, err := h.account(h.ctx, "alice@a.test")
	h.ok(err)
	if now.Password == foreign[5].hash || got.Account.Version != now.Version {
		t.Errorf("the login has version %d, the account %d; want the same, with a new verifier", got.Account.Version, now.Version)
	}
}

func TestReplacingAVerifierLosesNoOtherChange(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.put("alice@a.test", foreign[5].hash)
	before, err := h.account(h.ctx, "alice@a.test")
	h.ok(err)
	h.ok(h.SetDisabled(h.ctx, "alice@a.test", true)) // after the login has read the account
	h.ok(h.SetQuota(h.ctx, "alice@a.test", 77))
	stale := before
	h.renew(h.ctx, &stale, renewal{password: foreign[5].password, hash: true, keys: true})
	after, err := h.account(h.ctx, "alice@a.test")
	h.ok(err)
	if !after.Disabled || after.Quota != 77 || after.Password == foreign[5].hash {
		t.Errorf("the account is %+v, want it disabled with quota 77 and a new verifier", after)
	}

	h.ok(h.SetPassword(h.ctx, "alice@a.test", "other"))
	h.renew(h.ctx, &before, renewal{password: foreign[5].password, hash: true, keys: true})
	h.ok(h.SetDisabled(h.ctx, "alice@a.test", false))
	h.ok(h.login("alice@a.test", "other"))
}

func TestLoginThatCantBeToldIsNotDenied(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	for given, want := range map[fault.Kind]fault.Kind{
		fault.Transient: fault.Transient, fault.Corrupt: fault.Corrupt, fault.Denied: fault.Internal,
	} {
		h.st.FailNext(storetest.OpLookup, fault.New(given, "test", nil))
		h.fails("login", h.login("alice@a.test", "secret"), want)
	}
	h.ok(h.login("alice@a.test", "secret"))
}
