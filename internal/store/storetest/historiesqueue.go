package storetest

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"time"

	"pgregory.net/rapid"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// historyLease is a row's lease in both stores.
type historyLease struct {
	row           store.RowID
	model, engine uint64
}

// historyDestinations begin alike; one never gets mail.
var historyDestinations = []string{"far.test", "far.test.example", "a.far.test", "[192.0.2.1]", "none.test"}

func drawDestination(t *rapid.T) string {
	return rapid.SampledFrom(historyDestinations).Draw(t, "destination")
}

// drawHour is a time some hours from now, and never near the clock's.
func drawHour(t *rapid.T, what string) time.Time {
	return soon.Add(time.Duration(rapid.IntRange(-4, 4).Draw(t, what))*time.Hour - 30*time.Minute)
}

// drawOnwards returns messages for the queue, of IDs with the same order in time.
func (h *history) drawOnwards(t *rapid.T, most int) []store.Passage {
	var messages []store.Onward
	for range rapid.IntRange(1, most).Draw(t, "onwards") {
		h.onwards++
		o := store.Onward{
			ID: mail.ID{1, byte(h.onwards >> 8), byte(h.onwards)}, Due: drawHour(t, "due"),
			Envelope: mail.Envelope{EnvID: "q", Priority: int8(rapid.IntRange(-1, 1).Draw(t, "priority"))},
		}
		for i := range rapid.IntRange(1, 4).Draw(t, "rows") {
			o.Envelope.Recipients = append(o.Envelope.Recipients, recipients(fmt.Sprintf("%d@%s", i, drawDestination(t)))...)
		}
		if rapid.Bool().Draw(t, "prefixed") {
			o.Prefix = fmt.Appendf(nil, "X: %d\r\n", h.onwards)
		}
		messages = append(messages, o)
	}
	p, err := store.Pass(store.ServerWarrant("history"), messages...)
	if err != nil {
		t.Fatal(err)
	}
	return []store.Passage{p}
}

// enqueue accepts a message that goes onward, with local copies or without.
func (h *history) enqueue(t *rapid.T) {
	a, body := h.drawAccept(t)
	if rapid.Bool().Draw(t, "only onward") {
		a.Deliveries = nil
	}
	a.Onward = h.drawOnwards(t, 2)
	if rapid.IntRange(0, 4).Draw(t, "hold") == 0 {
		a.Hold = day
	}
	h.accept(t, a, body)
	h.accepts, h.bodies = append(h.accepts, a), append(h.bodies, body)
}

// leased compares what was leased, and notes the fences.
func (h *history) leased(t *rapid.T, what string, got, want []store.Leased) {
	if len(got) != len(want) {
		t.Fatalf("%s: the engine leased %+v, the model %+v", what, got, want)
	}
	for i := range want {
		if !reflect.DeepEqual(got[i].Message, want[i].Message) || got[i].Err != nil {
			t.Fatalf("%s: the engine leased\n%+v, the model\n%+v", what, got[i], want[i])
		}
		for j, r := range rowLeases(want[i]) {
			h.leases = append(h.leases, historyLease{r.Row, r.Fence, got[i].Fences[j]})
		}
	}
}

func (h *history) lease(t *rapid.T) {
	q := store.LeaseQuery{
		Destination: drawDestination(t), Now: drawHour(t, "now"), Until: drawHour(t, "until"), Limit: rapid.IntRange(1, 7).Draw(t, "limit"),
	}
	want, modelErr := h.model.Lease(h.ctx, q)
	got, engineErr := h.engine.Lease(h.ctx, q)
	what := fmt.Sprintf("Lease(%+v)", q)
	agree(t, what, engineErr, modelErr)
	h.leased(t, what, got, want)
}

// drawMessage returns the ID of a message that may be in the queue, and some rows.
func (h *history) drawMessage(t *rapid.T) (mail.ID, []int) {
	n := rapid.IntRange(0, h.onwards).Draw(t, "message")
	return mail.ID{1, byte(n >> 8), byte(n)}, rapid.SliceOfN(rapid.IntRange(0, 4), 0, 3).Draw(t, "rows")
}

func (h *history) leaseRows(t *rapid.T) {
	id, rows := h.drawMessage(t)
	until := drawHour(t, "until")
	want, modelErr := h.model.LeaseRows(h.ctx, id, rows, until)
	got, engineErr := h.engine.LeaseRows(h.ctx, id, rows, until)
	what := fmt.Sprintf("LeaseRows(%v, %v)", id, rows)
	agree(t, what, engineErr, modelErr)
	if modelErr == nil {
		h.leased(t, what, []store.Leased{got}, []store.Leased{want})
	}
}

// drawSettlements settles some of the rows that were ever leased.
func (h *history) drawSettlements(t *rapid.T) (model, engine []store.Settlement) {
	if len(h.leases) == 0 {
		t.Skip("nothing was leased")
	}
	for range rapid.IntRange(1, 4).Draw(t, "settlements") {
		// The later ones are more likely to be good.
		at := len(h.leases) - 1 - rapid.IntRange(0, min(10, len(h.leases)-1)).Draw(t, "lease")
		l := h.leases[at]
		s := store.Settlement{RowLease: store.RowLease{Row: l.row, Fence: l.model}, Remove: rapid.Bool().Draw(t, "remove")}
		if !s.Remove {
			s.Due = drawHour(t, "due")
			s.State = store.RowState(rapid.IntRange(0, 1).Draw(t, "state"))
			s.Progress = store.RowProgress{
				Attempts: rapid.IntRange(0, 2).Draw(t, "attempts"), Host: "mx", Reply: pattern(rapid.SampledFrom([]int{0, 5, 3000}).Draw(t, "reply")),
				Delayed: rapid.Bool().Draw(t, "delayed"), Uncertain: rapid.Bool().Draw(t, "uncertain"), Last: drawTime(t),
			}
		}
		model = append(model, s)
		s.Fence = l.engine
		engine = append(engine, s)
	}
	return model, engine
}

func (h *history) settle(t *rapid.T) {
	model, engine := h.drawSettlements(t)
	want, modelErr := h.model.Settle(h.ctx, model)
	got, engineErr := h.engine.Settle(h.ctx, engine)
	agree(t, fmt.Sprintf("Settle(%+v)", model), engineErr, modelErr)
	if got != want {
		t.Fatalf("Settle(%+v) made %d, want %d", model, got, want)
	}
}

// acceptSettles accepts a notice and settles in the same commit.
func (h *history) acceptSettles(t *rapid.T) {
	model, engine := h.drawSettlements(t)
	a, body := h.drawAccept(t)
	a.Deliveries = a.Deliveries[:1]
	a.Onward = h.drawOnwards(t, 1)
	forEngine := h.forEngine(a)
	a.Settle, forEngine.Settle = model, engine
	want, modelErr := h.acceptIn(h.model, a, body)
	got, engineErr := h.acceptIn(h.engine, forEngine, body)
	what := fmt.Sprintf("Accept(%s) with %+v", a.ID, model)
	agree(t, what, engineErr, modelErr)
	if modelErr == nil {
		h.placed(t, what, got, want)
	}
}

func (h *history) unlease(t *rapid.T) {
	if len(h.leases) == 0 {
		t.Skip("nothing was leased")
	}
	l := h.leases[len(h.leases)-1-rapid.IntRange(0, min(10, len(h.leases)-1)).Draw(t, "lease")]
	h.model.Unlease(h.ctx, []store.RowLease{{Row: l.row, Fence: l.model}})
	h.engine.Unlease(h.ctx, []store.RowLease{{Row: l.row, Fence: l.engine}})
}

func (h *history) changeRows(t *rapid.T) {
	id, rows := h.drawMessage(t)
	do, now := store.RowChange(rapid.IntRange(0, 3).Draw(t, "do")), drawHour(t, "now")
	want, modelErr := h.model.ChangeRows(h.ctx, id, rows, do, now)
	got, engineErr := h.engine.ChangeRows(h.ctx, id, rows, do, now)
	what := fmt.Sprintf("ChangeRows(%v, %v, %d, %v)", id, rows, do, now)
	agree(t, what, engineErr, modelErr)
	if got != want {
		t.Fatalf("%s changed %d, want %d", what, got, want)
	}
}

func (h *history) setAside(t *rapid.T) {
	if len(h.leases) == 0 {
		t.Skip("nothing was leased")
	}
	l := h.leases[rapid.IntRange(0, len(h.leases)-1).Draw(t, "lease")]
	agree(t, fmt.Sprintf("SetAside(%+v)", l),
		h.engine.SetAside(h.ctx, store.RowLease{Row: l.row, Fence: l.engine}), h.model.SetAside(h.ctx, store.RowLease{Row: l.row, Fence: l.model}))
}

func (h *history) freeze(t *rapid.T) {
	name := drawDestination(t)
	if rapid.Bool().Draw(t, "thaw") {
		agree(t, fmt.Sprintf("Thaw(%s)", name), h.engine.Thaw(h.ctx, name), h.model.Thaw(h.ctx, name))
		return
	}
	agree(t, fmt.Sprintf("Freeze(%s)", name), h.engine.Freeze(h.ctx, name, "why", soon), h.model.Freeze(h.ctx, name, "why", soon))
}

// waiting returns what a store says that waits for a destination, in order.
func (h *history) waiting(t *rapid.T, st store.Store, name string) []store.WaitingRow {
	all, err := st.Waiting(h.ctx, name, 1000)
	if err != nil {
		t.Fatalf("waiting for %s: %v", name, err)
	}
	slices.SortFunc(all, func(a, b store.WaitingRow) int {
		return cmp.Or(bytes.Compare(a.Message[:], b.Message[:]), cmp.Compare(a.Index, b.Index))
	})
	return append([]store.WaitingRow{}, all...)
}

func (h *history) compareQueue(t *rapid.T) {
	got, want := drain(t, "Queued", h.engine.Queued(h.ctx, mail.ID{})), drain(t, "Queued", h.model.Queued(h.ctx, mail.ID{}))
	if len(got) != len(want) {
		t.Fatalf("queued are %+v, want %+v", got, want)
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("number %d of those queued is\n%+v, want\n%+v", i, got[i], want[i])
		}
		octets, envelope, err := slurp(h.engine.OpenQueued(h.ctx, want[i].ID))
		wantOctets, wantEnvelope, _ := slurp(h.model.OpenQueued(h.ctx, want[i].ID))
		if err != nil || octets != wantOctets || !reflect.DeepEqual(envelope, wantEnvelope) {
			t.Fatalf("%s has %d octets %s of %+v, %v, want %d %s of %+v", want[i].ID,
				len(octets), brief(octets), envelope, err, len(wantOctets), brief(wantOctets), wantEnvelope)
		}
	}
	for _, after := range []string{"", "far.test"} {
		got, want := drain(t, "Destinations", h.engine.Destinations(h.ctx, after)), drain(t, "Destinations", h.model.Destinations(h.ctx, after))
		if !slices.Equal(got, want) {
			t.Fatalf("destinations after %q are %+v, want %+v", after, got, want)
		}
	}
	for _, name := range historyDestinations {
		got, engineErr := h.engine.Destination(h.ctx, name)
		want, modelErr := h.model.Destination(h.ctx, name)
		agree(t, "Destination "+name, engineErr, modelErr)
		if got != want {
			t.Fatalf("destination %s is %+v, want %+v", name, got, want)
		}
		if got, want := h.waiting(t, h.engine, name), h.waiting(t, h.model, name); !reflect.DeepEqual(got, want) {
			t.Fatalf("for %s wait %+v, want %+v", name, got, want)
		}
	}
	engineFrozen, modelFrozen := drain(t, "Frozen", h.engine.Frozen(h.ctx)), drain(t, "Frozen", h.model.Frozen(h.ctx))
	if !slices.EqualFunc(engineFrozen, modelFrozen, func(a, b store.FrozenDestination) bool {
		return a.Name == b.Name && a.Why == b.Why && a.Since.Equal(b.Since)
	}) {
		t.Fatalf("frozen are %+v, want %+v", engineFrozen, modelFrozen)
	}
	usage, err := h.engine.QueueUsage(h.ctx)
	if wantUsage, _ := h.model.QueueUsage(h.ctx); err != nil || usage != wantUsage {
		t.Fatalf("the queue has %+v, %v, want %+v", usage, err, wantUsage)
	}
	if h.findings(t) > 0 {
		t.Fatal("check finds something")
	}
}

// findings counts what the engine's check finds.
func (h *history) findings(t *rapid.T) (n int) {
	if rapid.IntRange(0, 19).Draw(t, "check") != 0 {
		return 0
	}
	_, err := h.engine.Check(h.ctx, false, func(f store.Finding) { t.Logf("%+v", f); n++ })
	if err != nil && !fault.Is(err, fault.Transient) {
		t.Fatalf("Check: %v", err)
	}
	return n
}
