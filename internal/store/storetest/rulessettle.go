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

var settleRules = []rule{
	{"SettlementPutsARowBack", testSettleBack},
	{"SettlementHoldsARow", testSettleHeld},
	{"LastRowTakesItsMessageOut", testSettleLast},
	{"StaleSettlementsChangeNothing", testSettleStale},
	{"AcceptSettlesInTheSameCommit", testAcceptSettles},
	{"AcceptWithAStaleSettlementDoesNothing", testAcceptSettleStale},
}

var queueCareRules = []rule{
	{"ChangeRowsHoldsReleasesRetriesAndDrops", testChangeRows},
	{"ChangeRowsOfALeasedRowIsBusy", testChangeRowsBusy},
	{"SetAsideTakesARowOut", testSetAside},
	{"FrozenDestinationGivesNothing", testFreeze},
}

func testSettleBack(e *env) {
	o := onward("a@far.test")
	e.enqueue("body", o)
	long := strings.Repeat("ü", store.MaxRowText)
	l := e.lease(far, 1, soon)
	s := retry(soon.Add(time.Hour+time.Microsecond), 1, l...)
	s[0].Progress = store.RowProgress{
		Attempts: 3, Last: soon.Add(1500 * time.Millisecond), Host: "mx.far.test [192.0.2.1]", Reply: "x" + long, Delayed: true, Uncertain: true,
	}
	e.settle("first", 1, s...)
	want := store.Row{Recipient: o.Envelope.Recipients[0], Due: soon.Add(time.Hour), RowProgress: s[0].Progress.Bounded()}
	if n := len(want.Reply); n > store.MaxRowText || n < store.MaxRowText-1 || !strings.HasSuffix(want.Reply, "ü") {
		e.Errorf("the reply was cut to %d octets", n)
	}
	if got := e.message(o.ID).Rows[0]; !reflect.DeepEqual(got, want) {
		e.Errorf("the row is %+v, want %+v", got, want)
	}
	e.leases("before it is due", e.lease(far, 1, soon.Add(time.Hour-1)), "")
	if all := e.lease(far, 1, soon.Add(time.Hour)); len(all) != 1 || all[0].Message.Rows[0].Attempts != 3 {
		e.Errorf("leased %+v", all)
	}
	e.usage("then", 1, 1, 4)
}

func testSettleHeld(e *env) {
	e.mailTo(1, "a@far.test", "b@far.test")
	s := retry(soon, 1, e.lease(far, 2, soon)...)
	s[0].State = store.RowHeld
	e.settle("both", 2, s...)
	q := e.message(mail.ID{1})
	if q.Rows[0].State != store.RowHeld || q.Rows[1].State != store.RowWaiting || q.Rows[0].Leased {
		e.Errorf("the rows are %+v", q.Rows)
	}
	e.leases("the other", e.lease(far, 5, soon), "1/1")
}

func testSettleLast(e *env) {
	id := e.mailTo(1, "a@far.test", "b@far.test", "c@far.test")
	l := e.lease(far, 3, soon)
	e.settle("the middle", 1, remove(l...)[1])
	if q := e.message(id); len(q.Rows) != 2 || q.Rows[1].Index != 2 {
		e.Errorf("the rows are %+v", q.Rows)
	}
	all := remove(l...)
	e.settle("the others, one of them twice", 2, all[0], all[2], all[2])
	_, err := e.st.QueuedMessage(e.ctx, id)
	e.fails("the message", err, fault.NotFound)
	e.contents("after it", 0)
	e.settle("once more", 0, all...)
	e.settle("nothing", 0)
}

func testSettleStale(e *env) {
	for id := range byte(4) {
		e.mailTo(id+1, "x@far.test")
	}
	old := e.lease(far, 4, soon)
	e.leases("again", e.lease(far, 1, soon.Add(2*time.Hour)), "1")
	_, err := e.st.ChangeRows(e.ctx, mail.ID{2}, nil, store.HoldRows, soon.Add(2*time.Hour))
	e.ok(err)
	_, err = e.st.ChangeRows(e.ctx, mail.ID{3}, nil, store.DropRows, soon.Add(2*time.Hour))
	e.ok(err)
	e.settle("leased again, changed, removed, and only ended", 1, remove(old...)...)
	var left []byte
	for _, q := range e.queued() {
		left = append(left, q.ID[0])
	}
	if !slices.Equal(left, []byte{1, 2}) {
		e.Errorf("left are %v", left)
	}
	never := store.Settlement{RowLease: store.RowLease{Row: store.RowID{Message: mail.ID{1}}}, Remove: true}
	e.settle("without a fence", 0, never)
	many := slices.Repeat([]store.Settlement{never}, store.MaxSettlements)
	e.settle("as many as there may be", 0, many...)
	_, err = e.st.Settle(e.ctx, append(many, never))
	e.fails("one more", err, fault.TooLarge)
	l, err := e.st.LeaseRows(e.ctx, mail.ID{2}, nil, soon.Add(time.Hour))
	e.ok(err)
	s := retry(soon, 1, l)
	e.settle("put back", 1, s...)
	e.settle("and settled again", 0, s...)
}

func testAcceptSettles(e *env) {
	alice := e.account("alice@a.test")
	for _, to := range [][]store.Delivery{{inbox(alice)}, nil} {
		o := onward("a@far.test", "b@far.test")
		e.enqueue("original", o)
		l, err := e.st.LeaseRows(e.ctx, o.ID, nil, soon.Add(time.Hour))
		e.ok(err)
		a := e.accept("notice", to...)
		a.Settle = remove(l)
		a.Settle[1] = retry(soon.Add(time.Hour), 1, l)[1]
		if to == nil {
			a.Onward = []store.Passage{e.pass(onward("sender@near.test"))}
		}
		_, err = e.st.Accept(e.ctx, a)
		e.ok(err)
		q := e.message(o.ID)
		if len(q.Rows) != 1 || q.Rows[0].Attempts != 1 || q.Rows[0].Leased {
			e.Errorf("the rows are %+v", q.Rows)
		}
		a.Content = e.content([]byte("notice"))
		if done, err := e.st.Accept(e.ctx, a); err != nil || !done.Repeated {
			e.Errorf("the repetition says %+v, %v", done, err)
		}
	}
	e.counts(alice, 1, 6)
	e.usage("at last", 3, 3, 22)
}

func testAcceptSettleStale(e *env) {
	alice := e.account("alice@a.test")
	e.mailTo(1, "a@far.test")
	e.mailTo(2, "a@far.test")
	old := e.lease(far, 1, soon)
	now := e.lease(far, 2, soon.Add(2*time.Hour))
	for _, s := range [][]store.Settlement{
		slices.Concat(remove(now...), remove(old...)),
		slices.Concat(remove(now...), remove(now[1])),
	} {
		a := e.accept("notice", inbox(alice))
		a.Onward = []store.Passage{e.pass(onward("b@near.test"))}
		a.Settle = s
		_, err := e.st.Accept(e.ctx, a)
		e.fails("Accept with a stale settlement", err, fault.Denied)
		e.counts(alice, 0, 0)
		e.usage("after it", 2, 2, 18)
	}
	e.contents("after it", 2)
	e.settle("the good ones", 2, remove(now...)...)
}

func testChangeRows(e *env) {
	o := onward("a@far.test", "b@far.test", "c@far.test", "d@far.test")
	o.Due = soon.Add(time.Hour)
	e.enqueue("body", o)
	name := func(i int) string { return fmt.Sprint(o.ID[0], "/", i) }
	change := func(do store.RowChange, now time.Time, want int, rows ...int) {
		e.Helper()
		n, err := e.st.ChangeRows(e.ctx, o.ID, rows, do, now)
		if err != nil || n != want {
			e.Fatalf("change %d of rows %v: %d were changed, %v, want %d", do, rows, n, err, want)
		}
	}
	change(store.HoldRows, soon, 2, 1, 0, 1)
	change(store.HoldRows, soon, 1, 0, 1, 2, 9)
	change(store.RetryRows, soon.Add(time.Minute+time.Microsecond), 1)
	change(store.RetryRows, soon.Add(time.Minute), 0)
	e.leases("retried", e.lease(far, 9, soon.Add(time.Minute)), name(3))
	change(store.ReleaseRows, soon.Add(time.Second), 2, 1, 2)
	change(store.ReleaseRows, soon, 0, 2)
	e.leases("released", e.lease(far, 9, soon.Add(time.Second)), name(1)+" "+name(2))
	_, err := e.st.ChangeRows(e.ctx, mail.ID{1}, nil, store.HoldRows, soon)
	e.fails("ChangeRows of a message that is not there", err, fault.NotFound)
	change(store.DropRows, soon.Add(9*time.Hour), 1, 0, 7)
	e.usage("without the first", 1, 3, 4)
	change(store.DropRows, soon.Add(9*time.Hour), 3)
	e.usage("without any", 0, 0, 0)
	e.contents("without any", 0)
}

func testChangeRowsBusy(e *env) {
	e.mailTo(1, "a@far.test", "b@near.test")
	l := e.lease(far, 1, soon)
	for do := store.HoldRows; do <= store.DropRows; do++ {
		_, err := e.st.ChangeRows(e.ctx, mail.ID{1}, nil, do, soon)
		e.fails("ChangeRows of all", err, fault.Busy)
	}
	if q := e.message(mail.ID{1}); q.Rows[1].State != store.RowWaiting {
		e.Errorf("the row that is not leased was changed: %+v", q.Rows)
	}
	n, err := e.st.ChangeRows(e.ctx, mail.ID{1}, []int{1}, store.DropRows, soon)
	if err != nil || n != 1 {
		e.Errorf("the other row: %d, %v", n, err)
	}
	e.settle("the leased one", 1, remove(l...)...)
	e.usage("then", 0, 0, 0)
}

func testSetAside(e *env) {
	e.mailTo(1, "a@far.test", "b@far.test")
	old := rowLeases(e.lease(far, 2, soon)...)
	rows := rowLeases(e.lease(far, 2, soon.Add(2*time.Hour))...)
	e.fails("SetAside with a stale fence", e.st.SetAside(e.ctx, old[0]), fault.Denied)
	e.ok(e.st.SetAside(e.ctx, rows[0]))
	e.usage("without one row", 1, 1, 9)
	e.fails("SetAside again", e.st.SetAside(e.ctx, rows[0]), fault.Denied)
	e.ok(e.st.SetAside(e.ctx, rows[1]))
	e.usage("without rows", 0, 0, 0)
	e.leases("nothing", e.lease(far, 9, soon.Add(9*time.Hour)), "")
	if _, err := e.st.Check(e.ctx, false, func(f store.Finding) { e.Errorf("found %+v", f) }); err != nil {
		e.Error(err)
	}
}

func testFreeze(e *env) {
	e.mailTo(1, "a@far.test")
	e.mailTo(2, "a@far.test", "a@near.test")
	l := e.lease(far, 1, soon)
	e.fails("Thaw of what is not frozen", e.st.Thaw(e.ctx, far), fault.NotFound)
	e.fails("Freeze of no destination", e.st.Freeze(e.ctx, "", "x", soon), fault.Invalid)
	e.ok(e.st.Freeze(e.ctx, far, "first", soon))
	e.ok(e.st.Freeze(e.ctx, far, "they asked us to", soon.Add(time.Second)))
	e.ok(e.st.Freeze(e.ctx, "another.test", "", soon))
	e.leases("frozen", e.lease(far, 9, soon), "")
	e.leases("another", e.lease("near.test", 9, soon), "2/1")
	want := []store.FrozenDestination{
		{Name: "another.test", Since: soon.Truncate(time.Second)},
		{Name: far, Why: "they asked us to", Since: soon.Add(time.Second).Truncate(time.Second)},
	}
	got := collect(e, e.st.Frozen(e.ctx))
	for i := range got {
		got[i].Since = got[i].Since.UTC()
	}
	if !slices.Equal(got, want) {
		e.Errorf("frozen are %+v, want %+v", got, want)
	}
	if d, err := e.st.Destination(e.ctx, far); err != nil || !d.Frozen {
		e.Errorf("%+v, %v, want it frozen", d, err)
	}
	e.settle("leased before", 1, remove(l...)...)
	e.ok(e.st.Thaw(e.ctx, far))
	e.leases("thawed", e.lease(far, 9, soon), "2")
	if n := len(collect(e, e.st.Frozen(e.ctx))); n != 1 {
		e.Errorf("%d are frozen, want one", n)
	}
}
