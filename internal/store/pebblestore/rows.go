package pebblestore

import (
	"bytes"
	"context"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// fewRows is up to how many keys are got one by one.
const fewRows = 16

// rows looks keys of one table up in ascending order. For many keys that stand
// together an iterator costs a fraction of a Get each.
type rows struct {
	from  getter
	it    *pebble.Iterator // nil for few
	begun bool
	got   value
}

// openRows is for n keys.
func openRows(from getter, table byte, n int) (*rows, error) {
	r := &rows{from: from}
	if n <= fewRows {
		return r, nil
	}
	var err error
	r.it, err = span(from, []byte{table}, after([]byte{table}))
	return r, err
}

func (r *rows) close() {
	r.giveBack()
	if r.it != nil {
		r.it.Close()
	}
}

func (r *rows) giveBack() {
	if r.got.closer != nil {
		r.got.Close()
		r.got = value{}
	}
}

// nearby is how many rows are stepped over rather than sought.
const nearby = 8

// find returns a key's value, valid until the next call; ok is false if there is
// none.
func (r *rows) find(key []byte) (v []byte, ok bool, err error) {
	if r.it == nil {
		return r.get(key)
	}
	if !r.seek(key) {
		return nil, false, indexFault("look up", r.it.Error())
	}
	v, err = r.it.ValueAndErr()
	return v, err == nil, indexFault("look up", err)
}

func (r *rows) get(key []byte) (v []byte, ok bool, err error) {
	r.giveBack()
	r.got, err = lookUp(r.from, key)
	if fault.Is(err, fault.NotFound) {
		return nil, false, nil
	}
	return r.got.b, err == nil, err
}

// seek goes to a key; it reports whether it is there.
func (r *rows) seek(key []byte) bool {
	if r.begun && !r.it.Valid() {
		return false // all that follow are beyond the last row
	}
	for range nearby {
		if !r.begun {
			break
		}
		switch c := bytes.Compare(r.it.Key(), key); {
		case c == 0:
			return true
		case c > 0:
			return false
		}
		if !r.it.Next() {
			return false
		}
	}
	r.begun = true
	return r.it.SeekGE(key) && bytes.Equal(r.it.Key(), key)
}

// ascending returns the UIDs in order, each once.
func ascending(uids []mail.UID) []mail.UID {
	if slices.IsSorted(uids) {
		return slices.Compact(slices.Clone(uids))
	}
	sorted := slices.Clone(uids)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// eachOf calls f with those of a mailbox's messages that are there, by ascending
// UID. The message is f's during the call only.
func eachOf(from getter, box mailboxKey, uids []mail.UID, f func(uid mail.UID, m *message) error) error {
	r, err := openRows(from, tableMessage, len(uids))
	if err != nil {
		return err
	}
	defer r.close()
	var key keyBuf
	var m message // used again
	for _, uid := range ascending(uids) {
		v, ok, err := r.find(key.message(box, uid))
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if m, err = decodeMessage(v); err != nil {
			return fault.New(fault.Corrupt, "message", err)
		}
		if err := f(uid, &m); err != nil {
			return err
		}
	}
	return nil
}

// eachBlob calls f with those of the contents that are there; ids ascend.
func eachBlob(from getter, ids []uint64, f func(id uint64, o blob)) error {
	r, err := openRows(from, tableBlob, len(ids))
	if err != nil {
		return err
	}
	defer r.close()
	var key keyBuf
	for _, id := range ids {
		v, ok, err := r.find(key.blob(id))
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		o, err := decodeBlob(v)
		if err != nil {
			return fault.New(fault.Corrupt, "content", err)
		}
		f(id, o)
	}
	return nil
}

// warm reads what a change of many messages will want of the index, so that the
// committer finds it in memory. That it changes meanwhile does no harm.
func (s *Store) warm(ctx context.Context, box mailboxKey, uids []mail.UID, contents bool) error {
	if len(uids) <= fewRows {
		return nil
	}
	var ids []uint64
	err := eachOf(s.db, box, uids, func(_ mail.UID, m *message) error {
		if contents {
			ids = append(ids, m.blob)
		}
		return ctx.Err()
	})
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Transient, "read messages", err)
	}
	if err != nil {
		return err
	}
	slices.Sort(ids)
	return eachBlob(s.db, ids, func(uint64, blob) {})
}
