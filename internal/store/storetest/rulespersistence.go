package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

var persistenceRules = []rule{
	{"EverythingOutlivesClosing", testOutlives},
	{"UIDsGoOnAfterReopening", testUIDsGoOn},
	{"AcceptIsIdempotentAfterReopening", testIdempotentReopened},
	{"LocksEndWithTheStore", testLocksEnd},
	{"HeldIsReleasedAfterReopening", testReleaseReopened},
	{"AcceptOfAHeldMessageIsIdempotentAfterReopening", testHeldIdempotentReopened},
	{"LeasesEndWithTheStore", testRowLeasesEnd},
	{"OnwardIDsAreKnownAfterReopening", testOnwardIDsReopened},
	{"IfVersionGuardsAChangeAfterReopening", testIfVersionReopened},
	{"AbandonedContentLeavesNothing", testAbandoned},
	{"RemovedStaysRemoved", testRemovedStays},
	{"AccountIDsAreNotReusedAfterReopening", testAccountIDsGoOn},
}

// inventory is all that a store shows of its accounts, octets included.
type inventory struct {
	Domains   []store.Domain
	Entries   []store.Entry
	Accounts  []store.Account
	Mailboxes []store.Mailbox
	Messages  []store.Message
	Octets    []string
	Envelopes []mail.Envelope
	Held      []store.Held
	Records   []store.Record
	Queued    []store.QueuedMessage
	QueuedAs  []string // the queued messages' octets
	Frozen    []store.FrozenDestination
	Usage     store.QueueUsage
}

// all takes the inventory, with its times in one zone.
func (e *env) all() inventory {
	e.Helper()
	v := inventory{
		Domains:  collect(e, e.st.Domains(e.ctx, "")),
		Entries:  collect(e, e.st.Entries(e.ctx, "", "")),
		Accounts: collect(e, e.st.Accounts(e.ctx, "", "")),
		Held:     e.held(),
		Records:  e.records(""),
		Queued:   e.queued(),
		Frozen:   collect(e, e.st.Frozen(e.ctx)),
	}
	var err error
	v.Usage, err = e.st.QueueUsage(e.ctx)
	e.ok(err)
	for _, q := range v.Queued {
		v.QueuedAs = append(v.QueuedAs, e.octets(e.st.OpenQueued(e.ctx, q.ID)))
	}
	for i := range v.Frozen {
		v.Frozen[i].Since = v.Frozen[i].Since.UTC()
	}
	for i := range v.Held {
		v.Held[i] = inUTC(v.Held[i])
	}
	for i := range v.Domains {
		v.Domains[i].Created = v.Domains[i].Created.UTC()
	}
	for i := range v.Accounts {
		v.Accounts[i].Created = v.Accounts[i].Created.UTC()
		boxes, err := e.st.ListMailboxes(e.ctx, v.Accounts[i].ID)
		e.ok(err)
		v.Mailboxes = append(v.Mailboxes, boxes...)
	}
	for _, b := range v.Mailboxes {
		for _, m := range e.list(b.Account, b.ID) {
			m.Received = m.Received.UTC()
			r, err := e.st.Open(e.ctx, b.Account, b.ID, m.UID)
			e.ok(err)
			envelope, err := r.Envelope()
			e.ok(err)
			v.Messages = append(v.Messages, m)
			v.Envelopes = append(v.Envelopes, envelope)
			v.Octets = append(v.Octets, e.octets(r, nil))
		}
	}
	return v
}

func testOutlives(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@b.test")
	e.change(
		store.PutAlias{Address: "@a.test", Targets: []string{"alice@a.test", "bob@b.test"}},
		store.PutAccount{Account: withCredentials(store.Account{ID: b, Disabled: true, Quota: 1 << 40})},
	)
	box, err := e.st.CreateMailbox(e.ctx, a, "Gesendet ü")
	e.ok(err)
	d := inbox(b)
	d.Prefix, d.Flags = []byte("Delivered-To: bob@b.test\r\n"), mail.Flagged
	for _, n := range sizes {
		e.deliver(pattern(n), inbox(a), d, store.Delivery{Account: a, Mailbox: box.ID})
	}
	for _, n := range []int{0, 100, 300_000} {
		e.hold(pattern(n), inbox(a), d)
	}
	for _, k := range []string{"cert/a.test", "cert/b.test", "gone"} {
		e.ok(e.st.PutRecord(e.ctx, store.Record{Key: k, Value: []byte(pattern(len(k) * 1000)), Changed: day}))
	}
	e.ok(e.st.RemoveRecord(e.ctx, "gone"))
	e.fillQueue(a)
	uids := uidsOf(e.list(a, mail.Inbox))
	e.ok(e.st.Remove(e.ctx, a, mail.Inbox, uids[1:3]))
	e.ok(e.st.SetFlags(e.ctx, a, mail.Inbox, uids, mail.Seen, 0))
	before := e.all()
	for range 2 {
		e.reopen()
		if after := e.all(); !reflect.DeepEqual(after, before) {
			e.Fatalf("after reopening: %s", difference(after, before))
		}
	}
	if _, err := e.st.Check(e.ctx, false, func(f store.Finding) { e.Errorf("found %+v", f) }); err != nil {
		e.Error(err)
	}
}

// difference names the first part in which two inventories differ.
func difference(got, want inventory) string {
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		if reflect.DeepEqual(g.Field(i).Interface(), w.Field(i).Interface()) {
			continue
		}
		return fmt.Sprintf("%s are %.2000v, want %.2000v", g.Type().Field(i).Name, g.Field(i), w.Field(i))
	}
	return "nothing differs"
}

func testUIDsGoOn(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "0", "1", "2")
	e.ok(e.st.Remove(e.ctx, id, mail.Inbox, uids))
	before := e.box(id, mail.Inbox)
	e.reopen()
	uid := e.fill(id, "after")[0]
	after := e.box(id, mail.Inbox)
	if uid <= uids[2] || after.UIDValidity != before.UIDValidity || after.ModSeq <= before.ModSeq {
		e.Errorf("UID %d after %d, the Inbox went from %+v to %+v", uid, uids[2], before, after)
	}
}

func testIdempotentReopened(e *env) {
	id := e.account("alice@a.test")
	first := e.accept("body", inbox(id))
	done, err := e.st.Accept(e.ctx, first)
	e.ok(err)
	e.reopen()
	again := e.accept("body", inbox(id))
	again.ID = first.ID
	repeated, err := e.st.Accept(e.ctx, again)
	e.ok(err)
	if !repeated.Repeated || !slices.Equal(repeated.Placed, done.Placed) {
		e.Errorf("got %+v, want %+v repeated", repeated, done)
	}
	e.counts(id, 1, 4)
}

func testLocksEnd(e *env) {
	id := e.account("alice@a.test")
	d := e.maildrop(id, store.Exclusive, "before")
	e.reopen()
	next := e.maildrop(id, store.Exclusive, "after")
	d.Close()
	_, err := e.st.OpenMaildrop(e.ctx, id, store.Exclusive, "third")
	e.fails("a third", err, fault.Busy)
	next.Close()
}

func testAbandoned(e *env) {
	id := e.account("alice@a.test")
	before, err := e.st.Usage(e.ctx)
	e.ok(err)
	for _, n := range []int{10, 4 << 20} {
		e.content([]byte(pattern(n))) // its session died
	}
	e.reopen()
	after, err := e.st.Usage(e.ctx)
	e.ok(err)
	if after.Messages != before.Messages || after.Octets != before.Octets {
		e.Errorf("usage is %+v, want that of before, %+v", after, before)
	}
	e.counts(id, 0, 0)
}

func testRemovedStays(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	uids := e.fill(a, "0", pattern(200_000), "2")
	e.fill(b, "0")
	d := e.maildrop(a, store.Exclusive, "test")
	e.ok(d.Remove(e.ctx, uids[:2]))
	d.Close()
	e.change(store.RemoveAccount{ID: b})
	e.reopen()
	if got := uidsOf(e.list(a, mail.Inbox)); !slices.Equal(got, uids[2:]) {
		e.Errorf("listed %v, want %v", got, uids[2:])
	}
	e.counts(a, 1, 1)
	_, err := e.st.Account(e.ctx, b)
	e.fails("the removed account", err, fault.NotFound)
	if u, err := e.st.Usage(e.ctx); err != nil || u.Messages != 1 {
		e.Errorf("%d contents, %v, want one", u.Messages, err)
	}
}

func testAccountIDsGoOn(e *env) {
	id := e.account("alice@a.test")
	validity := e.box(id, mail.Inbox).UIDValidity
	e.change(store.RemoveAccount{ID: id})
	e.reopen()
	again := e.account("alice@a.test")
	if again == id {
		e.Errorf("account id %d was used again", id)
	}
	if v := e.box(again, mail.Inbox).UIDValidity; v == validity {
		e.Errorf("UIDVALIDITY %d was used again", v)
	}
}

func testReleaseReopened(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	d := inbox(b)
	d.Prefix = []byte("Delivered-To: bob@a.test\r\n")
	var held []mail.ID
	for _, n := range []int{100, 300_000} {
		held = append(held, e.hold(pattern(n), inbox(a), d))
	}
	dropped := e.hold("dropped", inbox(a))
	e.reopen()
	e.heldOctets("after the reopening", []mail.AccountID{a, b}, 300_107, 300_100+2*int64(len(d.Prefix)))
	e.ok(e.st.DropHeld(e.ctx, dropped))
	for i, n := range []int{100, 300_000} {
		done, err := e.st.Release(e.ctx, held[i], day)
		e.ok(err)
		e.same("octets", e.read(a, mail.Inbox, done.Placed[0].UID), pattern(n))
		e.same("octets", e.read(b, mail.Inbox, done.Placed[1].UID), string(d.Prefix)+pattern(n))
	}
	e.reopen()
	e.counts(a, 2, 300_100)
	e.heldOctets("after the releases", []mail.AccountID{a, b}, 0, 0)
	if ids := e.heldIDs(); len(ids) != 0 {
		e.Errorf("%v are held after their release", ids)
	}
	_, err := e.st.Release(e.ctx, held[0], day)
	e.fails("a second Release", err, fault.NotFound)
	if _, err := e.st.Check(e.ctx, false, func(f store.Finding) { e.Errorf("found %+v", f) }); err != nil {
		e.Error(err)
	}
}

func testHeldIdempotentReopened(e *env) {
	id := e.account("alice@a.test")
	first := e.hold("held", inbox(id))
	for range 2 {
		e.reopen()
		again := e.accept("again", inbox(id))
		again.ID = first
		if done, err := e.st.Accept(e.ctx, again); err != nil || !done.Repeated || len(done.Placed) != 0 {
			e.Errorf("Accept again says %+v, %v, want it repeated and nothing placed", done, err)
		}
	}
	e.counts(id, 0, 0)
}

func testIfVersionReopened(e *env) {
	id := e.account("alice@a.test")
	v := e.version(id)
	e.change(store.PutAccount{Account: store.Account{ID: id, Password: "one"}})
	e.reopen()
	e.refused(store.PutAccount{Account: store.Account{ID: id}, IfVersion: v}, fault.Denied)
	e.change(store.PutAccount{Account: store.Account{ID: id}, IfVersion: e.version(id)})
}

// fillQueue leaves rows of every kind in the queue, none of them leased.
func (e *env) fillQueue(account mail.AccountID) {
	e.Helper()
	for i, n := range []int{0, 100, 300_000} {
		o := onward("a@far.test", "b@near.test", "c@far.test")
		o.ID, o.Prefix, o.Envelope.Priority = mail.ID{byte(i + 1)}, []byte("Received: x\r\n"), int8(i)
		acc := e.accept(pattern(n), inbox(account))
		acc.Onward = []store.Passage{e.pass(o)}
		_, err := e.st.Accept(e.ctx, acc)
		e.ok(err)
	}
	_, err := e.st.ChangeRows(e.ctx, mail.ID{1}, []int{1}, store.HoldRows, soon)
	e.ok(err)
	e.removeRows(mail.ID{2}, 0)
	l, err := e.st.LeaseRows(e.ctx, mail.ID{3}, []int{0}, soon.Add(time.Hour))
	e.ok(err)
	s := retry(soon.Add(time.Hour), 2, l)
	s[0].Progress.Host, s[0].Progress.Reply, s[0].Progress.Uncertain = "mx.far.test", "450 busy", true
	e.settle("retry", 1, s...)
	e.ok(e.st.Freeze(e.ctx, "near.test", "why", soon))
	e.ok(e.st.Freeze(e.ctx, "thawed.test", "why", soon))
	e.ok(e.st.Thaw(e.ctx, "thawed.test"))
}

func testRowLeasesEnd(e *env) {
	e.mailTo(1, "a@far.test")
	e.mailTo(2, "a@far.test")
	before := e.lease(far, 2, soon)
	e.settle("one", 1, remove(before[1])...)
	e.reopen()
	if q := e.message(mail.ID{1}); q.Rows[0].Leased {
		e.Error("it is leased still")
	}
	e.settle("with a lease of before", 0, remove(before...)...)
	after := e.lease(far, 2, soon)
	e.leases("after", after, "1")
	if after[0].Fences[0] <= before[1].Fences[0] {
		e.Errorf("fence %d after %d", after[0].Fences[0], before[1].Fences[0])
	}
	e.settle("the other", 1, remove(after...)...)
	e.reopen()
	e.usage("at last", 0, 0, 0)
	e.contents("at last", 0)
}

func testOnwardIDsReopened(e *env) {
	o := onward("x@far.test")
	e.enqueue("first", o)
	e.reopen()
	a := e.accept("again")
	a.Onward = []store.Passage{e.pass(o)}
	_, err := e.st.Accept(e.ctx, a)
	e.fails("a message whose ID is in the queue", err, fault.Exists)
	e.same("the first", e.octets(e.st.OpenQueued(e.ctx, o.ID)), "first")
}
