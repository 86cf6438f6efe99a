package pebblestore

import (
	"bytes"
	"fmt"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// tables are all tables, ascending, with the length of their keys; zero: any.
var tables = []struct {
	name byte
	key  int
}{
	{tableMeta, 0},
	{tableAccount, 9},
	{tableMailbox, 13},
	{tableDomain, 0},
	{tableEntry, 0},
	{tableFile, 9},
	{tableHeld, 17},
	{tableIn, 0},
	{tableRecord, 0},
	{tableMessage, 17},
	{tableBlob, 9},
	{tableRow, 21},
	{tableQueued, 17},
	{tableAccept, 17},
	{tableSegment, 9},
	{tableDue, 25},
	{tableUsage, 9},
	{tablePlan, 0},
	{tableSweep, 9},
	{tableFrozen, 0},
}

// keyLength returns the length of a table's keys, zero for any.
func keyLength(table byte) int {
	for _, t := range tables {
		if t.name == table {
			return t.key
		}
	}
	return 0
}

// badRow is a row that repair takes away, or puts another value in.
type badRow struct {
	key, value []byte // as the check has seen it
	put        []byte // nil: it goes
	unless     []byte // the row stays if there is one with this key by then
}

// malformed reports a row that can't be made sense of. With repair its octets are
// kept and it goes, or gets the value put; what it held together is counted anew.
func (c *check) malformed(where, problem string, key, v, put []byte) {
	if c.dropped[string(key)] {
		return
	}
	repaired := "its record is removed"
	if put != nil {
		repaired = "its record is made again"
	}
	if c.repair {
		kept, err := c.s.aside(fmt.Sprintf("row-%x", key[:min(len(key), 32)]), fmt.Appendf(nil, "%x %x\n", key, v))
		if err != nil {
			c.dropped[string(key)] = true
			c.found(where, problem+"; it stays, since it can't be kept: "+err.Error(), "")
			return
		}
		repaired += ", and kept in " + kept
	}
	c.drop(&badRow{key: key, value: v, put: put})
	c.found(where, problem, repaired)
}

// stray reports a row that belongs to nothing, and holds nothing to be kept.
func (c *check) stray(where, problem string, r *badRow) {
	if c.dropped[string(r.key)] {
		return
	}
	c.drop(r)
	c.found(where, problem, "removed")
}

// drop has repair take a row away. It keeps no slice of r's.
func (c *check) drop(r *badRow) {
	c.uncount = true
	c.dropped[string(r.key)] = true
	if c.repair {
		c.drops = append(c.drops, badRow{bytes.Clone(r.key), bytes.Clone(r.value), bytes.Clone(r.put), bytes.Clone(r.unless)})
	}
}

// dropping reports whether repair takes a row away: it has been kept.
func (c *check) dropping(key []byte) bool {
	n := len(c.drops)
	return n > 0 && bytes.Equal(c.drops[n-1].key, key)
}

// strays looks for rows that belong to nothing.
func (c *check) strays() error {
	for _, step := range []func() error{
		func() error { return c.each(tableIn, c.strayIn) },
		func() error { return c.each(tableFile, c.strayFile) },
		func() error { return c.each(tableAccept, c.accepted) },
		func() error { return c.each(tableDue, c.strayDue) },
		func() error { return c.each(tablePlan, c.strayPlan) },
		func() error { return c.each(tableFrozen, c.frozen) },
		func() error { return c.each(tableRecord, c.record) },
		func() error { return c.each(tableMeta, c.meta) },
		c.unknown,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// strayIn checks that an address in a domain's list is there: RemoveDomain counts
// the list.
func (c *check) strayIn(key, v []byte) error {
	domain, address, ok := strings.Cut(string(key[1:]), "\x00")
	if !ok || domainOf(address) != domain {
		c.stray("domain "+domain, "its list of addresses has a malformed one", &badRow{key: key, value: v})
		return nil
	}
	there, err := c.has(entryKey(address))
	if err == nil && !there {
		c.stray("domain "+domain, fmt.Sprintf("its list has the address %s, which is not there", address),
			&badRow{key: key, value: v, unless: entryKey(address)})
	}
	return err
}

// has reports whether there is a row.
func (c *check) has(key []byte) (bool, error) {
	v, err := lookUp(c.index, key)
	if err == nil {
		v.Close()
	}
	return err == nil, notFoundIsNil(err)
}

// strayFile checks that a large file's row leads to a content that has the file.
// With repair a file that is there all the same is kept.
func (c *check) strayFile(key, v []byte) error {
	num, _ := keyUint64(key)
	r := valueReader{b: v}
	id := r.fixed()
	o, err := findBlob(c.index, id)
	if err != nil && !fault.Is(err, fault.Corrupt) {
		return err
	}
	if err == nil && r.err == nil && o.file == num || r.err == nil && c.bad[id].stays {
		return nil
	}
	if c.repair {
		if _, err := c.s.fileAside(fmt.Sprintf("file-%011x", num), c.s.files.path(num)); err != nil {
			c.found(c.s.files.path(num), "it is not its content's file; it stays, since it can't be kept: "+err.Error(), "")
			return nil
		}
	}
	c.stray(c.s.files.path(num), "it is not its content's file", &badRow{key: key, value: v})
	return nil
}

// accepted checks what is remembered of an Accept: a malformed row fails every
// Accept with its ID.
func (c *check) accepted(key, v []byte) error {
	if _, err := decodePlaced(v); err != nil {
		c.stray(fmt.Sprintf("accept id %x", key[1:]), err.Error(), &badRow{key: key, value: v})
	}
	return nil
}

// meta checks the names of the store's own rows.
func (c *check) meta(key, v []byte) error {
	for _, known := range [][]byte{keyStore, keyApplied, keyNumbers, keyQueue, keyRebuilt} {
		if bytes.Equal(key, known) {
			return nil
		}
	}
	c.malformed(fmt.Sprintf("index row %q", key), "it is not known", key, v, nil)
	return nil
}

// unknown looks for rows outside of all tables.
func (c *check) unknown() error {
	var from []byte
	for i := 0; i <= len(tables); i++ {
		var to []byte
		if i < len(tables) {
			to = []byte{tables[i].name}
		}
		if err := c.between(from, to); err != nil {
			return err
		}
		if to != nil {
			from = after(to)
		}
	}
	return nil
}

func (c *check) between(from, to []byte) error {
	it, err := span(c.index, from, to)
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return indexFault("check", err)
		}
		c.malformed(fmt.Sprintf("index row %q", it.Key()), "it is in no table", it.Key(), v, nil)
	}
	return indexFault("check", it.Error())
}

// dropRows is what repair does to bad rows: those that are still as they were.
type dropRows struct{ rows []badRow }

func (o *dropRows) alone() bool { return true }

// prepare implements operation.
func (o *dropRows) prepare(t *tx) error {
	for i := range o.rows {
		r := &o.rows[i]
		if r.unless != nil {
			if v, err := t.s.get(r.unless); err == nil {
				v.Close()
				continue
			}
		}
		now, err := t.s.get(r.key)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		same := bytes.Equal(now.b, r.value)
		now.Close()
		switch {
		case !same:
		case r.put != nil:
			_ = t.batch.Set(r.key, r.put, nil) // a batch that is not indexed takes everything
		default:
			_ = t.batch.Delete(r.key, nil)
			t.s.rowLeases.forget(r.key)
		}
	}
	return nil
}

// dropAll takes the bad rows away.
func (c *check) dropAll() error {
	for rest := c.drops; len(rest) > 0; {
		n := min(len(rest), removeAtOnce)
		if err := c.s.do(&dropRows{rest[:n]}); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// domain checks a domain's record; a malformed one is made again.
func (c *check) domain(key, v []byte) error {
	name := string(key[1:])
	if _, err := decodeDomain(name, v); err != nil {
		c.malformed("domain "+name, err.Error(), key, v, appendDomain(nil, &store.Domain{Name: name, Created: c.s.o.Now()}))
	}
	return nil
}

// mailbox checks that a mailbox's record can be read; the messages of one that
// can't get a new one.
func (c *check) mailbox(key, v []byte) error {
	m, _ := keyMailbox(key)
	if _, err := decodeHead(m, v); err != nil {
		c.malformed(fmt.Sprintf("account %d, mailbox %d", m.account, m.mailbox), err.Error(), key, v, nil)
	}
	return c.lostAccount(key, v)
}
