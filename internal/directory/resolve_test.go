package directory

import (
	"fmt"
	"strings"
	"testing"

	"postrider/internal/fault"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

func TestResolveTriesExactThenPlainThenCatchAll(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test", "bob@a.test", "bob+lists@a.test", "carol@b.test")
	h.ok(h.SetAlias(h.ctx, "@b.test", []string{"bob@a.test"}))

	h.lead("alice@a.test", "alice@a.test")
	h.lead("ALICE@A.TEST", "alice@a.test")
	h.lead(`"alice"@a.test`, "alice@a.test")
	h.lead("alice+Tag@a.test", "alice@a.test Tag")
	h.lead("alice+one+two@a.test", "alice@a.test one+two")
	h.lead("alice+@a.test", "alice@a.test")
	h.lead("bob+lists@a.test", "bob+lists@a.test")
	h.lead("bob+lists+x@a.test", "bob@a.test lists+x")
	h.lead("carol@b.test", "carol@b.test")
	h.lead("carol+x@b.test", "carol@b.test x")
	h.lead("anybody+x@b.test", "bob@a.test")
	h.leadFails("anybody@a.test", fault.NotFound)
	h.leadFails("+alice@a.test", fault.NotFound)
	h.leadFails("alice@far.example", fault.Denied)
	h.leadFails("alice@sub.a.test", fault.Denied)
	h.leadFails("alice@[127.0.0.1]", fault.Denied)
}

func TestResolveTellsTheAccount(t *testing.T) {
	h := newHouse(t, Options{})
	made, err := h.AddAccount(h.ctx, NewAccount{Address: "Alice@A.test", Password: "secret", Quota: 1000})
	h.ok(err)
	route, err := h.Resolve(h.ctx, address(t, "ALICE+x@a.test"))
	targets := route.Targets
	h.ok(err)
	want := Target{Account: made.ID, Address: address(t, "alice@a.test"), Detail: "x", Quota: 1000}
	if len(targets) != 1 || targets[0] != want {
		t.Errorf("got %+v, want %+v", targets, want)
	}
}

func TestSubaddressCanBeTurnedOffAndHaveOtherDelimiters(t *testing.T) {
	off := newHouse(t, Options{NoSubaddress: true})
	off.accounts("alice@a.test")
	off.leadFails("alice+x@a.test", fault.NotFound)

	two := newHouse(t, Options{Delimiters: "-+"})
	two.accounts("alice@a.test")
	two.lead("alice-x+y@a.test", "alice@a.test x+y")
	two.lead("alice+x-y@a.test", "alice@a.test x-y")

	none := newHouse(t, Options{Delimiters: "iLü7"})
	none.accounts("alice@a.test")
	none.leadFails("alicei@a.test", fault.NotFound)
}

func TestAliasesAreFollowedAndNobodyIsNamedTwice(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test", "bob@b.test", "carol@a.test")
	h.ok(h.SetAlias(h.ctx, "inner@a.test", []string{"bob@b.test", "alice+fromlist@a.test"}))
	h.ok(h.SetAlias(h.ctx, "outer@b.test", []string{"alice@a.test", "inner@a.test", "bob@b.test", "carol@a.test"}))
	h.lead("outer@b.test", "alice@a.test", "bob@b.test", "carol@a.test")
	h.lead("inner@a.test", "bob@b.test", "alice@a.test fromlist")
	h.lead("inner+x@a.test", "bob@b.test x", "alice@a.test fromlist")
}

func TestTargetsThatAreGoneArePassedOver(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test", "bob@a.test")
	h.ok(h.SetAlias(h.ctx, "both@a.test", []string{"alice@a.test", "bob@a.test"}))
	h.ok(h.RemoveAccount(h.ctx, "alice@a.test"))
	h.lead("both@a.test", "bob@a.test")
	h.ok(h.RemoveAccount(h.ctx, "bob@a.test"))
	h.leadFails("both@a.test", fault.NotFound)
}

func TestAliasLoopEnds(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	for i := range 4 { // past the directory, which refuses loops
		h.raw(fmt.Sprintf("loop%d@a.test", i), fmt.Sprintf("loop%d@a.test", (i+1)%4))
	}
	h.leadFails("loop0@a.test", fault.NotFound)
	h.raw("loop3@a.test", "loop0@a.test", "alice@a.test", "loop3@a.test")
	h.lead("loop0@a.test", "alice@a.test")
}

func TestAliasesLeadToOtherHosts(t *testing.T) {
	h := newHouse(t, Options{Postmaster: "away@a.test"})
	h.accounts("alice@a.test")
	h.ok(h.SetAlias(h.ctx, "away@a.test", []string{"me@far.example"}))
	h.ok(h.SetAlias(h.ctx, "both@a.test", []string{"alice@a.test", "me@far.example"}))
	h.ok(h.SetAlias(h.ctx, "all@b.test", []string{"away@a.test", "ME@far.example", "you@far.example", "both@a.test"}))
	h.lead("away@a.test", "away@a.test → me@far.example")
	h.lead("AWAY+x@a.test", "away@a.test → me@far.example")
	h.lead("both@a.test", "alice@a.test", "both@a.test → me@far.example")
	h.lead("all@b.test", "alice@a.test", "away@a.test → me@far.example", "all@b.test → you@far.example")
	h.lead("postmaster", "away@a.test → me@far.example")
	for to, want := range map[string]bool{"away@a.test": false, "both@a.test": true, "all@b.test": true, "alice@a.test": false} {
		route, err := h.Resolve(h.ctx, address(t, to))
		if err != nil || route.Split != want {
			t.Errorf("%s: split %v, %v, want %v", to, route.Split, err, want)
		}
	}
	// What has become local is not remote any more.
	h.ok(h.AddDomain(h.ctx, "far.example"))
	h.leadFails("away@a.test", fault.NotFound)
	h.accounts("me@far.example")
	h.lead("away@a.test", "me@far.example")
}

func TestCatchAllsLeadToNoOtherHost(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.ok(h.SetAlias(h.ctx, "away@a.test", []string{"me@far.example"}))
	for _, target := range []string{"me@far.example", "away@a.test"} {
		h.fails(target, h.SetAlias(h.ctx, "@b.test", []string{"alice@a.test", target}), fault.Invalid)
	}
	h.ok(h.SetAlias(h.ctx, "later@a.test", []string{"alice@a.test"}))
	h.ok(h.SetAlias(h.ctx, "@b.test", []string{"later@a.test"}))
	h.ok(h.SetAlias(h.ctx, "later@a.test", []string{"alice@a.test", "me@far.example"}))
	h.lead("anybody@b.test", "alice@a.test")
	h.lead("later@a.test", "alice@a.test", "later@a.test → me@far.example")
	h.ok(h.SetAlias(h.ctx, "later@a.test", []string{"me@far.example"}))
	h.leadFails("anybody@b.test", fault.NotFound)
}

// raw writes an alias past the directory.
func (h *house) raw(alias string, targets ...string) {
	h.t.Helper()
	_, err := h.st.Change(h.ctx, store.PutAlias{Address: alias, Targets: targets})
	h.ok(err)
}

func TestAliasesAreBounded(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.raw("deep0@a.test", "alice@a.test")
	for i := 1; i <= MaxAliasDepth+1; i++ {
		h.raw(fmt.Sprintf("deep%d@a.test", i), fmt.Sprintf("deep%d@a.test", i-1))
	}
	h.lead(fmt.Sprintf("deep%d@a.test", MaxAliasDepth-1), "alice@a.test")
	h.leadFails(fmt.Sprintf("deep%d@a.test", MaxAliasDepth+1), fault.Transient)

	var all []string
	changes := []store.Change{}
	for i := range MaxTargets + 1 {
		a := fmt.Sprintf("u%d@b.test", i)
		all = append(all, a)
		changes = append(changes, store.PutAccount{New: true, Account: store.Account{Address: a}})
	}
	_, err := h.st.Change(h.ctx, changes...)
	h.ok(err)
	h.raw("most@a.test", all[:MaxTargets]...)
	if route, err := h.Resolve(h.ctx, address(t, "most@a.test")); err != nil || len(route.Targets) != MaxTargets {
		t.Errorf("got %d targets, %v, want %d", len(route.Targets), err, MaxTargets)
	}
	h.raw("more@a.test", all...)
	h.leadFails("more@a.test", fault.Transient)
	h.raw("remote@a.test", append([]string{"x@far.example"}, all[:MaxTargets]...)...)
	h.leadFails("remote@a.test", fault.Transient)
	h.raw("remote@a.test", append(all[:MaxTargets:MaxTargets], "x@far.example")...)
	h.leadFails("remote@a.test", fault.Transient)

	nobody := make([]string, maxLookups)
	for i := range nobody {
		nobody[i] = fmt.Sprintf("nobody%d@a.test", i)
	}
	h.raw("nobody@a.test", nobody...)
	h.leadFails("nobody@a.test", fault.Transient)
}

// RFC 5321 §4.5.1
func TestPostmasterAlwaysLeadsToSomebody(t *testing.T) {
	h := newHouse(t, Options{Postmaster: "admin@a.test"})
	h.accounts("admin@a.test", "alice@a.test")
	h.lead("postmaster", "admin@a.test")
	h.lead("Postmaster@b.test", "admin@a.test")
	h.lead("postmaster+x@b.test", "admin@a.test")
	h.ok(h.SetAlias(h.ctx, "postmaster@b.test", []string{"alice@a.test"}))
	h.lead("POSTMASTER@b.test", "alice@a.test")
	h.lead("postmaster", "admin@a.test")
	h.ok(h.SetAlias(h.ctx, "@a.test", []string{"alice@a.test"}))
	h.lead("postmaster@a.test", "alice@a.test")
	h.leadFails("postmaster@far.example", fault.Denied)
}

func TestPostmasterThatIsNotThereIsNotFound(t *testing.T) {
	for name, postmaster := range map[string]string{
		"none": "", "itself": "postmaster@a.test", "absent": "nobody@a.test", "no address": "@@", "remote": "x@far.example",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, Options{Postmaster: postmaster})
			h.leadFails("postmaster", fault.NotFound)
			h.leadFails("postmaster@a.test", fault.NotFound)
		})
	}
}

func TestResolveKeepsTheStoresKind(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.st.FailNext(storetest.OpLookup, fault.New(fault.Transient, "test", nil))
	h.leadFails("alice@a.test", fault.Transient)
	h.st.FailNext(storetest.OpLookup, fault.New(fault.Corrupt, "test", nil))
	h.leadFails("alice@a.test", fault.Corrupt)
}

func TestLocal(t *testing.T) {
	h := newHouse(t, Options{})
	h.ok(h.AddDomain(h.ctx, "Bücher.test"))
	for domain, want := range map[string]bool{
		"a.test": true, "A.TEST.": true, "bücher.test": true, "xn--bcher-kva.test": true,
		"far.example": false, "": false, "[127.0.0.1]": false, strings.Repeat("x", 3000): false,
	} {
		got, err := h.Local(h.ctx, domain)
		if err != nil || got != want {
			t.Errorf("Local(%q) = %v, %v, want %v", domain, got, err, want)
		}
	}
	h.st.FailNext(storetest.OpLookup, fault.New(fault.Transient, "test", nil))
	_, err := h.Local(h.ctx, "a.test")
	h.fails("Local", err, fault.Transient)
}

func TestExpandAndFind(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test", "alice@b.test", "bob@a.test")
	h.ok(h.SetAlias(h.ctx, "sales@a.test", []string{"alice@a.test", "bob@a.test"}))
	h.ok(h.SetAlias(h.ctx, "@b.test", []string{"bob@a.test"}))
	for _, row := range []struct {
		name, who string
		ask       func(string) (string, error)
		want      string
		kind      fault.Kind
	}{
		{"expand bare", "sales", h.expand, "alice@a.test bob@a.test", 0},
		{"expand address", "<Sales@A.test>", h.expand, "alice@a.test bob@a.test", 0},
		{"expand account", "alice@a.test", h.expand, "", fault.NotFound},
		{"expand nobody", "nobody", h.expand, "", fault.NotFound},
		{"find bare in two domains", "Alice", h.find2, "alice@a.test alice@b.test", 0},
		{"find address", "alice+x@a.test", h.find2, "alice@a.test", 0},
		{"find alias", "sales@a.test", h.find2, "sales@a.test", 0},
		{"find only a catch-all", "x@b.test", h.find2, "", fault.NotFound},
		{"find remote", "x@far.example", h.find2, "", fault.Denied},
		{"find nothing", "", h.find2, "", fault.Invalid},
		{"find malformed", "a b@", h.find2, "", fault.Invalid},
	} {
		got, err := row.ask(row.who)
		if got != row.want || err == nil && row.kind != 0 || err != nil && fault.KindOf(err) != row.kind {
			t.Errorf("%s: got %q, %v; want %q, kind %q", row.name, got, err, row.want, row.kind)
		}
	}
}

func (h *house) expand(s string) (string, error) {
	all, err := h.Expand(h.ctx, s)
	return join(all), err
}

func (h *house) find2(s string) (string, error) {
	all, err := h.Find(h.ctx, s)
	return join(all), err
}

func join[T fmt.Stringer](all []T) string {
	var s []string
	for _, a := range all {
		s = append(s, a.String())
	}
	return strings.Join(s, " ")
}
