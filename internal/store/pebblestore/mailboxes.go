package pebblestore

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/pebble/v2"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// Mailbox implements store.Mailboxes.
func (s *Store) Mailbox(ctx context.Context, account mail.AccountID, mailbox mail.MailboxID) (store.Mailbox, error) {
	const op = "mailbox"
	if err := s.enter(ctx, op); err != nil {
		return store.Mailbox{}, err
	}
	defer s.gate.leave()
	h, err := findHead(s.db, mailboxKey{account, mailbox})
	if err != nil {
		return store.Mailbox{}, fault.Newf(fault.KindOf(err), op, "account %d, mailbox %d: %w", account, mailbox, err)
	}
	return h.mailbox(), nil
}

// ListMailboxes implements store.Mailboxes.
func (s *Store) ListMailboxes(ctx context.Context, account mail.AccountID) ([]store.Mailbox, error) {
	const op = "list mailboxes"
	if err := s.enter(ctx, op); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	heads, err := listHeads(s.db, account)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	if len(heads) == 0 {
		return nil, fault.Newf(fault.NotFound, op, "account %d", account)
	}
	list := make([]store.Mailbox, len(heads))
	for i := range heads {
		list[i] = heads[i].mailbox()
	}
	return list, nil
}

// listHeads returns the heads of an account's mailboxes by ascending number.
func listHeads(from getter, account mail.AccountID) ([]head, error) {
	var key keyBuf
	var heads []head
	err := each(from, key.u64(tableMailbox, uint64(account)), func(k, v []byte) (bool, error) {
		m, ok := keyMailbox(k)
		h, err := decodeHead(m, v)
		if !ok || err != nil {
			return false, fault.Newf(fault.Corrupt, "mailbox", "record of account %d: %w", account, errValue)
		}
		heads = append(heads, h)
		return true, nil
	})
	return heads, err
}

// createMailbox is CreateMailbox on its way through the committer.
type createMailbox struct {
	account mail.AccountID
	name    string
	now     time.Time
	result  store.Mailbox
}

// CreateMailbox implements store.Mailboxes.
func (s *Store) CreateMailbox(ctx context.Context, account mail.AccountID, name string) (store.Mailbox, error) {
	const op = "create mailbox"
	if err := s.enter(ctx, op); err != nil {
		return store.Mailbox{}, err
	}
	defer s.gate.leave()
	c := &createMailbox{account: account, name: name, now: s.o.Now()}
	if err := s.do(c); err != nil {
		return store.Mailbox{}, fault.Wrap(op, err)
	}
	return c.result, nil
}

func (c *createMailbox) alone() bool { return true }

// prepare implements operation.
func (c *createMailbox) prepare(t *tx) error {
	u, err := t.usage(c.account)
	if err != nil {
		return err
	}
	if c.name == "" || len(c.name) > store.MaxMailboxName || !utf8.ValidString(c.name) {
		return fault.Newf(fault.Invalid, "create mailbox", "a name is 1 to %d octets of UTF-8", store.MaxMailboxName)
	}
	heads, err := listHeads(t.s.db, c.account)
	if err != nil {
		return err
	}
	for i := range heads {
		if sameName(heads[i].name, c.name) {
			return fault.Newf(fault.Exists, "create mailbox", "account %d has a mailbox of that name", c.account)
		}
	}
	n, err := t.numbers()
	if err != nil {
		return err
	}
	h := t.newMailbox(u, c.name, n.nextValidity(c.now))
	t.setNumbers(n)
	c.result = h.mailbox()
	return nil
}

// inboxName is the name of the mailbox that every account has.
const inboxName = "INBOX"

// sameName compares names of mailboxes (RFC 9051 §5.1).
func sameName(a, b string) bool {
	return a == b || strings.EqualFold(a, inboxName) && strings.EqualFold(b, inboxName)
}

// numbers returns the greatest numbers given. Operations that give more are
// alone in their commit.
func (t *tx) numbers() (numbers, error) {
	v, err := t.s.get(keyNumbers)
	if fault.Is(err, fault.NotFound) {
		return numbers{}, nil
	}
	if err != nil {
		return numbers{}, err
	}
	defer v.Close()
	n, err := decodeNumbers(v.b)
	if err != nil {
		return n, fault.New(fault.Corrupt, "numbers given", err)
	}
	return n, nil
}

func (t *tx) setNumbers(n numbers) {
	t.val = n.append(t.val[:0])
	_ = t.set(keyNumbers) // a batch that is not indexed takes everything
}

// newMailbox adds a mailbox to an account.
func (t *tx) newMailbox(u *usage, name string, validity mail.UIDValidity) *head {
	u.lastMailbox++
	u.modSeq++
	h := &head{
		key:         mailboxKey{u.account, u.lastMailbox},
		name:        name,
		uidValidity: validity,
		uidNext:     1,
		modSeq:      u.modSeq,
	}
	t.c.cache.heads[h.key] = h
	t.changeHead(h)
	t.changeUsage(u)
	return h
}

// List implements store.Mailboxes.
func (s *Store) List(ctx context.Context, account mail.AccountID, mailbox mail.MailboxID, from mail.UID) iter.Seq2[store.Message, error] {
	return func(yield func(store.Message, error) bool) {
		const op = "list messages"
		if err := s.enter(ctx, op); err != nil {
			yield(store.Message{}, err)
			return
		}
		defer s.gate.leave()
		snapshot := s.db.NewSnapshot()
		defer snapshot.Close()
		m := mailboxKey{account, mailbox}
		h, err := findHead(snapshot, m)
		if err != nil {
			yield(store.Message{}, fault.Newf(fault.KindOf(err), op, "account %d, mailbox %d: %w", account, mailbox, err))
			return
		}
		listMessages(ctx, snapshot, &h, from, yield)
	}
}

// listMessages yields a mailbox's messages with from <= UID.
func listMessages(ctx context.Context, g getter, h *head, from mail.UID, yield func(store.Message, error) bool) {
	const op = "list messages"
	var first, last keyBuf
	lower := first.message(h.key, from)
	upper := append(last.message(h.key, math.MaxUint32), 0)
	it, err := g.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		yield(store.Message{}, indexFault(op, err))
		return
	}
	defer it.Close()
	names := uidlMaker{validity: h.uidValidity}
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			yield(store.Message{}, fault.New(fault.Transient, op, err))
			return
		}
		uid, ok := keyUID(it.Key())
		v, err := it.ValueAndErr()
		if err != nil {
			yield(store.Message{}, indexFault(op, err))
			return
		}
		msg, err := decodeMessage(v)
		if err != nil || !ok {
			if !yield(store.Message{UID: uid}, fault.Newf(fault.Corrupt, op, "%s: %w", where(h.key, uid), errValue)) {
				return
			}
			continue
		}
		if !yield(msg.message(uid, names.uidl(uid)), nil) {
			return
		}
	}
	if err := it.Error(); err != nil {
		yield(store.Message{}, indexFault(op, err))
	}
}

// message turns a record into what the store shows of it.
func (m *message) message(uid mail.UID, uidl string) store.Message {
	return store.Message{
		UID: uid, ModSeq: m.modSeq, Size: m.size, Flags: m.flags,
		Received: time.Unix(m.received, 0).UTC(), ID: m.id, UIDL: uidl,
	}
}

// uidlMaker makes UIDLs: UIDVALIDITY and UID as 16 hexadecimal digits. Both are
// for the mailbox's whole life, and so is the pair. The texts of many share
// memory: a listing makes one allocation for uidlsAtOnce of them.
type uidlMaker struct {
	validity mail.UIDValidity
	text     string // of what is handed out next
	next     mail.UID
}

const (
	uidlSize    = 16
	uidlsAtOnce = 64
)

func (u *uidlMaker) uidl(uid mail.UID) string {
	if u.text == "" || uid != u.next {
		u.fill(uid)
	}
	s := u.text[:uidlSize]
	u.text = u.text[uidlSize:]
	u.next = uid + 1
	return s
}

// fill makes the texts for uid and those that likely follow.
func (u *uidlMaker) fill(uid mail.UID) {
	var b [uidlsAtOnce * uidlSize]byte
	var n [8]byte
	count := 1
	if uid == u.next || u.next == 0 {
		count = uidlsAtOnce
	}
	for i := range count {
		binary.BigEndian.PutUint32(n[:4], uint32(u.validity))
		binary.BigEndian.PutUint32(n[4:], uint32(uid)+uint32(i))
		hex.Encode(b[i*uidlSize:], n[:])
	}
	u.text = string(b[:count*uidlSize])
}

// Open implements store.Mailboxes.
func (s *Store) Open(ctx context.Context, account mail.AccountID, mailbox mail.MailboxID, uid mail.UID) (store.Reader, error) {
	if err := s.enter(ctx, "open message"); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	var p pin
	s.pins.hold(&p)
	defer s.pins.release(&p)
	m := mailboxKey{account, mailbox}
	var key keyBuf
	// The mail of a removed account may not be swept yet.
	v, err := s.get(key.mailbox(m))
	if err != nil {
		return nil, fault.Wrap("open "+where(m, uid), err)
	}
	v.Close()
	return s.openMessage(s.db, m, uid, &p)
}
