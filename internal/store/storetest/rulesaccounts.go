package storetest

import (
	"encoding/json"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

var accountRules = []rule{
	{"CredentialsAreKept", testCredentials},
	{"AccountsBelongToTheirCallers", testAccountsOwned},
	{"AccountInJSONShowsNoVerifier", testAccountJSON},
	{"IfVersionGuardsAChange", testIfVersion},
	{"VersionGrowsWithEachPutAccount", testVersionGrows},
}

// withCredentials returns an account that has all that logins need.
func withCredentials(a store.Account) store.Account {
	a.Password, a.SCRAM = "$argon2id$secret-hash", "4096$secret-salt$secret-stored:secret-server"
	a.AppPasswords = []store.AppPassword{
		{
			Name: "laptop", Scope: []string{"smtp", "pop3"}, Hash: []byte("secret-\x00\xff"), SCRAM: "secret-scram",
			Created: day, Used: day.Add(time.Hour),
		},
		{Name: "phone ü", Created: day.Add(time.Minute)}, // never used
	}
	a.LegacySecret = []byte("secret-\x00sealed")
	a.Grants = []string{"info@a.test", "@b.test"}
	return a
}

func testCredentials(e *env) {
	e.domain("a.test")
	want := withCredentials(store.Account{Address: "alice@a.test", Created: day})
	ids, err := e.st.Change(e.ctx, store.PutAccount{New: true, Account: want})
	e.ok(err)
	want.ID = ids[0]
	e.sameAccount(want)
	want.AppPasswords = want.AppPasswords[1:]
	want.LegacySecret, want.SCRAM = nil, "other"
	want.Grants = want.Grants[:1]
	e.change(store.PutAccount{Account: want})
	e.sameAccount(want)
	e.change(store.PutAccount{Account: store.Account{ID: want.ID}}) // all of them become those given
	e.sameAccount(store.Account{ID: want.ID, Address: want.Address, Created: day})
	e.change(store.PutAccount{Account: withCredentials(store.Account{ID: want.ID})})
	e.sameAccount(withCredentials(store.Account{ID: want.ID, Address: want.Address, Created: day}))
	for a, err := range e.st.Accounts(e.ctx, "", "") {
		e.ok(err)
		if got := a.AppPasswords; len(got) != 2 || !got[1].Used.IsZero() || got[0].Scope[1] != "pop3" {
			e.Errorf("the listing has the app passwords %+v", got)
		}
	}
}

// testAccountsOwned changes what was handed in, and what was handed out.
func testAccountsOwned(e *env) {
	spoil := func(a *store.Account) {
		a.LegacySecret[0], a.Grants[0] = 'X', "spoilt"
		p := &a.AppPasswords[0]
		p.Name, p.Scope[0], p.Hash[0] = "spoilt", "spoilt", 'X'
	}
	e.domain("a.test")
	given := withCredentials(store.Account{Address: "alice@a.test", Created: day})
	ids, err := e.st.Change(e.ctx, store.PutAccount{New: true, Account: given})
	e.ok(err)
	spoil(&given)
	want := withCredentials(store.Account{ID: ids[0], Address: "alice@a.test", Created: day})
	e.sameAccount(want)
	given = withCredentials(store.Account{ID: ids[0]})
	e.change(store.PutAccount{Account: given})
	spoil(&given)
	for range 2 { // engines may keep what was looked up
		got, err := e.st.Account(e.ctx, ids[0])
		e.ok(err)
		spoil(&got)
		e.sameAccount(want)
	}
	for got, err := range e.st.Accounts(e.ctx, "", "") {
		e.ok(err)
		spoil(&got)
	}
	e.sameAccount(want)
}

func testAccountJSON(e *env) {
	e.domain("a.test")
	a := withCredentials(store.Account{Address: "alice@a.test", Created: day})
	ids, err := e.st.Change(e.ctx, store.PutAccount{New: true, Account: a})
	e.ok(err)
	got, err := e.st.Account(e.ctx, ids[0])
	e.ok(err)
	for _, shown := range []any{got, &got, got.AppPasswords} {
		b, err := json.Marshal(shown)
		e.ok(err)
		if text := string(b); strings.Contains(text, "secret") || strings.Contains(text, "c2VjcmV0") { // base64 of it
			e.Errorf("%T in JSON is %s", shown, text)
		}
	}
}

func testIfVersion(e *env) {
	id := e.account("alice@a.test")
	v := e.version(id)
	e.refused(store.PutAccount{Account: store.Account{ID: id, Password: "early"}, IfVersion: v + 1}, fault.Denied)
	e.change(store.PutAccount{Account: store.Account{ID: id, Password: "one"}, IfVersion: v})
	e.refused(store.PutAccount{Account: store.Account{ID: id, Password: "late", Disabled: true}, IfVersion: v}, fault.Denied)
	e.sameAccount(store.Account{ID: id, Address: "alice@a.test", Password: "one", Created: day})
	e.change(store.PutAccount{Account: store.Account{ID: id, Password: "two"}}) // zero asks for none
	e.sameAccount(store.Account{ID: id, Address: "alice@a.test", Password: "two", Created: day})
}

// testVersionGrows: nothing but a PutAccount that is made changes it, and that
// always does.
func testVersionGrows(e *env) {
	id := e.account("alice@a.test")
	last := e.version(id)
	if last == 0 {
		e.Fatal("a new account has version 0, which asks for nothing")
	}
	for range 3 {
		same := store.PutAccount{Account: store.Account{ID: id, Password: "same", Version: 1}}
		e.change(same)
		if v := e.version(id); v <= last {
			e.Fatalf("after a change the version is %d, it was %d", v, last)
		}
		last = e.version(id)
	}
	_, err := e.st.Change(e.ctx,
		store.PutAccount{Account: store.Account{ID: id}}, store.RemoveDomain{Name: "none.test"})
	e.changeIndex(err, 1, fault.NotFound)
	e.fill(id, "mail")
	if v := e.version(id); v != last {
		e.Fatalf("the version is %d, want %d: no account was changed", v, last)
	}
	e.change(
		store.PutAccount{Account: store.Account{ID: id}, IfVersion: last},
		store.PutAccount{Account: store.Account{ID: id}},
	)
	if v := e.version(id); v < last+2 {
		e.Fatalf("after two changes the version is %d, it was %d", v, last)
	}
	e.refused(store.PutAccount{Account: store.Account{ID: id}, IfVersion: last}, fault.Denied)
}

func (e *env) version(id mail.AccountID) uint64 {
	e.Helper()
	a, err := e.st.Account(e.ctx, id)
	e.ok(err)
	return a.Version
}
