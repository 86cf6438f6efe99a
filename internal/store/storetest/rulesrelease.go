package storetest

import (
	"reflect"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

var releaseRules = []rule{
	{"ReleaseDeliversEachCopy", testRelease},
	{"ReleasedMailComesAfterWhatIsThere", testReleaseOrder},
	{"ReleaseWakesWatchers", testReleaseWakes},
	{"ReleaseLeavesOpenMaildropsAsTheyAre", testReleaseMaildrop},
	{"ReleasedContentIsStoredOnce", testReleaseStoredOnce},
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
