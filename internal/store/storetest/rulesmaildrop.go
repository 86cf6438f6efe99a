package storetest

import (
	"fmt"
	"slices"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

var maildropRules = []rule{
	{"MaildropIsTheInbox", testMaildrop},
	{"MaildropStaysAsItWasOpened", testSnapshot},
	{"MaildropRemovesExactlyWhatIsMarked", testMaildropRemove},
	{"ExclusiveExcludesExclusive", testExclusive},
	{"SnapshotsExcludeNobody", testSnapshotMode},
	{"HoldersAreNamed", testHolders},
	{"BrokenLeaseRemovesNothing", testBreakLock},
	{"ClosedMaildropRemovesNothing", testClosedMaildrop},
	{"LateCloseOfABrokenLeaseFreesNobodyElses", testLateClose},
	{"MaildropsOfAccountsAreApart", testMaildropsApart},
	{"RemovingAnAccountEndsItsMaildrops", testMaildropOfRemovedAccount},
	{"ManyMessagesAreListedInOrder", testManyMessages},
}

func (e *env) maildrop(id mail.AccountID, mode store.LockMode, who string) store.Maildrop {
	e.Helper()
	d, err := e.st.OpenMaildrop(e.ctx, id, mode, who)
	e.ok(err)
	return d
}

func testMaildrop(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "0", pattern(200_000), "")
	d := e.maildrop(id, store.Exclusive, "test")
	defer d.Close()
	if got, want := d.Mailbox(), e.box(id, mail.Inbox); got != want {
		e.Errorf("the maildrop is %+v, the Inbox %+v", got, want)
	}
	if got, want := collect(e, d.List(e.ctx)), e.list(id, mail.Inbox); !slices.Equal(got, want) {
		e.Errorf("the maildrop lists %+v, the Inbox %+v", got, want)
	}
	e.same("octets", e.octets(d.Open(e.ctx, uids[1])), pattern(200_000))
	_, err := d.Open(e.ctx, 4_000_000)
	e.fails("Open of no message", err, fault.NotFound)
	_, err = e.st.OpenMaildrop(e.ctx, id+1000, store.Exclusive, "test")
	e.fails("OpenMaildrop of no account", err, fault.NotFound)
}

func testSnapshot(e *env) {
	id := e.account("alice@a.test")
	bodies := []string{"0", "1", pattern(200_000), "3"}
	uids := e.fill(id, bodies...)
	d := e.maildrop(id, store.Snapshot, "test")
	defer d.Close()
	box, all := d.Mailbox(), collect(e, d.List(e.ctx))

	late := e.fill(id, "late")[0]
	e.ok(e.st.SetFlags(e.ctx, id, mail.Inbox, uids[3:], mail.Seen, 0))
	e.ok(e.st.Remove(e.ctx, id, mail.Inbox, uids[:3]))
	if got := d.Mailbox(); got != box {
		e.Errorf("the maildrop went from %+v to %+v", box, got)
	}
	for range 2 {
		if got := collect(e, d.List(e.ctx)); !slices.Equal(got, all) {
			e.Errorf("the maildrop lists %+v, want as before %+v", got, all)
		}
	}
	for i, uid := range uids {
		e.same(fmt.Sprintf("message %d", i), e.octets(d.Open(e.ctx, uid)), bodies[i])
	}
	_, err := d.Open(e.ctx, late)
	e.fails("Open of a message that came later", err, fault.NotFound)

	next := e.maildrop(id, store.Snapshot, "next")
	defer next.Close()
	if got, want := uidsOf(collect(e, next.List(e.ctx))), []mail.UID{uids[3], late}; !slices.Equal(got, want) {
		e.Errorf("the next maildrop has %v, want %v", got, want)
	}
}

func testMaildropRemove(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "0", "11", "222", "3333")
	d := e.maildrop(id, store.Exclusive, "test")
	defer d.Close()
	late := e.fill(id, "late")[0]
	e.ok(e.st.Remove(e.ctx, id, mail.Inbox, uids[:1]))
	e.ok(d.Remove(e.ctx, []mail.UID{uids[2], uids[0], uids[2]}))
	if got, want := uidsOf(e.list(id, mail.Inbox)), []mail.UID{uids[1], uids[3], late}; !slices.Equal(got, want) {
		e.Errorf("left %v, want %v", got, want)
	}
	e.counts(id, 3, int64(len("11")+len("3333")+len("late")))
	e.ok(d.Remove(e.ctx, []mail.UID{uids[2]}))
	e.ok(d.Remove(e.ctx, nil))
	e.counts(id, 3, 10)
}

func testExclusive(e *env) {
	id := e.account("alice@a.test")
	d := e.maildrop(id, store.Exclusive, "first")
	_, err := e.st.OpenMaildrop(e.ctx, id, store.Exclusive, "second")
	e.fails("a second exclusive", err, fault.Busy)
	d.Close()
	d.Close()
	d = e.maildrop(id, store.Exclusive, "third")
	d.Close()
}

func testSnapshotMode(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "0", "1")
	a := e.maildrop(id, store.Snapshot, "a")
	defer a.Close()
	b := e.maildrop(id, store.Snapshot, "b")
	defer b.Close()
	x := e.maildrop(id, store.Exclusive, "x")
	defer x.Close()
	c := e.maildrop(id, store.Snapshot, "c")
	defer c.Close()
	_, err := e.st.OpenMaildrop(e.ctx, id, store.Exclusive, "y")
	e.fails("a second exclusive beside snapshots", err, fault.Busy)
	e.ok(a.Remove(e.ctx, uids[:1]))
	e.ok(b.Remove(e.ctx, uids))
	e.ok(x.Remove(e.ctx, uids))
	e.counts(id, 0, 0)
	e.same("the snapshot", e.octets(c.Open(e.ctx, uids[0])), "0")
}

func testHolders(e *env) {
	id := e.account("alice@a.test")
	want := func(names ...string) {
		e.Helper()
		all, err := e.st.Holders(e.ctx, id)
		e.ok(err)
		var got []string
		for _, h := range all {
			if h.Since.IsZero() || (h.Mode == store.Exclusive) != (h.Who == "exclusive") {
				e.Errorf("holder %+v", h)
			}
			got = append(got, h.Who)
		}
		slices.Sort(got)
		if !slices.Equal(got, names) {
			e.Fatalf("holders are %v, want %v", got, names)
		}
	}
	want()
	x := e.maildrop(id, store.Exclusive, "exclusive")
	want("exclusive")
	s := e.maildrop(id, store.Snapshot, "snapshot")
	want("exclusive", "snapshot")
	x.Close()
	want("snapshot")
	s.Close()
	want()
}

func testBreakLock(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "0", "1")
	e.ok(e.st.BreakLock(e.ctx, id))
	x := e.maildrop(id, store.Exclusive, "dead")
	defer x.Close()
	s := e.maildrop(id, store.Snapshot, "dead too")
	defer s.Close()
	e.ok(e.st.BreakLock(e.ctx, id))
	if all, err := e.st.Holders(e.ctx, id); err != nil || len(all) != 0 {
		e.Errorf("after BreakLock holders are %+v, %v", all, err)
	}
	next := e.maildrop(id, store.Exclusive, "next")
	defer next.Close()
	e.fails("late Remove of the exclusive", x.Remove(e.ctx, uids), fault.Denied)
	e.fails("late Remove of the snapshot", s.Remove(e.ctx, uids[:1]), fault.Denied)
	e.counts(id, 2, 2)
	e.ok(next.Remove(e.ctx, uids[:1]))
	e.counts(id, 1, 1)
}

func testClosedMaildrop(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "0")
	d := e.maildrop(id, store.Exclusive, "test")
	d.Close()
	e.fails("Remove after Close", d.Remove(e.ctx, uids), fault.Denied)
	e.counts(id, 1, 1)
}

func testLateClose(e *env) {
	id := e.account("alice@a.test")
	dead := e.maildrop(id, store.Exclusive, "dead")
	e.ok(e.st.BreakLock(e.ctx, id))
	next := e.maildrop(id, store.Exclusive, "next")
	defer next.Close()
	dead.Close()
	_, err := e.st.OpenMaildrop(e.ctx, id, store.Exclusive, "third")
	e.fails("a third while the second has it", err, fault.Busy)
	e.ok(next.Remove(e.ctx, nil))
}

func testMaildropsApart(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	uids := e.fill(a, "0")
	e.fill(b, "0")
	da := e.maildrop(a, store.Exclusive, "a")
	defer da.Close()
	db := e.maildrop(b, store.Exclusive, "b")
	defer db.Close()
	e.ok(e.st.BreakLock(e.ctx, b))
	e.ok(da.Remove(e.ctx, uids))
	e.counts(a, 0, 0)
	e.counts(b, 1, 1)
}

func testMaildropOfRemovedAccount(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "0")
	d := e.maildrop(id, store.Exclusive, "test")
	_, err := e.st.Change(e.ctx, store.RemoveAccount{ID: id})
	e.ok(err)
	e.fails("Remove for a removed account", d.Remove(e.ctx, uids), fault.Denied, fault.NotFound)
	d.Close()
	again := e.account("alice@a.test")
	d = e.maildrop(again, store.Exclusive, "test")
	d.Close()
	e.counts(again, 0, 0)
}

func testManyMessages(e *env) {
	const many = 1500
	id := e.account("alice@a.test")
	bodies := make([]string, many)
	var octets int64
	for i := range bodies {
		bodies[i] = pattern(i % 50)
		octets += int64(len(bodies[i]))
	}
	uids := e.fillAtOnce(id, bodies)
	e.counts(id, many, octets)
	d := e.maildrop(id, store.Exclusive, "test")
	defer d.Close()
	got := uidsOf(collect(e, d.List(e.ctx)))
	slices.Sort(uids)
	if !slices.Equal(got, uids) {
		e.Errorf("%d messages listed, want the %d delivered, ascending", len(got), len(uids))
	}
	e.ok(d.Remove(e.ctx, got[:many-1]))
	if left := uidsOf(e.list(id, mail.Inbox)); !slices.Equal(left, got[many-1:]) {
		e.Errorf("left %v, want %v", left, got[many-1:])
	}
}
