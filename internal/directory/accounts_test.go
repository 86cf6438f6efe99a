package directory

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"postrider/internal/fault"
)

func TestAddAccount(t *testing.T) {
	h := newHouse(t, Options{})
	made, err := h.AddAccount(h.ctx, NewAccount{Address: "Älice@A.test", Password: "pass word", Quota: 5})
	h.ok(err)
	if made.Address != "älice@a.test" || made.Quota != 5 || made.ID == 0 || made.Password != "" || !made.Created.Equal(h.now) {
		t.Errorf("made %+v", made)
	}
	got, err := h.Lookup(h.ctx, "ÄLICE@a.test")
	h.ok(err)
	made.Version = got.Version
	if !reflect.DeepEqual(got, made) {
		t.Errorf("Lookup gives %+v, AddAccount gave %+v", got, made)
	}
	h.ok(h.login("älice@a.test", "pass word"))
	h.ok(h.SetAlias(h.ctx, "alias@a.test", []string{"älice@a.test"}))

	for _, row := range []struct {
		name string
		n    NewAccount
		kind fault.Kind
	}{
		{"again", NewAccount{Address: "älice@a.test"}, fault.Exists},
		{"an alias", NewAccount{Address: "alias@a.test"}, fault.Exists},
		{"no such domain", NewAccount{Address: "bob@far.example", Password: "x"}, fault.NotFound},
		{"no domain", NewAccount{Address: "bob"}, fault.Invalid},
		{"no local part", NewAccount{Address: "@a.test"}, fault.Invalid},
		{"negative quota", NewAccount{Address: "bob@a.test", Quota: -1}, fault.Invalid},
		{"two secrets", NewAccount{Address: "bob@a.test", Password: "x", Hash: "{PLAIN}x"}, fault.Invalid},
		{"bad hash", NewAccount{Address: "bob@a.test", Hash: "x"}, fault.Invalid},
		{"long password", NewAccount{Address: "bob@a.test", Password: strings.Repeat("x", MaxPassword+1)}, fault.Invalid},
		{"NUL in the password", NewAccount{Address: "bob@a.test", Password: "a\x00"}, fault.Invalid},
	} {
		h.costs(row.name, 0, func() {
			_, err := h.AddAccount(h.ctx, row.n)
			h.fails(row.name, err, row.kind)
		})
	}
	_, err = h.AddAccount(h.ctx, NewAccount{Address: "bob@a.test", Hash: "{SHA512-CRYPT}" + foreign[5].hash})
	h.ok(err)
	h.ok(h.login("bob@a.test", foreign[5].password))
	_, err = h.AddAccount(h.ctx, NewAccount{Address: "carol@a.test", Hash: "{PLAIN}x"})
	h.ok(err)
	if v := h.verifier("carol@a.test"); !strings.HasPrefix(v, "$argon2id$") {
		t.Errorf("{PLAIN} is kept as %q", v)
	}
}

func TestListingsAndRecordsShowNoVerifier(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test", "bob@b.test", "carol@a.test")
	var got []string
	for account, err := range h.Accounts(h.ctx, "A.test") {
		h.ok(err)
		b, err := json.Marshal(account)
		h.ok(err)
		if account.Password != "" || strings.Contains(string(b), "argon2") {
			t.Errorf("listed %s with verifier %q", b, account.Password)
		}
		got = append(got, account.Address)
	}
	if want := "alice@a.test carol@a.test"; strings.Join(got, " ") != want {
		t.Errorf("listed %q, want %q", got, want)
	}
	for _, err := range h.Accounts(h.ctx, "a..test") {
		h.fails("listing of no domain", err, fault.Invalid)
	}
}

func TestChangesOfAccounts(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.ok(h.SetAlias(h.ctx, "alias@a.test", []string{"alice@a.test"}))
	h.ok(h.SetQuota(h.ctx, "Alice@a.test", 99))
	h.ok(h.SetDisabled(h.ctx, "alice@a.test", true))
	got, err := h.Lookup(h.ctx, "alice@a.test")
	h.ok(err)
	if got.Quota != 99 || !got.Disabled {
		t.Errorf("the account is %+v", got)
	}
	h.lead("alice@a.test", "alice@a.test") // mail is still taken
	for address, kind := range map[string]fault.Kind{
		"nobody@a.test": fault.NotFound, "alias@a.test": fault.NotFound, "x": fault.Invalid, "x@far.example": fault.NotFound,
	} {
		h.fails("SetQuota "+address, h.SetQuota(h.ctx, address, 1), kind)
		h.fails("SetDisabled "+address, h.SetDisabled(h.ctx, address, true), kind)
		h.fails("SetPassword "+address, h.SetPassword(h.ctx, address, "x"), kind)
		h.fails("RemoveAccount "+address, h.RemoveAccount(h.ctx, address), kind)
		_, err := h.Lookup(h.ctx, address)
		h.fails("Lookup "+address, err, kind)
	}
	h.fails("negative quota", h.SetQuota(h.ctx, "alice@a.test", -1), fault.Invalid)
	h.fails("empty password", h.SetPassword(h.ctx, "alice@a.test", ""), fault.Invalid)
	h.ok(h.RemoveAccount(h.ctx, "alice@a.test"))
	h.leadFails("alice@a.test", fault.NotFound)
}

func TestDomains(t *testing.T) {
	h := newHouse(t, Options{})
	h.ok(h.AddDomain(h.ctx, " Bücher.Test. "))
	h.fails("again", h.AddDomain(h.ctx, "xn--bcher-kva.test"), fault.Exists)
	for _, bad := range []string{"", ".", "a..b", "[127.0.0.1]", "a b", "-a.test", strings.Repeat("a", 300)} {
		h.fails("AddDomain "+bad, h.AddDomain(h.ctx, bad), fault.Invalid)
	}
	var got []string
	for d, err := range h.Domains(h.ctx) {
		h.ok(err)
		got = append(got, d.Name)
	}
	if want := "a.test b.test xn--bcher-kva.test"; strings.Join(got, " ") != want {
		t.Errorf("domains are %q, want %q", got, want)
	}
	h.accounts("alice@a.test")
	h.fails("RemoveDomain with an account", h.RemoveDomain(h.ctx, "a.test"), fault.Exists)
	h.ok(h.RemoveDomain(h.ctx, "BÜCHER.test"))
	h.fails("RemoveDomain again", h.RemoveDomain(h.ctx, "bücher.test"), fault.NotFound)
}

func TestAliases(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test", "bob@a.test")
	for _, row := range []struct {
		name, alias string
		targets     []string
		kind        fault.Kind
	}{
		{"of an account", "alice@a.test", []string{"bob@a.test"}, fault.Exists},
		{"in no domain of ours", "x@far.example", []string{"bob@a.test"}, fault.NotFound},
		{"catch-all of no domain of ours", "@far.example", []string{"bob@a.test"}, fault.NotFound},
		{"to nobody", "x@a.test", []string{"nobody@a.test"}, fault.NotFound},
		{"to itself", "x@a.test", []string{"x@a.test"}, fault.Invalid},
		{"to its own sub-address", "x@a.test", []string{"bob@a.test", "x+y@a.test"}, fault.NotFound},
		{"catch-all to another host", "@a.test", []string{"alice@far.example"}, fault.Invalid},
		{"without target", "x@a.test", nil, fault.Invalid},
		{"malformed target", "x@a.test", []string{"bob"}, fault.Invalid},
		{"malformed", "x", []string{"bob@a.test"}, fault.Invalid},
		{"malformed catch-all", "@", []string{"bob@a.test"}, fault.Invalid},
	} {
		h.fails(row.name, h.SetAlias(h.ctx, row.alias, row.targets), row.kind)
	}
	h.ok(h.SetAlias(h.ctx, "X@a.test", []string{"Alice+Tag@a.test", "bob@a.test", "BOB@a.test"}))
	h.targets("x@a.test", "Alice+Tag@a.test bob@a.test")
	h.ok(h.SetAlias(h.ctx, "y@a.test", []string{"x@a.test"}))
	h.fails("a loop of two", h.SetAlias(h.ctx, "x@a.test", []string{"y@a.test"}), fault.Invalid)
	h.fails("to its own sub-address", h.SetAlias(h.ctx, "x@a.test", []string{"bob@a.test", "x+y@a.test"}), fault.Invalid)
	h.ok(h.SetAlias(h.ctx, "@b.test", []string{"bob@a.test"}))
	h.fails("a catch-all to what it catches", h.SetAlias(h.ctx, "@b.test", []string{"x@b.test"}), fault.Invalid)
	h.fails("removing an account as an alias", h.RemoveAlias(h.ctx, "alice@a.test"), fault.NotFound)
	h.ok(h.RemoveAlias(h.ctx, "Y@a.test"))
	h.fails("removing again", h.RemoveAlias(h.ctx, "y@a.test"), fault.NotFound)
	h.ok(h.RemoveAlias(h.ctx, "@B.test"))
}

func TestAliasTargetsAreAddedAndRemoved(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test", "bob@a.test", "carol@a.test")
	h.ok(h.AddAliasTargets(h.ctx, "x@a.test", []string{"alice@a.test"}))
	h.ok(h.AddAliasTargets(h.ctx, "x@a.test", []string{"bob@a.test", "ALICE@a.test", "carol@a.test"}))
	h.targets("x@a.test", "alice@a.test bob@a.test carol@a.test")
	h.fails("of an account", h.AddAliasTargets(h.ctx, "bob@a.test", []string{"alice@a.test"}), fault.Exists)
	h.fails("a loop", h.AddAliasTargets(h.ctx, "x@a.test", []string{"x+y@a.test"}), fault.Invalid)

	h.ok(h.RemoveAccount(h.ctx, "carol@a.test")) // its target may stay when others are added
	h.accounts("dave@a.test")
	h.ok(h.AddAliasTargets(h.ctx, "x@a.test", []string{"dave@a.test"}))

	h.fails("removing what is not there", h.RemoveAliasTargets(h.ctx, "x@a.test", []string{"alice@a.test", "nobody@a.test"}), fault.NotFound)
	h.targets("x@a.test", "alice@a.test bob@a.test carol@a.test dave@a.test")
	h.ok(h.RemoveAliasTargets(h.ctx, "X@a.test", []string{"Bob@a.test", "carol@a.test", "dave@a.test"}))
	h.targets("x@a.test", "alice@a.test")
	h.ok(h.RemoveAliasTargets(h.ctx, "x@a.test", []string{"alice@a.test"}))
	h.fails("after the last", h.RemoveAliasTargets(h.ctx, "x@a.test", []string{"alice@a.test"}), fault.NotFound)
	h.fails("of an account", h.RemoveAliasTargets(h.ctx, "bob@a.test", []string{"alice@a.test"}), fault.Exists)
}

func TestAliasHasAtMostMaxTargets(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	var all []string
	for i := range MaxTargets {
		all = append(all, "alice+"+strings.Repeat("x", i%40)+string(rune('a'+i/40))+"@a.test")
	}
	h.ok(h.SetAlias(h.ctx, "x@a.test", all))
	h.fails("one more", h.AddAliasTargets(h.ctx, "x@a.test", []string{"alice@a.test"}), fault.TooLarge)
}

// targets asks for an alias's targets in the listing of its domain.
func (h *house) targets(alias, want string) {
	h.t.Helper()
	for e, err := range h.Aliases(h.ctx, "a.test") {
		h.ok(err)
		if e.Account != 0 {
			h.t.Errorf("an account is listed among the aliases: %+v", e)
		}
		if e.Address == alias {
			if got := strings.Join(e.Targets, " "); got != want {
				h.t.Errorf("%s has the targets %q, want %q", alias, got, want)
			}
			return
		}
	}
	h.t.Errorf("%s is not listed", alias)
}
