package storetest

import (
	"reflect"
	"slices"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

var holdRules = []rule{
	{"HeldMessageIsInNoMailbox", testHeldNowhere},
	{"HeldSaysWhatAcceptWasTold", testHeldShown},
	{"HeldAreListedByDueTimeAndID", testHeldOrder},
	{"HeldListIsOfOneMoment", testHeldMoment},
	{"HoldInThePastHoldsToo", testHeldPast},
	{"HoldNeedsItsMailboxes", testHeldNotFound},
	{"TwoHeldDeliveriesToOneMailboxAreOne", testHeldOnce},
	{"WhatIsNotHeldIsNotFound", testHeldUnknown},
	{"DropHeldFreesTheContent", testDropHeld},
	{"AcceptOfAHeldMessageIsIdempotent", testHeldIdempotent},
	{"RemovedAccountTakesItsHeldCopiesAlong", testHeldRemovedAccount},
	{"RefusedRemovalOfAnAccountLeavesItsHeldCopies", testHeldChangeRefused},
	{"CheckCountsHeldMessages", testHeldCheck},
	{"AccountCountsTheOctetsHeldForIt", testHeldOctets},
	{"HeldOctetsAreTheEngines", testHeldOctetsEngine},
}

// holdFor is an Accept that is due after a time from day on.
func (e *env) holdFor(after time.Duration, octets string, to ...store.Delivery) store.Accept {
	e.Helper()
	a := e.accept(octets, to...)
	a.Hold = day.Add(after)
	return a
}

// hold accepts a message that is held, and returns its ID.
func (e *env) hold(octets string, to ...store.Delivery) mail.ID {
	e.Helper()
	a := e.holdFor(time.Hour, octets, to...)
	done, err := e.st.Accept(e.ctx, a)
	e.ok(err)
	if len(done.Placed) != 0 || done.Repeated {
		e.Fatalf("Accept of a message to be held says %+v", done)
	}
	return a.ID
}

func (e *env) held() []store.Held {
	e.Helper()
	return collect(e, e.st.Held(e.ctx))
}

func (e *env) heldIDs() []mail.ID {
	e.Helper()
	var ids []mail.ID
	for _, h := range e.held() {
		ids = append(ids, h.ID)
	}
	return ids
}

// contents asks for how many contents are stored.
func (e *env) contents(what string, want int64) {
	e.Helper()
	u, err := e.st.Usage(e.ctx)
	e.ok(err)
	if u.Messages != want {
		e.Fatalf("%s: %d contents are stored, want %d", what, u.Messages, want)
	}
}

func testHeldNowhere(e *env) {
	id := e.account("alice@a.test")
	before := e.box(id, mail.Inbox)
	e.hold("held", inbox(id))
	e.hold(pattern(300_000), inbox(id))
	if after := e.box(id, mail.Inbox); after != before {
		e.Errorf("the Inbox is %+v, it was %+v", after, before)
	}
	e.counts(id, 0, 0)
	if l := e.list(id, mail.Inbox); len(l) != 0 {
		e.Errorf("listed: %+v", l)
	}
	if n := len(e.held()); n != 2 {
		e.Errorf("%d are held, want 2", n)
	}
	e.contents("two held", 2)
}

func testHeldShown(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	box, err := e.st.CreateMailbox(e.ctx, b, "Sent")
	e.ok(err)
	d := inbox(a)
	d.Prefix = []byte("Delivered-To: alice@a.test\r\n")
	for _, n := range []int{0, 100, 300_000} {
		acc := e.accept(pattern(n), inbox(b), d, store.Delivery{Account: b, Mailbox: box.ID})
		acc.Received = day.Add(123 * time.Millisecond)
		acc.Hold = day.Add(48*time.Hour + 999*time.Millisecond)
		acc.Envelope.Hold = acc.Hold
		want := store.Held{
			ID: acc.ID, Due: day.Add(48 * time.Hour), Received: day, Size: int64(n),
			Envelope: envelope(acc.ID), Accounts: []mail.AccountID{a, b},
		}
		slices.Sort(want.Accounts)
		_, err := e.st.Accept(e.ctx, acc)
		e.ok(err)
		acc.Envelope.Recipients[0].Address.Local = "changed" // the caller's again
		got := e.held()
		if len(got) != 1 || !reflect.DeepEqual(inUTC(got[0]), want) {
			e.Fatalf("held: %+v, want %+v", got, want)
		}
		got[0].Accounts[0], got[0].Envelope.Recipients[0].Address.Local = 99, "changed"
		if got := e.held(); !reflect.DeepEqual(inUTC(got[0]), want) {
			e.Fatalf("what was handed out shares memory with the store: %+v, want %+v", got, want)
		}
		e.ok(e.st.DropHeld(e.ctx, acc.ID))
	}
}

func inUTC(h store.Held) store.Held {
	h.Due, h.Received = h.Due.UTC(), h.Received.UTC()
	return h
}

func testHeldOrder(e *env) {
	id := e.account("alice@a.test")
	type one struct {
		after time.Duration
		id    byte
	}
	want := []one{{-90 * 365 * 24 * time.Hour, 9}, {0, 5}, {time.Second, 1}, {time.Second, 2}, {time.Minute, 4}, {200 * 365 * 24 * time.Hour, 3}}
	for _, i := range []int{3, 0, 5, 2, 4, 1} {
		a := e.holdFor(want[i].after, "held", inbox(id))
		a.ID = mail.ID{want[i].id}
		_, err := e.st.Accept(e.ctx, a)
		e.ok(err)
	}
	for i, h := range e.held() {
		if h.ID != (mail.ID{want[i].id}) || !h.Due.Equal(day.Add(want[i].after)) {
			e.Errorf("number %d is %v due %v, want %+v", i, h.ID, h.Due, want[i])
		}
	}
	for h, err := range e.st.Held(e.ctx) { // it may be left
		e.ok(err)
		if h.ID != (mail.ID{9}) {
			e.Errorf("the first is %v", h.ID)
		}
		break
	}
}

func testHeldMoment(e *env) {
	id := e.account("alice@a.test")
	want := []mail.ID{e.hold("0", inbox(id)), e.hold("1", inbox(id)), e.hold("2", inbox(id))}
	slices.SortFunc(want, func(a, b mail.ID) int { return slices.Compare(a[:], b[:]) })
	var got []mail.ID
	for h, err := range e.st.Held(e.ctx) {
		e.ok(err)
		if len(got) == 0 {
			for _, other := range want {
				e.ok(e.st.DropHeld(e.ctx, other))
			}
			e.hold("3", inbox(id))
		}
		got = append(got, h.ID)
	}
	if !slices.Equal(got, want) {
		e.Errorf("the list is %v, want %v as when it began", got, want)
	}
}

func testHeldPast(e *env) {
	id := e.account("alice@a.test")
	a := e.holdFor(-1000*time.Hour, "held", inbox(id))
	done, err := e.st.Accept(e.ctx, a)
	e.ok(err)
	if len(done.Placed) != 0 || !slices.Equal(e.heldIDs(), []mail.ID{a.ID}) {
		e.Errorf("Accept says %+v, %v are held", done, e.heldIDs())
	}
	e.counts(id, 0, 0)
}

func testHeldNotFound(e *env) {
	id := e.account("alice@a.test")
	for _, to := range []store.Delivery{inbox(id + 1000), {Account: id, Mailbox: 77}} {
		a := e.holdFor(time.Hour, "held", inbox(id), to)
		_, err := e.st.Accept(e.ctx, a)
		e.fails("Accept for what is not there", err, fault.NotFound)
		again := e.holdFor(time.Hour, "held", inbox(id))
		again.ID = a.ID
		if done, err := e.st.Accept(e.ctx, again); err != nil || done.Repeated {
			e.Errorf("the refused Accept is remembered: %+v, %v", done, err)
		}
		e.ok(e.st.DropHeld(e.ctx, a.ID))
	}
	e.contents("all is refused or dropped", 0)
}

func testHeldOnce(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	first, second, other := inbox(a), inbox(a), inbox(b)
	first.Prefix, second.Prefix, other.Prefix = []byte("P: 1\r\n"), []byte("P: twice\r\n"), []byte("P: other\r\n")
	id := e.hold("body", first, second, other)
	done, err := e.st.Release(e.ctx, id, day)
	e.ok(err)
	if len(done.Placed) != 2 {
		e.Fatalf("Release placed %+v, want two copies", done.Placed)
	}
	e.counts(a, 1, 10)
	e.same("the copy", e.read(a, mail.Inbox, done.Placed[0].UID), "P: 1\r\nbody")
	e.same("the other's", e.read(b, mail.Inbox, done.Placed[1].UID), "P: other\r\nbody")
}

func testHeldUnknown(e *env) {
	id := e.account("alice@a.test")
	placed := e.accept("body", inbox(id))
	_, err := e.st.Accept(e.ctx, placed)
	e.ok(err)
	for _, other := range []mail.ID{{}, {1}, placed.ID} {
		_, err := e.st.Release(e.ctx, other, day)
		e.fails("Release", err, fault.NotFound)
		e.fails("DropHeld", e.st.DropHeld(e.ctx, other), fault.NotFound)
	}
	e.counts(id, 1, 4)
}

func testDropHeld(e *env) {
	id := e.account("alice@a.test")
	for _, n := range []int{100, 300_000} {
		held := e.hold(pattern(n), inbox(id))
		e.contents("held", 1)
		e.ok(e.st.DropHeld(e.ctx, held))
		e.contents("dropped", 0)
		e.fails("a second DropHeld", e.st.DropHeld(e.ctx, held), fault.NotFound)
		_, err := e.st.Release(e.ctx, held, day)
		e.fails("Release of what was dropped", err, fault.NotFound)
	}
	if ids := e.heldIDs(); len(ids) != 0 {
		e.Errorf("%v are held", ids)
	}
	e.counts(id, 0, 0)
}

// testHeldIdempotent repeats the Accept in each state, also as one that is not
// to be held.
func testHeldIdempotent(e *env) {
	id := e.account("alice@a.test")
	repeat := func(what string, first mail.ID, holding bool) {
		e.Helper()
		again := e.holdFor(9*time.Hour, "another body", inbox(id))
		again.ID = first
		if !holding {
			again.Hold = time.Time{}
		}
		done, err := e.st.Accept(e.ctx, again)
		e.ok(err)
		if !done.Repeated || len(done.Placed) != 0 {
			e.Fatalf("%s: Accept again says %+v, want it repeated and nothing placed", what, done)
		}
	}
	released, dropped := e.hold("released", inbox(id)), e.hold("dropped", inbox(id))
	for _, holding := range []bool{true, false} {
		repeat("held", released, holding)
	}
	if h := e.held(); len(h) != 2 || !h[0].Due.Equal(day.Add(time.Hour)) {
		e.Fatalf("held after the repetition: %+v", h)
	}
	_, err := e.st.Release(e.ctx, released, day)
	e.ok(err)
	e.ok(e.st.DropHeld(e.ctx, dropped))
	for _, holding := range []bool{true, false} {
		repeat("released", released, holding)
		repeat("dropped", dropped, holding)
	}
	e.counts(id, 1, 8)
	if n := len(e.held()); n != 0 {
		e.Errorf("%d are held, want none", n)
	}
}

func testHeldRemovedAccount(e *env) {
	a, b, c := e.account("alice@a.test"), e.account("bob@a.test"), e.account("carol@a.test")
	both, one := e.hold("both", inbox(a), inbox(b)), e.hold(pattern(300_000), inbox(a))
	two := e.hold("two", inbox(a), inbox(c))
	e.change(store.RemoveAccount{ID: a})
	left := e.held()
	if len(left) != 2 {
		e.Fatalf("held: %+v, want those for others only", left)
	}
	for _, h := range left {
		if slices.Contains(h.Accounts, a) || len(h.Accounts) != 1 {
			e.Errorf("%+v is for the removed account", h)
		}
	}
	e.contents("a held message for nobody", 2)
	_, err := e.st.Release(e.ctx, one, day)
	e.fails("Release of what was for the removed account", err, fault.NotFound)
	done, err := e.st.Release(e.ctx, both, day)
	e.ok(err)
	if len(done.Placed) != 1 || done.Placed[0].Account != b {
		e.Errorf("Release placed %+v, want one copy for account %d", done.Placed, b)
	}
	e.same("octets", e.read(b, mail.Inbox, done.Placed[0].UID), "both")
	e.change(store.RemoveAccount{ID: b}, store.RemoveAccount{ID: c})
	e.fails("DropHeld of what was for removed accounts", e.st.DropHeld(e.ctx, two), fault.NotFound)
	e.contents("all accounts are removed", 0)
}

func testHeldChangeRefused(e *env) {
	id := e.account("alice@a.test")
	held := e.hold("held", inbox(id))
	_, err := e.st.Change(e.ctx, store.RemoveAccount{ID: id}, store.RemoveAlias{Address: "none@a.test"})
	e.changeIndex(err, 1, fault.NotFound)
	done, err := e.st.Release(e.ctx, held, day)
	e.ok(err)
	if len(done.Placed) != 1 {
		e.Errorf("Release placed %+v", done.Placed)
	}
}

func testHeldCheck(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	e.hold("small", inbox(a), inbox(b))
	e.hold(pattern(300_000), inbox(b))
	released, dropped := e.hold("released", inbox(a), inbox(b)), e.hold("dropped", inbox(a))
	_, err := e.st.Release(e.ctx, released, day)
	e.ok(err)
	e.ok(e.st.DropHeld(e.ctx, dropped))
	for _, repair := range []bool{false, true} {
		r, err := e.st.Check(e.ctx, repair, func(f store.Finding) { e.Errorf("repair %v: found %+v", repair, f) })
		e.ok(err)
		if r.Held != 2 || r.Messages != 2 {
			e.Errorf("repair %v: %+v, want 2 held, 2 messages", repair, r)
		}
	}
	e.change(store.RemoveAccount{ID: b})
	r, err := e.st.Check(e.ctx, false, func(f store.Finding) { e.Errorf("found %+v", f) })
	e.ok(err)
	if r.Held != 1 {
		e.Errorf("%d are held, want 1", r.Held)
	}
}
