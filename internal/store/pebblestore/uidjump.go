package pebblestore

import (
	"math"

	"postrider/internal/mail"
)

// keyJump is there until the numbers have jumped over those that lost commits
// may have given.
var keyJump = []byte("!jump")

// uidJump is how many numbers are left out: more than commits that are lost
// together can have given in one mailbox.
const uidJump = 1 << 18

// jump leaves out UIDs in every mailbox, and account numbers and UIDVALIDITYs:
// what a lost commit gave has been seen by clients, and must not name anything
// else.
type jump struct{}

func (jump) alone() bool { return true }

// prepare implements operation.
func (jump) prepare(t *tx) error {
	n, err := t.numbers()
	if err != nil && !isMissing(err) {
		return err
	}
	var heads []head
	err = each(t.s.db, []byte{tableMailbox}, func(key, v []byte) (bool, error) {
		m, ok := keyMailbox(key)
		if h, err := decodeHead(m, v); ok && err == nil {
			heads = append(heads, h)
			n.account = max(n.account, m.account)
			n.validity = max(n.validity, h.uidValidity)
		}
		return true, nil // Check tells of the others
	})
	if err != nil {
		return err
	}
	n.account += uidJump
	if n.validity < math.MaxUint32-2*uidJump {
		n.validity += uidJump
	}
	t.c.cache = newCache()
	for i := range heads {
		h := &heads[i]
		if h.uidNext < math.MaxUint32-2*uidJump {
			h.uidNext += mail.UID(uidJump)
		} else {
			h.uidValidity = n.nextValidity(t.s.o.Now())
		}
		t.val = h.append(t.val[:0])
		_ = t.set(t.key.mailbox(h.key)) // a batch that is not indexed takes everything
	}
	t.setNumbers(n)
	_ = t.batch.Delete(keyJump, nil)
	return nil
}

// has reports whether the index has a key.
func (s *Store) has(key []byte) bool {
	v, err := s.get(key)
	if err == nil {
		v.Close()
	}
	return err == nil
}
