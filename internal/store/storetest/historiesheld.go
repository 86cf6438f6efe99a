package storetest

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"pgregory.net/rapid"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// hold accepts a message for later; some are due together.
func (h *history) hold(t *rapid.T) {
	a, body := h.drawAccept(t)
	a.Hold = day.Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "due")) * time.Hour)
	h.accept(t, a, body)
	h.accepts, h.bodies = append(h.accepts, a), append(h.bodies, body)
}

// drawHeld returns the ID of a message that is held, or of any other.
func (h *history) drawHeld(t *rapid.T) mail.ID {
	ids := []mail.ID{{1}}
	for held := range h.model.Held(h.ctx) {
		ids = append(ids, held.ID, held.ID) // most of the time
	}
	if n := len(h.accepts); n > 0 {
		ids = append(ids, h.accepts[rapid.IntRange(0, n-1).Draw(t, "accept")].ID)
	}
	return rapid.SampledFrom(ids).Draw(t, "held")
}

func (h *history) release(t *rapid.T) {
	id, now := h.drawHeld(t), drawTime(t)
	want, modelErr := h.model.Release(h.ctx, id, now)
	got, engineErr := h.engine.Release(h.ctx, id, now)
	what := fmt.Sprintf("Release(%s)", id)
	agree(t, what, engineErr, modelErr)
	if modelErr == nil {
		h.placed(t, what, got, want)
	}
}

func (h *history) dropHeld(t *rapid.T) {
	id := h.drawHeld(t)
	agree(t, fmt.Sprintf("DropHeld(%s)", id), h.engine.DropHeld(h.ctx, id), h.model.DropHeld(h.ctx, id))
}

func (h *history) compareHeld(t *rapid.T) {
	got, want := drain(t, "Held", h.engine.Held(h.ctx)), drain(t, "Held", h.model.Held(h.ctx))
	if len(got) != len(want) {
		t.Fatalf("held are %+v, want %+v", got, want)
	}
	for i := range want {
		for j, id := range want[i].Accounts {
			want[i].Accounts[j] = h.engineID(id)
		}
		if g, w := inUTC(got[i]), inUTC(want[i]); !reflect.DeepEqual(g, w) {
			t.Fatalf("number %d of those held is %+v, want %+v", i, g, w)
		}
	}
}

// historyKeys are keys of records, a few that begin alike and one that is none.
var historyKeys = []string{"a", "a/1", "a/2", "b", "\n"}

func drawKey(t *rapid.T) string { return rapid.SampledFrom(historyKeys).Draw(t, "key") }

func (h *history) putRecord(t *rapid.T) {
	r := store.Record{Key: drawKey(t), Value: []byte(pattern(rapid.SampledFrom(historySizes).Draw(t, "octets"))), Changed: drawTime(t)}
	agree(t, fmt.Sprintf("PutRecord(%q, %d octets)", r.Key, len(r.Value)), h.engine.PutRecord(h.ctx, r), h.model.PutRecord(h.ctx, r))
}

func (h *history) removeRecord(t *rapid.T) {
	key := drawKey(t)
	agree(t, fmt.Sprintf("RemoveRecord(%q)", key), h.engine.RemoveRecord(h.ctx, key), h.model.RemoveRecord(h.ctx, key))
}

func (h *history) compareRecords(t *rapid.T) {
	for _, prefix := range []string{"", "a/", "b", "c"} {
		got, want := recordsText(drain(t, "ListRecords", h.engine.ListRecords(h.ctx, prefix))), recordsText(drain(t, "ListRecords", h.model.ListRecords(h.ctx, prefix)))
		if got != want {
			t.Fatalf("the records with %q are %s, want %s", prefix, got, want)
		}
	}
	for _, key := range historyKeys {
		got, engineErr := h.engine.Record(h.ctx, key)
		want, modelErr := h.model.Record(h.ctx, key)
		agree(t, fmt.Sprintf("Record(%q)", key), engineErr, modelErr)
		if modelErr == nil && recordsText([]store.Record{got}) != recordsText([]store.Record{want}) {
			t.Fatalf("record %q is %d octets of %v, want %d of %v", key, len(got.Value), got.Changed, len(want.Value), want.Changed)
		}
	}
}

func recordsText(all []store.Record) string {
	var b strings.Builder
	for _, r := range all {
		fmt.Fprintf(&b, "%q of %d: %d octets, sum %d; ", r.Key, r.Changed.Unix(), len(r.Value), sumOf(r.Value))
	}
	return b.String()
}

// sumOf tells octets apart.
func sumOf(b []byte) (sum int) {
	for i, c := range b {
		sum += (i + 1) * int(c)
	}
	return sum
}
