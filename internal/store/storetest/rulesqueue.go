package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

var queueRules = []rule{
	{"WarrantIsNeededToGoOnward", testDenied},
	{"PassRefusesWhatHasNoNameOrPlace", testPassInvalid},
	{"AcceptMakesDeliveriesAndSeveralPassagesAtOnce", testAcceptOnward},
	{"QueuedSaysWhatAcceptWasTold", testQueuedShown},
	{"AcceptThatGoesNowhereIsInvalid", testGoesNowhere},
	{"OnwardNeedsAnIDOfItsOwn", testOnwardIDs},
	{"RefusedDeliveryKeepsMailOutOfTheQueue", testOnwardRefused},
	{"AcceptWithOnwardIsIdempotent", testOnwardIdempotent},
	{"HoldSaysNothingOfWhatGoesOnward", testOnwardHeld},
	{"QueueSharesTheContentWithLocalCopies", testQueueSharesContent},
	{"ReaderOfAQueuedMessageSurvivesItsRemoval", testQueuedReader},
	{"QueuedAreListedByIDAfterAnID", testQueuedOrder},
	{"QueueUsageIsKept", testQueueUsage},
	{"RemovedAccountsMailGoesOut", testQueueOfRemovedAccount},
	{"CheckCountsQueuedMessages", testQueueCheck},
	{"DestinationsAreSkippedAfterAName", testDestinations},
	{"DestinationIsDueWithItsFirstWaitingRow", testDestinationDue},
	{"WaitingRowsAreThoseOfTheDestinationUpToALimit", testWaiting},
}

// soon is when queue rules play: engines end leases by the clock, too.
var soon = time.Now().Truncate(time.Millisecond).UTC()

// recipients turns addresses into an envelope's recipients.
func recipients(addresses ...string) []mail.Recipient {
	var all []mail.Recipient
	for _, a := range addresses {
		local, domain, _ := strings.Cut(a, "@")
		all = append(all, mail.Recipient{Address: mail.Address{Local: local, Domain: domain}})
	}
	return all
}

// onward is a message of a new ID that is due at once.
func onward(addresses ...string) store.Onward {
	id := mail.NewID(time.Now())
	e := mail.Envelope{From: mail.Address{Local: "a", Domain: "a.test"}, Recipients: recipients(addresses...)}
	return store.Onward{ID: id, Envelope: e, Due: soon}
}

func (e *env) pass(messages ...store.Onward) store.Passage {
	e.Helper()
	p, err := store.Pass(store.AccountWarrant(7, "a@a.test"), messages...)
	e.ok(err)
	return p
}

// enqueue puts messages with one content into the queue.
func (e *env) enqueue(octets string, messages ...store.Onward) {
	e.Helper()
	a := e.accept(octets)
	a.Onward = []store.Passage{e.pass(messages...)}
	_, err := e.st.Accept(e.ctx, a)
	e.ok(err)
}

// mailTo enqueues a message with an ID that begins with an octet.
func (e *env) mailTo(id byte, addresses ...string) mail.ID {
	e.Helper()
	o := onward(addresses...)
	o.ID = mail.ID{id}
	e.enqueue(fmt.Sprint("message ", id), o)
	return o.ID
}

func (e *env) queued() []store.QueuedMessage {
	e.Helper()
	return collect(e, e.st.Queued(e.ctx, mail.ID{}))
}

func (e *env) message(id mail.ID) store.QueuedMessage {
	e.Helper()
	q, err := e.st.QueuedMessage(e.ctx, id)
	e.ok(err)
	return q
}

func (e *env) usage(what string, messages, rows, octets int64) {
	e.Helper()
	u, err := e.st.QueueUsage(e.ctx)
	e.ok(err)
	if want := (store.QueueUsage{Messages: messages, Rows: rows, Octets: octets}); u != want {
		e.Fatalf("%s the queue has %+v, want %+v", what, u, want)
	}
}

func testDenied(e *env) {
	for _, w := range []store.Warrant{{}, store.AccountWarrant(0, "a@a.test"), store.ClientWarrant(""), store.AliasWarrant("")} {
		_, err := store.Pass(w, onward("x@far.test"))
		e.fails("Pass without a warrant", err, fault.Denied)
	}
	a := e.accept("body")
	a.Onward = []store.Passage{{}}
	_, err := e.st.Accept(e.ctx, a)
	e.fails("Accept with an empty passage", err, fault.Invalid)
	if q := e.queued(); len(q) != 0 {
		e.Errorf("queued: %+v", q)
	}
	e.contents("after refusals", 0)
}

func testPassInvalid(e *env) {
	w := store.ServerWarrant("test")
	none, two := onward("x@far.test"), onward("x@far.test")
	none.ID = mail.ID{}
	for _, messages := range [][]store.Onward{
		{none},
		{onward()},
		{two, two},
		{onward("postmaster")},
		{onward("x@far.\x00test")},
		{onward("x@" + strings.Repeat("y", store.MaxDestination+1))},
	} {
		_, err := store.Pass(w, messages...)
		e.fails(fmt.Sprintf("Pass of %.100v", messages), err, fault.Invalid)
	}
	if _, err := store.Pass(w, onward("x@"+strings.Repeat("y", store.MaxDestination))); err != nil {
		e.Error(err)
	}
}

func testAcceptOnward(e *env) {
	alice := e.account("alice@a.test")
	d := inbox(alice)
	d.Prefix = []byte("Delivered-To: alice@a.test\r\n")
	a := e.accept(pattern(5000), d)
	first, second, third := onward("x@far.test", "y@near.test"), onward("z@far.test"), onward("v@v.test")
	first.Prefix, third.Prefix = []byte("Received: one\r\n"), []byte("Received: three\r\n")
	alias, err := store.Pass(store.AliasWarrant("list@a.test"), third)
	e.ok(err)
	a.Onward = []store.Passage{e.pass(first, second), alias}
	done, err := e.st.Accept(e.ctx, a)
	e.ok(err)
	if len(done.Placed) != 1 {
		e.Fatalf("placed %+v, want one copy", done.Placed)
	}
	e.contents("for all", 1)
	e.same("the copy", e.read(alice, mail.Inbox, done.Placed[0].UID), string(d.Prefix)+pattern(5000))
	e.same("the first", e.octets(e.st.OpenQueued(e.ctx, first.ID)), string(first.Prefix)+pattern(5000))
	e.same("the second", e.octets(e.st.OpenQueued(e.ctx, second.ID)), pattern(5000))
	e.same("the third", e.octets(e.st.OpenQueued(e.ctx, third.ID)), string(third.Prefix)+pattern(5000))
	e.usage("then", 3, 4, int64(3*5000+len(first.Prefix)+len(third.Prefix)))
	if w := e.message(third.ID).Warrant; w != store.AliasWarrant("list@a.test") {
		e.Errorf("the third goes under %+v", w)
	}
}

func testQueuedShown(e *env) {
	for _, n := range []int{0, 100, 300_000} {
		a := e.accept(pattern(n))
		a.Received = day.Add(123 * time.Millisecond)
		o := store.Onward{
			ID: mail.NewID(time.Now()), Envelope: envelope(mail.ID{9}), Prefix: []byte("Received: x\r\n"),
			Due: day.Add(time.Hour + 1234*time.Microsecond), Notify: mail.Address{Local: "owner", Domain: "list.test"},
		}
		o.Envelope.Hold = day.Add(time.Hour + time.Millisecond)
		a.Onward = []store.Passage{e.pass(o)}
		want := store.QueuedMessage{
			ID: o.ID, AcceptID: a.ID, Accepted: day, Size: int64(len(o.Prefix) + n), Envelope: o.Envelope,
			Notify: o.Notify, Warrant: store.AccountWarrant(7, "a@a.test"),
		}
		want.Envelope.ID, want.Envelope.Hold, want.Envelope.Recipients = o.ID, day.Add(time.Hour), nil
		for i, r := range o.Envelope.Recipients {
			want.Rows = append(want.Rows, store.Row{Index: i, Recipient: r, Due: day.Add(time.Hour + time.Millisecond)})
		}
		_, err := e.st.Accept(e.ctx, a)
		e.ok(err)
		o.Envelope.Recipients[0].Address.Local = "changed" // the caller's again
		for range 2 {
			got := e.message(o.ID)
			if !reflect.DeepEqual(got, want) {
				e.Fatalf("it is\n%+v, want\n%+v", got, want)
			}
			got.Rows[0].Recipient.Address.Local = "changed"
			all := e.queued()
			at := slices.IndexFunc(all, func(q store.QueuedMessage) bool { return q.ID == o.ID })
			if at < 0 || !reflect.DeepEqual(all[at], want) {
				e.Fatalf("it is listed as\n%+v, want\n%+v", all, want)
			}
		}
	}
}

func testGoesNowhere(e *env) {
	_, err := e.st.Accept(e.ctx, e.accept("body"))
	e.fails("Accept without deliveries and onwards", err, fault.Invalid)
	e.contents("after it", 0)
}

func testOnwardIDs(e *env) {
	o := onward("x@far.test")
	e.enqueue("first", o)
	a := e.accept("again")
	a.Onward = []store.Passage{e.pass(o)}
	_, err := e.st.Accept(e.ctx, a)
	e.fails("a message whose ID is in the queue", err, fault.Exists)
	twice := onward("x@far.test")
	a = e.accept("twice")
	a.Onward = []store.Passage{e.pass(twice), e.pass(twice)}
	_, err = e.st.Accept(e.ctx, a)
	e.fails("two messages of one ID", err, fault.Invalid)
	e.usage("after refusals", 1, 1, 5)
	e.contents("after refusals", 1)
}

func testOnwardRefused(e *env) {
	a := e.accept("body", inbox(99))
	a.Onward = []store.Passage{e.pass(onward("x@far.test"))}
	_, err := e.st.Accept(e.ctx, a)
	e.fails("Accept for an account that is not there", err, fault.NotFound)
	e.usage("after it", 0, 0, 0)
	e.contents("after it", 0)
}

func testOnwardIdempotent(e *env) {
	alice := e.account("alice@a.test")
	a := e.accept("body", inbox(alice))
	a.Onward = []store.Passage{e.pass(onward("x@far.test", "y@far.test"))}
	for i := range 3 {
		done, err := e.st.Accept(e.ctx, a)
		e.ok(err)
		if done.Repeated != (i > 0) || len(done.Placed) != 1 {
			e.Errorf("Accept number %d says %+v", i, done)
		}
		a.Content = e.content([]byte("body"))
		e.usage("then", 1, 2, 4)
	}
	e.counts(alice, 1, 4)
	// An Onward may have its Accept's ID, and is remembered as the Accept is.
	b := e.accept("other")
	o := onward("x@far.test")
	o.ID = b.ID
	b.Onward = []store.Passage{e.pass(o)}
	for i := range 2 {
		done, err := e.st.Accept(e.ctx, b)
		if e.ok(err); done.Repeated != (i > 0) {
			e.Errorf("Accept number %d says %+v", i, done)
		}
		b.Content = e.content([]byte("other"))
	}
	e.usage("then", 2, 3, 9)
}

func testOnwardHeld(e *env) {
	alice := e.account("alice@a.test")
	a := e.holdFor(time.Hour, "body", inbox(alice))
	o := onward("x@far.test")
	o.Prefix = []byte("X: 1\r\n")
	a.Onward = []store.Passage{e.pass(o)}
	done, err := e.st.Accept(e.ctx, a)
	e.ok(err)
	if len(done.Placed) != 0 || len(e.held()) != 1 || len(e.queued()) != 1 {
		e.Errorf("placed %+v, held %+v, queued %+v, want none, one and one", done, e.held(), e.queued())
	}
	e.contents("for both", 1)
	e.ok(e.st.DropHeld(e.ctx, a.ID))
	e.same("what is queued", e.octets(e.st.OpenQueued(e.ctx, o.ID)), "X: 1\r\nbody")
	alone := e.accept("alone")
	alone.Hold = day
	alone.Onward = []store.Passage{e.pass(onward("x@far.test"))}
	_, err = e.st.Accept(e.ctx, alone)
	e.ok(err)
	if len(e.held()) != 0 || len(e.queued()) != 2 {
		e.Errorf("without deliveries: held %+v, queued %d, want none and 2", e.held(), len(e.queued()))
	}
}

func testQueueSharesContent(e *env) {
	alice := e.account("alice@a.test")
	for _, n := range []int{100, 300_000} {
		a := e.accept(pattern(n), inbox(alice))
		o, other := onward("x@far.test", "y@other.test"), onward("z@far.test")
		a.Onward = []store.Passage{e.pass(o, other)}
		done, err := e.st.Accept(e.ctx, a)
		e.ok(err)
		e.contents("at first", 1)
		e.ok(e.st.Remove(e.ctx, alice, mail.Inbox, []mail.UID{done.Placed[0].UID}))
		e.contents("without the local copy", 1)
		e.removeRows(o.ID, 0)
		e.removeRows(other.ID, 0)
		e.contents("with one row", 1)
		e.same("the last", e.octets(e.st.OpenQueued(e.ctx, o.ID)), pattern(n))
		e.removeRows(o.ID, 1)
		e.contents("without rows", 0)
		_, err = e.st.OpenQueued(e.ctx, o.ID)
		e.fails("OpenQueued after the last row", err, fault.NotFound)
		_, err = e.st.QueuedMessage(e.ctx, o.ID)
		e.fails("QueuedMessage after the last row", err, fault.NotFound)
	}
	e.usage("at last", 0, 0, 0)
}

func testQueuedReader(e *env) {
	for _, n := range []int{100, 300_000} {
		o := onward("x@far.test")
		e.enqueue(pattern(n), o)
		r, err := e.st.OpenQueued(e.ctx, o.ID)
		e.ok(err)
		e.removeRows(o.ID, 0)
		e.contents("after the removal", 0)
		if env, err := r.Envelope(); err != nil || env.EnvID != "QQ314159" {
			e.Errorf("the reader's envelope is %+v, %v, want that of the Accept", env, err)
		}
		e.same("the reader", e.octets(r, nil), pattern(n))
	}
}

func testQueuedOrder(e *env) {
	for _, id := range []byte{5, 1, 4, 2, 3} {
		e.mailTo(id, "x@far.test", "y@far.test")
	}
	for after := range byte(6) {
		var got []byte
		for _, q := range collect(e, e.st.Queued(e.ctx, mail.ID{after})) {
			got = append(got, q.ID[0])
			if len(q.Rows) != 2 || q.Rows[0].Index != 0 || q.Rows[1].Index != 1 {
				e.Errorf("message %d has the rows %+v", q.ID[0], q.Rows)
			}
		}
		if want := []byte{1, 2, 3, 4, 5}[after:]; !slices.Equal(got, want) {
			e.Errorf("after %d: %v, want %v", after, got, want)
		}
	}
	for q, err := range e.st.Queued(e.ctx, mail.ID{}) { // it may be left, and is of one moment
		e.ok(err)
		if q.ID[0] == 1 {
			e.removeRows(mail.ID{2}, 0, 1)
			e.removeRows(mail.ID{3}, 0)
			continue
		}
		if q.ID[0] == 3 && len(q.Rows) != 2 {
			e.Errorf("message 3 is not as it was: %+v", q)
		}
		if q.ID[0] == 4 {
			break
		}
	}
}

func testQueueUsage(e *env) {
	e.usage("at first", 0, 0, 0)
	a := e.mailTo(1, "x@far.test", "y@near.test")
	e.mailTo(2, "x@far.test")
	e.usage("with two", 2, 3, 18)
	e.removeRows(a, 0)
	e.usage("with two rows", 2, 2, 18)
	e.removeRows(a, 1)
	e.usage("with one", 1, 1, 9)
}

func testQueueOfRemovedAccount(e *env) {
	alice := e.account("alice@a.test")
	p, err := store.Pass(store.AccountWarrant(alice, "alice@a.test"), onward("x@far.test"))
	e.ok(err)
	a := e.accept("body", inbox(alice))
	a.Onward = []store.Passage{p}
	_, err = e.st.Accept(e.ctx, a)
	e.ok(err)
	e.change(store.RemoveAccount{ID: alice})
	q := e.queued()
	if len(q) != 1 || q[0].Warrant.Account() != alice {
		e.Fatalf("queued: %+v", q)
	}
	e.same("what goes out", e.octets(e.st.OpenQueued(e.ctx, q[0].ID)), "body")
	e.contents("after the removal", 1)
}

func testQueueCheck(e *env) {
	e.mailTo(1, "x@far.test", "y@near.test")
	e.mailTo(2, "x@far.test")
	_, err := e.st.ChangeRows(e.ctx, mail.ID{1}, []int{1}, store.HoldRows, soon)
	e.ok(err)
	r, err := e.st.Check(e.ctx, false, func(f store.Finding) { e.Errorf("found %+v", f) })
	if err != nil || r.Queued != 2 {
		e.Errorf("check counts %+v, %v, want two in the queue", r, err)
	}
}

func (e *env) names(after string) []string {
	e.Helper()
	var names []string
	for _, d := range collect(e, e.st.Destinations(e.ctx, after)) {
		names = append(names, d.Name)
	}
	return names
}

func testDestinations(e *env) {
	all := []string{"a.test", "a.test.example", "aa.test", "b.test", "[192.0.2.1]", "[IPv6:2001:db8::1]", "jürgen.test"}
	for i, name := range all {
		e.mailTo(byte(i+1), "x@"+name, "y@"+name, "z@"+all[0])
	}
	slices.Sort(all)
	for i, after := range append([]string{""}, all...) {
		if got := e.names(after); !slices.Equal(got, all[i:]) {
			e.Errorf("after %q: %q, want %q", after, got, all[i:])
		}
	}
	if got, want := e.names("a.test."), all[slices.Index(all, "a.test")+1:]; !slices.Equal(got, want) {
		e.Errorf("after a name that is not there: %q, want %q", got, want)
	}
	for range e.st.Destinations(e.ctx, "") {
		break // it may be left
	}
	for i := range 600 { // more than an engine may read at once
		e.mailTo(byte(100), fmt.Sprintf("x@m%03d.test", i))
		e.removeMessageKeepingDestinations(i)
	}
	if got := e.names("m"); len(got) != 1 {
		e.Errorf("got %d names, want the last", len(got))
	}
}

// removeMessageKeepingDestinations drops message 100 but for the last time.
func (e *env) removeMessageKeepingDestinations(i int) {
	if i < 599 {
		_, err := e.st.ChangeRows(e.ctx, mail.ID{100}, nil, store.DropRows, soon)
		e.ok(err)
	}
}

func testDestinationDue(e *env) {
	_, err := e.st.Destination(e.ctx, "far.test")
	e.fails("Destination without rows", err, fault.NotFound)
	due := func(name string, want time.Time) {
		e.Helper()
		d, err := e.st.Destination(e.ctx, name)
		e.ok(err)
		if d.Name != name || !d.Due.Equal(want) || d.Frozen {
			e.Errorf("%s: %+v, want due at %v", name, d, want)
		}
		if all := collect(e, e.st.Destinations(e.ctx, "")); !slices.Contains(all, d) {
			e.Errorf("%+v is not among %+v", d, all)
		}
	}
	for i, add := range []time.Duration{3 * time.Hour, time.Hour, 2 * time.Hour} {
		o := onward("x@far.test", "x@near.test")
		o.ID, o.Due, o.Envelope.Priority = mail.ID{byte(i + 1)}, soon.Add(add), int8(3*i)
		e.enqueue("body", o)
		due("far.test", soon.Add(min(add, []time.Duration{3, 1, 1}[i]*time.Hour)))
	}
	_, err = e.st.LeaseRows(e.ctx, mail.ID{2}, []int{0}, soon.Add(time.Hour))
	e.ok(err)
	due("far.test", soon.Add(2*time.Hour))
	due("near.test", soon.Add(time.Hour))
	_, err = e.st.ChangeRows(e.ctx, mail.ID{3}, nil, store.HoldRows, soon)
	e.ok(err)
	due("far.test", soon.Add(3*time.Hour))
	_, err = e.st.LeaseRows(e.ctx, mail.ID{1}, []int{0}, soon.Add(time.Hour))
	e.ok(err)
	_, err = e.st.Destination(e.ctx, "far.test")
	e.fails("Destination of leased and held rows", err, fault.NotFound)
	if got := e.names(""); !slices.Equal(got, []string{"near.test"}) {
		e.Errorf("destinations are %q", got)
	}
}

// waiting names the rows that wait for far.test: their message's first octet and
// index, with ! if they are leased.
func (e *env) waiting(limit int) string {
	e.Helper()
	all, err := e.st.Waiting(e.ctx, far, limit)
	e.ok(err)
	var names []string
	for _, r := range all {
		if r.Recipient.Address.Domain != far || r.State != store.RowWaiting {
			e.Errorf("%+v is among those that wait", r)
		}
		names = append(names, fmt.Sprintf("%d/%d%s", r.Message[0], r.Index, map[bool]string{true: "!"}[r.Leased]))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func testWaiting(e *env) {
	e.same("of nothing", e.waiting(10), "")
	for i := range 4 {
		o := onward("x@far.test", "x@near.test", "y@far.test", "x@far.test.example", "x@a.far.test")
		o.ID, o.Due, o.Envelope.Priority = mail.ID{byte(i + 1)}, soon.Add(time.Duration(i)*time.Hour), int8(2*i-3)
		e.enqueue("body", o)
	}
	l := e.lease(far, 1, soon)
	e.settle("tried", 1, retry(soon.Add(5*time.Hour), 1, l...)...)
	e.lease(far, 1, soon)
	_, err := e.st.ChangeRows(e.ctx, mail.ID{2}, []int{0}, store.HoldRows, soon)
	e.ok(err)
	e.removeRows(mail.ID{3}, 2)
	e.ok(e.st.Freeze(e.ctx, far, "why", soon))
	e.same("with one leased, held, gone", e.waiting(10), "1/0 1/2! 2/2 3/0 4/0 4/2")
	for limit := range 7 {
		if got := len(strings.Fields(e.waiting(limit))); got != limit && got != 6 {
			e.Errorf("%d rows, want %d", got, limit)
		}
	}
}
