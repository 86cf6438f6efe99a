package storetest

import (
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

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
	{"ReleaseDeliversEachCopy", testRelease},
	{"ReleasedMailComesAfterWhatIsThere", testReleaseOrder},
	{"ReleaseWakesWatchers", testReleaseWakes},
	{"ReleaseLeavesOpenMaildropsAsTheyAre", testReleaseMaildrop},
	{"ReleasedContentIsStoredOnce", testReleaseStoredOnce},
	{"WhatIsNotHeldIsNotFound", testHeldUnknown},
	{"DropHeldFreesTheContent", testDropHeld},
	{"AcceptOfAHeldMessageIsIdempotent", testHeldIdempotent},
	{"RemovedAccountTakesItsHeldCopiesAlong", testHeldRemovedAccount},
	{"RefusedRemovalOfAnAccountLeavesItsHeldCopies", testHeldChangeRefused},
	{"CheckCountsHeldMessages", testHeldCheck},
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

func testRelease(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@b.test")
	box, err := e.st.CreateMailbox(e.ctx, b, "Sent")
	e.ok(err)
	to := []store.Delivery{
		{Account: b, Mailbox: box.ID, Flags: mail.Seen},
		{Account: a, Mailbox: mail.Inbox, Prefix: []byte("Delivered-To: alice@a.test\r\n")},
		{Account: b, Mailbox: mail.Inbox, Prefix: []byte("Delivered-To: bob@b.test\r\nX: 1\r\n"), Flags: mail.Flagged | mail.Seen},
	}
	for _, n := range sizes {
		acc := e.holdFor(time.Hour, pattern(n), to...)
		acc.Envelope.Hold = acc.Hold
		_, err := e.st.Accept(e.ctx, acc)
		e.ok(err)
		now := day.Add(2*time.Hour + 700*time.Millisecond)
		done, err := e.st.Release(e.ctx, acc.ID, now)
		e.ok(err)
		if done.Repeated || len(done.Placed) != len(to) {
			e.Fatalf("Release says %+v, want %d copies", done, len(to))
		}
		for i, p := range done.Placed {
			e.released(p, acc.ID, &to[i], n)
		}
		_, err = e.st.Release(e.ctx, acc.ID, now)
		e.fails("a second Release", err, fault.NotFound)
		e.fails("DropHeld after the Release", e.st.DropHeld(e.ctx, acc.ID), fault.NotFound)
		if ids := e.heldIDs(); len(ids) != 0 {
			e.Fatalf("%v are held after the Release", ids)
		}
	}
	if boxed := e.box(b, box.ID); boxed.Messages != int64(len(sizes)) || boxed.UIDNext != mail.UID(len(sizes)+1) {
		e.Errorf("the mailbox is %+v, want %d messages", boxed, len(sizes))
	}
}

// released holds a copy that Release made against what was asked for.
func (e *env) released(p store.Placed, id mail.ID, d *store.Delivery, octets int) {
	e.Helper()
	if p.Account != d.Account || p.Mailbox != d.Mailbox {
		e.Fatalf("placed %+v, want account %d, mailbox %d", p, d.Account, d.Mailbox)
	}
	all := e.list(p.Account, p.Mailbox)
	m := all[len(all)-1]
	want := string(d.Prefix) + pattern(octets)
	if m.UID != p.UID || m.ModSeq != p.ModSeq || m.ID != id || m.Flags != d.Flags || m.Size != int64(len(want)) || !m.Received.Equal(day.Add(2*time.Hour)) {
		e.Fatalf("listed %+v, placed %+v, want %+v with the date of the release", m, p, d)
	}
	r, err := e.st.Open(e.ctx, p.Account, p.Mailbox, p.UID)
	e.ok(err)
	got, err := r.Envelope()
	e.ok(err)
	if !reflect.DeepEqual(got, envelope(id)) {
		e.Fatalf("the envelope is %+v, want %+v", got, envelope(id))
	}
	e.same("octets", e.octets(r, nil), want)
}

func testReleaseOrder(e *env) {
	id := e.account("alice@a.test")
	held := e.hold("held", inbox(id))
	before := e.fill(id, "0", "1")
	e.ok(e.st.Remove(e.ctx, id, mail.Inbox, before[1:]))
	seen := e.box(id, mail.Inbox).ModSeq
	done, err := e.st.Release(e.ctx, held, day)
	e.ok(err)
	after := e.fill(id, "2")
	if uid := done.Placed[0].UID; uid <= before[1] || uid >= after[0] {
		e.Errorf("released as UID %d, between %d and %d", uid, before[1], after[0])
	}
	if done.Placed[0].ModSeq <= seen {
		e.Errorf("released with ModSeq %d, it was %d before", done.Placed[0].ModSeq, seen)
	}
	e.counts(id, 3, 6)
}

func testReleaseWakes(e *env) {
	id := e.account("alice@a.test")
	held := e.hold("held", inbox(id))
	changed, cancel := e.st.Watch(id)
	defer cancel()
	_, err := e.st.Release(e.ctx, held, day)
	e.ok(err)
	e.wakes("release", changed)
}

func testReleaseMaildrop(e *env) {
	id := e.account("alice@a.test")
	e.fill(id, "0")
	held := e.hold("held", inbox(id))
	d := e.maildrop(id, store.Exclusive, "test")
	defer d.Close()
	_, err := e.st.Release(e.ctx, held, day)
	e.ok(err)
	if n := len(collect(e, d.List(e.ctx))); n != 1 || d.Mailbox().Messages != 1 {
		e.Errorf("the snapshot lists %d messages and counts %d, want 1", n, d.Mailbox().Messages)
	}
	e.counts(id, 2, 5)
}

func testReleaseStoredOnce(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	for _, n := range []int{100, 300_000} {
		held := e.hold(pattern(n), inbox(a), inbox(b))
		e.contents("held", 1)
		done, err := e.st.Release(e.ctx, held, day)
		e.ok(err)
		e.contents("released", 1)
		for i, p := range done.Placed {
			e.same("octets", e.read(p.Account, p.Mailbox, p.UID), pattern(n))
			e.ok(e.st.Remove(e.ctx, p.Account, p.Mailbox, []mail.UID{p.UID}))
			e.contents("a copy is removed", int64(len(done.Placed)-i-1))
		}
	}
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

// testConcurrentReleases releases and drops messages from many goroutines: of
// each message one has its way.
func testConcurrentReleases(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	released := 0
	for range 20 {
		id := e.hold("body", inbox(a), inbox(b))
		const many = 8
		var made, placed atomic.Int32
		var g errgroup.Group
		for i := range many {
			g.Go(func() error {
				var done store.Accepted
				var err error
				if i%4 == 0 {
					err = e.st.DropHeld(e.ctx, id)
				} else {
					done, err = e.st.Release(e.ctx, id, day)
				}
				if err == nil {
					made.Add(1)
					placed.Add(int32(len(done.Placed)))
				}
				if fault.Is(err, fault.NotFound) {
					return nil
				}
				return err
			})
		}
		e.ok(g.Wait())
		if made.Load() != 1 {
			e.Fatalf("%d of %d releases were made", made.Load(), many)
		}
		released += int(placed.Load()) / 2
	}
	e.counts(a, int64(released), int64(released)*4)
	e.counts(b, int64(released), int64(released)*4)
	e.contents("all are released or dropped", int64(released))
}
