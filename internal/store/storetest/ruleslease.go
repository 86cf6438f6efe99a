package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

var leaseRules = []rule{
	{"LeaseGivesOutWhatIsDue", testLeaseDue},
	{"LeaseIsInOrder", testLeaseOrder},
	{"LeaseKeepsAFifthForRowsThatWereTried", testLeaseFifth},
	{"LeaseGathersTheRowsOfAMessage", testLeaseMessage},
	{"LeasedRowIsGivenToNobodyElse", testLeaseOnce},
	{"LeaseEndsAtItsTime", testLeaseEnds},
	{"UnleasedRowMayBeLeasedAtOnce", testUnlease},
	{"RowsOfOneDestinationHideThoseOfNoOther", testLeaseDestinations},
	{"LeaseRowsTakesThemWhateverTheirState", testLeaseRows},
	{"NewRowBeforeLeasedOnesIsFound", testLeaseBefore},
}

const far = "far.test"

// lease leases rows of a destination for an hour.
func (e *env) lease(destination string, limit int, now time.Time) []store.Leased {
	e.Helper()
	all, err := e.st.Lease(e.ctx, store.LeaseQuery{Destination: destination, Now: now, Until: now.Add(time.Hour), Limit: limit})
	e.ok(err)
	for _, l := range all {
		if l.Err != nil || len(l.Fences) != len(l.Message.Rows) || len(l.Message.Rows) == 0 {
			e.Fatalf("leased %+v", l)
		}
		for _, r := range l.Message.Rows {
			if !r.Leased || r.State != store.RowWaiting || r.Due.After(now) || r.Recipient.Address.Domain != destination {
				e.Fatalf("leased the row %+v", r)
			}
		}
	}
	return all
}

// leased names leased rows: the first octet of the message, and the index unless
// that is zero.
func leased(all []store.Leased) string {
	var names []string
	for _, l := range all {
		for _, r := range l.Message.Rows {
			name := fmt.Sprint(l.Message.ID[0])
			if r.Index > 0 {
				name += fmt.Sprint("/", r.Index)
			}
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

func (e *env) leases(what string, got []store.Leased, want string) {
	e.Helper()
	if s := leased(got); s != want {
		e.Errorf("%s: leased %q, want %q", what, s, want)
	}
}

// rowLeases returns the leases in what was leased.
func rowLeases(all ...store.Leased) []store.RowLease {
	var rows []store.RowLease
	for _, l := range all {
		for i, r := range l.Message.Rows {
			rows = append(rows, store.RowLease{Row: store.RowID{Message: l.Message.ID, Index: r.Index}, Fence: l.Fences[i]})
		}
	}
	return rows
}

// retry puts leased rows back as tried once more, due at a time.
func retry(due time.Time, attempts int, all ...store.Leased) []store.Settlement {
	var out []store.Settlement
	for _, r := range rowLeases(all...) {
		out = append(out, store.Settlement{RowLease: r, Due: due, Progress: store.RowProgress{Attempts: attempts, Last: due}})
	}
	return out
}

// remove takes leased rows out.
func remove(all ...store.Leased) []store.Settlement {
	out := retry(time.Time{}, 0, all...)
	for i := range out {
		out[i].Remove = true
	}
	return out
}

func (e *env) settle(what string, want int, all ...store.Settlement) {
	e.Helper()
	made, err := e.st.Settle(e.ctx, all)
	e.ok(err)
	if made != want {
		e.Fatalf("%s: %d of %d settlements were made, want %d", what, made, len(all), want)
	}
}

// removeRows takes rows out as a delivery does.
func (e *env) removeRows(id mail.ID, rows ...int) {
	e.Helper()
	l, err := e.st.LeaseRows(e.ctx, id, rows, soon.Add(time.Hour))
	e.ok(err)
	e.settle("removal", len(rows), remove(l)...)
}

// mailAt enqueues a message of a priority for far.test that is due at a time.
func (e *env) mailAt(id byte, priority int8, due time.Time) {
	e.Helper()
	o := onward("x@" + far)
	o.ID, o.Envelope.Priority, o.Due = mail.ID{id}, priority, due
	e.enqueue(fmt.Sprint("message ", id), o)
}

func testLeaseDue(e *env) {
	e.leases("of nothing", e.lease(far, 10, soon), "")
	e.mailAt(1, 0, soon.Add(time.Millisecond))
	e.leases("too early", e.lease(far, 10, soon), "")
	all := e.lease(far, 10, soon.Add(time.Millisecond))
	e.leases("in time", all, "1")
	want := e.message(mail.ID{1})
	if got := all[0].Message; got.ID != want.ID || got.Size != want.Size || got.Warrant != want.Warrant || got.Rows[0] != want.Rows[0] {
		e.Errorf("leased %+v, want %+v", got, want)
	}
}

func testLeaseOrder(e *env) {
	e.mailAt(9, 0, soon)
	e.mailAt(8, 0, soon)
	e.mailAt(7, 0, soon.Add(-time.Second))
	e.mailAt(6, 1, soon.Add(time.Second))
	e.mailAt(5, -9, soon.Add(-time.Hour))
	e.mailAt(4, 9, soon)
	e.mailAt(3, 9, soon.Add(-time.Hour))
	e.mailAt(2, 0, soon.Add(-90*365*24*time.Hour))
	now := soon.Add(time.Minute)
	// Message 3 and 2 were tried: they come after those of their priority.
	for _, id := range []byte{3, 2} {
		l, err := e.st.LeaseRows(e.ctx, mail.ID{id}, nil, now)
		e.ok(err)
		e.settle("retry", 1, retry(soon.Add(-time.Hour), 1, l)...)
	}
	e.leases("two", e.lease(far, 2, now), "4 3")
	e.leases("the rest", e.lease(far, 100, now), "6 7 8 9 2 5")
	e.leases("no more", e.lease(far, 100, now), "")
}

func testLeaseFifth(e *env) {
	for id := range byte(40) {
		e.mailAt(id+1, 0, soon)
	}
	first := e.lease(far, 20, soon)
	e.settle("retry", 20, retry(soon, 1, first...)...)
	for _, row := range []struct {
		limit       int
		tried, want string
	}{
		{4, "", "21 22 23 24"},
		{5, "", "25 26 27 28 1"},
		{9, "", "29 30 31 32 33 34 35 36 2"},
		{10, "", "37 38 39 40 3 4 5 6 7 8"},
		{10, "", "9 10 11 12 13 14 15 16 17 18"},
	} {
		e.leases(fmt.Sprint("limit ", row.limit), e.lease(far, row.limit, soon), row.want)
	}
	e.mailAt(50, -5, soon)
	e.mailAt(51, -5, soon)
	e.leases("those tried of a higher priority", e.lease(far, 3, soon), "19 20 50")
}

func testLeaseMessage(e *env) {
	e.mailTo(2, "a@far.test", "b@near.test", "c@far.test")
	e.mailTo(1, "d@far.test")
	all := e.lease(far, 10, soon)
	e.leases("both", all, "1 2 2/2")
	if len(all) != 2 || all[1].Message.Rows[1].Recipient.Address.Local != "c" {
		e.Errorf("leased %+v", all)
	}
	e.leases("the other destination", e.lease("near.test", 10, soon), "2/1")
}

func testLeaseOnce(e *env) {
	for id := range byte(5) {
		e.mailTo(id+1, "x@far.test")
	}
	e.leases("first", e.lease(far, 2, soon), "1 2")
	e.leases("second", e.lease(far, 2, soon), "3 4")
	if q := e.message(mail.ID{1}); !q.Rows[0].Leased {
		e.Errorf("row %+v is not shown as leased", q.Rows[0])
	}
	_, err := e.st.LeaseRows(e.ctx, mail.ID{1}, nil, soon.Add(time.Hour))
	e.fails("LeaseRows of a leased row", err, fault.Busy)
	e.leases("third", e.lease(far, 2, soon), "5")
	e.leases("fourth", e.lease(far, 2, soon), "")
}

func testLeaseEnds(e *env) {
	e.mailTo(1, "x@far.test")
	e.mailTo(2, "x@far.test")
	first := e.lease(far, 1, soon)
	e.leases("before its end", e.lease(far, 1, soon.Add(time.Hour-1)), "2")
	again := e.lease(far, 5, soon.Add(time.Hour))
	e.leases("at its end", again, "1")
	if first[0].Fences[0] >= again[0].Fences[0] {
		e.Errorf("fence %d after %d", again[0].Fences[0], first[0].Fences[0])
	}
	e.settle("a stale fence", 0, remove(first...)...)
	e.settle("the good one", 1, remove(again...)...)
	e.leases("the other's end", e.lease(far, 5, soon.Add(3*time.Hour)), "2")

	e.mailTo(3, "x@far.test")
	late := e.lease(far, 1, soon)
	e.leases("which has ended", late, "3")
	if _, err := e.st.Lease(e.ctx, store.LeaseQuery{Destination: "near.test", Now: soon.Add(5 * time.Hour), Limit: 1}); err != nil {
		e.Error(err)
	}
	e.settle("nobody was faster", 1, remove(late...)...)

	// An end that the clock has passed.
	o := onward("x@near.test")
	e.enqueue("body", o)
	_, err := e.st.LeaseRows(e.ctx, o.ID, nil, soon.Add(-time.Hour))
	e.ok(err)
	if got := e.names(""); !slices.Contains(got, "near.test") || e.message(o.ID).Rows[0].Leased {
		e.Errorf("the lease has not ended: %q, %+v", got, e.message(o.ID))
	}
}

func testUnlease(e *env) {
	for id := range byte(4) {
		e.mailTo(id+1, "x@far.test")
	}
	first := e.lease(far, 3, soon)
	e.st.Unlease(e.ctx, rowLeases(first[0], first[2]))
	again := e.lease(far, 3, soon)
	e.leases("after Unlease", again, "1 3 4")
	e.st.Unlease(e.ctx, rowLeases(first...)) // of message 2 the lease is good
	e.leases("after stale fences", e.lease(far, 3, soon), "2")
	e.settle("given back and leased again", 0, remove(first...)...)
	e.settle("the later ones", 3, remove(again...)...)
}

func testLeaseDestinations(e *env) {
	for id := range byte(20) {
		e.mailTo(id+1, fmt.Sprintf("x@%c.test", 'a'+id%4))
	}
	e.leases("b.test", e.lease("b.test", 100, soon), "2 6 10 14 18")
	e.leases("a prefix", e.lease("b.tes", 100, soon), "")
	e.leases("none", e.lease("", 100, soon), "")
	if got := e.names(""); !slices.Equal(got, []string{"a.test", "c.test", "d.test"}) {
		e.Errorf("destinations are %q", got)
	}
	e.leases("d.test", e.lease("d.test", 2, soon), "4 8")
	if got := e.names("c.test"); !slices.Equal(got, []string{"d.test"}) {
		e.Errorf("after c.test: %q", got)
	}
}

func testLeaseRows(e *env) {
	o := onward("a@far.test", "b@far.test", "c@near.test")
	o.Due = soon.Add(100 * time.Hour)
	e.enqueue("body", o)
	_, err := e.st.ChangeRows(e.ctx, o.ID, []int{1}, store.HoldRows, soon)
	e.ok(err)
	e.ok(e.st.Freeze(e.ctx, far, "test", soon))
	_, err = e.st.LeaseRows(e.ctx, o.ID, []int{0, 3}, soon.Add(time.Hour))
	e.fails("LeaseRows of a row that is not there", err, fault.NotFound)
	_, err = e.st.LeaseRows(e.ctx, mail.ID{9}, nil, soon.Add(time.Hour))
	e.fails("LeaseRows of a message that is not there", err, fault.NotFound)
	l, err := e.st.LeaseRows(e.ctx, o.ID, []int{1, 0, 1}, soon.Add(time.Hour))
	e.ok(err)
	if len(l.Message.Rows) != 2 || l.Message.Rows[0].Index != 0 || l.Message.Rows[1].State != store.RowHeld || !l.Message.Rows[1].Leased {
		e.Errorf("leased %+v", l)
	}
	_, err = e.st.LeaseRows(e.ctx, o.ID, nil, soon.Add(time.Hour))
	e.fails("LeaseRows of all", err, fault.Busy)
	other, err := e.st.LeaseRows(e.ctx, o.ID, []int{2}, soon.Add(time.Hour))
	e.ok(err)
	e.settle("all", 3, slices.Concat(remove(l), remove(other))...)
	e.contents("after it", 0)
}

// testLeaseBefore: an engine may remember where the waiting rows begin.
func testLeaseBefore(e *env) {
	e.mailAt(5, 0, soon)
	all := e.lease(far, 10, soon)
	e.mailAt(4, 0, soon.Add(-time.Hour))
	e.leases("a row that is due before", e.lease(far, 10, soon), "4")
	e.settle("retry", 1, retry(soon.Add(-2*time.Hour), 0, all...)...)
	e.leases("put back before", e.lease(far, 10, soon), "5")
	e.mailAt(6, 0, soon)
	_, err := e.st.ChangeRows(e.ctx, mail.ID{6}, nil, store.HoldRows, soon)
	e.ok(err)
	e.leases("held", e.lease(far, 10, soon), "")
	_, err = e.st.ChangeRows(e.ctx, mail.ID{6}, nil, store.ReleaseRows, soon.Add(-time.Hour))
	e.ok(err)
	e.leases("released", e.lease(far, 10, soon), "6")
}
