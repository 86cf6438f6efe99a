package pebblestore

import (
	"context"
	"slices"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// manyUIDs is from how many messages on a change is a commit of its own.
const manyUIDs = 4096

// removal is a Remove on its way through the committer.
type removal struct {
	box   mailboxKey
	uids  []mail.UID
	lease *lease // nil outside of a maildrop
}

// Remove implements store.Mailboxes.
func (s *Store) Remove(ctx context.Context, account mail.AccountID, mailbox mail.MailboxID, uids []mail.UID) error {
	return s.remove(ctx, &removal{box: mailboxKey{account, mailbox}, uids: uids})
}

func (s *Store) remove(ctx context.Context, r *removal) error {
	const op = "remove messages"
	if err := s.enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.leave()
	if err := s.warm(ctx, r.box, r.uids, true); err != nil {
		return fault.Wrap(op, err)
	}
	return fault.Wrap(op, s.do(r))
}

func (r *removal) alone() bool { return len(r.uids) > manyUIDs }

// prepare implements operation.
func (r *removal) prepare(t *tx) error {
	if r.lease != nil && r.lease.ended.Load() {
		return fault.Newf(fault.Denied, "remove messages", "the lock of the maildrop was broken")
	}
	if _, ok := t.messages[r.box]; ok {
		return errAgain
	}
	h, err := t.head(r.box)
	if err != nil {
		return fault.Newf(fault.KindOf(err), "remove messages", "account %d, mailbox %d: %w", r.box.account, r.box.mailbox, err)
	}
	u, err := t.usage(r.box.account)
	if err != nil {
		return err
	}
	gone, err := t.findAll(r.box, r.uids)
	if err != nil {
		return err
	}
	for i := range gone {
		t.expunge(h, u, &gone[i])
	}
	return nil
}

// found is a message that is there, with its content. The content is nil when
// the index has lost it.
type found struct {
	uid     mail.UID
	message message
	content *blobChange
}

// findAll returns those of the messages that are there, each once, with their
// contents. It changes nothing.
func (t *tx) findAll(box mailboxKey, uids []mail.UID) ([]found, error) {
	all := make([]found, 0, len(uids))
	err := eachOf(t.s.db, box, uids, func(uid mail.UID, m *message) error {
		all = append(all, found{uid: uid, message: *m})
		return nil
	})
	if err != nil {
		return nil, err
	}
	contents := make(map[uint64]*blobChange, len(all))
	ids := make([]uint64, 0, len(all))
	for i := range all {
		id := all[i].message.blob
		if o := t.blobs[id]; o != nil {
			contents[id] = o
		} else {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	fresh := make([]blobChange, 0, len(ids)) // one allocation
	err = eachBlob(t.s.db, ids, func(id uint64, o blob) {
		fresh = append(fresh, blobChange{blob: o, id: id})
		contents[id] = &fresh[len(fresh)-1]
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].content = contents[all[i].message.blob]
	}
	return all, nil
}

// expunge takes one message out of its mailbox.
func (t *tx) expunge(h *head, u *usage, f *found) {
	u.modSeq++
	h.modSeq = u.modSeq
	h.messages--
	h.octets -= f.message.size
	u.messages--
	u.octets -= f.message.size
	t.changeHead(h)
	t.changeUsage(u)
	t.messages[h.key] = struct{}{}
	_ = t.batch.Delete(t.key.message(h.key, f.uid), nil) // a batch that is not indexed takes everything
	if f.content != nil {
		t.release(f.content)
	}
}

// flagging is a SetFlags on its way through the committer.
type flagging struct {
	box        mailboxKey
	uids       []mail.UID
	set, clear mail.Flags
}

// SetFlags implements store.Mailboxes.
func (s *Store) SetFlags(ctx context.Context, account mail.AccountID, mailbox mail.MailboxID, uids []mail.UID, set, clear mail.Flags) error {
	const op = "set flags"
	if err := s.enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.leave()
	f := &flagging{mailboxKey{account, mailbox}, uids, set, clear}
	if err := s.warm(ctx, f.box, uids, false); err != nil {
		return fault.Wrap(op, err)
	}
	return fault.Wrap(op, s.do(f))
}

func (f *flagging) alone() bool { return len(f.uids) > manyUIDs }

// prepare implements operation.
func (f *flagging) prepare(t *tx) error {
	if _, ok := t.messages[f.box]; ok {
		return errAgain
	}
	h, err := t.head(f.box)
	if err != nil {
		return fault.Newf(fault.KindOf(err), "set flags", "account %d, mailbox %d: %w", f.box.account, f.box.mailbox, err)
	}
	u, err := t.usage(f.box.account)
	if err != nil {
		return err
	}
	type change struct {
		uid mail.UID
		message
	}
	var changes []change
	err = eachOf(t.s.db, f.box, f.uids, func(uid mail.UID, m *message) error {
		flags := m.flags&^f.clear | f.set
		if flags == m.flags {
			return nil
		}
		m.flags = flags
		changes = append(changes, change{uid, *m})
		return nil
	})
	if err != nil {
		return err
	}
	for i := range changes {
		c := &changes[i]
		u.modSeq++
		c.modSeq = u.modSeq
		h.modSeq = u.modSeq
		t.changeHead(h)
		t.changeUsage(u)
		t.messages[f.box] = struct{}{}
		t.val = c.message.append(t.val[:0])
		_ = t.set(t.key.message(f.box, c.uid)) // a batch that is not indexed takes everything
	}
	return nil
}
