package storetest

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// Mailbox implements store.Mailboxes.
func (m *Model) Mailbox(ctx context.Context, id mail.AccountID, box mail.MailboxID) (store.Mailbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const op = "look up mailbox"
	if err := m.begin(ctx, op); err != nil {
		return store.Mailbox{}, err
	}
	_, b, err := m.mailbox(op, id, box)
	if err != nil {
		return store.Mailbox{}, err
	}
	return b.Mailbox, nil
}

// ListMailboxes implements store.Mailboxes.
func (m *Model) ListMailboxes(ctx context.Context, id mail.AccountID) ([]store.Mailbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const op = "list mailboxes"
	if err := m.begin(ctx, op); err != nil {
		return nil, err
	}
	a, err := m.account(op, id)
	if err != nil {
		return nil, err
	}
	var all []store.Mailbox
	for _, b := range a.boxes {
		all = append(all, b.Mailbox)
	}
	slices.SortFunc(all, func(a, b store.Mailbox) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// CreateMailbox implements store.Mailboxes.
func (m *Model) CreateMailbox(ctx context.Context, id mail.AccountID, name string) (store.Mailbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const op = "create mailbox"
	if err := m.beginChange(ctx, op); err != nil {
		return store.Mailbox{}, err
	}
	a, err := m.account(op, id)
	if err != nil {
		return store.Mailbox{}, err
	}
	if name == "" || len(name) > store.MaxMailboxName || !utf8.ValidString(name) {
		return store.Mailbox{}, fault.Newf(fault.Invalid, op, "%.40q is not a name of 1 to %d octets of UTF-8", name, store.MaxMailboxName)
	}
	for _, b := range a.boxes {
		if b.Name == name || strings.EqualFold(name, "INBOX") {
			return store.Mailbox{}, fault.Newf(fault.Exists, op, "account %d has %.40q", id, name)
		}
	}
	b := m.makeMailbox(a, name)
	m.wake(id)
	return b.Mailbox, nil
}

// makeMailbox adds an empty mailbox to an account.
func (m *Model) makeMailbox(a *account, name string) *mailbox {
	a.lastBox++
	m.lastValidity++
	b := &mailbox{Mailbox: store.Mailbox{
		Account: a.ID, ID: a.lastBox, Name: name, UIDValidity: m.lastValidity, UIDNext: 1,
	}}
	a.nextModSeq(b)
	a.boxes[b.ID] = b
	return b
}

// List implements store.Mailboxes.
func (m *Model) List(ctx context.Context, id mail.AccountID, box mail.MailboxID, from mail.UID) iter.Seq2[store.Message, error] {
	return func(yield func(store.Message, error) bool) {
		messages, err := m.messages(ctx, id, box)
		if err != nil {
			yield(store.Message{}, err)
			return
		}
		for _, msg := range messages {
			if msg.UID >= from && !yield(msg.Message, nil) {
				return
			}
		}
	}
}

// messages returns a copy of what a mailbox holds.
func (m *Model) messages(ctx context.Context, id mail.AccountID, box mail.MailboxID) ([]message, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const op = "list messages"
	if err := m.begin(ctx, op); err != nil {
		return nil, err
	}
	_, b, err := m.mailbox(op, id, box)
	if err != nil {
		return nil, err
	}
	return slices.Clone(b.messages), nil
}

// Open implements store.Mailboxes.
func (m *Model) Open(ctx context.Context, id mail.AccountID, box mail.MailboxID, uid mail.UID) (store.Reader, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, OpOpen); err != nil {
		return nil, err
	}
	_, b, err := m.mailbox(string(OpOpen), id, box)
	if err != nil {
		return nil, err
	}
	return openIn(b.messages, uid)
}

// openIn opens one of messages.
func openIn(messages []message, uid mail.UID) (store.Reader, error) {
	i := slices.IndexFunc(messages, func(msg message) bool { return msg.UID == uid })
	if i < 0 {
		return nil, fault.Newf(fault.NotFound, string(OpOpen), "no message %d", uid)
	}
	return newReader(messages[i]), nil
}

// SetFlags implements store.Mailboxes.
func (m *Model) SetFlags(ctx context.Context, id mail.AccountID, box mail.MailboxID, uids []mail.UID, set, clear mail.Flags) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	const op = "set flags"
	if err := m.beginChange(ctx, op); err != nil {
		return err
	}
	a, b, err := m.mailbox(op, id, box)
	if err != nil {
		return err
	}
	changed := false
	for i := range b.messages {
		msg := &b.messages[i]
		flags := msg.Flags&^clear | set
		if flags == msg.Flags || !slices.Contains(uids, msg.UID) {
			continue
		}
		msg.Flags, msg.ModSeq = flags, a.nextModSeq(b)
		changed = true
	}
	if changed {
		m.wake(id)
	}
	return nil
}

// Remove implements store.Mailboxes.
func (m *Model) Remove(ctx context.Context, id mail.AccountID, box mail.MailboxID, uids []mail.UID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.beginChange(ctx, OpRemove); err != nil {
		return err
	}
	a, b, err := m.mailbox(string(OpRemove), id, box)
	if err != nil {
		return err
	}
	m.remove(a, b, uids)
	return m.answer(OpRemove)
}

// remove takes messages out of a mailbox.
func (m *Model) remove(a *account, b *mailbox, uids []mail.UID) {
	var left []message
	var octets int64
	for _, msg := range b.messages {
		if slices.Contains(uids, msg.UID) {
			octets += msg.Size
			continue
		}
		left = append(left, msg)
	}
	gone := len(b.messages) - len(left)
	if gone == 0 {
		return
	}
	b.messages = left
	a.count(b, -int64(gone), -octets)
	a.nextModSeq(b)
	m.wake(a.ID)
}

// Watch implements store.Mailboxes.
func (m *Model) Watch(id mail.AccountID) (<-chan struct{}, func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &watcher{account: id, changed: make(chan struct{}, 1)}
	m.watchers[w] = struct{}{}
	return w.changed, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers, w)
	}
}
