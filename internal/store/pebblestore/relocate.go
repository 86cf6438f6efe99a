package pebblestore

import (
	"io"

	"postrider/internal/fault"
)

// relocation is a record on its way to the head.
type relocation struct {
	header recordHeader
	offset int64 // in the old segment
	rest   []byte
}

// relocateOp copies records of one segment to the head, those that are still
// referenced there.
type relocateOp struct {
	segment uint64
	records []relocation
	octets  int64
}

func (o *relocateOp) alone() bool { return false }

// prepare implements operation.
func (o *relocateOp) prepare(t *tx) error {
	if len(t.fresh)+len(o.records) >= maxFresh {
		return errAgain
	}
	var live []*blobChange
	var from []*relocation
	for i := range o.records {
		r := &o.records[i]
		c, err := t.blob(r.header.blob)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if c.refs == 0 || c.moved != 0 || c.segment != o.segment || c.offset != r.offset || c.length != r.header.length() {
			continue
		}
		live, from = append(live, c), append(from, r)
	}
	for i, c := range live {
		t.blobs[c.id] = c
		t.live[c.segment] -= c.length
		t.addRecord(&from[i].header, from[i].rest, nil, c.refs)
		c.moved = len(t.fresh)
		t.s.stats.reclaimed.Add(float64(c.length))
	}
	return nil
}

// empty copies what is live in a segment to the head.
func (k *keeper) empty(num uint64) error {
	if err := k.s.gate.enter("keep"); err != nil {
		return err
	}
	defer k.s.gate.leave()
	var p pin
	k.s.pins.hold(&p)
	defer k.s.pins.release(&p)
	if err := k.copyLive(num, k.s.eachRecord); err != nil || !k.s.log.uses(num) || k.stopping() {
		return err
	}
	// A frame's header is damaged; where its records are the index knows.
	return k.copyLive(num, k.s.eachKnown)
}

// copyLive copies those of a segment's records to the head that are referenced.
func (k *keeper) copyLive(num uint64, each func(num uint64, f func(r relocation) (bool, error)) error) error {
	op := &relocateOp{segment: num}
	err := each(num, func(r relocation) (bool, error) {
		o, err := findBlob(k.s.db, r.header.blob)
		if err != nil || o.segment != num || o.offset != r.offset {
			return true, nil
		}
		op.records = append(op.records, r)
		if op.octets += o.length; op.octets < relocateOctets && len(op.records) < maxGatherOps {
			return true, nil
		}
		if err := k.s.do(op); err != nil {
			return false, err
		}
		*op = relocateOp{segment: num}
		return k.pause(), nil
	})
	if err != nil || len(op.records) == 0 {
		return err
	}
	return k.s.do(op)
}

// eachRecord calls f with the records of a segment that are whole, until it
// returns false or an error. What is damaged is left out.
func (s *Store) eachRecord(num uint64, f func(r relocation) (bool, error)) error {
	file, err := s.log.acquire(num)
	if err != nil {
		return err
	}
	defer s.log.release(file)
	info, err := file.Stat()
	if err != nil {
		return err
	}
	var hb [frameHeaderSize]byte
	for off := int64(0); off < info.Size(); {
		err := readFull(file, hb[:], off)
		h, ok := parseFrame(hb[:])
		if err != nil && err != io.ErrUnexpectedEOF {
			return err
		}
		if !ok || h.store != s.id || h.segment != num {
			off += pageSize
			continue
		}
		if more, err := frameRecords(file, off, &h, f); err != nil || !more {
			return err
		}
		off += h.padded()
	}
	return nil
}

// eachKnown calls f with the whole records of a segment that the index knows,
// until it returns false or an error.
func (s *Store) eachKnown(num uint64, f func(r relocation) (bool, error)) error {
	return each(s.db, []byte{tableBlob}, func(key, v []byte) (bool, error) {
		id, ok := keyUint64(key)
		o, err := decodeBlob(v)
		if !ok || err != nil || o.segment != num {
			return !s.stopping(), nil
		}
		b, err := s.verify(id, o)
		if err != nil {
			return true, nil // Check tells
		}
		h, err := parseRecord(b)
		if err != nil {
			return true, nil
		}
		return f(relocation{h, o.offset, b[recordHeaderSize:]})
	})
}

// frameRecords calls f with the whole records of a frame.
func frameRecords(file io.ReaderAt, off int64, h *frameHeader, f func(r relocation) (bool, error)) (bool, error) {
	var hb [recordHeaderSize]byte
	at, end := off+frameHeaderSize, off+frameHeaderSize+int64(h.records)
	for at+recordHeaderSize <= end {
		if n, err := file.ReadAt(hb[:], at); n < len(hb) {
			if err == io.EOF {
				return true, nil
			}
			return false, err
		}
		r, err := parseRecord(hb[:])
		if err != nil || r.length() > end-at {
			return true, nil // the rest of the frame can't be told apart
		}
		rest := make([]byte, r.length()-recordHeaderSize)
		if n, err := file.ReadAt(rest, at+recordHeaderSize); n < len(rest) && err != io.EOF {
			return false, err
		}
		if verifyRest(&r, rest) {
			if more, err := f(relocation{r, at, rest}); err != nil || !more {
				return false, err
			}
		}
		at += r.length()
	}
	return true, nil
}

// verifyRest holds what follows a record's header against its checksums.
func verifyRest(h *recordHeader, rest []byte) bool {
	envelope, rest := rest[:h.envelope], rest[h.envelope:]
	prefixes, body := rest[:h.prefixes], rest[h.prefixes:]
	return checksum(envelope) == h.envelopeCRC && checksum(prefixes) == h.prefixesCRC &&
		(h.file != 0 || checksum(body) == h.bodyCRC)
}
