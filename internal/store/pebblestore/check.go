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
	held     map[uint64]heldRow      // held messages by their content
	// heldOctets are those of the copies that are held for each account.
	heldOctets map[mail.AccountID]int64
	queued     queueTotals
	drops      []badRow        // with repair
	dropped    map[string]bool // keys of bad rows that were reported
}

// Check implements store.Keeper. Its memory grows with the number of findings and
// of held messages, and with repair by some 50 octets a message while it counts
// anew.
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
		bad: make(map[uint64]badContent), swept: make(map[mail.AccountID]bool), known: make(map[mail.AccountID]bool), segments: make(map[uint64]int64), held: make(map[uint64]heldRow), heldOctets: make(map[mail.AccountID]int64),
		dropped: make(map[string]bool),
	}
	defer c.index.Close()
	steps := []func() error{c.directory, c.contents, c.messages, c.heldMessages, c.queue, c.references, c.space, c.strays, c.setRight}
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
		if n := keyLength(table); n > 0 && len(key) != n {
			c.malformed(fmt.Sprintf("index row %q", key), "its key is malformed", key, v, nil)
			return true, nil
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
		c.each(tableDomain, c.domain),
		c.each(tableEntry, c.entry),
		c.each(tableAccount, c.account),
		c.each(tableUsage, c.lostAccount),
		c.each(tableMailbox, c.mailbox),
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
		c.malformed("address "+name, err.Error(), key, v, nil)
		c.drop(&badRow{key: inKey(domainOf(name), name)})
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
		c.malformed(fmt.Sprintf("account %d", n), errValue.Error(), key, v, nil)
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
