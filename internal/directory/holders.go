package directory

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

const (
	holdersRecord = "logins/legacy"
	maxHolders    = 1000 // accounts that are written down
)

// holders knows whether some account has a legacy secret, without a look at all
// accounts. Those that have one are written down in a record: an account before it
// gets its secret, and until after it has lost it. What a crash leaves behind is
// an account too many, which is found out at the next start.
//
// Directory.changing is held in all methods but load.
type holders struct {
	st      store.Directory
	records store.Records // nil: nothing is kept, and some account may always have one
	log     *slog.Logger
	now     func() time.Time

	some atomic.Bool // an account may have a secret
	kept keptHolders
}

// keptHolders are the accounts that may have a secret, as the record has them.
type keptHolders struct {
	Accounts []mail.AccountID `json:"accounts"`
	// More says that there may be others, since they were more than maxHolders.
	More bool `json:"more,omitempty"`
}

func (k keptHolders) some() bool { return len(k.Accounts) > 0 || k.More }

// load reads the record.
func (h *holders) load(ctx context.Context) {
	h.some.Store(true)
	if h.records == nil {
		return
	}
	r, err := h.records.Record(ctx, holdersRecord)
	if err == nil {
		err = json.Unmarshal(r.Value, &h.kept)
	}
	switch {
	case fault.Is(err, fault.NotFound):
		h.some.Store(false)
		return
	case err != nil:
		h.kept = keptHolders{More: true}
		h.log.Warn("it can't be told which accounts have legacy secrets: clients are told that some may", "error", err)
		return
	}
	if h.prune(ctx) {
		h.keep(ctx)
	}
	h.some.Store(h.kept.some())
}

// add writes an account down that is to get a secret.
func (h *holders) add(ctx context.Context, id mail.AccountID) error {
	if h.records == nil {
		return nil
	}
	next := h.kept
	switch {
	case slices.Contains(next.Accounts, id):
		return nil
	case len(next.Accounts) >= maxHolders:
		next.More = true
	default:
		next.Accounts = append(slices.Clone(next.Accounts), id)
	}
	if err := h.put(ctx, next); err != nil {
		return err
	}
	h.kept = next
	h.some.Store(true)
	return nil
}

// remove takes an account off that has no secret any more. When none is left that
// is written down, and there were more, it looks at all accounts.
func (h *holders) remove(ctx context.Context, id mail.AccountID) {
	if h.records == nil {
		return
	}
	ctx = context.WithoutCancel(ctx)
	h.kept.Accounts = slices.DeleteFunc(h.kept.Accounts, func(other mail.AccountID) bool { return other == id })
	h.prune(ctx)
	if len(h.kept.Accounts) == 0 && h.kept.More {
		h.recount(ctx)
	}
	h.keep(ctx)
	h.some.Store(h.kept.some())
}

// prune takes off the accounts before the first that does have a secret, and
// reports whether there were any. Where that can't be told they stay.
func (h *holders) prune(ctx context.Context) (changed bool) {
	for len(h.kept.Accounts) > 0 {
		account, err := h.st.Account(ctx, h.kept.Accounts[0])
		if err != nil && !fault.Is(err, fault.NotFound) || err == nil && len(account.LegacySecret) > 0 {
			break
		}
		h.kept.Accounts, changed = h.kept.Accounts[1:], true
	}
	return changed
}

// recount writes down anew, by a look at the accounts until there are too many.
func (h *holders) recount(ctx context.Context) {
	var found keptHolders
	for account, err := range h.st.Accounts(ctx, "", "") {
		switch {
		case err != nil:
			h.log.Warn("it can't be told which accounts have legacy secrets: clients are told that some may", "error", err)
			return
		case len(account.LegacySecret) == 0:
			continue
		case len(found.Accounts) >= maxHolders:
			found.More = true
			h.kept = found
			return
		}
		found.Accounts = append(found.Accounts, account.ID)
	}
	h.kept = found
}

// keep writes the record; when that fails, it has accounts too many.
func (h *holders) keep(ctx context.Context) {
	if err := h.put(ctx, h.kept); err != nil {
		h.log.Warn("which accounts have legacy secrets was not written down; the next start finds it out", "error", err)
	}
}

func (h *holders) put(ctx context.Context, k keptHolders) error {
	value, err := json.Marshal(k)
	if err != nil {
		return fault.New(fault.Internal, "write down who has a legacy secret", err)
	}
	r := store.Record{Key: holdersRecord, Value: value, Changed: h.now()}
	return fault.Wrap("write down who has a legacy secret", h.records.PutRecord(ctx, r))
}

// found notes an account that has a secret while none is thought to have one: the
// record has been lost.
func (d *Directory) found(ctx context.Context, id mail.AccountID) {
	d.changing.Lock()
	defer d.changing.Unlock()
	account, err := d.st.Account(ctx, id)
	if err != nil || len(account.LegacySecret) == 0 {
		return
	}
	if err := d.holders.add(context.WithoutCancel(ctx), id); err != nil {
		d.o.Logger.Warn("that the account has a legacy secret was not written down", "account", account.Address, "error", err)
	}
	d.holders.some.Store(true)
}
