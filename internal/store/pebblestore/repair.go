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
	bad      map[uint64]badContent
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
	if b, ok := o.bad[msg.blob]; ok && !b.stays {
		return false
	}
	_, err = findBlob(t.s.db, msg.blob)
	return err == nil
}

// recount counts everything anew and puts right what is wrong: mailboxes,
// accounts, references, segments, the lists of domains, the queue's schedule. No other change happens
// meanwhile.
type recount struct {
	t       *tx
	now     time.Time
	boxes   map[mailboxKey]*sums
	of      map[mail.AccountID][]mailboxKey // the boxes of each account
	refs    map[uint64]uint64
	known   map[mail.AccountID]bool
	numbers numbers
	// heldOctets are those of the copies that are held for each account.
	heldOctets map[mail.AccountID]int64
}

func (o *recount) alone() bool { return true }

// prepare implements operation.
func (o *recount) prepare(t *tx) error {
	*o = recount{
		t: t, now: t.s.o.Now(), boxes: make(map[mailboxKey]*sums), of: make(map[mail.AccountID][]mailboxKey),
		refs: make(map[uint64]uint64), known: make(map[mail.AccountID]bool), heldOctets: make(map[mail.AccountID]int64),
	}
	var err error
	if o.numbers, err = t.numbers(); err != nil && !isMissing(err) {
		return err
	}
	t.c.cache = newCache()
	for _, step := range []func() error{o.messages, o.held, o.queue, o.accounts, o.strays, o.contents, o.number} {
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
			o.of[m.account] = append(o.of[m.account], m)
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
		o.known[a.ID] = true
		o.numbers.account = max(o.numbers.account, a.ID)
		o.enter(&a)
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
	u.messages, u.octets, u.held = 0, 0, o.heldOctets[id]
	for _, m := range o.of[id] {
		u.lastMailbox = max(u.lastMailbox, m.mailbox)
	}
	for _, h := range heads {
		u.lastMailbox = max(u.lastMailbox, h.key.mailbox)
		u.modSeq = max(u.modSeq, h.modSeq)
		o.numbers.validity = max(o.numbers.validity, h.uidValidity)
	}
	o.missing(u, heads, append(o.of[id], mailboxKey{id, mail.Inbox}))
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
func (o *recount) missing(u *usage, heads map[mailboxKey]*head, boxes []mailboxKey) {
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
		heads[m] = o.t.newMailbox(u, name, o.numbers.nextValidity(o.now))
		u.lastMailbox = max(last, m.mailbox)
	}
}

// strays puts right what belongs to accounts that are not there: those that have
// mail are made again, under the address that leads to them or one that says
// what happened; addresses that lead to none otherwise go.
func (o *recount) strays() error {
	t := o.t
	lost, err := o.lostAccounts()
	if err != nil {
		return err
	}
	addresses := make(map[mail.AccountID]string)
	err = each(t.s.db, []byte{tableEntry}, func(key, v []byte) (bool, error) {
		e, err := decodeEntry(string(key[1:]), v)
		switch {
		case err != nil:
		case e.Account == 0:
			_ = t.batch.Set(inKey(domainOf(e.Address), e.Address), nil, nil)
			o.domain(domainOf(e.Address))
		case lost[e.Account]:
			addresses[e.Account] = e.Address
		case !o.known[e.Account]:
			_ = t.batch.Delete(entryKey(e.Address), nil)
			_ = t.batch.Delete(inKey(domainOf(e.Address), e.Address), nil)
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for id := range lost {
		address := addresses[id]
		if address == "" {
			if address, err = o.lostAddress(id); err != nil {
				return err
			}
		}
		a := store.Account{ID: id, Address: address, Disabled: true, Created: o.now, Version: firstVersion}
		_ = t.batch.Set(t.key.account(id), appendAccount(nil, &a), nil)
		o.enter(&a)
		if err := o.account(id); err != nil {
			return err
		}
	}
	return nil
}

// lostAccounts returns the accounts that have mail or mailboxes, but no record.
func (o *recount) lostAccounts() (map[mail.AccountID]bool, error) {
	lost := make(map[mail.AccountID]bool)
	for id := range o.of {
		lost[id] = true
	}
	for _, table := range []byte{tableUsage, tableMailbox, tableSweep} {
		err := each(o.t.s.db, []byte{table}, func(key, _ []byte) (bool, error) {
			if n, ok := keyUint64(key); ok {
				lost[mail.AccountID(n)] = table != tableSweep
			}
			return true, nil
		})
		if err != nil {
			return nil, err
		}
	}
	for id, is := range lost {
		o.numbers.account = max(o.numbers.account, id)
		if !is || o.known[id] {
			delete(lost, id)
		}
	}
	return lost, nil
}

// number keeps the greatest numbers given; with that all is counted.
func (o *recount) number() error {
	o.t.setNumbers(o.numbers)
	if o.t.s.rebuilt {
		_ = o.t.batch.Delete(keyRebuilt, nil)
	}
	return nil
}

// lostAddress returns an address for an account that has lost its own, in a
// domain that is there, or one made for it.
func (o *recount) lostAddress(id mail.AccountID) (string, error) {
	domain := ""
	err := each(o.t.s.db, []byte{tableDomain}, func(key, _ []byte) (bool, error) {
		domain = string(key[1:])
		return false, nil
	})
	if domain == "" {
		domain = "lost.invalid"
		o.domain(domain)
	}
	return fmt.Sprintf("lost-account-%d@%s", id, domain), err
}

// enter makes an account's address lead to it.
func (o *recount) enter(a *store.Account) {
	e := store.Entry{Address: a.Address, Account: a.ID}
	_ = o.t.batch.Set(entryKey(a.Address), appendEntry(nil, &e), nil) // a batch that is not indexed takes everything
	_ = o.t.batch.Set(inKey(domainOf(a.Address), a.Address), nil, nil)
	o.domain(domainOf(a.Address))
}

// domain makes a domain again that addresses are in.
func (o *recount) domain(name string) {
	if _, err := findDomain(o.t.s.db, name); fault.Is(err, fault.NotFound) {
		_ = o.t.batch.Set(domainKey(name), appendDomain(nil, &store.Domain{Name: name, Created: o.now}), nil)
	}
}

// contents puts right references and the live octets of segments.
func (o *recount) contents() error {
	t := o.t
	live := make(map[uint64]int64)
	err := each(t.s.db, []byte{tableBlob}, func(key, v []byte) (bool, error) {
		id, ok := keyUint64(key)
		b, err := decodeBlob(v)
		if !ok || err != nil {
			return true, nil // Check takes it away
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
