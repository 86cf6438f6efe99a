package directory

import (
	"fmt"
	"strings"
	"testing"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store/storetest"
)

func TestWhoMaySendAsWhom(t *testing.T) {
	h := newHouse(t, Options{Postmaster: "alice@a.test"})
	h.ok(h.AddDomain(h.ctx, "c.test"))
	h.accounts("alice@a.test", "bob@a.test", "bob+own@a.test")
	for _, alias := range []struct{ address, targets string }{
		{"al@a.test", "alice@a.test"},
		{"al2@a.test", "al@a.test alice+x@a.test"},
		{"all@a.test", "alice@a.test bob@a.test"},
		{"alice+boss@a.test", "bob@a.test"},
		{"@b.test", "alice@a.test"},
		{"sales@b.test", "bob@a.test"},
		{"info@c.test", "alice@a.test bob@a.test"},
		{"info+x@c.test", "bob@a.test"},
		{"copy@a.test", "alice@a.test me@far.example"},
	} {
		h.ok(h.SetAlias(h.ctx, alias.address, strings.Fields(alias.targets)))
	}
	for _, as := range []string{"info@c.test", "Bob@A.test", "noreply@a.test"} {
		h.ok(h.Grant(h.ctx, "alice@a.test", as))
	}
	h.accounts("carol@a.test")
	h.ok(h.Grant(h.ctx, "carol@a.test", "@c.test"))
	ids := map[string]mail.AccountID{}
	for _, name := range []string{"alice", "bob", "carol"} {
		account, err := h.Lookup(h.ctx, name+"@a.test")
		h.ok(err)
		ids[name] = account.ID
	}
	for _, row := range []struct {
		who, as string
		want    Right
	}{
		{"alice", "alice@a.test", OwnAddress},
		{"alice", "ALICE+tag@A.test", OwnAddress},
		{"alice", "al@a.test", OwnAddress},
		{"alice", "al+x@a.test", OwnAddress},
		{"alice", "al2@a.test", OwnAddress},
		{"alice", "anything@b.test", OwnAddress},
		{"alice", "postmaster@a.test", OwnAddress},
		{"alice", "sales@b.test", NoRight},
		{"alice", "alice+boss@a.test", NoRight},
		{"alice", "all@a.test", NoRight},
		{"bob", "all@a.test", NoRight},
		{"bob", "alice@a.test", NoRight},
		{"bob", "alice+boss@a.test", OwnAddress},
		{"bob", "sales@b.test", OwnAddress},
		{"alice", "nobody@a.test", NoRight},
		{"alice", "copy@a.test", NoRight}, // leads elsewhere, too
		{"alice", "alice@far.example", NoRight},
		{"alice", "info@c.test", GrantedAddress},
		{"alice", "Info+tag@c.test", GrantedAddress},
		{"alice", "info+x@c.test", NoRight}, // bob's own
		{"alice", "other@c.test", NoRight},
		{"alice", "bob@a.test", GrantedAddress},
		{"alice", "bob+tag@a.test", GrantedAddress},
		{"alice", "bob+own@a.test", NoRight}, // an account of its own
		{"alice", "noreply@a.test", GrantedAddress},
		{"alice", "noreply+1@a.test", GrantedAddress},
		{"bob", "noreply@a.test", NoRight},
		{"carol", "info@c.test", GrantedAddress},
		{"carol", "nobody@c.test", GrantedAddress},
		{"carol", "x@sub.c.test", NoRight},
	} {
		got, err := h.MaySendAs(h.ctx, ids[row.who], address(t, row.as))
		h.ok(err)
		if got != row.want {
			t.Errorf("%s as %s: got %d, want %d", row.who, row.as, got, row.want)
		}
	}
	for name, a := range map[string]mail.Address{"null": {}, "bare postmaster": {Local: "Postmaster"}} {
		if got, err := h.MaySendAs(h.ctx, ids["alice"], a); got != NoRight || err != nil {
			t.Errorf("%s: got %d, %v", name, got, err)
		}
	}
	if got, err := h.MaySendAs(h.ctx, 9999, address(t, "alice@a.test")); got != NoRight || err != nil {
		t.Errorf("an account that is not there: got %d, %v", got, err)
	}
	h.ok(h.RemoveAlias(h.ctx, "info@c.test"))
	h.ok(h.RemoveAlias(h.ctx, "info+x@c.test"))
	h.ok(h.RemoveDomain(h.ctx, "c.test"))
	for _, who := range []string{"alice", "carol"} {
		if got, err := h.MaySendAs(h.ctx, ids[who], address(t, "info@c.test")); got != NoRight || err != nil {
			t.Errorf("%s of a domain that has gone: got %d, %v", who, got, err)
		}
	}
}

func TestGrantsAreListedAndTakenBack(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.ok(h.Grant(h.ctx, "alice@a.test", "X@b.test"))
	h.ok(h.Grant(h.ctx, "alice@a.test", " @B.test"))
	h.ok(h.Grant(h.ctx, "alice@a.test", "x@B.TEST")) // again
	h.grants("alice@a.test", "@b.test x@b.test")
	for name, row := range map[string]struct {
		address, as string
		kind        fault.Kind
	}{
		"not local":        {"alice@a.test", "x@far.example", fault.Invalid},
		"no local domain":  {"alice@a.test", "@far.example", fault.Invalid},
		"address literal":  {"alice@a.test", "x@[127.0.0.1]", fault.Invalid},
		"no address":       {"alice@a.test", "x", fault.Invalid},
		"nothing":          {"alice@a.test", "", fault.Invalid},
		"no such account":  {"nobody@a.test", "x@b.test", fault.NotFound},
		"malformed domain": {"alice@a.test", "@a..b", fault.Invalid},
	} {
		h.fails(name, h.Grant(h.ctx, row.address, row.as), row.kind)
	}
	if err := h.Grant(h.ctx, "alice@a.test", "x@far.example"); !strings.Contains(err.Error(), "no domain here") {
		t.Errorf("it says %v", err)
	}
	h.fails("what was not granted", h.Ungrant(h.ctx, "alice@a.test", "y@b.test"), fault.NotFound)
	h.fails("of nobody", h.Ungrant(h.ctx, "nobody@a.test", "x@b.test"), fault.NotFound)
	h.fails("no address", h.Ungrant(h.ctx, "alice@a.test", "x"), fault.Invalid)
	h.ok(h.RemoveDomain(h.ctx, "b.test"))
	h.ok(h.Ungrant(h.ctx, "alice@a.test", "X@b.test"))
	h.grants("alice@a.test", "@b.test")
	for i := range MaxGrants - 1 {
		h.ok(h.Grant(h.ctx, "alice@a.test", fmt.Sprintf("x%02d@a.test", i)))
	}
	h.fails("one more", h.Grant(h.ctx, "alice@a.test", "more@a.test"), fault.TooLarge)
	h.ok(h.Grant(h.ctx, "alice@a.test", "x00@a.test"))
}

// grants asks for an account's grants.
func (h *house) grants(address, want string) {
	h.t.Helper()
	account, err := h.Lookup(h.ctx, address)
	h.ok(err)
	if got := strings.Join(account.Grants, " "); got != want {
		h.t.Errorf("%s is granted %q, want %q", address, got, want)
	}
}

func TestRightThatCantBeToldIsAnError(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test", "bob@a.test")
	account, err := h.Lookup(h.ctx, "alice@a.test")
	h.ok(err)
	h.st.FailNext(storetest.OpLookup, fault.New(fault.Corrupt, "test", nil))
	got, err := h.MaySendAs(h.ctx, account.ID, address(t, "bob@a.test"))
	h.fails("MaySendAs", err, fault.Corrupt)
	if got != NoRight {
		t.Errorf("the right is %d", got)
	}
	h.raw("wide@a.test", many("deep%d@a.test", MaxTargets)...)
	for i := range MaxTargets {
		h.raw(fmt.Sprintf("deep%d@a.test", i), many(fmt.Sprintf("deep%d-%%d@a.test", i), 5)...)
	}
	got, err = h.MaySendAs(h.ctx, account.ID, address(t, "wide@a.test"))
	h.fails("more than the limits", err, fault.Transient)
	if got != NoRight {
		t.Errorf("the right is %d", got)
	}
	h.ok(h.Grant(h.ctx, "alice@a.test", "wide@a.test"))
	if got, err := h.MaySendAs(h.ctx, account.ID, address(t, "wide@a.test")); got != GrantedAddress || err != nil {
		t.Errorf("granted all the same: got %d, %v", got, err)
	}
}

func many(format string, n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return all
}

func TestCertificatesAndTokensNeedAnAccountThatIsOpen(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test", "disabled@a.test")
	h.ok(h.SetDisabled(h.ctx, "disabled@a.test", true))
	h.ok(h.SetAlias(h.ctx, "alias@a.test", []string{"alice@a.test"}))
	account, err := h.LoginAccount(h.ctx, " Alice@A.test")
	h.ok(err)
	if account.Address != "alice@a.test" || account.Password != "" || account.SCRAM != "" {
		t.Errorf("got %+v", account)
	}
	for _, name := range []string{"disabled@a.test", "alias@a.test", "alice+x@a.test", "nobody@a.test", "alice", "", "alice@a.test\x00", "*)(uid=*"} {
		account, err := h.LoginAccount(h.ctx, name)
		h.fails(name, err, fault.Denied)
		if account.ID != 0 {
			t.Errorf("%q is %+v", name, account)
		}
	}
}

func TestAccountThatIsDisabledMayNotGoOnSending(t *testing.T) {
	h := newHouse(t, Options{})
	h.accounts("alice@a.test")
	h.ok(h.Grant(h.ctx, "alice@a.test", "sales@a.test"))
	account, err := h.Lookup(h.ctx, "alice@a.test")
	h.ok(err)
	for _, disabled := range []bool{true, false} {
		h.ok(h.SetDisabled(h.ctx, "alice@a.test", disabled))
		for as, want := range map[string]Right{"alice@a.test": OwnAddress, "sales@a.test": GrantedAddress} {
			if disabled {
				want = NoRight
			}
			if got, err := h.MaySendAs(h.ctx, account.ID, address(t, as)); got != want || err != nil {
				t.Errorf("disabled %v, as %s: got %d, %v, want %d", disabled, as, got, err, want)
			}
		}
	}
}
