package storetest

import (
	"slices"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

var mailboxRules = []rule{
	{"AccountHasAnInboxFromItsBeginning", testInbox},
	{"MailboxNamesAreUniqueAndInboxIgnoresCase", testCreateMailbox},
	{"MailboxesAreApart", testMailboxesApart},
	{"MailboxNamesAreBounded", testMailboxNames},
	{"ListIsAscendingFromAUID", testListFrom},
	{"ListIsOfOneMomentAndHoldsNoLock", testListMoment},
	{"ListOfNothingIsNotFound", testListNotFound},
	{"UIDValidityDiffersAlsoForARemadeAccount", testUIDValidity},
	{"RemoveIsExactAndIdempotent", testRemoveExact},
}

var flagRules = []rule{
	{"FlagsAreClearedThenSet", testFlags},
	{"FlagsThatStayChangeNothing", testFlagsUnchanged},
	{"FlagsArePerCopy", testFlagsPerCopy},
	{"FlagsOfAbsentMessagesAreIgnored", testFlagsAbsent},
}

var watchRules = []rule{
	{"WatchWakesAfterChanges", testWatch},
	{"WatchEndsAtCancel", testWatchCancel},
}

func testInbox(e *env) {
	id := e.account("alice@a.test")
	all, err := e.st.ListMailboxes(e.ctx, id)
	e.ok(err)
	if len(all) != 1 || all[0].ID != mail.Inbox || !strings.EqualFold(all[0].Name, "INBOX") {
		e.Fatalf("a new account has the mailboxes %+v, want its Inbox", all)
	}
	b := e.box(id, mail.Inbox)
	if b != all[0] {
		e.Errorf("Mailbox gives %+v, ListMailboxes %+v", b, all[0])
	}
	if b.Account != id || b.UIDNext == 0 || b.UIDValidity == 0 || b.Messages != 0 || b.Octets != 0 {
		e.Errorf("a new Inbox is %+v", b)
	}
	_, err = e.st.ListMailboxes(e.ctx, id+1000)
	e.fails("ListMailboxes of no account", err, fault.NotFound)
	_, err = e.st.Mailbox(e.ctx, id, 77)
	e.fails("Mailbox of no mailbox", err, fault.NotFound)
	_, err = e.st.Mailbox(e.ctx, id+1000, mail.Inbox)
	e.fails("Mailbox of no account", err, fault.NotFound)
}

func testCreateMailbox(e *env) {
	id := e.account("alice@a.test")
	first, err := e.st.CreateMailbox(e.ctx, id, "Sent")
	e.ok(err)
	if first.Name != "Sent" || first.Account != id || first.ID <= mail.Inbox || first.UIDNext == 0 {
		e.Errorf("made %+v", first)
	}
	if got := e.box(id, first.ID); got != first {
		e.Errorf("Mailbox gives %+v, CreateMailbox gave %+v", got, first)
	}
	for _, name := range []string{"Sent", "INBOX", "inbox", "InBox"} {
		_, err := e.st.CreateMailbox(e.ctx, id, name)
		e.fails("CreateMailbox "+name, err, fault.Exists)
	}
	for _, name := range []string{"sent", "Gesendete Objekte ü", "INBOX/x", "Inbox2"} {
		_, err := e.st.CreateMailbox(e.ctx, id, name)
		e.ok(err)
	}
	_, err = e.st.CreateMailbox(e.ctx, e.account("bob@a.test"), "Sent")
	e.ok(err)
	_, err = e.st.CreateMailbox(e.ctx, id+1000, "x")
	e.fails("CreateMailbox of no account", err, fault.NotFound)
	all, err := e.st.ListMailboxes(e.ctx, id)
	e.ok(err)
	if len(all) != 6 || !slices.IsSortedFunc(all, func(a, b store.Mailbox) int { return int(a.ID) - int(b.ID) }) {
		e.Errorf("got %+v, want 6 by ascending id", all)
	}
	validities := map[mail.UIDValidity]bool{}
	for _, b := range all {
		if validities[b.UIDValidity] {
			e.Errorf("two mailboxes have UIDVALIDITY %d", b.UIDValidity)
		}
		validities[b.UIDValidity] = true
	}
}

func testMailboxesApart(e *env) {
	id := e.account("alice@a.test")
	box, err := e.st.CreateMailbox(e.ctx, id, "Archive")
	e.ok(err)
	other := store.Delivery{Account: id, Mailbox: box.ID, Prefix: []byte("X: 1\r\n")}
	placed := e.deliver("body", inbox(id), other)
	if len(placed) != 2 || placed[1].Mailbox != box.ID {
		e.Fatalf("placed %+v, want a copy in each", placed)
	}
	e.same("archived", e.read(id, box.ID, placed[1].UID), "X: 1\r\nbody")
	if b := e.box(id, box.ID); b.Messages != 1 || b.Octets != 10 {
		e.Errorf("the second mailbox has %+v", b)
	}
	if b := e.box(id, mail.Inbox); b.Messages != 1 || b.Octets != 4 {
		e.Errorf("the Inbox has %+v", b)
	}
	a, err := e.st.Account(e.ctx, id)
	e.ok(err)
	if a.Messages != 2 || a.Octets != 14 {
		e.Errorf("the account has %d messages of %d octets, want 2 of 14", a.Messages, a.Octets)
	}
	e.ok(e.st.Remove(e.ctx, id, box.ID, []mail.UID{placed[1].UID}))
	e.same("the Inbox's copy", e.read(id, mail.Inbox, placed[0].UID), "body")
	e.counts(id, 1, 4)
}

func testMailboxNames(e *env) {
	id := e.account("alice@a.test")
	_, err := e.st.CreateMailbox(e.ctx, id, strings.Repeat("n", store.MaxMailboxName))
	e.ok(err)
	_, err = e.st.CreateMailbox(e.ctx, id, strings.Repeat("n", store.MaxMailboxName+1))
	e.fails("too long a name", err, fault.Invalid, fault.TooLarge)
	_, err = e.st.CreateMailbox(e.ctx, id, "\xff")
	e.fails("a name that is not UTF-8", err, fault.Invalid)
	_, err = e.st.CreateMailbox(e.ctx, id, "")
	e.fails("no name", err, fault.Invalid)
}

func testListFrom(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "0", "1", "2", "3", "4")
	e.ok(e.st.Remove(e.ctx, id, mail.Inbox, uids[2:3]))
	left := slices.Delete(slices.Clone(uids), 2, 3)
	for _, row := range []struct {
		name string
		from mail.UID
		want []mail.UID
	}{
		{"zero", 0, left},
		{"first", uids[0], left},
		{"removed", uids[2], left[2:]},
		{"last", uids[4], left[3:]},
		{"behind", uids[4] + 1, nil},
		{"greatest", ^mail.UID(0), nil},
	} {
		got := uidsOf(collect(e, e.st.List(e.ctx, id, mail.Inbox, row.from)))
		if !slices.Equal(got, row.want) {
			e.Errorf("from %s: got %v, want %v", row.name, got, row.want)
		}
	}
}

func testListMoment(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "0", "1", "2")
	var got []mail.UID
	for m, err := range e.st.List(e.ctx, id, mail.Inbox, 0) {
		e.ok(err)
		if len(got) == 0 {
			e.fill(id, "during")
			e.ok(e.st.Remove(e.ctx, id, mail.Inbox, uids[1:2]))
		}
		got = append(got, m.UID)
	}
	if !slices.Equal(got, uids) {
		e.Errorf("listed %v, want what was there at the beginning, %v", got, uids)
	}
	for range e.st.List(e.ctx, id, mail.Inbox, 0) {
		break // leaves nothing open that Close would wait for
	}
}

func testListNotFound(e *env) {
	id := e.account("alice@a.test")
	e.fails("List of no mailbox", listError(e.st.List(e.ctx, id, 77, 0)), fault.NotFound)
	e.fails("List of no account", listError(e.st.List(e.ctx, id+1000, mail.Inbox, 0)), fault.NotFound)
}

func testUIDValidity(e *env) {
	seen := map[mail.UIDValidity]bool{}
	ids := map[mail.AccountID]bool{}
	for range 3 {
		id := e.account("alice@a.test")
		v := e.box(id, mail.Inbox).UIDValidity
		if seen[v] || ids[id] {
			e.Fatalf("an account made again has id %d and UIDVALIDITY %d, which were there before", id, v)
		}
		seen[v], ids[id] = true, true
		_, err := e.st.Change(e.ctx, store.RemoveAccount{ID: id})
		e.ok(err)
	}
}

func testRemoveExact(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "0", "1", "2", "3")
	e.ok(e.st.Remove(e.ctx, id, mail.Inbox, []mail.UID{uids[3], uids[1], uids[1], 4_000_000, 0}))
	e.ok(e.st.Remove(e.ctx, id, mail.Inbox, []mail.UID{uids[1]}))
	e.ok(e.st.Remove(e.ctx, id, mail.Inbox, nil))
	if got, want := uidsOf(e.list(id, mail.Inbox)), []mail.UID{uids[0], uids[2]}; !slices.Equal(got, want) {
		e.Errorf("left %v, want %v", got, want)
	}
	e.same("what stays", e.read(id, mail.Inbox, uids[2]), "2")
	e.fails("Remove in no mailbox", e.st.Remove(e.ctx, id, 77, uids), fault.NotFound)
	e.fails("Remove of no account", e.st.Remove(e.ctx, id+1000, mail.Inbox, uids), fault.NotFound)
}

func testFlags(e *env) {
	id := e.account("alice@a.test")
	d := inbox(id)
	d.Flags = mail.Seen | mail.Draft
	uid := e.deliver("body", d)[0].UID
	for _, row := range []struct{ set, clear, want mail.Flags }{
		{mail.Flagged, 0, mail.Seen | mail.Draft | mail.Flagged},
		{0, mail.Draft, mail.Seen | mail.Flagged},
		{mail.Answered, mail.Seen | mail.Answered, mail.Flagged | mail.Answered},
		{mail.Deleted, ^mail.Flags(0), mail.Deleted},
	} {
		e.ok(e.st.SetFlags(e.ctx, id, mail.Inbox, []mail.UID{uid}, row.set, row.clear))
		if got := e.list(id, mail.Inbox)[0].Flags; got != row.want {
			e.Errorf("set %q, clear %q: got %q, want %q", row.set, row.clear, got, row.want)
		}
	}
}

func testFlagsUnchanged(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "0", "1")
	e.ok(e.st.SetFlags(e.ctx, id, mail.Inbox, uids[:1], mail.Seen, 0))
	before := e.list(id, mail.Inbox)
	e.ok(e.st.SetFlags(e.ctx, id, mail.Inbox, uids, mail.Seen, 0))
	after := e.list(id, mail.Inbox)
	if after[0] != before[0] {
		e.Errorf("a message whose flags stay went from %+v to %+v", before[0], after[0])
	}
	if after[1].ModSeq <= before[0].ModSeq {
		e.Errorf("ModSeq of the changed one is %d, want more than %d", after[1].ModSeq, before[0].ModSeq)
	}
}

func testFlagsPerCopy(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	placed := e.deliver("body", inbox(a), inbox(b))
	e.ok(e.st.SetFlags(e.ctx, a, mail.Inbox, []mail.UID{placed[0].UID}, mail.Seen, 0))
	if got := e.list(b, mail.Inbox)[0].Flags; got != 0 {
		e.Errorf("the other's copy has flags %q", got)
	}
}

func testFlagsAbsent(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "0")
	e.ok(e.st.SetFlags(e.ctx, id, mail.Inbox, []mail.UID{4_000_000, uids[0], uids[0], 0}, mail.Seen, 0))
	if got := e.list(id, mail.Inbox); len(got) != 1 || got[0].Flags != mail.Seen {
		e.Errorf("got %+v", got)
	}
	e.fails("SetFlags in no mailbox", e.st.SetFlags(e.ctx, id, 77, uids, mail.Seen, 0), fault.NotFound)
	e.fails("SetFlags of no account", e.st.SetFlags(e.ctx, id+1000, mail.Inbox, uids, mail.Seen, 0), fault.NotFound)
}

func testWatch(e *env) {
	id := e.account("alice@a.test")
	changed, cancel := e.st.Watch(id)
	defer cancel()
	var uids []mail.UID
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"delivery", func() { uids = e.fill(id, "0", "1") }},
		{"flags", func() { e.ok(e.st.SetFlags(e.ctx, id, mail.Inbox, uids, mail.Seen, 0)) }},
		{"removal", func() { e.ok(e.st.Remove(e.ctx, id, mail.Inbox, uids[:1])) }},
		{"removal from a maildrop", func() {
			d, err := e.st.OpenMaildrop(e.ctx, id, store.Exclusive, "test")
			e.ok(err)
			defer d.Close()
			e.ok(d.Remove(e.ctx, uids))
		}},
	} {
		for drained := false; !drained; {
			select {
			case <-changed:
			default:
				drained = true
			}
		}
		step.do()
		e.wakes(step.name, changed)
	}
}

// wakes waits for a value. The time is only there to end a test that fails.
func (e *env) wakes(what string, changed <-chan struct{}) {
	e.Helper()
	select {
	case <-changed:
	case <-time.After(time.Minute):
		e.Fatalf("%s: nobody was woken", what)
	}
}

func testWatchCancel(e *env) {
	id := e.account("alice@a.test")
	kept, cancelKept := e.st.Watch(id)
	defer cancelKept()
	_, cancel := e.st.Watch(id)
	cancel()
	cancel()
	e.fill(id, "0")
	e.wakes("the watcher that stays", kept)
	_, cancelNobody := e.st.Watch(id + 1000)
	cancelNobody()
}
