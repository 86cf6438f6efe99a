package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// RunHistories makes random histories with an engine and with Model, compares
// everything that shows after each step, and reduces a history that differs.
// Place returns a new, empty place at each call. The flags -rapid.checks and
// -rapid.steps say how many histories there are, and how long each.
func RunHistories(t *testing.T, place func(t testing.TB) Place) {
	rapid.Check(t, func(rt *rapid.T) {
		open := place(t)
		h := &history{
			ctx: t.Context(), open: open, engine: open(), model: NewModel(),
			ids: map[mail.AccountID]mail.AccountID{},
		}
		defer func() { h.engine.Close() }()
		h.change(rt, // so that mail can come soon
			store.PutDomain{Domain: store.Domain{Name: historyDomains[0], Created: day}},
			store.PutAccount{New: true, Account: store.Account{Address: "a@" + historyDomains[0], Created: day}},
		)
		rt.Repeat(h.actions())
	})
}

// history is one under way. What an engine may choose, IDs of accounts and
// UIDs, is translated from the model's choice to the engine's.
type history struct {
	ctx    context.Context
	open   Place
	engine store.Store
	model  *Model

	ids      map[mail.AccountID]mail.AccountID // of the accounts ever made
	accounts []mail.AccountID                  // those ever made, the model's IDs
	boxes    []*historyBox                     // those ever made
	accepts  []store.Accept                    // those made, without content
	bodies   []string                          // of accepts
	drops    []*historyDrop                    // open
	leases   []historyLease                    // that were given out, stale ones among them
	onwards  int                               // messages queued so far
}

// historyBox is a mailbox in both stores, with the UIDs given in it so far, at
// the same places.
type historyBox struct {
	account        mail.AccountID // the model's
	id             mail.MailboxID // the model's
	engineID       mail.MailboxID
	uids           []mail.UID // the model's
	engineUIDs     []mail.UID
	validity, seen uint64 // the engine's UIDVALIDITY and latest ModSeq
}

// historyDrop is a maildrop open in both stores.
type historyDrop struct {
	box           *historyBox
	model, engine store.Maildrop
}

func (h *history) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"domain":        h.putDomain,
		"removeDomain":  h.removeDomain,
		"account":       h.putAccount,
		"changeAccount": h.changeAccount,
		"removeAccount": h.removeAccount,
		"alias":         h.putAlias,
		"removeAlias":   h.removeAlias,
		"batch":         h.batch,
		"mailbox":       h.createMailbox,
		"deliver":       h.deliver,
		"deliverMore":   h.deliver, // the action that matters most comes more often
		"repeat":        h.repeat,
		"flags":         h.setFlags,
		"remove":        h.remove,
		"hold":          h.hold,
		"release":       h.release,
		"dropHeld":      h.dropHeld,
		"putRecord":     h.putRecord,
		"removeRecord":  h.removeRecord,
		"enqueue":       h.enqueue,
		"enqueueMore":   h.enqueue,
		"lease":         h.lease,
		"leaseMore":     h.lease,
		"leaseRows":     h.leaseRows,
		"settle":        h.settle,
		"acceptSettles": h.acceptSettles,
		"unlease":       h.unlease,
		"changeRows":    h.changeRows,
		"setAside":      h.setAside,
		"freeze":        h.freeze,
		"openDrop":      h.openDrop,
		"dropRemove":    h.dropRemove,
		"closeDrop":     h.closeDrop,
		"breakLock":     h.breakLock,
		"reopen":        h.reopen,
		"":              h.compare,
	}
}

// agree asks for errors of one kind from both.
func agree(t *rapid.T, what string, engine, model error) {
	if (engine == nil) != (model == nil) || fault.KindOf(engine) != fault.KindOf(model) {
		t.Fatalf("%s: the engine says %v (%s), the model %v (%s)", what, engine, fault.KindOf(engine), model, fault.KindOf(model))
	}
}

var historyDomains = []string{"a.test", "b.test", "ab.test"}

func (h *history) drawDomain(t *rapid.T) string {
	return rapid.SampledFrom(historyDomains).Draw(t, "domain")
}

func (h *history) drawAddress(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "a.b", ""}).Draw(t, "local") + "@" + h.drawDomain(t)
}

// drawAccount returns one ever made, or one that never was.
func (h *history) drawAccount(t *rapid.T) mail.AccountID {
	return rapid.SampledFrom(append([]mail.AccountID{1 << 40}, h.accounts...)).Draw(t, "account")
}

// engineID translates an account's ID.
func (h *history) engineID(id mail.AccountID) mail.AccountID {
	if e, ok := h.ids[id]; ok {
		return e
	}
	return id
}

func (h *history) drawBox(t *rapid.T) *historyBox {
	if len(h.boxes) == 0 {
		t.Skip("no mailbox yet")
	}
	return h.boxes[rapid.IntRange(0, len(h.boxes)-1).Draw(t, "mailbox")]
}

// drawUIDs returns some of the UIDs that were given in a box, and one that was not.
func (b *historyBox) drawUIDs(t *rapid.T) (model, engine []mail.UID) {
	const never = 4_000_000
	places := rapid.SliceOfN(rapid.IntRange(0, len(b.uids)), 0, 6).Draw(t, "uids")
	for _, i := range places {
		if i == len(b.uids) {
			model, engine = append(model, never), append(engine, never)
			continue
		}
		model, engine = append(model, b.uids[i]), append(engine, b.engineUIDs[i])
	}
	return model, engine
}

// change makes changes in both, given with the model's account IDs, and notes
// the accounts made.
func (h *history) change(t *rapid.T, changes ...store.Change) {
	changes = slices.Clone(changes)
	translated := make([]store.Change, len(changes))
	for i, c := range changes {
		switch c := c.(type) {
		case store.PutAccount:
			forModel := c
			forModel.IfVersion = h.ifVersion(h.model, c.Account.ID, c.IfVersion)
			changes[i] = forModel
			c.Account.ID = h.engineID(c.Account.ID)
			c.IfVersion = h.ifVersion(h.engine, c.Account.ID, c.IfVersion)
			translated[i] = c
		case store.RemoveAccount:
			translated[i] = store.RemoveAccount{ID: h.engineID(c.ID)}
		default:
			translated[i] = c
		}
	}
	made, modelErr := h.model.Change(h.ctx, changes...)
	engineMade, engineErr := h.engine.Change(h.ctx, translated...)
	agree(t, fmt.Sprintf("Change(%+v)", changes), engineErr, modelErr)
	if got, want := changeIndex(engineErr), changeIndex(modelErr); got != want {
		t.Fatalf("Change(%+v): the engine refuses number %d, the model %d", changes, got, want)
	}
	if len(made) != len(engineMade) {
		t.Fatalf("Change(%+v): the engine made %d accounts, the model %d", changes, len(engineMade), len(made))
	}
	for i, id := range made {
		h.ids[id] = engineMade[i]
		h.accounts = append(h.accounts, id)
		h.boxes = append(h.boxes, &historyBox{account: id, id: mail.Inbox, engineID: mail.Inbox})
	}
	h.forgetDrops()
}

// changeIndex returns which change an error is about, -1 for none.
func changeIndex(err error) int {
	if refused, ok := err.(*store.ChangeError); ok {
		return refused.Index
	}
	return -1
}

// forgetDrops closes the maildrops of accounts that are gone: nothing is said
// about them.
func (h *history) forgetDrops() {
	var left []*historyDrop
	for _, d := range h.drops {
		if _, err := h.model.Account(h.ctx, d.box.account); err == nil {
			left = append(left, d)
			continue
		}
		d.model.Close()
		d.engine.Close()
	}
	h.drops = left
}

// reopen closes the engine and opens it again: its locks are gone.
func (h *history) reopen(t *rapid.T) {
	for _, d := range h.drops {
		d.model.Close()
		d.engine.Close()
	}
	h.drops = nil
	if err := h.engine.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	h.engine = h.open()
	h.model.Close()
	h.model.Reopen()
}

// drawTime is a time within a day.
func drawTime(t *rapid.T) time.Time {
	return day.Add(time.Duration(rapid.IntRange(0, 86_400_000).Draw(t, "ms")) * time.Millisecond)
}
