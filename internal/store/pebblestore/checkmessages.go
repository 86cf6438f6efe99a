package pebblestore

import (
	"fmt"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// sums are what a mailbox's messages add up to.
type sums struct {
	messages, octets int64
	lastUID          mail.UID
	modSeq           mail.ModSeq
}

func (s *sums) add(uid mail.UID, m *message) {
	s.messages++
	s.octets += m.size
	s.lastUID = max(s.lastUID, uid)
	s.modSeq = max(s.modSeq, m.modSeq)
}

// wrong says how a mailbox's head differs from its messages, empty if it doesn't.
func (s *sums) wrong(h *head) string {
	switch {
	case h.messages != s.messages || h.octets != s.octets:
		return fmt.Sprintf("it counts %d messages of %d octets, it has %d of %d", h.messages, h.octets, s.messages, s.octets)
	case h.uidNext <= s.lastUID:
		return fmt.Sprintf("UIDNEXT is %d, there is a message %d", h.uidNext, s.lastUID)
	case h.modSeq < s.modSeq:
		return fmt.Sprintf("its ModSeq is %d, there is a message with %d", h.modSeq, s.modSeq)
	}
	return ""
}

// messages checks each message against its content, and the mailboxes' heads
// against their messages.
func (c *check) messages() error {
	var box mailboxKey
	var sum sums
	var gone []doomed
	err := c.each(tableMessage, func(key, v []byte) error {
		m, _ := keyMailbox(key)
		uid, _ := keyUID(key)
		if m != box {
			if err := c.mailboxSum(box, &sum); err != nil {
				return err
			}
			box, sum = m, sums{}
		}
		if c.swept[m.account] {
			return nil
		}
		c.result.Messages++
		msg, err := decodeMessage(v)
		if err != nil {
			c.malformed(where(m, uid), errValue.Error(), key, v, nil)
			return nil
		}
		c.result.Octets += msg.size
		sum.add(uid, &msg)
		why, stays, err := c.content(&msg)
		switch {
		case err != nil:
			return err
		case stays:
			c.found(where(m, uid), why, "")
		case why != "":
			c.found(where(m, uid), why, "removed")
			gone = append(gone, doomed{m, uid})
		}
		return nil
	})
	if err == nil {
		err = c.mailboxSum(box, &sum)
	}
	if err == nil {
		err = c.emptyMailboxes()
	}
	if err != nil || !c.repair {
		return err
	}
	return c.remove(gone)
}

// content says what is wrong with a message's content, empty if nothing is, and
// whether the message stays all the same.
func (c *check) content(msg *message) (why string, stays bool, err error) {
	if b, ok := c.bad[msg.blob]; ok {
		why = "its content can't be read"
		switch {
		case b.stays:
			why += "; it stays"
		case b.kept != "":
			why += "; it is kept in " + b.kept
		}
		return why, b.stays, nil
	}
	o, err := findBlob(c.index, msg.blob)
	if fault.Is(err, fault.Corrupt) {
		return "its content is not there", false, nil
	}
	if err != nil {
		return "", false, err
	}
	beside := o.length - recordHeaderSize
	if o.file == 0 {
		beside -= o.body
	}
	if msg.size == int64(msg.prefixLen)+o.body && int64(msg.prefixOff)+int64(msg.prefixLen) <= beside {
		return "", false, nil
	}
	return c.misfit(msg.blob, o)
}

// misfit is the case of a message whose size is not that of its content. With
// repair the content, which is sound, is kept before the message goes.
func (c *check) misfit(id uint64, o blob) (why string, stays bool, err error) {
	why = "its size is not that of its content"
	if !c.repair {
		return why, false, nil
	}
	octets, err := c.s.verify(id, o)
	if err != nil {
		return why + ", which can't be read any more; it stays", true, nil
	}
	kept, err := c.s.contentAside(id, octets, o)
	if err != nil {
		return why + "; it stays, since that can't be kept: " + err.Error(), true, nil
	}
	return why + ", which is kept in " + kept, false, nil
}

// mailboxSum holds a mailbox's head against its messages.
func (c *check) mailboxSum(box mailboxKey, sum *sums) error {
	if box == (mailboxKey{}) || c.swept[box.account] {
		return nil
	}
	name := fmt.Sprintf("account %d, mailbox %d", box.account, box.mailbox)
	h, err := findHead(c.index, box)
	if fault.Is(err, fault.NotFound) {
		c.miscounted(name, "it has messages, but no record")
		return nil
	}
	if fault.Is(err, fault.Corrupt) {
		return nil // reported with its account
	}
	if err != nil {
		return err
	}
	if why := sum.wrong(&h); why != "" {
		c.miscounted(name, "%s", why)
	}
	return nil
}

// emptyMailboxes checks those mailboxes that have no messages.
func (c *check) emptyMailboxes() error {
	return c.each(tableMailbox, func(key, v []byte) error {
		m, ok := keyMailbox(key)
		h, err := decodeHead(m, v)
		if !ok || err != nil || h.messages == 0 && h.octets == 0 {
			return nil
		}
		any := false
		var k keyBuf
		prefix := k.message(m, 0)[:13]
		if err := each(c.index, prefix, func(_, _ []byte) (bool, error) { any = true; return false, nil }); err != nil || any {
			return err
		}
		c.miscounted(fmt.Sprintf("account %d, mailbox %d", m.account, m.mailbox), "%s", (&sums{}).wrong(&h))
		return nil
	})
}

// maxCounted is how many contents' references are counted in one walk over all
// messages.
const maxCounted = 1 << 20

// references counts the messages that have a content, held and queued ones among
// them.
func (c *check) references() error {
	for first := []byte{tableBlob}; first != nil; {
		refs := make(map[uint64]uint64)
		next, err := c.takeBlobs(first, refs)
		if err != nil {
			return err
		}
		if len(refs) == 0 {
			return nil
		}
		err = c.each(tableMessage, func(_, v []byte) error {
			if msg, err := decodeMessage(v); err == nil {
				if _, ok := refs[msg.blob]; ok {
					refs[msg.blob]--
				}
				if _, ok := c.held[msg.blob]; ok {
					c.delivered(msg.blob)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for blob := range c.held {
			if _, ok := refs[blob]; ok {
				refs[blob]--
			}
		}
		err = c.each(tableQueued, func(key, v []byte) error {
			id, _ := keyHeld(key)
			if q, err := decodeQueued(id, v); err == nil {
				if _, ok := refs[q.blob]; ok {
					refs[q.blob]--
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for id, n := range refs {
			if n != 0 {
				c.miscounted(fmt.Sprintf("content %016x", id), "its references are %+d off", int64(n))
			}
		}
		first = next
	}
	return nil
}

// takeBlobs reads the references of the contents from a key on, and returns the
// key to go on with, nil at the end.
func (c *check) takeBlobs(first []byte, refs map[uint64]uint64) ([]byte, error) {
	it, err := span(c.index, first, after([]byte{tableBlob}))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if len(refs) == maxCounted {
			return append([]byte(nil), it.Key()...), nil
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, indexFault("check", err)
		}
		id, ok := keyUint64(it.Key())
		if o, err := decodeBlob(v); err == nil && ok {
			refs[id] = o.refs
		}
	}
	return nil, indexFault("check", it.Error())
}

// space holds the segments' rows against what is in them.
func (c *check) space() error {
	err := c.each(tableSegment, func(key, v []byte) error {
		num, ok := keyUint64(key)
		row, err := decodeSegment(v)
		if !ok || err != nil {
			c.miscounted(c.s.log.path(num), "its record is malformed")
		} else if live := c.segments[num]; row.live != live {
			c.miscounted(c.s.log.path(num), "%d octets are live, its record says %d", live, row.live)
		}
		delete(c.segments, num)
		return nil
	})
	for num, live := range c.segments {
		if live != 0 {
			c.miscounted(c.s.log.path(num), "%d octets are live, it has no record", live)
		}
	}
	return err
}

// doomed is a message that repair removes.
type doomed struct {
	box mailboxKey
	uid mail.UID
}

// setRight counts everything anew if something was wrong.
func (c *check) setRight() error {
	if !c.repair || !c.uncount {
		return nil
	}
	return c.s.directory.change(func() error {
		if err := c.dropAll(); err != nil {
			return err
		}
		return c.s.do(&recount{})
	})
}
