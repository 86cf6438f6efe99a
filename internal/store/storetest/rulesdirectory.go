package storetest

import (
	"reflect"
	"slices"
	"strconv"
	"testing"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

var directoryRules = []rule{
	{"DomainsAreMadeAndRemoved", testDomains},
	{"DomainWithEntriesStays", testDomainInUse},
	{"AccountsAreMadeAndChanged", testAccounts},
	{"AccountNeedsAFreeAddressInADomain", testAccountRefused},
	{"RemovedAccountTakesItsMailAlong", testRemoveAccount},
	{"AliasesAreMadeChangedAndRemoved", testAliases},
	{"AliasIsRefusedWhereItCantBe", testAliasRefused},
	{"ChangesAreAllOrNone", testChangeAtomic},
	{"ChangesSeeThoseBeforeThem", testChangeOrder},
	{"AccountIDsComeInTheirOrder", testChangeIDs},
	{"LookUpOfNothingIsNotFound", testLookupNotFound},
}

var listingRules = []rule{
	{"DomainsAreListedByName", testListDomains},
	{"EntriesAreListedByNameAfterANameAndByDomain", testListEntries},
	{"AccountsAreListedByAddressWithTheirUsage", testListAccounts},
	{"ListingsHoldNoLock", testListingLock},
}

func (e *env) change(changes ...store.Change) {
	e.Helper()
	_, err := e.st.Change(e.ctx, changes...)
	e.ok(err)
}

// refused asks for a change on its own to fail.
func (e *env) refused(c store.Change, kind fault.Kind) {
	e.Helper()
	_, err := e.st.Change(e.ctx, c)
	e.changeIndex(err, 0, kind)
}

func testDomains(e *env) {
	want := store.Domain{Name: "a.test", Created: day}
	e.change(store.PutDomain{Domain: want})
	got, err := e.st.Domain(e.ctx, "a.test")
	e.ok(err)
	if got.Name != want.Name || !got.Created.Equal(want.Created) {
		e.Errorf("got %+v, want %+v", got, want)
	}
	e.refused(store.PutDomain{Domain: store.Domain{Name: "a.test", Created: day.AddDate(1, 0, 0)}}, fault.Exists)
	if got, err := e.st.Domain(e.ctx, "a.test"); err != nil || !got.Created.Equal(day) {
		e.Errorf("a refused PutDomain left %+v, %v", got, err)
	}
	e.change(store.RemoveDomain{Name: "a.test"})
	_, err = e.st.Domain(e.ctx, "a.test")
	e.fails("Domain that was removed", err, fault.NotFound)
	e.refused(store.RemoveDomain{Name: "a.test"}, fault.NotFound)
	e.change(store.PutDomain{Domain: want})
}

func testDomainInUse(e *env) {
	id := e.account("alice@a.test")
	e.domain("sub.a.test")
	e.change(store.PutAlias{Address: "@a.test", Targets: []string{"alice@a.test"}})
	e.refused(store.RemoveDomain{Name: "a.test"}, fault.Exists)
	e.change(store.RemoveAccount{ID: id})
	e.refused(store.RemoveDomain{Name: "a.test"}, fault.Exists)
	e.change(store.RemoveAlias{Address: "@a.test"})
	e.account("alice@sub.a.test")
	e.change(store.RemoveDomain{Name: "a.test"})
}

func testAccounts(e *env) {
	e.domain("a.test")
	want := store.Account{
		Address: "alice@a.test", Password: "$argon2id$one", Quota: 5 << 40, Created: day,
		ID: 12345, Messages: 7, Octets: 8, // not the caller's to say
	}
	ids, err := e.st.Change(e.ctx, store.PutAccount{New: true, Account: want})
	e.ok(err)
	want.ID, want.Messages, want.Octets = ids[0], 0, 0
	e.sameAccount(want)
	if entry, err := e.st.Entry(e.ctx, "alice@a.test"); err != nil || entry.Account != want.ID || entry.Address != "alice@a.test" || len(entry.Targets) != 0 {
		e.Errorf("its entry is %+v, %v", entry, err)
	}
	e.fill(want.ID, "12345")
	want.Messages, want.Octets = 1, 5

	want.Password, want.Disabled, want.Quota = "$argon2id$two", true, 0
	e.change(store.PutAccount{Account: store.Account{
		ID: want.ID, Password: want.Password, Disabled: true,
		Address: "other@a.test", Created: day.AddDate(1, 0, 0), Messages: 99, Octets: 99,
	}})
	e.sameAccount(want)
	_, err = e.st.Entry(e.ctx, "other@a.test")
	e.fails("Entry of the address in a change", err, fault.NotFound)
	e.refused(store.PutAccount{Account: store.Account{ID: want.ID + 1000}}, fault.NotFound)
}

// sameAccount compares all but the version.
func (e *env) sameAccount(want store.Account) {
	e.Helper()
	got, err := e.st.Account(e.ctx, want.ID)
	e.ok(err)
	if !got.Created.Equal(want.Created) {
		e.Errorf("created %v, want %v", got.Created, want.Created)
	}
	got.Created, got.Version = want.Created, want.Version
	if !reflect.DeepEqual(got, want) {
		e.Fatalf("account is %+v, want %+v", got, want)
	}
}

func testAccountRefused(e *env) {
	e.account("alice@a.test")
	e.change(store.PutAlias{Address: "sales@a.test", Targets: []string{"alice@a.test"}})
	for address, kind := range map[string]fault.Kind{
		"alice@a.test":  fault.Exists,
		"sales@a.test":  fault.Exists,
		"bob@b.test":    fault.NotFound,
		"bob@aa.test":   fault.NotFound,
		"bob@x.a.test":  fault.NotFound,
		"a.test":        fault.NotFound,
		"b@a.test@c.de": fault.NotFound,
	} {
		e.Run(address, func(t *testing.T) {
			e := &env{T: t, st: e.st, ctx: t.Context()}
			e.refused(store.PutAccount{New: true, Account: store.Account{Address: address}}, kind)
		})
	}
	e.account("@b@a.test") // the domain begins after the last @
}

func testRemoveAccount(e *env) {
	before, err := e.st.Usage(e.ctx)
	e.ok(err)
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	box, err := e.st.CreateMailbox(e.ctx, a, "Sent")
	e.ok(err)
	shared := e.deliver(pattern(1000), inbox(a), inbox(b))
	e.deliver("sent", store.Delivery{Account: a, Mailbox: box.ID})
	e.fill(a, "own", pattern(200_000))
	e.change(store.RemoveAccount{ID: a})

	_, err = e.st.Account(e.ctx, a)
	e.fails("Account that was removed", err, fault.NotFound)
	_, err = e.st.Entry(e.ctx, "alice@a.test")
	e.fails("Entry of a removed account", err, fault.NotFound)
	_, err = e.st.Open(e.ctx, a, mail.Inbox, shared[0].UID)
	e.fails("Open of a removed account", err, fault.NotFound)
	_, err = e.st.OpenMaildrop(e.ctx, a, store.Exclusive, "test")
	e.fails("OpenMaildrop of a removed account", err, fault.NotFound)
	e.refused(store.RemoveAccount{ID: a}, fault.NotFound)
	e.same("the other's copy", e.read(b, mail.Inbox, shared[1].UID), pattern(1000))
	if now, err := e.st.Usage(e.ctx); err != nil || now.Messages != before.Messages+1 {
		e.Errorf("%d contents are left, %v; want one", now.Messages-before.Messages, err)
	}
	again := e.account("alice@a.test")
	e.counts(again, 0, 0)
	if all := e.list(again, mail.Inbox); len(all) != 0 {
		e.Errorf("the account made again has %+v", all)
	}
}

func testAliases(e *env) {
	id := e.account("alice@a.test")
	for _, targets := range [][]string{
		{"alice@a.test"},
		{"alice@a.test", "second@far.example", "Third+Tag@a.test"},
		{"second@far.example"},
	} {
		given := slices.Clone(targets)
		e.change(store.PutAlias{Address: "sales@a.test", Targets: given})
		given[0] = "changed by the caller"
		got, err := e.st.Entry(e.ctx, "sales@a.test")
		e.ok(err)
		if got.Address != "sales@a.test" || got.Account != 0 || !slices.Equal(got.Targets, targets) {
			e.Errorf("got %+v, want the targets %v", got, targets)
		}
		got.Targets[0] = "changed by the caller"
		if again, err := e.st.Entry(e.ctx, "sales@a.test"); err != nil || !slices.Equal(again.Targets, targets) {
			e.Errorf("got %+v, %v, want the targets %v", again, err, targets)
		}
	}
	e.change(store.PutAlias{Address: "@a.test", Targets: []string{"alice@a.test"}})
	if got, err := e.st.Entry(e.ctx, "@a.test"); err != nil || got.Address != "@a.test" {
		e.Errorf("the catch-all is %+v, %v", got, err)
	}
	e.change(store.RemoveAlias{Address: "sales@a.test"})
	_, err := e.st.Entry(e.ctx, "sales@a.test")
	e.fails("Entry of a removed alias", err, fault.NotFound)
	e.refused(store.RemoveAlias{Address: "sales@a.test"}, fault.NotFound)
	e.counts(id, 0, 0)
}

func testAliasRefused(e *env) {
	e.account("alice@a.test")
	e.refused(store.PutAlias{Address: "alice@a.test", Targets: []string{"x@a.test"}}, fault.Exists)
	e.refused(store.PutAlias{Address: "x@b.test", Targets: []string{"alice@a.test"}}, fault.NotFound)
	e.refused(store.RemoveAlias{Address: "alice@a.test"}, fault.NotFound)
	if got, err := e.st.Entry(e.ctx, "alice@a.test"); err != nil || got.Account == 0 {
		e.Errorf("the account's entry is %+v, %v", got, err)
	}
}

func testChangeAtomic(e *env) {
	kept := e.account("kept@a.test")
	uid := e.fill(kept, "body")[0]
	batch := []store.Change{
		store.PutDomain{Domain: store.Domain{Name: "b.test"}},
		store.PutAccount{New: true, Account: store.Account{Address: "new@b.test"}},
		store.PutAccount{Account: store.Account{ID: kept, Password: "changed"}},
		store.PutAlias{Address: "alias@a.test", Targets: []string{"kept@a.test"}},
		store.RemoveAccount{ID: kept},
	}
	for i := range batch {
		failing := slices.Insert(slices.Clone(batch), i, store.Change(store.RemoveAlias{Address: "none@a.test"}))
		_, err := e.st.Change(e.ctx, failing...)
		e.changeIndex(err, i, fault.NotFound)
	}
	_, err := e.st.Domain(e.ctx, "b.test")
	e.fails("Domain of a refused batch", err, fault.NotFound)
	_, err = e.st.Entry(e.ctx, "new@b.test")
	e.fails("account of a refused batch", err, fault.NotFound)
	_, err = e.st.Entry(e.ctx, "alias@a.test")
	e.fails("alias of a refused batch", err, fault.NotFound)
	e.sameAccount(store.Account{ID: kept, Address: "kept@a.test", Created: day, Messages: 1, Octets: 4})
	e.same("its mail", e.read(kept, mail.Inbox, uid), "body")
	e.change(batch...)
	_, err = e.st.Account(e.ctx, kept)
	e.fails("an account that the batch removes", err, fault.NotFound)
	e.change() // nothing to do is no error
}

func testChangeOrder(e *env) {
	ids, err := e.st.Change(e.ctx,
		store.PutDomain{Domain: store.Domain{Name: "a.test"}},
		store.PutAccount{New: true, Account: store.Account{Address: "alice@a.test"}},
		store.PutAlias{Address: "sales@a.test", Targets: []string{"alice@a.test"}},
	)
	e.ok(err)
	_, err = e.st.Change(e.ctx,
		store.PutAccount{New: true, Account: store.Account{Address: "twice@a.test"}},
		store.PutAccount{New: true, Account: store.Account{Address: "twice@a.test"}},
	)
	e.changeIndex(err, 1, fault.Exists)
	_, err = e.st.Change(e.ctx, store.RemoveAlias{Address: "sales@a.test"}, store.RemoveAlias{Address: "sales@a.test"})
	e.changeIndex(err, 1, fault.NotFound)
	_, err = e.st.Change(e.ctx, store.PutDomain{Domain: store.Domain{Name: "b.test"}}, store.PutDomain{Domain: store.Domain{Name: "b.test"}})
	e.changeIndex(err, 1, fault.Exists)

	remade, err := e.st.Change(e.ctx,
		store.RemoveAccount{ID: ids[0]},
		store.PutAccount{New: true, Account: store.Account{Address: "alice@a.test", Password: "new"}},
	)
	e.ok(err)
	e.sameAccount(store.Account{ID: remade[0], Address: "alice@a.test", Password: "new"})
	e.change(
		store.RemoveAlias{Address: "sales@a.test"},
		store.RemoveAccount{ID: remade[0]},
		store.RemoveDomain{Name: "a.test"},
	)
}

func testChangeIDs(e *env) {
	const many = 500
	e.domain("a.test")
	var batch []store.Change
	for i := range many {
		batch = append(batch, store.PutAccount{New: true, Account: store.Account{Address: strconv.Itoa(i) + "@a.test"}})
		if i%100 == 0 {
			batch = append(batch, store.PutAlias{Address: "alias" + strconv.Itoa(i) + "@a.test", Targets: []string{"0@a.test"}})
		}
	}
	ids, err := e.st.Change(e.ctx, batch...)
	e.ok(err)
	if len(ids) != many {
		e.Fatalf("got %d ids, want %d", len(ids), many)
	}
	for i, id := range ids {
		a, err := e.st.Account(e.ctx, id)
		e.ok(err)
		if a.Address != strconv.Itoa(i)+"@a.test" {
			e.Fatalf("id %d at %d is of %s", id, i, a.Address)
		}
	}
}

func testLookupNotFound(e *env) {
	_, err := e.st.Domain(e.ctx, "a.test")
	e.fails("Domain", err, fault.NotFound)
	_, err = e.st.Entry(e.ctx, "alice@a.test")
	e.fails("Entry", err, fault.NotFound)
	_, err = e.st.Account(e.ctx, 1)
	e.fails("Account", err, fault.NotFound)
	_, err = e.st.Account(e.ctx, 0)
	e.fails("Account 0", err, fault.NotFound)
}

func testListDomains(e *env) {
	if got := collect(e, e.st.Domains(e.ctx, "")); len(got) != 0 {
		e.Errorf("an empty store lists %v", got)
	}
	names := []string{"a.test", "a-b.test", "b.test", "aa.test", "xn--bcher-kva.test"}
	for _, n := range names {
		e.domain(n)
	}
	slices.Sort(names)
	for i, after := range append([]string{""}, names...) {
		var got []string
		for _, d := range collect(e, e.st.Domains(e.ctx, after)) {
			got = append(got, d.Name)
		}
		if !slices.Equal(got, names[i:]) {
			e.Errorf("after %q: got %v, want %v", after, got, names[i:])
		}
	}
}

// addresses is full of what makes orders differ: domains that begin or end like
// others, octets below and above "@" and ".".
var addresses = []string{
	"a@a.test", "a.b@a.test", "a+b@a.test", "aa@a.test", "b@a.test", "~@a.test", "1@a.test", "a b@a.test", "a@b@a.test",
	"a@aa.test", "a@b.a.test", "z@aa.test", "ü@a.test", "a@a-b.test",
}

func testListEntries(e *env) {
	var names []string
	for i, a := range addresses {
		e.domain(domainOf(a))
		if i%3 == 0 {
			e.change(store.PutAlias{Address: a, Targets: []string{"a@far.example"}})
		} else {
			e.account(a)
		}
		names = append(names, a)
	}
	e.change(store.PutAlias{Address: "@a.test", Targets: []string{"b@far.example"}})
	names = append(names, "@a.test")
	slices.Sort(names)
	for _, domain := range []string{"", "a.test", "aa.test", "b.a.test", "a-b.test", "none.test"} {
		for _, after := range append([]string{"", "zzz"}, names...) {
			want := slices.DeleteFunc(slices.Clone(names), func(n string) bool {
				return n <= after || domain != "" && domainOf(n) != domain
			})
			var got []string
			for _, entry := range collect(e, e.st.Entries(e.ctx, domain, after)) {
				got = append(got, entry.Address)
				if (entry.Account == 0) != (len(entry.Targets) == 1) {
					e.Errorf("listed %+v", entry)
				}
			}
			if !slices.Equal(got, want) {
				e.Errorf("domain %q after %q: got %q, want %q", domain, after, got, want)
			}
		}
	}
}

func testListAccounts(e *env) {
	var names []string
	for i, a := range addresses {
		id := e.account(a)
		for range i % 3 {
			e.fill(id, "12")
		}
		names = append(names, a)
	}
	e.change(store.PutAlias{Address: "alias@a.test", Targets: []string{"a@a.test"}})
	slices.Sort(names)
	for _, domain := range []string{"", "a.test", "b.a.test", "none.test"} {
		for _, after := range []string{"", "a@a.test", "a@b@a.test", "zzz"} {
			want := slices.DeleteFunc(slices.Clone(names), func(n string) bool {
				return n <= after || domain != "" && domainOf(n) != domain
			})
			var got []string
			for _, a := range collect(e, e.st.Accounts(e.ctx, domain, after)) {
				got = append(got, a.Address)
				n := int64(slices.Index(addresses, a.Address) % 3)
				if a.Messages != n || a.Octets != 2*n || a.ID == 0 {
					e.Errorf("listed %+v, want %d messages of %d octets", a, n, 2*n)
				}
			}
			if !slices.Equal(got, want) {
				e.Errorf("domain %q after %q: got %q, want %q", domain, after, got, want)
			}
		}
	}
}

func testListingLock(e *env) {
	e.account("a@a.test")
	e.account("b@a.test")
	for entry, err := range e.st.Entries(e.ctx, "", "") {
		e.ok(err)
		e.change(store.RemoveAccount{ID: entry.Account})
	}
	for d, err := range e.st.Domains(e.ctx, "") {
		e.ok(err)
		e.change(store.RemoveDomain{Name: d.Name})
		break
	}
}
