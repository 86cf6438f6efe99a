package pebblestore

import (
	"bytes"
	"fmt"

	"postrider/internal/fault"
	"postrider/internal/store"
)

// queue checks each queued message against its content and its rows, each row
// against its message and its place in the schedule, and the totals.
func (c *check) queue() error {
	if err := c.each(tableQueued, c.queuedMessage); err != nil {
		return err
	}
	if err := c.each(tableRow, c.queueRow); err != nil {
		return err
	}
	kept, err := findTotals(c.index)
	if err != nil && !isMissing(err) {
		return err
	}
	if err != nil || kept != c.queued {
		c.miscounted("queue", "it counts %d messages of %d octets with %d rows, there are %d of %d with %d",
			kept.messages, kept.octets, kept.rows, c.queued.messages, c.queued.octets, c.queued.rows)
	}
	return nil
}

// queuedMessage checks a message against its content, and that it has a row.
func (c *check) queuedMessage(key, v []byte) error {
	id, _ := keyHeld(key)
	name := whereQueued(id)
	c.queued.messages++
	v = bytes.Clone(v) // q.envelope is part of it
	q, err := decodeQueued(id, v)
	if err == nil {
		_, err = q.message()
	}
	if err != nil {
		c.malformed(name, err.Error(), key, v, nil)
		return nil
	}
	c.result.Queued++
	c.queued.octets += q.size()
	any := false
	if err := eachRow(c.index, id, func(queueRow, error) error { any = true; return nil }); err != nil {
		return err
	}
	if !any {
		c.malformed(name, "it has no recipients", key, v, nil)
		return nil
	}
	m := q.copied()
	why, stays, err := c.content(&m)
	switch {
	case err != nil:
		return err
	case stays:
		c.found(name, why, "")
	case why != "":
		c.found(name, why, "removed")
		return c.dropMessage(&q, key, v)
	}
	return nil
}

// dropMessage has repair take a queued message and its rows away.
func (c *check) dropMessage(q *queued, key, v []byte) error {
	c.drop(&badRow{key: key, value: v})
	var k keyBuf
	return each(c.index, k.row(store.RowID{Message: q.id})[:17], func(key, v []byte) (bool, error) {
		id, ok := keyRow(key)
		row, err := decodeRow(id, v)
		if !ok || err != nil {
			return true, nil // reported by itself
		}
		c.drop(&badRow{key: key, value: v})
		if row.state == store.RowWaiting {
			c.drop(&badRow{key: row.appendPlan(nil)})
		}
		return true, nil
	})
}

// queueRow checks a row against its message and its place in the schedule.
func (c *check) queueRow(key, v []byte) error {
	id, _ := keyRow(key)
	name := whereRow(id)
	c.queued.rows++
	row, err := decodeRow(id, v)
	if err != nil {
		c.malformed(name, err.Error(), key, v, nil)
		return nil
	}
	var k keyBuf
	message, err := c.has(k.queued(id.Message))
	if err != nil {
		return err
	}
	if !message || c.dropped[string(k.queued(id.Message))] {
		c.malformed(name, "its message is not there, or can't be read", key, v, nil)
		if row.state == store.RowWaiting && c.dropped[string(key)] {
			c.drop(&badRow{key: row.appendPlan(nil)})
		}
		return nil
	}
	if row.state != store.RowWaiting {
		return nil
	}
	planned, err := c.has(row.appendPlan(nil))
	if err == nil && !planned {
		c.miscounted(name, "it is missing in the schedule")
	}
	return err
}

// strayPlan checks that a place in the schedule is that of a row that waits.
func (c *check) strayPlan(key, v []byte) error {
	p, ok := keyPlan(key)
	if !ok {
		c.malformed(fmt.Sprintf("index row %q", key), "its key is malformed", key, v, nil)
		return nil
	}
	row, err := findRow(c.index, p.row)
	if err != nil && !isMissing(err) {
		return err
	}
	if err == nil && row.state == store.RowWaiting && bytes.Equal(row.appendPlan(nil), key) {
		return nil
	}
	r := &badRow{key: key, value: v}
	if fault.Is(err, fault.NotFound) {
		var k keyBuf
		r.unless = k.row(p.row)
	}
	c.stray(whereRow(p.row), "the schedule has it where it is not", r)
	return nil
}

// frozen checks the record of a frozen destination.
func (c *check) frozen(key, v []byte) error {
	if _, err := decodeFrozen(string(key[1:]), v); err != nil {
		c.malformed(fmt.Sprintf("frozen destination %.100q", key[1:]), err.Error(), key, v, nil)
	}
	return nil
}

// queue counts the references of queued messages and the totals, and puts rows
// that wait back into the schedule.
func (o *recount) queue() error {
	t := o.t
	var totals queueTotals
	err := each(t.s.db, []byte{tableQueued}, func(key, v []byte) (bool, error) {
		id, _ := keyHeld(key)
		totals.messages++
		if q, err := decodeQueued(id, v); err == nil {
			o.refs[q.blob]++
			totals.octets += q.size()
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	err = each(t.s.db, []byte{tableRow}, func(key, v []byte) (bool, error) {
		id, _ := keyRow(key)
		totals.rows++
		row, err := decodeRow(id, v)
		if err != nil || row.state != store.RowWaiting {
			return true, nil
		}
		if plan := row.appendPlan(nil); !t.s.has(plan) {
			t.plan(&row)
		}
		return true, nil
	})
	t.queue.totals, t.queue.known, t.queue.change = totals, true, true
	return err
}
