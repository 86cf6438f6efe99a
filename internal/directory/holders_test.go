package directory

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"testing"

	"postrider/internal/fault"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// possible asks the house, and the same after a new start.
func (h *house) possible(what string, want bool) {
	h.t.Helper()
	if got := h.LegacyPossible(); got != want {
		h.t.Errorf("%s: a legacy secret is possible: %v, want %v", what, got, want)
	}
	if got := h.again().LegacyPossible(); got != want {
		h.t.Errorf("%s: after a new start a legacy secret is possible: %v, want %v", what, got, want)
	}
}

func newLegacyHouse(t *testing.T, secretsOf ...string) *house {
	t.Helper()
	h := newHouse(t, Options{KeyFile: filepath.Join(t.TempDir(), "key")})
	h.accounts("alice@a.test", "bob@a.test")
	for _, address := range secretsOf {
		h.secret(address)
	}
	return h
}

func (h *house) secret(address string) {
	h.t.Helper()
	_, err := h.SetLegacySecret(h.ctx, address, "geheim")
	h.ok(err)
}

func TestLegacySecretsArePossibleWhileAnAccountHasOne(t *testing.T) {
	h := newLegacyHouse(t)
	h.possible("at first", false)
	h.secret("alice@a.test")
	h.possible("alice has one", true)
	h.secret("alice@a.test")
	h.secret("bob@a.test")
	h.ok(h.RemoveLegacySecret(h.ctx, "alice@a.test"))
	h.possible("bob has one", true)
	h.ok(h.RemoveLegacySecret(h.ctx, "bob@a.test"))
	h.possible("nobody has one, and the key is there", false)
	h.secret("bob@a.test")
	h.possible("bob has one again", true)
	h.ok(h.SetPassword(h.ctx, "bob@a.test", "other"))
	h.ok(h.SetDisabled(h.ctx, "bob@a.test", true))
	h.possible("bob is disabled", true)
	h.ok(h.RemoveAccount(h.ctx, "bob@a.test"))
	h.possible("bob is gone", false)
}

// TestCrashBetweenTheCommitsLeavesTooManyHolders: whichever of two commits is
// the last one, nobody who has a secret is left out, and the next start finds out
// who has none.
func TestCrashBetweenTheCommitsLeavesTooManyHolders(t *testing.T) {
	trouble := fault.New(fault.NoSpace, "test", nil)
	t.Run("before it has its secret", func(t *testing.T) {
		h := newLegacyHouse(t)
		h.st.FailNext(storetest.OpChange, trouble)
		_, err := h.SetLegacySecret(h.ctx, "alice@a.test", "geheim")
		h.fails("setting", err, fault.NoSpace)
		if !h.LegacyPossible() {
			t.Error("the account was not written down before its change")
		}
		if h.again().LegacyPossible() {
			t.Error("the next start has not found out that it has none")
		}
	})
	t.Run("when it can't be written down", func(t *testing.T) {
		h := newLegacyHouse(t)
		h.st.FailNext(storetest.OpPutRecord, trouble)
		_, err := h.SetLegacySecret(h.ctx, "alice@a.test", "geheim")
		h.fails("setting", err, fault.NoSpace)
		if h.secretOf("alice@a.test") != "" {
			t.Error("the account has got its secret all the same")
		}
		h.possible("afterwards", false)
	})
	for name, remove := range map[string]func(h *house) error{
		"after it has lost its secret": func(h *house) error { return h.RemoveLegacySecret(h.ctx, "alice@a.test") },
		"after it has gone":            func(h *house) error { return h.RemoveAccount(h.ctx, "alice@a.test") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newLegacyHouse(t, "alice@a.test")
			h.st.FailNext(storetest.OpPutRecord, trouble)
			h.ok(remove(h))
			h.possible("the record is stale", false)
			r, err := h.st.Record(h.ctx, holdersRecord)
			h.ok(err)
			if string(r.Value) != `{"accounts":[]}` {
				t.Errorf("the record is %s after a new start, want it put right", r.Value)
			}
		})
	}
	t.Run("when the removal fails", func(t *testing.T) {
		h := newLegacyHouse(t, "alice@a.test")
		h.st.FailNext(storetest.OpChange, trouble)
		h.fails("removing", h.RemoveLegacySecret(h.ctx, "alice@a.test"), fault.NoSpace)
		h.possible("afterwards", true)
	})
}

func TestRecordOfHoldersThatCantBeReadMeansPossible(t *testing.T) {
	for name, spoil := range map[string]func(h *house){
		"no answer": func(h *house) { h.st.FailNext(storetest.OpRecord, fault.New(fault.Transient, "test", nil)) },
		"damaged":   func(h *house) { h.st.FailNext(storetest.OpRecord, fault.New(fault.Corrupt, "test", nil)) },
		"malformed": func(h *house) {
			h.ok(h.st.PutRecord(h.ctx, store.Record{Key: holdersRecord, Value: []byte("{")}))
		},
		"its account can't be read": func(h *house) {
			h.st.FailNext(storetest.OpLookup, fault.New(fault.Corrupt, "test", nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newLegacyHouse(t, "alice@a.test", "bob@a.test")
			spoil(h)
			next := h.again()
			if !next.LegacyPossible() {
				t.Fatal("no secret is possible")
			}
			next.ok(next.RemoveLegacySecret(h.ctx, "alice@a.test"))
			next.possible("bob has one", true)
			next.ok(next.RemoveLegacySecret(h.ctx, "bob@a.test"))
			next.possible("nobody has one", false)
		})
	}
}

func TestHolderThatIsNotWrittenDownIsFoundAtItsLogin(t *testing.T) {
	h := newLegacyHouse(t, "alice@a.test")
	h.ok(h.st.RemoveRecord(h.ctx, holdersRecord))
	next := h.again()
	if next.LegacyPossible() {
		t.Fatal("nothing was lost")
	}
	h.ok(next.login("bob@a.test", "secret"))
	next.possible("after another's login", false)
	h.ok(next.login("alice@a.test", "secret"))
	next.possible("after its login", true)
}

// countedAccounts counts the listings of all accounts.
type countedAccounts struct {
	store.Directory
	listings int
}

func (c *countedAccounts) Accounts(ctx context.Context, domain, after string) iter.Seq2[store.Account, error] {
	c.listings++
	return c.Directory.Accounts(ctx, domain, after)
}

func TestHoldersAreBoundedAndNoStartLooksAtAllAccounts(t *testing.T) {
	h := newLegacyHouse(t)
	st := &countedAccounts{Directory: h.st}
	h.Directory = New(st, h.o)
	const all = maxHolders + 2
	var changes []store.Change
	for i := range all {
		changes = append(changes, store.PutAccount{New: true, Account: store.Account{Address: fmt.Sprintf("u%04d@a.test", i)}})
	}
	_, err := h.st.Change(h.ctx, changes...)
	h.ok(err)
	address := func(i int) string { return fmt.Sprintf("u%04d@a.test", i) }
	for i := range all {
		h.secret(address(i))
	}
	if n := len(h.holders.kept.Accounts); n != maxHolders || !h.holders.kept.More {
		t.Errorf("%d accounts are written down, more: %v", n, h.holders.kept.More)
	}
	st.listings = 0
	for i := range all {
		if !h.LegacyPossible() {
			t.Fatalf("not possible when %d have lost theirs", i)
		}
		h.ok(h.RemoveLegacySecret(h.ctx, address(i)))
	}
	if st.listings != 1 {
		t.Errorf("all accounts were listed %d times, want once, when those that were written down had gone", st.listings)
	}
	New(st, h.o)
	if st.listings != 1 {
		t.Error("a start has listed all accounts")
	}
	h.possible("nobody has one", false)
	if n := h.holders.kept; n.some() {
		t.Errorf("left are %+v", n)
	}
}

func TestWithoutRecordsAKeyMeansPossible(t *testing.T) {
	h := newLegacyHouse(t, "alice@a.test")
	h.o.Records = nil
	next := h.again()
	h.ok(next.RemoveLegacySecret(h.ctx, "alice@a.test"))
	if !next.LegacyPossible() {
		t.Error("it is said that nobody has a secret, which nothing tells")
	}
}
