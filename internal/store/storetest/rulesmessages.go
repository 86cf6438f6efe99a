package storetest

import (
	"bytes"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

var messageRules = []rule{
	{"OctetsAreKeptExactly", testOctets},
	{"ReaderReadsAtAnyPlaceAndAtOnce", testReader},
	{"CallersMayReuseTheirBuffers", testBuffersReused},
	{"PrefixIsPerCopyAndCountsInSize", testPrefix},
	{"RecordSaysWhatAcceptWasTold", testRecord},
	{"EnvelopeIsKept", testEnvelope},
	{"ContentIsStoredOnceHoweverManyCopies", testStoredOnce},
	{"TwoDeliveriesToOneMailboxAreOne", testOneDelivery},
	{"UnknownAccountMeansNothingForTheOthers", testAtomicNotFound},
	{"UnknownMailboxMeansNothingForTheOthers", testAtomicNoMailbox},
	{"AcceptIsIdempotent", testIdempotent},
	{"RefusedAcceptIsNotRemembered", testRefusedNotRemembered},
	{"UIDsAscendAndAreNeverReused", testUIDs},
	{"UIDLIsUniqueAndPrintable", testUIDL},
	{"ModSeqGrowsWithEveryChange", testModSeq},
	{"CountsFollowDeliveriesAndRemovals", testCounts},
	{"DiscardedContentLeavesNothing", testDiscard},
	{"RemovedMessageIsNotFound", testRemovedNotFound},
}

// sizes are around what engines tell apart: nothing, one block, small and large.
var sizes = []int{0, 1, 2, 511, 4096, 32<<10 - 1, 32 << 10, 64<<10 + 1, 128 << 10, 128<<10 + 1, 3<<20 + 7}

func testOctets(e *env) {
	id := e.account("alice@a.test")
	bodies := []string{"\x00", "\x00\x00\r\n.\r\n", "bare\rCR and\nLF", "no end of line", "\xff\xfe\x80"}
	for _, n := range sizes {
		bodies = append(bodies, pattern(n))
	}
	uids := e.fill(id, bodies...)
	for i, uid := range uids {
		e.same("octets", e.read(id, mail.Inbox, uid), bodies[i])
	}
	for i, m := range e.list(id, mail.Inbox) {
		if m.Size != int64(len(bodies[i])) {
			e.Errorf("message %d has size %d, want %d", m.UID, m.Size, len(bodies[i]))
		}
	}
}

func testReader(e *env) {
	id := e.account("alice@a.test")
	for _, n := range []int{0, 5000, 300_000} {
		d := inbox(id)
		d.Prefix = []byte("Delivered-To: alice@a.test\r\n")
		body := pattern(n)
		want := string(d.Prefix) + body
		uid := e.deliver(body, d)[0].UID
		r, err := e.st.Open(e.ctx, id, mail.Inbox, uid)
		e.ok(err)
		for _, off := range []int{0, 3, len(d.Prefix) - 1, len(d.Prefix), len(want) / 2, len(want) - 1} {
			off = min(max(off, 0), len(want))
			part := make([]byte, min(700, len(want)-off))
			if got, err := r.ReadAt(part, int64(off)); err != nil && err != io.EOF || got != len(part) {
				e.Fatalf("ReadAt(%d octets, %d) = %d, %v", len(part), off, got, err)
			}
			e.same("ReadAt", string(part), want[off:off+len(part)])
		}
		if got, err := r.ReadAt(make([]byte, 10), int64(len(want))); got != 0 || err != io.EOF {
			e.Errorf("ReadAt the end = %d, %v, want 0, EOF", got, err)
		}
		var b bytes.Buffer
		written, err := r.WriteTo(&b)
		e.ok(err)
		if written != int64(len(want)) {
			e.Errorf("WriteTo says %d octets, want %d", written, len(want))
		}
		e.same("WriteTo", b.String(), want)
		e.ok(r.Close())
	}
}

func testBuffersReused(e *env) {
	id := e.account("alice@a.test")
	c, err := e.st.NewContent(e.ctx, 5)
	e.ok(err)
	buf := []byte("first")
	_, err = c.Write(buf)
	e.ok(err)
	copy(buf, "XXXXX")
	d := inbox(id)
	d.Prefix = []byte("P: 1\r\n")
	a := store.Accept{ID: mail.NewID(time.Now()), Content: c, Received: day, Envelope: envelope(mail.ID{}), Deliveries: []store.Delivery{d}}
	done, err := e.st.Accept(e.ctx, a)
	e.ok(err)
	copy(d.Prefix, "XXXXXX")
	a.Envelope.Recipients[0].Address.Local = "changed"
	uid := done.Placed[0].UID
	done.Placed[0].UID = 99
	e.same("octets", e.read(id, mail.Inbox, uid), "P: 1\r\nfirst")
	r, err := e.st.Open(e.ctx, id, mail.Inbox, uid)
	e.ok(err)
	defer r.Close()
	env, err := r.Envelope()
	e.ok(err)
	if env.Recipients[0].Address.Local == "changed" {
		e.Error("the envelope shares memory with the caller's")
	}
}

func testPrefix(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	da, db := inbox(a), inbox(b)
	da.Prefix = []byte("Delivered-To: alice@a.test\r\n")
	body := pattern(1000)
	placed := e.deliver(body, da, db)
	e.same("with prefix", e.read(a, mail.Inbox, placed[0].UID), string(da.Prefix)+body)
	e.same("without prefix", e.read(b, mail.Inbox, placed[1].UID), body)
	e.counts(a, 1, int64(len(da.Prefix)+len(body)))
	e.counts(b, 1, int64(len(body)))
	if got, want := e.list(a, mail.Inbox)[0].Size, int64(len(da.Prefix)+len(body)); got != want {
		e.Errorf("size is %d, want %d", got, want)
	}
}

func testRecord(e *env) {
	id := e.account("alice@a.test")
	d := inbox(id)
	d.Flags = mail.Seen | mail.Flagged
	a := e.accept("body", d)
	a.Received = time.Date(2001, 2, 3, 4, 5, 6, 789_000_000, time.FixedZone("", 3600))
	done, err := e.st.Accept(e.ctx, a)
	e.ok(err)
	all := e.list(id, mail.Inbox)
	if len(all) != 1 || len(done.Placed) != 1 {
		e.Fatalf("got %d messages and %d placed, want one of each", len(all), len(done.Placed))
	}
	m, p := all[0], done.Placed[0]
	if p.Account != id || p.Mailbox != mail.Inbox || p.UID != m.UID || p.ModSeq != m.ModSeq {
		e.Errorf("placed %+v, listed %+v", p, m)
	}
	if want := a.Received.Truncate(time.Second); !m.Received.Equal(want) {
		e.Errorf("received %v, want %v", m.Received, want)
	}
	if m.Flags != d.Flags || m.ID != a.ID {
		e.Errorf("flags %v, ID %v; want %v, %v", m.Flags, m.ID, d.Flags, a.ID)
	}
}

func testEnvelope(e *env) {
	id := e.account("alice@a.test")
	full := e.accept("one", inbox(id))
	null := e.accept("two", inbox(id))
	null.Envelope = mail.Envelope{ID: null.ID, Recipients: []mail.Recipient{{Address: mail.Address{Local: "postmaster"}}}}
	for _, a := range []store.Accept{full, null} {
		done, err := e.st.Accept(e.ctx, a)
		e.ok(err)
		r, err := e.st.Open(e.ctx, id, mail.Inbox, done.Placed[0].UID)
		e.ok(err)
		got, err := r.Envelope()
		e.ok(err)
		e.ok(r.Close())
		if !reflect.DeepEqual(got, a.Envelope) {
			e.Errorf("got envelope %+v, want %+v", got, a.Envelope)
		}
	}
}

func testStoredOnce(e *env) {
	const copies, size = 10, 200_000
	var to []store.Delivery
	for i := range copies {
		to = append(to, inbox(e.account(string(rune('a'+i))+"@a.test")))
	}
	before, err := e.st.Usage(e.ctx)
	e.ok(err)
	placed := e.deliver(pattern(size), to...)
	during, err := e.st.Usage(e.ctx)
	e.ok(err)
	if n := during.Messages - before.Messages; n != 1 {
		e.Errorf("a message for %d counts as %d contents, want 1", copies, n)
	}
	if n := during.Octets - before.Octets; n < size || n >= 2*size {
		e.Errorf("a message of %d octets for %d takes %d octets", size, copies, n)
	}
	for i, p := range placed {
		e.same("before the last goes", e.read(p.Account, mail.Inbox, p.UID), pattern(size))
		if now, err := e.st.Usage(e.ctx); err != nil || now.Messages != during.Messages {
			e.Fatalf("after %d of %d removals there are %d contents, %v", i, copies, now.Messages, err)
		}
		e.ok(e.st.Remove(e.ctx, p.Account, mail.Inbox, []mail.UID{p.UID}))
	}
	after, err := e.st.Usage(e.ctx)
	e.ok(err)
	if after.Messages != before.Messages || after.Octets != before.Octets {
		e.Errorf("after the last removal usage is %+v, want that of before, %+v", after, before)
	}
}

func testOneDelivery(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	first, again := inbox(a), inbox(a)
	first.Prefix, again.Prefix = []byte("X: first\r\n"), []byte("X: second\r\n")
	placed := e.deliver("body", first, inbox(b), again)
	if len(placed) != 2 || placed[0].Account != a || placed[1].Account != b {
		e.Fatalf("placed %+v, want one for each account, in order", placed)
	}
	e.counts(a, 1, int64(len("X: first\r\nbody")))
	e.same("the first counts", e.read(a, mail.Inbox, placed[0].UID), "X: first\r\nbody")
}

func testAtomicNotFound(e *env) {
	a := e.account("alice@a.test")
	gone := e.account("gone@a.test")
	_, err := e.st.Change(e.ctx, store.RemoveAccount{ID: gone})
	e.ok(err)
	_, err = e.st.Accept(e.ctx, e.accept("body", inbox(a), inbox(gone)))
	e.fails("Accept for a removed account", err, fault.NotFound)
	_, err = e.st.Accept(e.ctx, e.accept("body", inbox(a+gone+1000), inbox(a)))
	e.fails("Accept for no account", err, fault.NotFound)
	e.counts(a, 0, 0)
	if all := e.list(a, mail.Inbox); len(all) != 0 {
		e.Errorf("listed %+v, want nothing", all)
	}
}

func testAtomicNoMailbox(e *env) {
	a := e.account("alice@a.test")
	_, err := e.st.Accept(e.ctx, e.accept("body", inbox(a), store.Delivery{Account: a, Mailbox: 77}))
	e.fails("Accept for no mailbox", err, fault.NotFound)
	e.counts(a, 0, 0)
}

func testIdempotent(e *env) {
	a, b := e.account("alice@a.test"), e.account("bob@a.test")
	first := e.accept("body", inbox(a), inbox(b))
	done, err := e.st.Accept(e.ctx, first)
	e.ok(err)
	again := e.accept("another body", inbox(a), inbox(b))
	again.ID = first.ID
	repeated, err := e.st.Accept(e.ctx, again)
	e.ok(err)
	if !repeated.Repeated {
		e.Error("the second Accept does not say that it is repeated")
	}
	if !slices.Equal(repeated.Placed, done.Placed) {
		e.Errorf("the second says %+v, want what the first said, %+v", repeated.Placed, done.Placed)
	}
	e.counts(a, 1, 4)
	e.counts(b, 1, 4)
	e.same("octets", e.read(a, mail.Inbox, done.Placed[0].UID), "body")

	e.ok(e.st.Remove(e.ctx, a, mail.Inbox, []mail.UID{done.Placed[0].UID}))
	again = e.accept("body", inbox(a), inbox(b))
	again.ID = first.ID
	if repeated, err = e.st.Accept(e.ctx, again); err != nil || !repeated.Repeated {
		e.Errorf("after the removal: %+v, %v, want it repeated", repeated, err)
	}
	e.counts(a, 0, 0)
}

func testRefusedNotRemembered(e *env) {
	a := e.account("alice@a.test")
	bad := e.accept("body", inbox(a), inbox(a+1000))
	_, err := e.st.Accept(e.ctx, bad)
	e.fails("Accept", err, fault.NotFound)
	good := e.accept("body", inbox(a))
	good.ID = bad.ID
	done, err := e.st.Accept(e.ctx, good)
	e.ok(err)
	if done.Repeated {
		e.Error("an ID whose Accept was refused is taken for repeated")
	}
	e.counts(a, 1, 4)
}

func testUIDs(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "1", "2", "3")
	highest := uids[2]
	if !slices.IsSorted(uids) || uids[0] == 0 || uids[0] == uids[1] || uids[1] == uids[2] {
		e.Fatalf("UIDs are %v, want them to ascend", uids)
	}
	validity := e.box(id, mail.Inbox).UIDValidity
	for range 3 {
		e.ok(e.st.Remove(e.ctx, id, mail.Inbox, []mail.UID{highest}))
		if next := e.box(id, mail.Inbox).UIDNext; next <= highest {
			e.Fatalf("UIDNext is %d after UID %d was given", next, highest)
		}
		uid := e.fill(id, "again")[0]
		if uid <= highest {
			e.Fatalf("UID %d was given after %d", uid, highest)
		}
		highest = uid
	}
	b := e.box(id, mail.Inbox)
	if b.UIDNext <= highest || b.UIDValidity != validity || validity == 0 {
		e.Errorf("UIDNext %d after UID %d, UIDVALIDITY %d after %d", b.UIDNext, highest, b.UIDValidity, validity)
	}
}

var uidlForm = regexp.MustCompile(`^[!-~]{1,70}$`) // RFC 1939 §7

func testUIDL(e *env) {
	id := e.account("alice@a.test")
	seen := map[string]bool{}
	for range 4 {
		uids := e.fill(id, "same", "same", "same")
		all := e.list(id, mail.Inbox)
		again := e.list(id, mail.Inbox)
		for i, m := range all {
			if !uidlForm.MatchString(m.UIDL) {
				e.Errorf("UIDL %q is not 1 to 70 printable ASCII octets", m.UIDL)
			}
			if seen[m.UIDL] {
				e.Errorf("UIDL %q was another message's", m.UIDL)
			}
			if m.UIDL != again[i].UIDL {
				e.Errorf("UIDL changed from %q to %q", m.UIDL, again[i].UIDL)
			}
			seen[m.UIDL] = true
		}
		e.ok(e.st.Remove(e.ctx, id, mail.Inbox, uids))
	}
}

func testModSeq(e *env) {
	id := e.account("alice@a.test")
	last := e.box(id, mail.Inbox).ModSeq
	grown := func(what string) {
		e.Helper()
		now := e.box(id, mail.Inbox).ModSeq
		if now <= last {
			e.Fatalf("%s: ModSeq is %d after %d", what, now, last)
		}
		last = now
	}
	uids := e.fill(id, "1")
	grown("first delivery")
	uids = append(uids, e.fill(id, "2")...)
	grown("second delivery")
	e.ok(e.st.SetFlags(e.ctx, id, mail.Inbox, uids, mail.Seen, 0))
	grown("flags")
	for _, m := range e.list(id, mail.Inbox) {
		if m.ModSeq > last || m.ModSeq == 0 {
			e.Errorf("message %d has ModSeq %d, its mailbox %d", m.UID, m.ModSeq, last)
		}
	}
	e.ok(e.st.Remove(e.ctx, id, mail.Inbox, uids[:1]))
	grown("removal")
}

func testCounts(e *env) {
	id := e.account("alice@a.test")
	e.counts(id, 0, 0)
	uids := e.fill(id, "12345", "", strings.Repeat("x", 100_000))
	e.counts(id, 3, 100_005)
	e.ok(e.st.SetFlags(e.ctx, id, mail.Inbox, uids, mail.Deleted, 0))
	e.counts(id, 3, 100_005)
	e.ok(e.st.Remove(e.ctx, id, mail.Inbox, []mail.UID{uids[0], uids[0], 4_000_000}))
	e.counts(id, 2, 100_000)
	e.ok(e.st.Remove(e.ctx, id, mail.Inbox, []mail.UID{uids[0]}))
	e.counts(id, 2, 100_000)
	e.ok(e.st.Remove(e.ctx, id, mail.Inbox, uids))
	e.counts(id, 0, 0)
}

func testDiscard(e *env) {
	id := e.account("alice@a.test")
	before, err := e.st.Usage(e.ctx)
	e.ok(err)
	for _, n := range []int{0, 10, 1 << 20} {
		c := e.content([]byte(pattern(n)))
		if c.Size() != int64(n) {
			e.Errorf("Size is %d, want %d", c.Size(), n)
		}
		c.Discard()
		c.Discard()
	}
	used := e.accept("kept", inbox(id))
	done, err := e.st.Accept(e.ctx, used)
	e.ok(err)
	used.Content.Discard()
	e.same("after Discard of an accepted content", e.read(id, mail.Inbox, done.Placed[0].UID), "kept")
	e.ok(e.st.Remove(e.ctx, id, mail.Inbox, []mail.UID{done.Placed[0].UID}))
	after, err := e.st.Usage(e.ctx)
	e.ok(err)
	if after.Messages != before.Messages || after.Octets != before.Octets {
		e.Errorf("usage is %+v, want that of before, %+v", after, before)
	}
}

func testRemovedNotFound(e *env) {
	id := e.account("alice@a.test")
	uids := e.fill(id, "1", "2")
	r, err := e.st.Open(e.ctx, id, mail.Inbox, uids[0])
	e.ok(err)
	e.ok(e.st.Remove(e.ctx, id, mail.Inbox, uids[:1]))
	_, err = e.st.Open(e.ctx, id, mail.Inbox, uids[0])
	e.fails("Open of a removed message", err, fault.NotFound)
	_, err = e.st.Open(e.ctx, id, mail.Inbox, 4_000_000)
	e.fails("Open of no message", err, fault.NotFound)
	_, err = e.st.Open(e.ctx, id, 77, uids[1])
	e.fails("Open in no mailbox", err, fault.NotFound)
	_, err = e.st.Open(e.ctx, id+1000, mail.Inbox, uids[1])
	e.fails("Open of no account", err, fault.NotFound)
	e.same("a reader opened before", e.octets(r, nil), "1")
	e.same("the other", e.read(id, mail.Inbox, uids[1]), "2")
}
