package storetest

import (
	"context"
	"io"

	"postrider/internal/mail"
	"postrider/internal/store"
)

var keeperRules = []rule{
	{"SoundStoreHasNoFindings", testCheck},
	{"HealthyStoreSaysSo", testHealth},
	{"ClosedStoreRefusesEverything", testClosed},
	{"EndedContextChangesNothingByHalves", testEndedContext},
}

func testCheck(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	e.deliver(pattern(5000), inbox(a), inbox(b))
	uids := e.fill(a, "", pattern(300_000), "gone")
	e.ok(e.st.Remove(e.ctx, a, mail.Inbox, uids[2:]))
	_, err := e.st.CreateMailbox(e.ctx, b, "Sent")
	e.ok(err)
	for _, repair := range []bool{false, true} {
		r, err := e.st.Check(e.ctx, repair, func(f store.Finding) { e.Errorf("repair %v: found %+v", repair, f) })
		e.ok(err)
		if r.Findings != 0 || r.Accounts != 2 || r.Mailboxes != 3 {
			e.Errorf("repair %v: got %+v, want 2 accounts, 3 mailboxes, no findings", repair, r)
		}
	}
	e.counts(a, 3, 305_000)
}

func testHealth(e *env) {
	e.ok(e.st.Health())
	u, err := e.st.Usage(e.ctx)
	e.ok(err)
	if u.Engine == "" || u.Messages != 0 {
		e.Errorf("an empty store's usage is %+v", u)
	}
}

func testClosed(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "body")
	held := e.hold("held", inbox(id))
	e.ok(e.st.PutRecord(e.ctx, store.Record{Key: "key"}))
	a := e.accept("late", inbox(id))
	unused := e.content([]byte("unused"))
	d := e.maildrop(id, store.Exclusive, "test")
	_, cancel := e.st.Watch(id)
	e.ok(e.st.Close())

	ctx := e.ctx
	errs := map[string]error{}
	_, errs["NewContent"] = e.st.NewContent(ctx, 0)
	_, errs["Accept"] = e.st.Accept(ctx, a)
	_, errs["Domain"] = e.st.Domain(ctx, "a.test")
	_, errs["Entry"] = e.st.Entry(ctx, "alice@a.test")
	_, errs["Account"] = e.st.Account(ctx, id)
	_, errs["Change"] = e.st.Change(ctx, store.RemoveAccount{ID: id})
	_, errs["Mailbox"] = e.st.Mailbox(ctx, id, mail.Inbox)
	_, errs["ListMailboxes"] = e.st.ListMailboxes(ctx, id)
	_, errs["CreateMailbox"] = e.st.CreateMailbox(ctx, id, "Sent")
	_, errs["Open"] = e.st.Open(ctx, id, mail.Inbox, uids[0])
	_, errs["OpenMaildrop"] = e.st.OpenMaildrop(ctx, id, store.Snapshot, "test")
	_, errs["Check"] = e.st.Check(ctx, false, func(store.Finding) {})
	errs["SetFlags"] = e.st.SetFlags(ctx, id, mail.Inbox, uids, mail.Seen, 0)
	errs["Remove"] = e.st.Remove(ctx, id, mail.Inbox, uids)
	errs["Maildrop.Remove"] = d.Remove(ctx, uids)
	errs["List"] = listError(e.st.List(ctx, id, mail.Inbox, 0))
	errs["Domains"] = listError(e.st.Domains(ctx, ""))
	errs["Entries"] = listError(e.st.Entries(ctx, "", ""))
	errs["Accounts"] = listError(e.st.Accounts(ctx, "", ""))
	_, errs["Release"] = e.st.Release(ctx, held, day)
	_, errs["Record"] = e.st.Record(ctx, "key")
	errs["DropHeld"] = e.st.DropHeld(ctx, held)
	errs["Held"] = listError(e.st.Held(ctx))
	errs["ListRecords"] = listError(e.st.ListRecords(ctx, ""))
	errs["PutRecord"] = e.st.PutRecord(ctx, store.Record{Key: "key"})
	errs["RemoveRecord"] = e.st.RemoveRecord(ctx, "key")
	errs["Health"] = e.st.Health()
	for name, err := range errs {
		if err == nil {
			e.Errorf("%s after Close has no error", name)
		}
	}
	d.Close()
	cancel()
	unused.Discard()
	_, cancel = e.st.Watch(id)
	cancel()
	e.st.Close() // a second time must not panic
}

func testEndedContext(e *env) {
	id := e.account("alice@a.test")
	a := e.accept("body", inbox(id))
	ended, cancel := context.WithCancel(e.ctx)
	cancel()
	_, err := e.st.Accept(ended, a)
	b := e.box(id, mail.Inbox)
	if n := len(e.list(id, mail.Inbox)); int64(n) != b.Messages || n > 1 || err == nil && n != 1 {
		e.Fatalf("Accept says %v, %d messages are listed and %d counted", err, n, b.Messages)
	}
	again := store.Accept{ID: a.ID, Content: e.content([]byte("body")), Received: day, Deliveries: a.Deliveries}
	done, err := e.st.Accept(e.ctx, again)
	e.ok(err)
	e.counts(id, 1, 4)
	r, err := e.st.Open(e.ctx, id, mail.Inbox, done.Placed[0].UID)
	e.ok(err)
	got, err := io.ReadAll(r)
	e.ok(err)
	e.ok(r.Close())
	e.same("octets", string(got), "body")
}
