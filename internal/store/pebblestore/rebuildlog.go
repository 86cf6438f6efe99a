package pebblestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// gap is where keys of a damaged table are lost: from first to last. A last of
// nil is the end of the index.
type gap struct {
	first, last []byte
	table       uint64
	// after is the number of the last commit that is known to be in older tables
	// whole: nothing of it, or of those before it, was in the damaged one.
	after uint64
}

func (g *gap) has(key []byte) bool {
	return bytes.Compare(key, g.first) >= 0 && (g.last == nil || bytes.Compare(key, g.last) <= 0)
}

// inGap reports whether the record of a key may have been in a damaged block.
func (b *rebuilder) inGap(key []byte) bool {
	return slices.ContainsFunc(b.gaps, func(g gap) bool { return g.has(key) })
}

// lost reports whether what a commit said of a key may have been in a damaged
// block.
func (b *rebuilder) lost(key []byte, lsn uint64) bool {
	return slices.ContainsFunc(b.gaps, func(g gap) bool { return lsn > g.after && g.has(key) })
}

// mark is a table's record of the last commit that had been applied, which each
// commit writes along.
type mark struct{ table, seq, lsn uint64 }

func (b *rebuilder) mark(value []byte, seq, table uint64) {
	if a, err := decodeApplied(value); err == nil {
		b.marks = append(b.marks, mark{table, seq, a.lsn})
	}
}

// before returns the number of the last commit that is in tables older than a
// damaged one, zero if that can't be told.
//
// It can be for a table of level 0 among whose keys is the mark: it came from a
// flush, which writes whole commits, or from several flushes that followed each
// other. Older versions of a key are below newer ones: the marks in levels below,
// and in level 0 those with smaller sequence numbers, are of commits before all
// that the damaged table had.
func (b *rebuilder) before(table uint64) (lsn uint64) {
	t, known := b.live[table]
	span := gap{first: t.Smallest.UserKey, last: t.Largest.UserKey}
	if !known || t.level > 0 || !span.has(keyApplied) {
		return 0
	}
	for _, m := range b.marks {
		other, known := b.live[m.table]
		if known && m.table != table && (other.level > 0 || m.seq < uint64(t.SmallestSeqNum)) {
			lsn = max(lsn, m.lsn)
		}
	}
	return lsn
}

// replayGaps lays what commits still in the log say of keys in gaps as ground,
// on which the tables' records are laid. A removal may be in a segment that was
// used again since, so that what comes back here is not always right: doubt
// looks at it.
func (b *rebuilder) replayGaps(db *pebble.DB, id storeID) error {
	dir := b.s.fs.PathJoin(b.s.o.Dir, logFolder)
	nums, err := b.s.listSegments(dir)
	if err != nil {
		return err
	}
	for _, num := range nums {
		f, err := b.s.fs.Open(b.s.fs.PathJoin(dir, segmentName(num)))
		if err != nil {
			return err
		}
		err = eachRedo(f, num, id, func(_ int64, h *frameHeader, redo []byte) error { return b.applyGaps(db, h.lsn, redo) })
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// eachRedo calls f with the sound redos of a segment.
func eachRedo(file vfs.File, num uint64, id storeID, f func(off int64, h *frameHeader, redo []byte) error) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	var hb [frameHeaderSize]byte
	for off := int64(0); off+frameHeaderSize <= info.Size(); {
		if err := readFull(file, hb[:], off); err != nil {
			return err
		}
		h, ok := parseFrame(hb[:])
		if !ok || h.store != id || h.segment != num || off+h.size() > info.Size() {
			off += pageSize
			continue
		}
		redo := make([]byte, h.redo)
		if err := readFull(file, redo, off+frameHeaderSize+int64(h.records)); err != nil {
			return err
		}
		if checksum(redo) != h.redoCRC {
			off += pageSize
			continue
		}
		if err := f(off, &h, redo); err != nil {
			return err
		}
		off += h.padded()
	}
	return nil
}

// applyGaps applies those changes of a commit's redo that fall into gaps.
func (b *rebuilder) applyGaps(db *pebble.DB, lsn uint64, redo []byte) error {
	return applyFromLog(db, redo, func(key []byte) bool {
		return b.lost(key, lsn) && key[0] != tableSegment && !bytes.Equal(key, keyApplied)
	})
}

// applyWithoutLogins applies a commit's redo to an index of which nothing was left.
func applyWithoutLogins(db *pebble.DB, redo []byte) error {
	return applyFromLog(db, redo, func([]byte) bool { return true })
}

// applyFromLog applies those changes of a commit's redo whose keys are wanted, and all
// deletions of spans. What was removed since may be gone from the log: see fromLog.
func applyFromLog(db *pebble.DB, redo []byte, wanted func(key []byte) bool) error {
	batch, whole := db.NewBatch(), db.NewBatch()
	defer batch.Close()
	defer whole.Close()
	if err := whole.SetRepr(redo); err != nil {
		return err
	}
	r := whole.Reader()
	for {
		kind, key, value, ok, err := r.Next()
		if err != nil {
			return err
		}
		if !ok {
			return db.Apply(batch, pebble.NoSync)
		}
		switch {
		case kind == pebble.InternalKeyKindRangeDelete:
			err = batch.DeleteRange(key, value, nil)
		case !wanted(key):
		case kind == pebble.InternalKeyKindDelete:
			err = batch.Delete(key, nil)
		case kind == pebble.InternalKeyKindSet:
			err = batch.Set(key, fromLog(key, value), nil)
		}
		if err != nil {
			return err
		}
	}
}

// fromLog is a record as it may come back from the log: an account only without
// a login, since it may have been removed, or its passwords changed or revoked.
func fromLog(key, value []byte) []byte {
	if key[0] != tableAccount {
		return value
	}
	n, _ := keyUint64(key)
	a, err := decodeAccount(mail.AccountID(n), value)
	if err != nil {
		return value
	}
	a = withoutLogin(a)
	return appendAccount(nil, &a)
}

// doubt removes what came back from the log but hangs on a record that sound
// blocks would hold if it were there still: it was removed.
func (b *rebuilder) doubt(db *pebble.DB) error {
	has := func(key []byte) bool {
		_, closer, err := db.Get(key)
		if err == nil {
			closer.Close()
		}
		return err == nil
	}
	var k, k2 keyBuf
	rows := []struct {
		table byte
		keep  func(key, v []byte) bool
	}{
		{tableAccount, func(key, _ []byte) bool {
			n, _ := keyUint64(key)
			return has(k.usage(mail.AccountID(n))) && has(k2.mailbox(mailboxKey{mail.AccountID(n), mail.Inbox}))
		}},
		{tableUsage, func(key, _ []byte) bool { n, _ := keyUint64(key); return has(k.account(mail.AccountID(n))) }},
		{tableMailbox, func(key, _ []byte) bool { n, _ := keyUint64(key); return has(k.account(mail.AccountID(n))) }},
		{tableMessage, func(key, v []byte) bool {
			m, _ := keyMailbox(key)
			msg, err := decodeMessage(v)
			return err == nil && has(k.blob(msg.blob)) && has(k2.mailbox(m))
		}},
		{tableHeld, func(key, v []byte) bool {
			id, _ := keyHeld(key)
			h, err := decodeHeld(id, v)
			return err == nil && has(k.blob(h.blob)) && has(k2.due(h.due, id))
		}},
		{tableDue, func(key, _ []byte) bool { id, _ := keyHeld(key); return has(k.held(id)) }},
		{tableQueued, func(key, v []byte) bool {
			id, _ := keyHeld(key)
			q, err := decodeQueued(id, v)
			return err == nil && has(k.blob(q.blob))
		}},
		{tableRow, func(key, v []byte) bool {
			id, _ := keyRow(key)
			row, err := decodeRow(id, v)
			return err == nil && has(k.queued(id.Message)) && (row.state == store.RowHeld || has(row.appendPlan(nil)))
		}},
		{tablePlan, func(key, _ []byte) bool { p, ok := keyPlan(key); return ok && has(k.row(p.row)) }},
	}
	for _, row := range rows {
		err := each(db, []byte{row.table}, func(key, v []byte) (bool, error) {
			if !b.inGap(key) || b.found(key) || row.keep(key, v) {
				return true, nil
			}
			b.doubted++
			return true, db.Delete(key, pebble.NoSync)
		})
		if err != nil {
			return err
		}
	}
	return b.doubtHeld(db)
}

// doubtHeld removes those held messages that came back from the log and are in a
// mailbox: they were released.
func (b *rebuilder) doubtHeld(db *pebble.DB) error {
	back := make(map[uint64]held) // by content
	err := each(db, []byte{tableHeld}, func(key, v []byte) (bool, error) {
		id, _ := keyHeld(key)
		if h, err := decodeHeld(id, v); err == nil && b.inGap(key) && !b.found(key) {
			back[h.blob] = h
		}
		return true, nil
	})
	if err != nil || len(back) == 0 {
		return err
	}
	return each(db, []byte{tableMessage}, func(_, v []byte) (bool, error) {
		msg, err := decodeMessage(v)
		if err != nil {
			return true, nil
		}
		h, ok := back[msg.blob]
		if !ok {
			return true, nil
		}
		delete(back, msg.blob)
		b.doubted++
		var k, k2 keyBuf
		return true, errors.Join(db.Delete(k.held(h.id), pebble.NoSync), db.Delete(k2.due(h.due, h.id), pebble.NoSync))
	})
}

// found reports whether a key was in a table.
func (b *rebuilder) found(key []byte) bool {
	b.key = append(binary.BigEndian.AppendUint16(b.key[:0], uint16(len(key))), key...)
	_, closer, err := b.raw.Get(b.key)
	if err == nil {
		closer.Close()
	}
	return err == nil
}

// position returns how far the index is: what its tables say, or what follows
// from the rows of segments, which each commit writes along, if that is further:
// replaying commits over newer records would bring back what they removed.
func (b *rebuilder) position(db *pebble.DB, id storeID) (applied, error) {
	at := applied{next: position{segment: 1}}
	if v, closer, err := db.Get(keyApplied); err == nil {
		if a, err := decodeApplied(v); err == nil {
			at = a
		}
		closer.Close()
	}
	head := at.next
	err := each(db, []byte{tableSegment}, func(key, v []byte) (bool, error) {
		num, ok := keyUint64(key)
		row, err := decodeSegment(v)
		if ok && err == nil && (num > head.segment || num == head.segment && row.used > head.offset) {
			head = position{num, row.used}
		}
		return true, nil
	})
	if err != nil || head == at.next {
		return at, err
	}
	f, err := b.s.fs.Open(b.s.fs.PathJoin(b.s.o.Dir, logFolder, segmentName(head.segment)))
	if err != nil {
		return at, err
	}
	defer f.Close()
	lsn := uint64(0)
	err = eachRedo(f, head.segment, id, func(off int64, h *frameHeader, _ []byte) error {
		switch {
		case off < head.offset:
			lsn = max(lsn, h.lsn)
		case lsn == 0:
			lsn = h.lsn - 1
		}
		return nil
	})
	if lsn > at.lsn {
		at = applied{lsn, head}
	}
	return at, err
}
