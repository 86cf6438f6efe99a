package pebblestore

import (
	"bytes"
	"context"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// What the keeper does, and how fast.
const (
	// sparseShare: a sealed segment of which less is live is emptied.
	sparseShare = 0.5
	// relocateOctets are copied at once, and relocatePause lies between two such
	// copies: at most 20 MiB/s.
	relocateOctets = 1 << 20
	relocatePause  = 50 * time.Millisecond
	// sweepMessages of a removed account are removed in one commit.
	sweepMessages = 1000
	// acceptsKept is how long the IDs of Accepts are remembered: a day is promised.
	acceptsKept = 48 * time.Hour
	// keeperIdle is how often the keeper looks around without being called, and
	// keeperRetry how often while something waits for readers or for the index.
	keeperIdle  = 10 * time.Minute
	keeperRetry = time.Second
)

// keeper is the goroutine that gives back space: it empties and frees segments,
// removes large files, sweeps the mail of removed accounts, and forgets the IDs
// of old Accepts.
type keeper struct {
	s      *Store
	called chan struct{}
	// stuck are segments that could not be emptied, since something in them is
	// damaged; Check reports it.
	stuck  map[uint64]bool
	pruned time.Time
}

// wake has the keeper look around soon.
func (k *keeper) wake() {
	select {
	case k.called <- struct{}{}:
	default:
	}
}

// run works until the store is closed.
func (k *keeper) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		lacking := k.s.health.lacking()
		if k.s.health.indexFull.Load() {
			lacking = nil // it is known
		}
		select {
		case <-k.s.stop:
			return
		case <-lacking:
		case <-k.called:
		case <-timer.C:
		}
		if k.round() {
			timer.Reset(keeperRetry)
		} else {
			timer.Reset(keeperIdle)
		}
	}
}

// round does what there is to do; it reports whether something is left that
// will be possible later.
func (k *keeper) round() (again bool) {
	if k.s.health.broken.Load() != nil {
		return false
	}
	if fault.Is(k.s.health.mail("keep"), fault.NoSpace) {
		k.s.log.drain()
	}
	if k.s.health.indexFull.Load() {
		k.probe()
		again = true
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"sweep removed accounts", func() error { return k.sweep(context.Background()) }},
		{"empty sparse segments", k.compact},
		{"forget old accept ids", k.prune},
	}
	for _, step := range steps {
		if err := step.do(); err != nil && !k.stopping() {
			k.s.health.log.Warn("store: "+step.name, "error", err.Error())
			again = true
		}
	}
	return k.collect() || again
}

// probeFile is written to learn whether there is space again for the index.
const probeFile = "PROBE"

// probe ends the lack of space for the index if as much can be written as a
// flush takes. Waiting for Pebble to write does not do: with no mail taken there
// may be nothing to flush.
func (k *keeper) probe() {
	s := k.s
	name := s.fs.PathJoin(s.o.Dir, probeFile)
	err := writeFile(s.fs, name, make([]byte, s.o.MemTableSize))
	if err2 := s.fs.Remove(name); err == nil {
		err = err2
	}
	if err == nil {
		s.indexFS.full(false)
	}
}

func (k *keeper) stopping() bool {
	return k.s.stopping() || k.s.health.broken.Load() != nil
}

// collect gives back what nobody can want any more; it reports whether more
// will be later.
func (k *keeper) collect() bool {
	if k.s.health.broken.Load() != nil {
		return false
	}
	flushed := k.s.committer.flush.flushed.Load()
	if k.s.log.collect(flushed, k.s.pins.clear) > 0 {
		k.do(flushNow{})
	}
	k.s.files.collect(k.s.pins.clear)
	return k.s.log.waiting() || k.s.files.waiting()
}

// do commits an operation of the keeper's.
func (k *keeper) do(op operation) error {
	if err := k.s.gate.enter("keep"); err != nil {
		return err
	}
	defer k.s.gate.leave()
	return k.s.do(op)
}

// sweep removes the mail of removed accounts.
func (k *keeper) sweep(ctx context.Context) error {
	ids, err := k.marked()
	if err != nil {
		return err
	}
	for _, id := range ids {
		op := &sweepOp{account: id}
		for !op.done {
			if k.stopping() || ctx.Err() != nil {
				return ctx.Err()
			}
			if err := k.do(op); err != nil {
				return err
			}
		}
	}
	return nil
}

// marked returns the accounts whose mail is to be swept.
func (k *keeper) marked() ([]mail.AccountID, error) {
	if err := k.s.gate.enter("keep"); err != nil {
		return nil, nil
	}
	defer k.s.gate.leave()
	var ids []mail.AccountID
	err := each(k.s.db, []byte{tableSweep}, func(key, _ []byte) (bool, error) {
		if n, ok := keyUint64(key); ok {
			ids = append(ids, mail.AccountID(n))
		}
		return true, nil
	})
	return ids, err
}

// sweepOp removes some of the messages of a removed account, and the mark with
// the last. It is used again for the next ones until it is done.
type sweepOp struct {
	account mail.AccountID
	from    []byte // the first key not looked at yet; nil: from the beginning
	done    bool
}

func (o *sweepOp) alone() bool { return true }

// prepare implements operation.
func (o *sweepOp) prepare(t *tx) error {
	if v, err := t.s.get(t.key.sweep(o.account)); err == nil {
		v.Close()
	} else {
		o.done = true // somebody else was faster
		return notFoundIsNil(err)
	}
	keys, blobs, err := o.some(t.s)
	if err != nil {
		return err
	}
	contents := make([]*blobChange, 0, len(blobs))
	byID := make(map[uint64]*blobChange)
	for _, id := range blobs {
		c := byID[id]
		if c == nil {
			if c, err = t.blob(id); fault.Is(err, fault.NotFound) {
				continue
			}
			if err != nil {
				return err
			}
			byID[id] = c
		}
		contents = append(contents, c)
	}
	for _, key := range keys {
		_ = t.batch.Delete(key, nil) // a batch that is not indexed takes everything
	}
	for _, c := range contents {
		t.release(c)
	}
	if len(keys) < sweepMessages {
		_ = t.batch.Delete(t.key.sweep(o.account), nil)
		o.done = true
		return nil
	}
	o.from = append(keys[len(keys)-1], 0)
	return nil
}

// some returns the keys of the next messages, and their contents.
func (o *sweepOp) some(s *Store) (keys [][]byte, blobs []uint64, err error) {
	var prefix keyBuf
	first := prefix.u64(tableMessage, uint64(o.account))
	end := after(first)
	if o.from != nil {
		first = o.from
	}
	it, err := span(s.db, first, end)
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	for ok := it.First(); ok && len(keys) < sweepMessages; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, nil, indexFault("sweep", err)
		}
		keys = append(keys, append(make([]byte, 0, len(it.Key())+1), it.Key()...))
		if msg, err := decodeMessage(v); err == nil {
			blobs = append(blobs, msg.blob)
		}
	}
	return keys, blobs, indexFault("sweep", it.Error())
}

func notFoundIsNil(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// prune forgets the IDs of Accepts that are old.
func (k *keeper) prune() error {
	now := k.s.o.Now()
	if now.Sub(k.pruned) < keeperIdle {
		return nil
	}
	k.pruned = now
	for op := (&pruneOp{before: now.Add(-acceptsKept)}); !op.done; {
		if k.stopping() {
			return nil
		}
		if err := k.do(op); err != nil {
			return err
		}
	}
	return nil
}

// pruneOp forgets the next of the Accepts that were made before a time. Their
// IDs are in the order of time, so that a few deletions of ranges do; but an ID
// is its maker's, and one with an old time in it may be of now.
type pruneOp struct {
	before time.Time
	from   []byte // the first key not looked at yet; nil: from the beginning
	done   bool
}

// pruneAtOnce is how many Accepts one commit forgets.
const pruneAtOnce = 10_000

func (o *pruneOp) alone() bool { return false }

// prepare implements operation.
func (o *pruneOp) prepare(t *tx) error {
	id := mail.NewID(o.before)
	clear(id[6:]) // all of that millisecond
	first, end := []byte{tableAccept}, bytes.Clone(t.key.accept(id))
	if o.from != nil {
		first = o.from
	}
	it, err := span(t.s.db, first, end)
	if err != nil {
		return err
	}
	defer it.Close()
	n := 0
	var since []byte // the first key of a range to be deleted
	for ok := it.First(); ok && n < pruneAtOnce; ok = it.Next() {
		n++
		v, err := it.ValueAndErr()
		if err != nil {
			return indexFault("forget accept ids", err)
		}
		r := valueReader{b: v}
		old := r.int() < o.before.Unix()
		switch {
		case old && since == nil:
			since = bytes.Clone(it.Key())
		case !old && since != nil:
			_ = t.batch.DeleteRange(since, it.Key(), nil) // a batch that is not indexed takes everything
			since = nil
		}
		o.from = append(append(o.from[:0], it.Key()...), 0)
	}
	if since != nil {
		_ = t.batch.DeleteRange(since, o.from, nil)
	}
	o.done = n < pruneAtOnce
	return indexFault("forget accept ids", it.Error())
}

// compact empties the sparse segments, one after the other.
func (k *keeper) compact() error {
	for {
		num, ok := k.s.log.sparse(sparseShare, k.stuck)
		if !ok || k.stopping() {
			return nil
		}
		if err := k.empty(num); err != nil {
			k.stuck[num] = !k.stopping() && !fault.Is(err, fault.NoSpace) && !isShort(err)
			return err
		}
		if k.s.log.uses(num) && !k.stopping() {
			k.stuck[num] = true
			k.s.health.log.Error("store: a segment can't be emptied: something in it is damaged",
				"file", k.s.log.path(num), "do", "run: postrider store check")
		}
	}
}

// pause waits between two copies; it reports false when the store is closing.
func (k *keeper) pause() bool {
	t := time.NewTimer(relocatePause)
	defer t.Stop()
	select {
	case <-k.s.stop:
		return false
	case <-t.C:
		return true
	}
}
