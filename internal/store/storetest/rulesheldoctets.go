package storetest

import (
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// heldOctets asks for how many octets are held for each of accounts.
func (e *env) heldOctets(when string, accounts []mail.AccountID, want ...int64) {
	e.Helper()
	for i, id := range accounts {
		a, err := e.st.Account(e.ctx, id)
		e.ok(err)
		if a.HeldOctets != want[i] {
			e.Errorf("%s: %d octets are held for account %d, want %d", when, a.HeldOctets, id, want[i])
		}
	}
}

// testHeldOctets counts each copy with its prefix, from Accept to its end, and
// nothing else.
func testHeldOctets(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	accounts := []mail.AccountID{a, b}
	box, err := e.st.CreateMailbox(e.ctx, a, "Later")
	e.ok(err)
	to := []store.Delivery{inbox(a), {Account: a, Mailbox: box.ID, Prefix: []byte("12\r\n")}, inbox(a), inbox(b)}
	to[0].Prefix = []byte("123456\r\n")
	to[2].Prefix = []byte("not this copy\r\n")

	first := e.hold("body", to...)
	e.heldOctets("after Accept", accounts, 2*4+8+4, 4)
	again := e.holdFor(0, "another body", to...)
	again.ID = first
	_, err = e.st.Accept(e.ctx, again)
	e.ok(err)
	e.heldOctets("after the Accept was repeated", accounts, 20, 4)
	_, err = e.st.Accept(e.ctx, e.holdFor(0, "body", inbox(a), inbox(b+1000)))
	e.fails("Accept for an account that is not there", err, fault.NotFound)
	e.heldOctets("after an Accept that failed", accounts, 20, 4)

	large := e.hold(pattern(300_000), inbox(b))
	third := e.hold("third", inbox(a), inbox(b))
	e.heldOctets("after three Accepts", accounts, 25, 300_009)
	e.counts(a, 0, 0)
	_, err = e.st.Release(e.ctx, first, day)
	e.ok(err)
	e.heldOctets("after a Release", accounts, 5, 300_005)
	e.ok(e.st.DropHeld(e.ctx, large))
	e.fails("a second DropHeld", e.st.DropHeld(e.ctx, large), fault.NotFound)
	e.heldOctets("after a DropHeld", accounts, 5, 5)
	e.deliver("not held", inbox(a))
	e.heldOctets("after a delivery", accounts, 5, 5)

	_, err = e.st.Change(e.ctx, store.RemoveAccount{ID: a}, store.RemoveAlias{Address: "none@a.test"})
	e.changeIndex(err, 1, fault.NotFound)
	e.heldOctets("after a removal that was refused", accounts, 5, 5)
	e.change(store.RemoveAccount{ID: a})
	e.heldOctets("after the other account's removal", accounts[1:], 5)
	_, err = e.st.Release(e.ctx, third, day)
	e.ok(err)
	e.heldOctets("after all", accounts[1:], 0)
}

// testHeldOctetsEngine tries to set them.
func testHeldOctetsEngine(e *env) {
	e.domain("a.test")
	ids, err := e.st.Change(e.ctx, store.PutAccount{New: true, Account: store.Account{Address: "alice@a.test", HeldOctets: 7}})
	e.ok(err)
	id := ids[0]
	e.heldOctets("a new account", []mail.AccountID{id}, 0)
	held := e.hold("held", inbox(id))
	e.change(store.PutAccount{Account: store.Account{ID: id, HeldOctets: 7, Quota: 1}})
	e.heldOctets("after PutAccount", []mail.AccountID{id}, 4)
	for account, err := range e.st.Accounts(e.ctx, "", "") {
		e.ok(err)
		if account.HeldOctets != 4 {
			e.Errorf("Accounts lists %d octets held, want 4", account.HeldOctets)
		}
	}
	e.ok(e.st.DropHeld(e.ctx, held))
	e.heldOctets("after DropHeld", []mail.AccountID{id}, 0)
}
