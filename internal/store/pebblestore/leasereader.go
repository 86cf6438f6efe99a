package pebblestore

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// leased reads rows that have been leased: nobody changes them meanwhile.
func (s *Store) leased(plans [][]byte, fences []uint64) ([]store.Leased, error) {
	r := leaseReader{s: s, rows: make([]leasedRow, len(plans)), messages: make(map[mail.ID]*leasedMessage, len(plans))}
	if err := r.read(plans); err != nil {
		return nil, err
	}
	all := make([]store.Leased, 0, len(r.messages))
	for i := range r.rows {
		row := &r.rows[i]
		msg := r.messages[row.id.Message]
		if row.err == nil {
			row.err = msg.err
		}
		if row.err != nil {
			all = append(all, badLease(row.id, fences[i], row.err))
			continue
		}
		if msg.rows == 0 {
			msg.at = len(all)
			all = append(all, store.Leased{Message: msg.shown})
		}
		msg.rows++
		l := &all[msg.at]
		l.Message.Rows = append(l.Message.Rows, row.row.row(true))
		l.Fences = append(l.Fences, fences[i])
	}
	s.rowLeases.know(r.rows, fences, r.messages)
	return all, nil
}

// leaseReader reads leased rows and their messages, each table in the order of its
// keys.
type leaseReader struct {
	s        *Store
	rows     []leasedRow
	messages map[mail.ID]*leasedMessage
	plan     []byte
}

// leasedRow is a row that was leased; err is of kind Corrupt if it can't be read.
type leasedRow struct {
	id  store.RowID
	row queueRow
	err error
}

// leasedMessage is the message of leased rows.
type leasedMessage struct {
	leaving
	shown store.QueuedMessage
	err   error
	at    int // among those leased
	rows  int // of it that are
}

// leaving is what a message's last row has to know of it.
type leaving struct {
	blob  uint64
	size  int64
	first int // how many rows it had at first
}

func (r *leaseReader) read(plans [][]byte) error {
	order := make([]int, len(plans))
	for i, key := range plans {
		p, _ := keyPlan(key)
		r.rows[i].id, order[i] = p.row, i
	}
	slices.SortFunc(order, func(i, j int) int { return compareRows(r.rows[i].id, r.rows[j].id) })
	if err := r.readRows(order, plans); err != nil {
		return err
	}
	return r.readMessages(order)
}

func compareRows(a, b store.RowID) int {
	return cmp.Or(bytes.Compare(a.Message[:], b.Message[:]), cmp.Compare(a.Index, b.Index))
}

func (r *leaseReader) readRows(order []int, plans [][]byte) error {
	table, err := openRows(r.s.db, tableRow, len(order))
	if err != nil {
		return err
	}
	defer table.close()
	var k keyBuf
	for _, i := range order {
		row := &r.rows[i]
		v, ok, err := table.find(k.row(row.id))
		switch {
		case err != nil && !isMissing(err):
			return err
		case err != nil:
			row.err = err
			continue
		case !ok:
			row.err = errNotFound
			continue
		}
		if row.row, row.err = decodeRow(row.id, v); row.err != nil {
			continue
		}
		if r.plan = row.row.appendPlan(r.plan[:0]); !bytes.Equal(r.plan, plans[i]) || row.row.state != store.RowWaiting {
			row.err = errors.New("the schedule has it where it is not")
		}
	}
	return nil
}

func (r *leaseReader) readMessages(order []int) error {
	table, err := openRows(r.s.db, tableQueued, len(order))
	if err != nil {
		return err
	}
	defer table.close()
	var k keyBuf
	for _, i := range order {
		id := r.rows[i].id.Message
		if r.messages[id] != nil {
			continue
		}
		m := &leasedMessage{}
		r.messages[id] = m
		v, ok, err := table.find(k.queued(id))
		switch {
		case err != nil && !isMissing(err):
			return err
		case err != nil:
			m.err = err
			continue
		case !ok:
			m.err = errNotFound
			continue
		}
		q, err := decodeQueued(id, v)
		if err == nil {
			m.leaving = q.leaving()
			m.shown, err = q.message()
		}
		m.err = err
	}
	return nil
}
