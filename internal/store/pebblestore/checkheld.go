package pebblestore

import (
	"bytes"
	"fmt"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// heldMessages checks each held message against its content, its accounts and its
// place in the list by time, and the accounts' counts against them.
func (c *check) heldMessages() error {
	err := c.each(tableHeld, func(key, v []byte) error {
		id, _ := keyHeld(key)
		v = bytes.Clone(v) // h.envelope is part of it
		h, err := decodeHeld(id, v)
		if err == nil {
			_, err = h.held()
		}
		if err != nil {
			c.malformed(whereHeld(id), err.Error(), key, v, nil)
			return nil
		}
		c.result.Held++
		c.held[h.blob] = heldRow{h, v}
		h.sum(c.heldOctets)
		var k keyBuf
		listed, err := c.has(k.due(h.due, id))
		if err != nil {
			return err
		}
		if !listed {
			c.miscounted(whereHeld(id), "it is missing in the list by time")
		}
		if gone, err := c.heldContent(&h, v); err != nil || gone {
			return err
		}
		c.heldAccounts(&h, v)
		return nil
	})
	if err != nil {
		return err
	}
	return c.each(tableUsage, c.heldCount)
}

// heldCount holds what an account counts as held against what is held for it.
func (c *check) heldCount(key, v []byte) error {
	n, _ := keyUint64(key)
	id := mail.AccountID(n)
	u, err := decodeUsage(id, v)
	if err != nil || !c.known[id] {
		return nil // reported with its account
	}
	if want := c.heldOctets[id]; u.held != want {
		c.miscounted(fmt.Sprintf("account %d", n), "it counts %d octets that are held for it, there are %d", u.held, want)
	}
	return nil
}

// heldRow is a held message with its row, of which the envelope is part, as the
// check has seen it.
type heldRow struct {
	held
	value []byte
}

// heldContent checks a held message's copies against its content; gone says that
// repair takes the message away.
func (c *check) heldContent(h *held, v []byte) (gone bool, err error) {
	for i := range h.copies {
		m := h.message(&h.copies[i], 0)
		why, stays, err := c.content(&m)
		if err != nil {
			return false, err
		}
		if stays {
			c.found(whereHeld(h.id), why, "")
			return false, nil
		}
		if why != "" {
			c.found(whereHeld(h.id), why, "removed")
			c.dropHeld(h, v)
			return true, nil
		}
	}
	return false, nil
}

// heldAccounts checks that the accounts are there that have a copy.
func (c *check) heldAccounts(h *held, v []byte) {
	gone := make(map[mail.AccountID]bool)
	for _, id := range h.accounts() {
		if _, known := c.known[id]; !known {
			gone[id] = true
			c.found(whereHeld(h.id), fmt.Sprintf("it is for account %d, which is not there", id), "it is for the others only")
		}
	}
	if len(gone) == 0 {
		return
	}
	left := *h
	left.copies = append([]heldCopy(nil), h.copies...)
	left.without(gone)
	if len(left.copies) == 0 {
		c.dropHeld(h, v)
		return
	}
	var k keyBuf
	c.drop(&badRow{key: k.held(h.id), value: v, put: left.append(nil)})
}

// dropHeld has repair take a held message away.
func (c *check) dropHeld(h *held, v []byte) {
	var k keyBuf
	c.drop(&badRow{key: k.held(h.id), value: v})
	c.drop(&badRow{key: k.due(h.due, h.id)})
	delete(c.held, h.blob)
}

// delivered is called for a message whose content a held one has too: it was
// released, and is held by mistake.
func (c *check) delivered(blob uint64) {
	h := c.held[blob]
	c.found(whereHeld(h.id), "it is in a mailbox already", "it is held no more")
	c.dropHeld(&h.held, h.value)
}

// strayDue checks that a place in the list by time is a held message's.
func (c *check) strayDue(key, v []byte) error {
	var k, k2 keyBuf
	id, _ := keyHeld(key)
	h, err := findHeld(c.index, id)
	if err != nil && !isMissing(err) {
		return err
	}
	if err == nil && bytes.Equal(key, k.due(h.due, id)) {
		return nil
	}
	r := &badRow{key: key, value: v}
	if fault.Is(err, fault.NotFound) {
		r.unless = k2.held(id)
	}
	c.stray(whereHeld(id), "the list by time has it where it is not", r)
	return nil
}

// record checks one of the server's records.
func (c *check) record(key, v []byte) error {
	r, err := decodeRecord(string(key[1:]), v)
	if err == nil {
		err = r.Valid()
	}
	if err != nil {
		c.malformed(fmt.Sprintf("record %.40q", key[1:]), err.Error(), key, v, nil)
	}
	return nil
}

// held counts the references of held messages and the octets of their copies, and
// lists them by time.
func (o *recount) held() error {
	t := o.t
	return each(t.s.db, []byte{tableHeld}, func(key, v []byte) (bool, error) {
		id, ok := keyHeld(key)
		h, err := decodeHeld(id, v)
		if !ok || err != nil {
			return true, nil // Check takes it away
		}
		o.refs[h.blob]++
		h.sum(o.heldOctets)
		_ = t.batch.Set(t.key.due(h.due, id), nil, nil) // a batch that is not indexed takes everything
		return true, nil
	})
}
