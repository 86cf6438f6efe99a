package pebblestore

import (
	"fmt"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// removeAtOnce is how many bad messages one commit removes.
const removeAtOnce = 1000

// remove removes messages that have no content, or a bad one.
func (c *check) remove(gone []doomed) error {
	for len(gone) > 0 {
		n := min(len(gone), removeAtOnce)
		if err := c.s.do(&removeBad{messages: gone[:n], bad: c.bad, snapshot: c.index}); err != nil {
			return err
		}
		gone = gone[n:]
		c.uncount = true
	}
	return nil
}

// removeBad takes bad messages out of the index; recount puts right what hangs
// on them. Only what is still as the check has seen it goes.
type removeBad struct {
	messages []doomed
	bad      map[uint64]string
	snapshot getter
}

func (o *removeBad) alone() bool { return true }

// prepare implements operation.
func (o *removeBad) prepare(t *tx) error {
	for _, d := range o.messages {
		now, err := t.s.get(t.key.message(d.box, d.uid))
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		then, err := lookUp(o.snapshot, t.key.message(d.box, d.uid))
		same := err == nil && string(now.b) == string(then.b)
		if err == nil {
			then.Close()
		}
		now.Close()
		if same || !o.sound(t, d) {
			_ = t.batch.Delete(t.key.message(d.box, d.uid), nil) // a batch that is not indexed takes everything
		}
	}
	return nil
}

// sound reports whether a message that has changed since, its flags perhaps, can
// be read for all the check knows.
func (o *removeBad) sound(t *tx, d doomed) bool {
	msg, err := findMessage(t.s.db, d.box, d.uid)
	if err != nil {
		return false
	}
	if _, ok := o.bad[msg.blob]; ok {
		return false
	}
	_, err = findBlob(t.s.db, msg.blob)
	return err == nil
}

// recount counts everything anew and puts right what is wrong: mailboxes,
// accounts, references, segments, the lists of domains. No other change happens
// meanwhile.
type recount struct {
	t     *tx
	now   time.Time
	boxes map[mailboxKey]*sums
	refs  map[uint64]uint64
}

func (o *recount) alone() bool { return true }

// prepare implements operation.
func (o *recount) prepare(t *tx) error {
	*o = recount{t: t, now: t.s.o.Now(), boxes: make(map[mailboxKey]*sums), refs: make(map[uint64]uint64)}
	t.c.cache = newCache()
	for _, step := range []func() error{o.messages, o.accounts, o.strays, o.contents} {
		if err := step(); err != nil {
			return fault.Wrap("count anew", err)
		}
	}
	return nil
}

// messages adds up the messages of each mailbox.
func (o *recount) messages() error {
	return each(o.t.s.db, []byte{tableMessage}, func(key, v []byte) (bool, error) {
		m, ok := keyMailbox(key)
		uid, okUID := keyUID(key)
		msg, err := decodeMessage(v)
		if !ok || !okUID || err != nil {
			return true, nil
		}
		if o.boxes[m] == nil {
			o.boxes[m] = &sums{}
		}
		o.boxes[m].add(uid, &msg)
		o.refs[msg.blob]++
		return true, nil
	})
}

// accounts puts right what belongs to each account that is there.
func (o *recount) accounts() error {
	return each(o.t.s.db, []byte{tableAccount}, func(key, v []byte) (bool, error) {
		n, ok := keyUint64(key)
		a, err := decodeAccount(mail.AccountID(n), v)
		if !ok || err != nil {
			return true, nil
		}
		e := store.Entry{Address: a.Address, Account: a.ID}
		_ = o.t.batch.Set(entryKey(a.Address), appendEntry(nil, &e), nil) // a batch that is not indexed takes everything
		_ = o.t.batch.Set(inKey(domainOf(a.Address), a.Address), nil, nil)
		return true, o.account(a.ID)
	})
}

// account puts right one account's mailboxes and counters.
func (o *recount) account(id mail.AccountID) error {
	t := o.t
	u, err := t.usage(id)
	if isMissing(err) {
		u = &usage{account: id}
		t.c.cache.usages[id] = u
	} else if err != nil {
		return err
	}
	heads, err := o.heads(id)
	if err != nil {
		return err
	}
	u.messages, u.octets = 0, 0
	var mine []mailboxKey
	for m := range o.boxes {
		if m.account == id {
			mine = append(mine, m)
			u.lastMailbox = max(u.lastMailbox, m.mailbox)
		}
	}
	for _, h := range heads {
		u.lastMailbox = max(u.lastMailbox, h.key.mailbox)
		u.modSeq = max(u.modSeq, h.modSeq)
	}
	if err := o.missing(u, heads, append(mine, mailboxKey{id, mail.Inbox})); err != nil {
		return err
	}
	for _, h := range heads {
		sum := o.boxes[h.key]
		if sum == nil {
			sum = &sums{}
		}
		h.messages, h.octets = sum.messages, sum.octets
		h.uidNext = max(h.uidNext, sum.lastUID+1)
		h.modSeq = max(h.modSeq, sum.modSeq)
		u.modSeq = max(u.modSeq, h.modSeq)
		u.messages += h.messages
		u.octets += h.octets
		t.changeHead(h)
	}
	t.changeUsage(u)
	return nil
}

// isMissing reports whether err says that a record is not there or malformed.
func isMissing(err error) bool { return fault.Is(err, fault.NotFound) || fault.Is(err, fault.Corrupt) }

// heads returns the heads of an account's mailboxes that can be read.
func (o *recount) heads(id mail.AccountID) (map[mailboxKey]*head, error) {
	heads := make(map[mailboxKey]*head)
	var key keyBuf
	err := each(o.t.s.db, key.u64(tableMailbox, uint64(id)), func(k, v []byte) (bool, error) {
		m, ok := keyMailbox(k)
		if h, err := decodeHead(m, v); ok && err == nil {
			heads[m] = &h
			o.t.c.cache.heads[m] = &h
		}
		return true, nil
	})
	return heads, err
}

// missing makes heads anew for the mailboxes that have lost theirs.
func (o *recount) missing(u *usage, heads map[mailboxKey]*head, boxes []mailboxKey) error {
	n, err := o.t.numbers()
	if err != nil {
		return err
	}
	for _, m := range boxes {
		if heads[m] != nil {
			continue
		}
		name := inboxName
		if m.mailbox != mail.Inbox {
			name = fmt.Sprintf("Recovered %d", m.mailbox)
		}
		last := u.lastMailbox
		u.lastMailbox = m.mailbox - 1
		heads[m] = o.t.newMailbox(u, name, n.nextValidity(o.now))
		u.lastMailbox = max(last, m.mailbox)
		o.t.setNumbers(n)
	}
	return nil
}

// strays has the mail swept of which the account is not there.
func (o *recount) strays() error {
	t := o.t
	for m := range o.boxes {
		v, err := t.s.get(t.key.account(m.account))
		if err == nil {
			v.Close()
		} else if fault.Is(err, fault.NotFound) {
			t.dropUsage(m.account)
			t.removed = true
		} else {
			return err
		}
	}
	return each(t.s.db, []byte{tableEntry}, func(key, v []byte) (bool, error) {
		e, err := decodeEntry(string(key[1:]), v)
		if err == nil && e.Account == 0 {
			_ = t.batch.Set(inKey(domainOf(e.Address), e.Address), nil, nil)
		}
		return true, nil
	})
}

// contents puts right references and the live octets of segments.
func (o *recount) contents() error {
	t := o.t
	live := make(map[uint64]int64)
	err := each(t.s.db, []byte{tableBlob}, func(key, v []byte) (bool, error) {
		id, ok := keyUint64(key)
		b, err := decodeBlob(v)
		if !ok || err != nil {
			_ = t.batch.Delete(append([]byte(nil), key...), nil) // what had it was removed
			return true, nil
		}
		if refs := o.refs[id]; refs != b.refs {
			c := &blobChange{blob: b, id: id}
			c.refs = refs
			t.blobs[id] = c
			t.removed = t.removed || refs == 0
			if refs == 0 && b.file != 0 {
				t.deadFiles = append(t.deadFiles, b.file)
			}
		}
		if o.refs[id] > 0 {
			live[b.segment] += b.length
			if b.file != 0 {
				t.val = appendFixed(t.val[:0], id)
				_ = t.set(t.key.file(b.file))
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	t.s.log.recounted(live, t.live)
	return nil
}
