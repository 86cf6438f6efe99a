package directory

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"postrider/internal/fault"
)

func TestRefusalsSayWhyToTheOperator(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test", "disabled@a.test", "broken@a.test")
	_, err := h.AddAccount(h.ctx, NewAccount{Address: "nologin@a.test"})
	h.ok(err)
	h.ok(h.SetAlias(h.ctx, "alias@a.test", []string{"alice@a.test"}))
	phone, err := h.AddAppPassword(h.ctx, "alice@a.test", "phone", []string{"smtp"})
	h.ok(err)
	tablet, err := h.AddAppPassword(h.ctx, "disabled@a.test", "tablet", nil)
	h.ok(err)
	h.ok(h.SetDisabled(h.ctx, "disabled@a.test", true))
	h.put("broken@a.test", "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	for _, row := range []struct{ name, login, password, want string }{
		{"wrong password", "alice@a.test", "wrong", wrongPassword},
		{"that can be nobody's", "alice@a.test", "a\r\n", wrongPassword},
		{"in two forms", "alice@a.test", "cafe\u0301", wrongPassword},
		{"unknown", "nobody@a.test", "secret", noAccount},
		{"alias", "alias@a.test", "secret", noAccount},
		{"no address", "alice", "secret", noAccount},
		{"disabled, right password", "disabled@a.test", "secret", disabled},
		{"disabled, wrong password", "disabled@a.test", "wrong", disabled},
		{"disabled, app password", "disabled@a.test", tablet, disabled},
		{"no password", "nologin@a.test", "secret", noPassword},
		{"verifier that can't be run", "broken@a.test", "secret", badVerifier},
		{"app password elsewhere", "alice@a.test", phone, `the app password "phone" is not for pop3`},
	} {
		err := h.login(row.login, row.password)
		h.fails(row.name, err, fault.Denied)
		if got := WhyDenied(err); got != row.want || err.Error() != "log in: denied" {
			t.Errorf("%s: got reason %q and error %q, want reason %q", row.name, got, err, row.want)
		}
	}
	if got := WhyDenied(fault.New(fault.Denied, "test", nil)); got != "" {
		t.Errorf("of another's error: %q", got)
	}
}

func wasCompared(err error) bool {
	var c *ComparedError
	return errors.As(err, &c)
}

// crowded fills the line of an address while the only place is taken. The places
// are given up when release is closed.
func crowded(t *testing.T, h *house, from netip.Addr, release chan struct{}) {
	waiters(t, h.hashing, netip.Addr{}, 1, release)
	waiters(t, h.hashing, from, MaxWaitingPerAddress, release)
}

func TestNobodyGuessesAtWhatIsRememberedWhileTheLineIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, Options{HashAtOnce: 1, SCRAMIterations: -1})
		h.accounts("alice@a.test")
		h.ok(h.login("alice@a.test", "secret")) // it is remembered
		phone, err := h.AddAppPassword(h.ctx, "alice@a.test", "phone", nil)
		h.ok(err)
		release := make(chan struct{})
		crowded(t, h, attacker, release)
		try := func(from netip.Addr, password string) error {
			_, err := h.Authenticate(h.ctx, Login{Name: "alice@a.test", Password: password, From: from})
			return err
		}
		for _, password := range []string{"secret", "wrong"} {
			err := try(attacker, password)
			h.fails(password+" where the line is full", err, fault.Busy)
			if wasCompared(err) {
				t.Errorf("%s was compared", password)
			}
		}
		h.ok(try(attacker, phone))
		h.ok(try(owner, "secret"))
		close(release)
		synctest.Wait()
	})
}

func TestGuessThatIsGivenUpInTheLineWasCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, Options{HashAtOnce: 1, SCRAMIterations: -1})
		h.accounts("alice@a.test")
		release := make(chan struct{})
		waiters(t, h.hashing, owner, 1, release)
		ctx, cancel := context.WithCancel(t.Context())
		var got atomic.Pointer[error]
		go func() {
			_, err := h.Authenticate(ctx, Login{Name: "alice@a.test", Password: "wrong", From: attacker})
			got.Store(&err)
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		err := *got.Load()
		h.fails("given up", err, fault.Transient)
		if !wasCompared(err) {
			t.Error("it is not said that the password was compared")
		}
		close(release)
		synctest.Wait()
	})
}
