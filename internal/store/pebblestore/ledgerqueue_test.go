package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// queuedEntry is what clients know of a message that goes onward.
type queuedEntry struct {
	body     []byte
	accepted state
	rows     [2]queuedRow
}

// queuedRow is what is known of a row. Attempts grow with each that was put back.
type queuedRow struct {
	removed             state
	asked, acknowledged int // attempts
}

// queueDestinations are those of the ledger's messages.
var queueDestinations = [...]string{"far.test", "near.test"}

// enqueue accepts a message that goes onward to two hosts; often it settles a row
// in the same commit.
func (w *load) enqueue(r *rand.Rand) error {
	body := make([]byte, w.sizes[r.IntN(len(w.sizes))])
	for i := range body {
		body[i] = byte(r.Uint32())
	}
	id := mail.NewID(time.Now())
	e := &queuedEntry{body: body, accepted: asked}
	c, err := w.s.NewContent(context.Background(), 0)
	if err != nil {
		return err
	}
	if _, err := c.Write(body); err != nil {
		c.Discard()
		return err
	}
	o := store.Onward{ID: id, Due: time.Unix(int64(r.IntN(10)), 0)}
	for _, name := range queueDestinations {
		o.Envelope.Recipients = append(o.Envelope.Recipients, mail.Recipient{Address: mail.Address{Local: "x", Domain: name}})
	}
	p, err := store.Pass(store.ServerWarrant("load"), o)
	if err != nil {
		return err
	}
	a := store.Accept{ID: id, Content: c, Received: time.Now(), Onward: []store.Passage{p}}
	var settled []*queuedRow
	if r.IntN(2) == 0 {
		if a.Settle, settled, err = w.leaseQueue(r, 2); err != nil {
			c.Discard()
			return err
		}
	}
	w.l.mu.Lock()
	w.l.queue[id] = e
	w.l.mu.Unlock()
	if _, err := w.s.Accept(context.Background(), a); err != nil {
		return err
	}
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	e.accepted = acknowledged
	acknowledge(a.Settle, settled)
	return nil
}

// acknowledge notes that settlements were made.
func acknowledge(settlements []store.Settlement, rows []*queuedRow) {
	for i, row := range rows {
		if settlements[i].Remove {
			row.removed = acknowledged
		} else {
			row.acknowledged = settlements[i].Progress.Attempts
		}
	}
}

// leaseQueue leases rows and decides what becomes of them; that is noted as asked
// for.
func (w *load) leaseQueue(r *rand.Rand, limit int) ([]store.Settlement, []*queuedRow, error) {
	now := time.Now()
	all, err := w.s.Lease(context.Background(), store.LeaseQuery{
		Destination: queueDestinations[r.IntN(2)], Now: now, Until: now.Add(time.Hour), Limit: limit,
	})
	if err != nil {
		return nil, nil, err
	}
	var settlements []store.Settlement
	var rows []*queuedRow
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	for _, l := range all {
		if l.Err != nil {
			return nil, nil, l.Err
		}
		for i, row := range l.Message.Rows {
			s := store.Settlement{
				RowLease: store.RowLease{Row: store.RowID{Message: l.Message.ID, Index: row.Index}, Fence: l.Fences[i]},
				Remove:   r.IntN(2) == 0, Progress: store.RowProgress{Attempts: row.Attempts + 1}, Due: time.Unix(int64(r.IntN(10)), 0),
			}
			known := &w.l.queue[l.Message.ID].rows[row.Index]
			if s.Remove {
				known.removed = asked
			} else {
				known.asked = s.Progress.Attempts
			}
			settlements, rows = append(settlements, s), append(rows, known)
		}
	}
	return settlements, rows, nil
}

// settle leases rows and settles them.
func (w *load) settle(r *rand.Rand) error {
	settlements, rows, err := w.leaseQueue(r, 1+r.IntN(6))
	if err != nil {
		return err
	}
	made, err := w.s.Settle(context.Background(), settlements)
	if err != nil {
		return err
	}
	if made != len(settlements) {
		return fmt.Errorf("%d of %d settlements were made", made, len(settlements))
	}
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	acknowledge(settlements, rows)
	return nil
}

// verifyQueue holds a store's queue against what is known of it.
func verifyQueue(s *Store, before, after knowledge) error {
	there := make(map[mail.ID]map[int]store.Row)
	var usage store.QueueUsage
	for q, err := range s.Queued(context.Background(), mail.ID{}) {
		if err != nil {
			return fmt.Errorf("list queued messages: %w", err)
		}
		e, ok := after.queue[q.ID]
		if !ok {
			return fmt.Errorf("message %v is queued, and was not to be", q.ID)
		}
		usage.Messages, usage.Rows, usage.Octets = usage.Messages+1, usage.Rows+int64(len(q.Rows)), usage.Octets+q.Size
		there[q.ID] = make(map[int]store.Row)
		for _, row := range q.Rows {
			there[q.ID][row.Index] = row
		}
		if err := verifyQueued(s, q, e.body); err != nil {
			return err
		}
	}
	if got, err := s.QueueUsage(context.Background()); err != nil || got != usage {
		return fmt.Errorf("the queue counts %+v, %v, there is %+v", got, err, usage)
	}
	for id, e := range after.queue {
		known := before.queue[id]
		for i := range e.rows {
			row, in := there[id][i]
			if err := e.verifyRow(&known, i, in, row.Attempts, len(there[id])); err != nil {
				return fmt.Errorf("queued message %v, row %d: %w", id, i, err)
			}
		}
	}
	return nil
}

func (e *queuedEntry) verifyRow(before *queuedEntry, i int, in bool, attempts, rows int) error {
	known, asked := before.rows[i], e.rows[i]
	switch {
	case in && known.removed == acknowledged:
		return errors.New("it is back after its removal was acknowledged")
	case in && (attempts < known.acknowledged || attempts > asked.asked):
		return fmt.Errorf("it has %d attempts; %d were acknowledged, %d asked for", attempts, known.acknowledged, asked.asked)
	case !in && asked.removed == notAsked && before.accepted == acknowledged:
		return errors.New("it is lost")
	case !in && asked.removed == notAsked && rows > 0:
		return errors.New("it is not there, the other row is")
	}
	return nil
}

func verifyQueued(s *Store, q store.QueuedMessage, body []byte) error {
	r, err := s.OpenQueued(context.Background(), q.ID)
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if string(got) != string(body) || q.Size != int64(len(body)) {
		return fmt.Errorf("queued message %v has %d octets, want %d, or other ones", q.ID, len(got), len(body))
	}
	return nil
}

// freeze freezes and thaws a destination that nobody waits for.
func (w *load) freeze() error {
	err := w.s.Freeze(context.Background(), "frozen.test", "load", time.Now())
	if err == nil {
		err = w.s.Thaw(context.Background(), "frozen.test")
	}
	if fault.Is(err, fault.NotFound) {
		return nil // another was faster
	}
	return err
}
