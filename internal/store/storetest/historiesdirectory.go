package storetest

import (
	"fmt"

	"pgregory.net/rapid"

	"postrider/internal/mail"
	"postrider/internal/store"
)

func (h *history) putDomain(t *rapid.T) {
	h.change(t, store.PutDomain{Domain: store.Domain{Name: h.drawDomain(t), Created: day}})
}

func (h *history) removeDomain(t *rapid.T) { h.change(t, store.RemoveDomain{Name: h.drawDomain(t)}) }

func (h *history) putAccount(t *rapid.T) { h.change(t, h.drawNewAccount(t)) }

func (h *history) drawNewAccount(t *rapid.T) store.Change {
	return store.PutAccount{New: true, Account: drawCredentials(t, store.Account{
		Address: h.drawAddress(t), Quota: rapid.Int64Range(0, 1<<40).Draw(t, "quota"), Created: day,
	})}
}

// drawCredentials gives an account credentials of some kinds.
func drawCredentials(t *rapid.T, a store.Account) store.Account {
	if rapid.Bool().Draw(t, "credentials") {
		a = withCredentials(a)
	}
	a.Password = rapid.SampledFrom([]string{"", "one", "two"}).Draw(t, "password")
	a.AppPasswords = a.AppPasswords[:rapid.IntRange(0, len(a.AppPasswords)).Draw(t, "app passwords")]
	return a
}

// What a history has in IfVersion: each store has versions of its own.
const (
	versionNow   = 1
	versionOther = 2
)

// ifVersion translates an IfVersion for a store. Changes of one commit see the
// versions as they were before it, so that a later one with an account's version
// of now is refused.
func (h *history) ifVersion(st store.Store, id mail.AccountID, version uint64) uint64 {
	a, err := st.Account(h.ctx, id)
	switch {
	case version == 0:
		return 0
	case err != nil:
		return 1 // there is no such account
	case version == versionNow:
		return a.Version
	default:
		return a.Version + 1<<32
	}
}

func (h *history) changeAccount(t *rapid.T) { h.change(t, h.drawChangedAccount(t)) }

func (h *history) drawChangedAccount(t *rapid.T) store.Change {
	return store.PutAccount{
		IfVersion: rapid.SampledFrom([]uint64{0, 0, versionNow, versionOther}).Draw(t, "if version"),
		Account: drawCredentials(t, store.Account{
			ID: h.drawAccount(t), Disabled: rapid.Bool().Draw(t, "disabled"), Quota: rapid.Int64Range(0, 10).Draw(t, "quota"),
		}),
	}
}

func (h *history) removeAccount(t *rapid.T) { h.change(t, store.RemoveAccount{ID: h.drawAccount(t)}) }

func (h *history) putAlias(t *rapid.T) {
	h.change(t, store.PutAlias{Address: h.drawAddress(t), Targets: rapid.SliceOfN(rapid.Just("x@far.example"), 1, 3).Draw(t, "targets")})
}

func (h *history) removeAlias(t *rapid.T) { h.change(t, store.RemoveAlias{Address: h.drawAddress(t)}) }

func (h *history) batch(t *rapid.T) {
	var changes []store.Change
	for range rapid.IntRange(2, 5).Draw(t, "changes") {
		switch rapid.IntRange(0, 6).Draw(t, "change") {
		case 0:
			changes = append(changes, store.PutDomain{Domain: store.Domain{Name: h.drawDomain(t), Created: day}})
		case 1:
			changes = append(changes, store.RemoveDomain{Name: h.drawDomain(t)})
		case 2, 3:
			changes = append(changes, h.drawNewAccount(t))
		case 4:
			changes = append(changes, store.RemoveAccount{ID: h.drawAccount(t)})
		case 5:
			changes = append(changes, store.PutAlias{Address: h.drawAddress(t), Targets: []string{"y@far.example"}})
		case 6:
			changes = append(changes, h.drawChangedAccount(t))
		}
	}
	h.change(t, changes...)
}

func (h *history) createMailbox(t *rapid.T) {
	id := h.drawAccount(t)
	names := []string{"Sent", "sent", "inbox", "ü"}
	if _, err := h.model.Account(h.ctx, id); err == nil {
		names = append(names, "", "\xff") // of two faults an engine may name either
	}
	name := rapid.SampledFrom(names).Draw(t, "name")
	want, modelErr := h.model.CreateMailbox(h.ctx, id, name)
	got, engineErr := h.engine.CreateMailbox(h.ctx, h.engineID(id), name)
	agree(t, fmt.Sprintf("CreateMailbox(%d, %q)", id, name), engineErr, modelErr)
	if modelErr == nil {
		h.boxes = append(h.boxes, &historyBox{account: id, id: want.ID, engineID: got.ID})
	}
}
