package storetest

import (
	"context"
	"iter"
	"slices"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// maildrop is a snapshot with a lease. Its fields behind the lock of m are
// lease and closed.
type maildrop struct {
	m        *Model
	holder   store.Holder
	box      store.Mailbox
	messages []message
	lease    bool
	closed   bool
}

// OpenMaildrop implements store.Maildrops.
func (m *Model) OpenMaildrop(ctx context.Context, id mail.AccountID, mode store.LockMode, who string) (store.Maildrop, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, OpOpenMaildrop); err != nil {
		return nil, err
	}
	a, inbox, err := m.mailbox(string(OpOpenMaildrop), id, mail.Inbox)
	if err != nil {
		return nil, err
	}
	if mode == store.Exclusive {
		for _, h := range a.holders {
			if h.holder.Mode == store.Exclusive {
				return nil, fault.Newf(fault.Busy, string(OpOpenMaildrop), "%s has it since %s", h.holder.Who, h.holder.Since.Format(time.TimeOnly))
			}
		}
	}
	d := &maildrop{
		m:        m,
		holder:   store.Holder{Who: who, Mode: mode, Since: m.now()},
		box:      inbox.Mailbox,
		messages: slices.Clone(inbox.messages),
		lease:    true,
	}
	a.holders = append(a.holders, d)
	return d, nil
}

// Holders implements store.Maildrops.
func (m *Model) Holders(ctx context.Context, id mail.AccountID) ([]store.Holder, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const op = "list holders"
	if err := m.begin(ctx, op); err != nil {
		return nil, err
	}
	a, err := m.account(op, id)
	if err != nil {
		return nil, err
	}
	var all []store.Holder
	for _, h := range a.holders {
		all = append(all, h.holder)
	}
	return all, nil
}

// BreakLock implements store.Maildrops.
func (m *Model) BreakLock(ctx context.Context, id mail.AccountID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	const op = "break lock"
	if err := m.begin(ctx, op); err != nil {
		return err
	}
	a, err := m.account(op, id)
	if err != nil {
		return err
	}
	a.endLeases()
	return nil
}

// endLeases ends the leases of all holders of an account's maildrop.
func (a *account) endLeases() {
	for _, h := range a.holders {
		h.lease = false
	}
	a.holders = nil
}

// Mailbox implements store.Maildrop.
func (d *maildrop) Mailbox() store.Mailbox { return d.box }

// List implements store.Maildrop.
func (d *maildrop) List(ctx context.Context) iter.Seq2[store.Message, error] {
	return func(yield func(store.Message, error) bool) {
		if err := d.readable(ctx, "list messages"); err != nil {
			yield(store.Message{}, err)
			return
		}
		for _, msg := range d.messages {
			if !yield(msg.Message, nil) {
				return
			}
		}
	}
}

// Open implements store.Maildrop.
func (d *maildrop) Open(ctx context.Context, uid mail.UID) (store.Reader, error) {
	if err := d.readable(ctx, OpOpen); err != nil {
		return nil, err
	}
	return openIn(d.messages, uid)
}

func (d *maildrop) readable(ctx context.Context, op Op) error {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	if err := d.m.begin(ctx, op); err != nil {
		return err
	}
	if d.closed {
		return fault.Newf(fault.Invalid, string(op), "the maildrop is closed")
	}
	return nil
}

// Remove implements store.Maildrop.
func (d *maildrop) Remove(ctx context.Context, uids []mail.UID) error {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	if err := d.m.beginChange(ctx, OpRemove); err != nil {
		return err
	}
	if !d.lease {
		return fault.Newf(fault.Denied, string(OpRemove), "the lease of %s has ended", d.holder.Who)
	}
	a, inbox, err := d.m.mailbox(string(OpRemove), d.box.Account, mail.Inbox)
	if err != nil {
		return err
	}
	d.m.remove(a, inbox, uids)
	return d.m.answer(OpRemove)
}

// Close implements store.Maildrop.
func (d *maildrop) Close() {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	d.closed, d.lease = true, false
	if a, ok := d.m.accounts[d.box.Account]; ok {
		a.holders = slices.DeleteFunc(a.holders, func(h *maildrop) bool { return h == d })
	}
}
