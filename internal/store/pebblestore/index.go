package pebblestore

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// getter is the index, or a snapshot of it.
type getter interface {
	Get(key []byte) ([]byte, io.Closer, error)
	NewIter(o *pebble.IterOptions) (*pebble.Iterator, error)
}

// value is a value of the index, valid until it is closed.
type value struct {
	b      []byte
	closer io.Closer
}

// Close gives the value back.
func (v value) Close() { v.closer.Close() }

var errNotFound = fault.New(fault.NotFound, "look up", nil)

// lookUp returns the value of a key, NotFound if there is none.
func lookUp(from getter, key []byte) (value, error) {
	b, closer, err := from.Get(key)
	switch {
	case err == nil:
		return value{b, closer}, nil
	case errors.Is(err, pebble.ErrNotFound):
		return value{}, errNotFound
	}
	return value{}, indexFault("look up", err)
}

// get looks a key up in the index.
func (s *Store) get(key []byte) (value, error) { return lookUp(s.db, key) }

// indexFault gives an error of the index its kind.
func indexFault(op string, err error) error {
	if err == nil {
		return nil
	}
	if pebble.IsCorruptionError(err) {
		return fault.New(fault.Corrupt, op, err)
	}
	return fault.New(fault.Internal, op, err)
}

// span iterates over the keys from first to before end.
func span(from getter, first, end []byte) (*pebble.Iterator, error) {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: end})
	return it, indexFault("iterate", err)
}

// each calls f with every key that begins with prefix and its value, until f
// returns false or an error. Both slices are valid during the call only.
func each(from getter, prefix []byte, f func(key, value []byte) (bool, error)) error {
	it, err := span(from, prefix, after(prefix))
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return indexFault("iterate", err)
		}
		if more, err := f(it.Key(), v); err != nil || !more {
			return err
		}
	}
	return indexFault("iterate", it.Error())
}

// mailbox turns a head into what the store shows of it.
func (h *head) mailbox() store.Mailbox {
	return store.Mailbox{
		Account: h.key.account, ID: h.key.mailbox, Name: h.name,
		UIDValidity: h.uidValidity, UIDNext: h.uidNext, ModSeq: h.modSeq,
		Messages: h.messages, Octets: h.octets,
	}
}

// findHead returns a mailbox's head, NotFound if there is none.
func findHead(from getter, m mailboxKey) (head, error) {
	var key keyBuf
	v, err := lookUp(from, key.mailbox(m))
	if err != nil {
		return head{}, err
	}
	defer v.Close()
	h, err := decodeHead(m, v.b)
	if err != nil {
		return h, fault.New(fault.Corrupt, "mailbox", err)
	}
	return h, nil
}

// findMessage returns a message's record, NotFound if there is none.
func findMessage(from getter, m mailboxKey, uid mail.UID) (message, error) {
	var key keyBuf
	v, err := lookUp(from, key.message(m, uid))
	if err != nil {
		return message{}, err
	}
	defer v.Close()
	msg, err := decodeMessage(v.b)
	if err != nil {
		return msg, fault.New(fault.Corrupt, "message", err)
	}
	return msg, nil
}

// findBlob returns where a content is. That there is none is Corrupt: it is
// looked for because something refers to it.
func findBlob(from getter, id uint64) (blob, error) {
	var key keyBuf
	v, err := lookUp(from, key.blob(id))
	if fault.Is(err, fault.NotFound) {
		return blob{}, fault.Newf(fault.Corrupt, "content", "content %d is not there", id)
	}
	if err != nil {
		return blob{}, err
	}
	defer v.Close()
	o, err := decodeBlob(v.b)
	if err != nil {
		return o, fault.New(fault.Corrupt, "content", err)
	}
	return o, nil
}

// where names a message in errors and findings.
func where(m mailboxKey, uid mail.UID) string {
	return fmt.Sprintf("account %d, mailbox %d, message %d", m.account, m.mailbox, uid)
}
