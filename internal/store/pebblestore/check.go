package pebblestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// check is one walk through the store: over a snapshot of the index, and the
// log and files as a pin keeps them.
type check struct {
	s        *Store
	ctx      context.Context
	index    *pebble.Snapshot
	repair   bool
	report   func(store.Finding)
	result   store.CheckResult
	bad      map[uint64]badContent
	uncount  bool // something is to be counted anew
	swept    map[mail.AccountID]bool
	known    map[mail.AccountID]bool // true: there; false: reported as lost
	segments map[uint64]int64        // live octets
}

// badContent is a content that can't be read.
type badContent struct {
	// stays: the messages that have it are not removed. The disk would not give
	// the octets this time, or those there are could not be set aside.
	stays bool
	kept  string // where its octets are; empty: nowhere
}

// Check implements store.Keeper. Its memory grows with the number of findings,
// and with repair by some 50 octets a message while it counts anew.
func (s *Store) Check(ctx context.Context, repair bool, report func(store.Finding)) (store.CheckResult, error) {
	const op = "check"
	if err := s.enter(ctx, op); err != nil {
		return store.CheckResult{}, err
	}
	defer s.gate.leave()
	if repair {
		if err := s.health.changes(op); err != nil {
			return store.CheckResult{}, err
		}
	}
	var p pin
	s.pins.hold(&p)
	defer s.pins.release(&p)
	c := &check{
		s: s, ctx: ctx, repair: repair, report: report, index: s.db.NewSnapshot(),
		bad: make(map[uint64]badContent), swept: make(map[mail.AccountID]bool), known: make(map[mail.AccountID]bool), segments: make(map[uint64]int64),
	}
	defer c.index.Close()
	steps := []func() error{c.directory, c.contents, c.messages, c.references, c.space, c.setRight}
	for _, step := range steps {
		err := step()
		if pebble.IsCorruptionError(err) {
			return c.result, c.indexDamaged(err)
		}
		if err != nil {
			return c.result, fault.Wrap(op, err)
		}
	}
	return c.result, nil
}

// indexDamaged reports a damaged index; the walk ends there.
func (c *check) indexDamaged(err error) error {
	c.found(c.s.fs.PathJoin(c.s.o.Dir, indexFolder), err.Error(), "the next start makes it anew; then check again")
	if !c.repair {
		return nil
	}
	return fileFault("check", c.s.askRebuild())
}

// found reports something wrong; repaired is what is done about it with repair.
func (c *check) found(where, problem, repaired string) {
	c.result.Findings++
	f := store.Finding{Where: where, Problem: problem}
	if c.repair {
		f.Repaired = repaired
	}
	c.report(f)
}

// miscounted reports something that counting anew puts right.
func (c *check) miscounted(where, format string, args ...any) {
	c.uncount = true
	c.found(where, fmt.Sprintf(format, args...), "put right")
}

// each walks a table of the snapshot.
func (c *check) each(table byte, f func(key, v []byte) error) error {
	return each(c.index, []byte{table}, func(key, v []byte) (bool, error) {
		if err := c.ctx.Err(); err != nil {
			return false, fault.New(fault.Transient, "check", err)
		}
		if c.s.stopping() {
			return false, fault.Newf(fault.Transient, "check", "the store is being closed")
		}
		return true, f(key, v)
	})
}

// directory checks domains, addresses and accounts.
func (c *check) directory() error {
	return errors.Join(
		c.each(tableSweep, func(key, _ []byte) error {
			if n, ok := keyUint64(key); ok {
				c.swept[mail.AccountID(n)] = true
			}
			return nil
		}),
		c.each(tableDomain, func(key, v []byte) error {
			if _, err := decodeDomain("", v); err != nil {
				c.found("domain "+string(key[1:]), err.Error(), "")
			}
			return nil
		}),
		c.each(tableEntry, c.entry),
		c.each(tableAccount, c.account),
		c.each(tableUsage, c.lostAccount),
		c.each(tableMailbox, c.lostAccount),
	)
}

// lostAccount reports a record of an account that is not there.
func (c *check) lostAccount(key, _ []byte) error {
	n, ok := keyUint64(key)
	id := mail.AccountID(n)
	if _, seen := c.known[id]; !ok || seen || c.swept[id] {
		return nil
	}
	c.known[id] = false
	c.uncount = true
	c.found(fmt.Sprintf("account %d", n), "it has mailboxes, but no record", "it is made again, without a login")
	return nil
}

func (c *check) entry(key, v []byte) error {
	name := string(key[1:])
	e, err := decodeEntry(name, v)
	if err != nil {
		c.found("address "+name, err.Error(), "")
		return nil
	}
	if _, err := findDomain(c.index, domainOf(name)); fault.Is(err, fault.NotFound) {
		c.miscounted("address "+name, "its domain is not there")
	}
	if v, err := lookUp(c.index, inKey(domainOf(name), name)); err == nil {
		v.Close()
	} else if fault.Is(err, fault.NotFound) {
		c.miscounted("address "+name, "it is missing in its domain's list")
	}
	if e.Account == 0 {
		return nil
	}
	var k keyBuf
	w, err := lookUp(c.index, k.account(e.Account))
	if fault.Is(err, fault.NotFound) {
		c.miscounted("address "+name, "its account %d is not there", e.Account)
		return nil
	}
	if err != nil {
		return err
	}
	w.Close()
	return nil
}

func (c *check) account(key, v []byte) error {
	n, ok := keyUint64(key)
	a, err := decodeAccount(mail.AccountID(n), v)
	if !ok || err != nil {
		c.found(fmt.Sprintf("account %d", n), errValue.Error(), "")
		return nil
	}
	c.result.Accounts++
	c.known[a.ID] = true
	name := fmt.Sprintf("account %d (%s)", n, a.Address)
	if e, err := findEntry(c.index, a.Address); err != nil || e.Account != a.ID {
		c.miscounted(name, "its address does not lead to it")
	}
	u, err := findUsage(c.index, a.ID)
	if err != nil && !isDamage(err) && !fault.Is(err, fault.NotFound) {
		return err
	}
	if err != nil {
		c.miscounted(name, "its counters: %v", err)
		return nil
	}
	heads, err := listHeads(c.index, a.ID)
	if err != nil {
		c.miscounted(name, "its mailboxes: %v", err)
		return nil
	}
	var messages, octets int64
	inbox := false
	for i := range heads {
		c.result.Mailboxes++
		messages += heads[i].messages
		octets += heads[i].octets
		inbox = inbox || heads[i].key.mailbox == mail.Inbox
		if heads[i].modSeq > u.modSeq || heads[i].key.mailbox > u.lastMailbox {
			c.miscounted(name, "mailbox %d is newer than the account", heads[i].key.mailbox)
		}
	}
	if messages != u.messages || octets != u.octets {
		c.miscounted(name, "it counts %d messages of %d octets, its mailboxes %d of %d", u.messages, u.octets, messages, octets)
	}
	if !inbox {
		c.miscounted(name, "it has no INBOX")
	}
	return nil
}

// contents reads every content and verifies its checksums.
func (c *check) contents() error {
	return c.each(tableBlob, func(key, v []byte) error {
		id, ok := keyUint64(key)
		o, err := decodeBlob(v)
		if !ok || err != nil {
			c.setAside(id, nil, blob{}, "its record", errValue)
			return nil
		}
		c.segments[o.segment] += o.length
		place := fmt.Sprintf("%s, offset %d", c.s.log.path(o.segment), o.offset)
		octets, err := c.s.verify(id, o)
		if err == nil && o.file != 0 {
			place = c.s.files.path(o.file)
			err = c.s.verifyFile(o)
		}
		switch {
		case err == nil:
			return c.fileRow(id, o)
		case isDamage(err):
			c.setAside(id, octets, o, place, err)
		default:
			c.unread(id, place, err)
		}
		return nil
	})
}

// unread remembers a content that the disk did not give this time. Nobody knows
// whether it is damaged: it stays.
func (c *check) unread(id uint64, place string, err error) {
	c.bad[id] = badContent{stays: true}
	c.found(place, "a message's content could not be read this time: "+err.Error(), "")
}

// fileRow checks that a large file's row leads to its content.
func (c *check) fileRow(id uint64, o blob) error {
	if o.file == 0 {
		return nil
	}
	var k keyBuf
	v, err := lookUp(c.index, k.file(o.file))
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if err == nil {
		defer v.Close()
		r := valueReader{b: v.b}
		if r.fixed() == id {
			return nil
		}
	}
	c.miscounted(c.s.files.path(o.file), "it is not known as a content's file")
	return nil
}

// setAside remembers a content that can't be read; with repair its octets are
// kept, all there are, and the messages that have it go. If they can't be kept
// nothing goes.
func (c *check) setAside(id uint64, octets []byte, o blob, place string, damage error) {
	problem := "a message's content can't be read: " + damage.Error()
	repaired := "the messages that have it are removed"
	var b badContent
	if c.repair {
		var err error
		if b.kept, err = c.s.contentAside(id, octets, o); err != nil {
			b = badContent{stays: true}
			problem += "; it stays, since its octets can't be kept: " + err.Error()
			repaired = ""
		}
	}
	if b.kept != "" {
		repaired += "; its octets are kept in " + b.kept
	}
	if repaired != "" {
		c.uncount = true
	}
	c.bad[id] = b
	c.found(place, problem, repaired)
}

// verify reads a content's record and verifies it all. The octets are returned
// also if they are wrong.
func (s *Store) verify(id uint64, o blob) ([]byte, error) {
	if o.length > maxFrame {
		return nil, errRecord
	}
	f, err := s.log.acquire(o.segment)
	if err != nil {
		return nil, err
	}
	defer s.log.release(f)
	b := make([]byte, o.length)
	n, err := f.ReadAt(b, o.offset)
	if n < len(b) {
		if err := readFull(f, b, o.offset); err != nil {
			return b[:n], err
		}
	}
	h, err := parseBlob(b, id, o)
	if err != nil {
		return b, err
	}
	if !verifyRest(&h, b[recordHeaderSize:]) {
		return b, errChecksum
	}
	return b, nil
}

// verifyFile reads a large content to its end.
func (s *Store) verifyFile(o blob) error {
	buf := s.transfers.Get().(*[]byte)
	defer s.transfers.Put(buf)
	f, err := s.fs.Open(s.files.path(o.file))
	if err != nil {
		return err
	}
	defer f.Close()
	r := blockReader{file: f, num: o.file, size: o.body, buf: *buf}
	for off := int64(0); off < o.body; {
		b, err := r.at(off)
		if err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}
