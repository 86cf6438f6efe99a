package pebblestore

import (
	"context"

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
	seen := make(map[mail.UID]struct{}, len(uids))
	contents := make(map[uint64]*blobChange)
	for _, uid := range uids {
		if _, ok := seen[uid]; ok {
			continue
		}
		seen[uid] = struct{}{}
		msg, err := findMessage(t.s.db, box, uid)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		o := contents[msg.blob]
		if o == nil {
			o, err = t.blob(msg.blob)
			if err != nil && !fault.Is(err, fault.NotFound) {
				return nil, err
			}
			contents[msg.blob] = o
		}
		all = append(all, found{uid, msg, o})
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
	return fault.Wrap(op, s.do(&flagging{mailboxKey{account, mailbox}, uids, set, clear}))
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
	seen := make(map[mail.UID]struct{}, len(f.uids))
	for _, uid := range f.uids {
		msg, err := findMessage(t.s.db, f.box, uid)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		flags := msg.flags&^f.clear | f.set
		if _, ok := seen[uid]; ok || flags == msg.flags {
			continue
		}
		seen[uid] = struct{}{}
		msg.flags = flags
		changes = append(changes, change{uid, msg})
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
