package pebblestore

import (
	"context"
	"fmt"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// whereQueued names a queued message in errors and findings, whereRow a row.
func whereQueued(id mail.ID) string { return "queued message " + id.String() }

func whereRow(r store.RowID) string {
	return fmt.Sprintf("queued message %s, row %d", r.Message, r.Index)
}

// openQueue learns what an open queue has in memory.
func (s *Store) openQueue() error {
	totals, err := findTotals(s.db)
	if err != nil && !isMissing(err) {
		return err
	}
	s.stats.queued.Store(totals.messages)
	s.stats.rows.Store(totals.rows)
	return each(s.db, []byte{tableFrozen}, func(key, _ []byte) (bool, error) {
		s.rowLeases.frozen[string(key[1:])] = true
		return true, nil
	})
}

// OpenQueued implements store.Queue.
func (s *Store) OpenQueued(ctx context.Context, id mail.ID) (store.Reader, error) {
	op := "open " + whereQueued(id)
	if err := s.enter(ctx, op); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	var p pin
	s.pins.hold(&p)
	defer s.pins.release(&p)
	q, err := findQueued(s.db, id)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	msg := q.copied()
	return s.openCopy(s.db, &copyName{queued: id}, &msg, &p)
}

// QueuedMessage implements store.Queue.
func (s *Store) QueuedMessage(ctx context.Context, id mail.ID) (store.QueuedMessage, error) {
	op := "look up " + whereQueued(id)
	if err := s.enter(ctx, op); err != nil {
		return store.QueuedMessage{}, err
	}
	defer s.gate.leave()
	snapshot := s.db.NewSnapshot()
	defer snapshot.Close()
	s.expireLeases()
	msg, err := s.showQueued(snapshot, id)
	return msg, fault.Wrap(op, err)
}

func (s *Store) expireLeases() {
	s.rowLeases.mu.Lock()
	defer s.rowLeases.mu.Unlock()
	s.rowLeases.expire(s.o.Now())
}

// showQueued returns a message with its rows; after an error its ID only.
func (s *Store) showQueued(from getter, id mail.ID) (store.QueuedMessage, error) {
	msg, err := s.queuedMessage(from, id)
	if err != nil {
		return msg, err
	}
	err = eachRow(from, id, func(row queueRow, err error) error {
		msg.Rows = append(msg.Rows, row.row(s.isLeased(row.id)))
		return err
	})
	if err != nil {
		return store.QueuedMessage{ID: id}, err
	}
	return msg, nil
}

// isLeased reports whether a row is being tried.
func (s *Store) isLeased(row store.RowID) bool {
	s.rowLeases.mu.Lock()
	defer s.rowLeases.mu.Unlock()
	l := s.rowLeases.rows[row]
	return l != nil && l.at >= 0
}

// ChangeRows implements store.Queue.
func (s *Store) ChangeRows(ctx context.Context, id mail.ID, rows []int, do store.RowChange, now time.Time) (int, error) {
	op := "change rows of " + whereQueued(id)
	if err := s.enter(ctx, op); err != nil {
		return 0, err
	}
	defer s.gate.leave()
	s.rowLeases.mu.Lock()
	s.rowLeases.expire(now)
	s.rowLeases.mu.Unlock()
	o := &changeRowsOp{id: id, rows: ascendingRows(rows), do: do, now: now.UnixMilli()}
	if err := s.do(o); err != nil {
		return 0, fault.Wrap(op, err)
	}
	return o.changed, nil
}

// QueueUsage implements store.Queue.
func (s *Store) QueueUsage(ctx context.Context) (store.QueueUsage, error) {
	const op = "queue usage"
	if err := s.enter(ctx, op); err != nil {
		return store.QueueUsage{}, err
	}
	defer s.gate.leave()
	q, err := findTotals(s.db)
	return store.QueueUsage{Messages: q.messages, Rows: q.rows, Octets: q.octets}, fault.Wrap(op, err)
}
