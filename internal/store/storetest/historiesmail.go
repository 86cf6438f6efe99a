package storetest

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"pgregory.net/rapid"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// historySizes are body lengths; most are small, to keep histories quick.
var historySizes = []int{0, 1, 10, 100, 1000, 5000, 70_000, 200_000}

func (h *history) deliver(t *rapid.T) {
	a, body := h.drawAccept(t)
	h.accept(t, a, body)
	h.accepts, h.bodies = append(h.accepts, a), append(h.bodies, body)
}

// drawAccept returns an Accept with the model's IDs, without content, and its body.
func (h *history) drawAccept(t *rapid.T) (store.Accept, string) {
	if len(h.boxes) == 0 {
		t.Skip("no mailbox yet")
	}
	a := store.Accept{ID: mail.NewID(time.Now()), Received: drawTime(t)} // engines may forget old IDs
	a.Envelope = envelope(a.ID)
	for range rapid.IntRange(1, 3).Draw(t, "deliveries") {
		b := h.drawBox(t)
		d := store.Delivery{Account: b.account, Mailbox: b.id, Flags: mail.Flags(rapid.IntRange(0, 31).Draw(t, "flags"))}
		if rapid.Bool().Draw(t, "prefixed") {
			d.Prefix = fmt.Appendf(nil, "Delivered-To: %d\r\n", b.account)
		}
		a.Deliveries = append(a.Deliveries, d)
	}
	return a, pattern(rapid.SampledFrom(historySizes).Draw(t, "octets"))
}

// repeat makes an Accept that was made, as after a lost answer.
func (h *history) repeat(t *rapid.T) {
	if len(h.accepts) == 0 {
		t.Skip("nothing to repeat")
	}
	i := rapid.IntRange(0, len(h.accepts)-1).Draw(t, "accept")
	h.accept(t, h.accepts[i], h.bodies[i])
}

// accept makes an Accept in both, given with the model's IDs.
func (h *history) accept(t *rapid.T, a store.Accept, body string) {
	forEngine := h.forEngine(a)
	want, modelErr := h.acceptIn(h.model, a, body)
	got, engineErr := h.acceptIn(h.engine, forEngine, body)
	what := fmt.Sprintf("Accept(%s, %d octets, %+v)", a.ID, len(body), a.Deliveries)
	agree(t, what, engineErr, modelErr)
	if modelErr == nil {
		h.placed(t, what, got, want)
	}
}

// forEngine returns an Accept with the engine's IDs for the model's.
func (h *history) forEngine(a store.Accept) store.Accept {
	deliveries := slices.Clone(a.Deliveries)
	for i, d := range deliveries {
		deliveries[i].Account = h.engineID(d.Account)
		deliveries[i].Mailbox = h.boxOf(d.Account, d.Mailbox).engineID
	}
	a.Deliveries = deliveries
	return a
}

// placed compares what an Accept or a Release answered, and notes the UIDs.
func (h *history) placed(t *rapid.T, what string, got, want store.Accepted) {
	if got.Repeated != want.Repeated || len(got.Placed) != len(want.Placed) {
		t.Fatalf("%s: the engine says %+v, the model %+v", what, got, want)
	}
	for i, p := range want.Placed {
		b := h.boxOf(p.Account, p.Mailbox)
		q := got.Placed[i]
		if q.Account != h.engineID(p.Account) || q.Mailbox != b.engineID {
			t.Fatalf("%s: the engine placed %+v, the model %+v", what, got.Placed, want.Placed)
		}
		if want.Repeated {
			if at := slices.Index(b.uids, p.UID); b.engineUIDs[at] != q.UID {
				t.Fatalf("%s: repeated with UID %d, first it was %d", what, q.UID, b.engineUIDs[at])
			}
			continue
		}
		if n := len(b.engineUIDs); n > 0 && q.UID <= b.engineUIDs[n-1] {
			t.Fatalf("%s: UID %d after %d", what, q.UID, b.engineUIDs[n-1])
		}
		b.uids, b.engineUIDs = append(b.uids, p.UID), append(b.engineUIDs, q.UID)
	}
}

func (h *history) acceptIn(st store.Store, a store.Accept, body string) (store.Accepted, error) {
	c, err := st.NewContent(h.ctx, 0)
	if err != nil {
		return store.Accepted{}, err
	}
	if _, err := io.WriteString(c, body); err != nil {
		return store.Accepted{}, err
	}
	a.Content = c
	return st.Accept(h.ctx, a)
}

func (h *history) boxOf(account mail.AccountID, id mail.MailboxID) *historyBox {
	i := slices.IndexFunc(h.boxes, func(b *historyBox) bool { return b.account == account && b.id == id })
	return h.boxes[i]
}

func (h *history) setFlags(t *rapid.T) {
	b := h.drawBox(t)
	uids, engineUIDs := b.drawUIDs(t)
	set := mail.Flags(rapid.IntRange(0, 31).Draw(t, "set"))
	clear := mail.Flags(rapid.IntRange(0, 31).Draw(t, "clear"))
	agree(t, fmt.Sprintf("SetFlags(%d, %d, %v)", b.account, b.id, uids),
		h.engine.SetFlags(h.ctx, h.engineID(b.account), b.engineID, engineUIDs, set, clear),
		h.model.SetFlags(h.ctx, b.account, b.id, uids, set, clear))
}

func (h *history) remove(t *rapid.T) {
	b := h.drawBox(t)
	uids, engineUIDs := b.drawUIDs(t)
	agree(t, fmt.Sprintf("Remove(%d, %d, %v)", b.account, b.id, uids),
		h.engine.Remove(h.ctx, h.engineID(b.account), b.engineID, engineUIDs),
		h.model.Remove(h.ctx, b.account, b.id, uids))
}

const maxDrops = 8

func (h *history) openDrop(t *rapid.T) {
	id := h.drawAccount(t)
	mode := store.LockMode(rapid.IntRange(0, 1).Draw(t, "mode"))
	if len(h.drops) == maxDrops {
		t.Skip("enough maildrops")
	}
	model, modelErr := h.model.OpenMaildrop(h.ctx, id, mode, "history")
	engine, engineErr := h.engine.OpenMaildrop(h.ctx, h.engineID(id), mode, "history")
	agree(t, fmt.Sprintf("OpenMaildrop(%d, %d)", id, mode), engineErr, modelErr)
	if modelErr == nil {
		h.drops = append(h.drops, &historyDrop{box: h.boxOf(id, mail.Inbox), model: model, engine: engine})
	}
}

func (h *history) drawDrop(t *rapid.T) (*historyDrop, int) {
	if len(h.drops) == 0 {
		t.Skip("no maildrop is open")
	}
	i := rapid.IntRange(0, len(h.drops)-1).Draw(t, "maildrop")
	return h.drops[i], i
}

// dropRemove removes messages of the snapshot, as a session's QUIT does.
func (h *history) dropRemove(t *rapid.T) {
	d, _ := h.drawDrop(t)
	var uids, engineUIDs []mail.UID
	for m, err := range d.model.List(h.ctx) {
		if err != nil {
			t.Fatalf("the model's maildrop: %v", err)
		}
		if rapid.Bool().Draw(t, "marked") {
			uids = append(uids, m.UID)
			engineUIDs = append(engineUIDs, d.box.engineUIDs[slices.Index(d.box.uids, m.UID)])
		}
	}
	agree(t, fmt.Sprintf("Maildrop.Remove(%d, %v)", d.box.account, uids), d.engine.Remove(h.ctx, engineUIDs), d.model.Remove(h.ctx, uids))
}

func (h *history) closeDrop(t *rapid.T) {
	d, i := h.drawDrop(t)
	d.model.Close()
	d.engine.Close()
	h.drops = slices.Delete(h.drops, i, i+1)
}

func (h *history) breakLock(t *rapid.T) {
	id := h.drawAccount(t)
	agree(t, fmt.Sprintf("BreakLock(%d)", id), h.engine.BreakLock(h.ctx, h.engineID(id)), h.model.BreakLock(h.ctx, id))
}

// sortedHolders returns what two stores must agree on about holders.
func sortedHolders(all []store.Holder) []store.LockMode {
	var modes []store.LockMode
	for _, h := range all {
		modes = append(modes, h.Mode)
	}
	slices.SortFunc(modes, cmp.Compare)
	return modes
}
