package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// endHold releases or drops one of the held messages that are known to be there.
func (w *load) endHold(r *rand.Rand) error {
	id, drop, ok := w.claimHeld(r)
	if !ok {
		return nil
	}
	var err error
	if drop {
		err = w.s.DropHeld(context.Background(), id)
	} else {
		_, err = w.s.Release(context.Background(), id, time.Now())
	}
	if err != nil {
		return err
	}
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	e := w.l.mail[id]
	e.released, e.dropped = 2*e.released, 2*e.dropped // what was asked is acknowledged
	return nil
}

// claimHeld notes that a held message's release or end is asked for.
func (w *load) claimHeld(r *rand.Rand) (id mail.ID, drop, ok bool) {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	var ids []mail.ID
	for id, e := range w.l.mail {
		if e.held && e.accepted == acknowledged && e.released == notAsked && e.dropped == notAsked {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return id, false, false
	}
	slices.SortFunc(ids, func(a, b mail.ID) int { return slices.Compare(a[:], b[:]) })
	id = ids[r.IntN(len(ids))]
	if drop = r.IntN(3) == 0; drop {
		w.l.mail[id].dropped = asked
	} else {
		w.l.mail[id].released = asked
	}
	return id, drop, true
}

// verifyHeld returns which messages are held; each must be one that was to be, and
// be counted for its accounts.
func verifyHeld(s *Store, accounts []mail.AccountID, after knowledge) (map[mail.ID]bool, error) {
	held := make(map[mail.ID]bool)
	for h, err := range s.Held(context.Background()) {
		if err != nil {
			return nil, fmt.Errorf("list held messages: %w", err)
		}
		e, ok := after.mail[h.ID]
		switch {
		case !ok || !e.held:
			return nil, fmt.Errorf("message %v is held, and was not to be", h.ID)
		case held[h.ID]:
			return nil, fmt.Errorf("message %v is held twice", h.ID)
		case h.Size != int64(len(e.body)) || h.Envelope.ID != h.ID || len(h.Accounts) != len(e.to):
			return nil, fmt.Errorf("message %v is held as %+v", h.ID, h)
		}
		held[h.ID] = true
	}
	return held, verifyHeldOctets(s, accounts)
}

// verifyHeldOctets holds what accounts count as held against what is held, copies
// as acceptUntil makes them.
func verifyHeldOctets(s *Store, accounts []mail.AccountID) error {
	octets := make(map[mail.AccountID]int64)
	for h, err := range s.Held(context.Background()) {
		if err != nil {
			return fmt.Errorf("list held messages: %w", err)
		}
		for _, id := range h.Accounts {
			octets[id] += h.Size + int64(len(prefixFor(id)))
		}
	}
	for _, id := range accounts {
		a, err := s.Account(context.Background(), id)
		if err != nil {
			return err
		}
		if a.HeldOctets != octets[id] {
			return fmt.Errorf("account %d counts %d octets that are held for it, there are %d", id, a.HeldOctets, octets[id])
		}
	}
	return nil
}

// verifyHold holds what a store shows of a message that was to be held against
// what is known of it: whether it is held, in how many mailboxes it is, and in how
// many it is or was before it was removed there.
func (e *entry) verifyHold(before *entry, held bool, in, there int) error {
	switch {
	case held && in > 0:
		return fmt.Errorf("it is held, and in %d mailboxes", in)
	case held && before.released == acknowledged:
		return errors.New("it is held after its release was acknowledged")
	case held && before.dropped == acknowledged:
		return errors.New("it is held after it was dropped")
	case held:
		return nil
	case in > 0 && e.released == notAsked:
		return errors.New("it is in a mailbox, though nobody released it")
	case in > 0 && there != len(e.to):
		return fmt.Errorf("it is in %d of %d mailboxes", there, len(e.to))
	case in > 0 || e.dropped != notAsked || there == len(e.to):
		return nil
	case before.accepted == acknowledged:
		return fmt.Errorf("it is neither held nor in a mailbox; released: %v", e.released)
	}
	return nil
}

// recordHistory is what was asked for about one record, by one goroutine. Values
// are numbers that grow; a removal is one, too.
type recordHistory struct {
	asked, acknowledged int
}

// isRemoval tells the removals among the values of records.
func isRemoval(n int) bool { return n%4 == 3 }

// recordValue is the record's octets for a number, of different lengths.
func recordValue(n int) []byte {
	return fmt.Appendf(nil, "%d %s", n, strings.Repeat("x", n%5*12_000))
}

// record puts or removes a record of the worker's own.
func (w *load) record(r *rand.Rand, worker int) error {
	key := fmt.Sprintf("w%d/%d", worker, r.IntN(3))
	w.l.mu.Lock()
	h := w.l.records[key]
	if h == nil {
		h = &recordHistory{}
		w.l.records[key] = h
	}
	h.asked++
	n := h.asked
	w.l.mu.Unlock()
	var err error
	if isRemoval(n) {
		err = w.s.RemoveRecord(context.Background(), key)
		if fault.Is(err, fault.NotFound) && h.acknowledged != n-1 {
			return nil // the put may have happened, and show after the next opening
		}
	} else {
		err = w.s.PutRecord(context.Background(), store.Record{Key: key, Value: recordValue(n), Changed: time.Unix(int64(n), 0)})
	}
	if err != nil {
		return err
	}
	w.l.mu.Lock()
	h.acknowledged = n
	w.l.mu.Unlock()
	return nil
}

// verifyRecords holds a store's records against what is known of them.
func verifyRecords(s *Store, before, after knowledge) error {
	found := make(map[string]int)
	for r, err := range s.ListRecords(context.Background(), "w") {
		if err != nil {
			return fmt.Errorf("list records: %w", err)
		}
		n := int(r.Changed.Unix())
		if string(r.Value) != string(recordValue(n)) || isRemoval(n) {
			return fmt.Errorf("record %s of number %d has %d octets, or other ones", r.Key, n, len(r.Value))
		}
		found[r.Key] = n
	}
	for key, h := range after.records {
		n, there := found[key]
		known := before.records[key].acknowledged
		if there && (n < known || n > h.asked) {
			return fmt.Errorf("record %s is of number %d; %d was acknowledged before, %d asked for", key, n, known, h.asked)
		}
		if !there && known > 0 && !removalBetween(known, h.asked) {
			return fmt.Errorf("record %s is not there; %d was acknowledged before, %d asked for", key, known, h.asked)
		}
		delete(found, key)
	}
	if len(found) > 0 {
		return fmt.Errorf("records that nobody made: %v", found)
	}
	return nil
}

func removalBetween(first, last int) bool {
	for n := first; n <= last; n++ {
		if isRemoval(n) {
			return true
		}
	}
	return false
}
