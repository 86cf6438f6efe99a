package pebblestore

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// What one commit gathers at most; a single operation may be larger.
const (
	maxGatherOctets = 4 << 20
	maxGatherOps    = 2048
)

// operation is one caller's change.
type operation interface {
	// prepare checks the operation against the index and adds its changes to t.
	// When it returns an error it has added nothing. errAgain says that it
	// depends on what is in t: it is prepared anew after t's commit.
	prepare(t *tx) error
	// alone reports whether it must be the only one of its commit.
	alone() bool
}

// errAgain is never seen by callers.
var errAgain = errors.New("to be prepared in the next commit")

// request is an operation on its way through the committer.
type request struct {
	op   operation
	err  error
	done chan struct{} // gets one value
}

// committer is the one goroutine that changes things.
type committer struct {
	s     *Store
	queue chan *request
	ended chan struct{} // closed when run returns

	cache  cache
	tx     tx
	lsn    uint64 // of the last commit
	number uint64 // of the batch, ever increasing
	seq    uint64 // of the operation, ever increasing
	flush  flusher
	batch  []*request // of the commit that is being made
	held   *request   // first of the next
}

// do hands op to the committer and waits for its commit.
func (s *Store) do(op operation) error {
	r := s.requests.Get().(*request)
	r.op, r.err = op, nil
	s.committer.queue <- r
	<-r.done
	err := r.err
	r.op = nil
	s.requests.Put(r)
	return err
}

// run commits until the queue is closed.
func (c *committer) run() {
	defer close(c.ended)
	for {
		r := c.held
		if c.held = nil; r == nil {
			var ok bool
			if r, ok = <-c.queue; !ok {
				return
			}
		}
		c.gather(r)
		c.commit()
	}
}

// gather prepares r and what else has arrived as one commit.
func (c *committer) gather(r *request) {
	t := &c.tx
	c.number++
	t.begin(c)
	c.batch = c.batch[:0]
	for ok := true; ok; {
		if t.ops > 0 && r.op.alone() {
			c.held = r
			return
		}
		c.seq++
		t.seq = c.seq
		switch err := r.op.prepare(t); {
		case err == errAgain && t.ops > 0:
			c.held = r
			return
		case err != nil:
			r.err = err
			r.done <- struct{}{}
		default:
			t.ops++
			c.batch = append(c.batch, r)
			if r.op.alone() {
				return
			}
		}
		if t.octets() >= maxGatherOctets || t.ops >= maxGatherOps {
			return
		}
		select {
		case r, ok = <-c.queue:
		default:
			return
		}
	}
}

// commit makes what was gathered durable, then visible, and answers.
func (c *committer) commit() {
	var err error
	if !c.tx.empty() { // asked now: the index takes a large batch's octets away
		err = c.write()
		if err == nil {
			c.settle()
		} else {
			c.cache.forget(&c.tx)
			c.tx.queue.known = false
		}
	}
	c.tx.end()
	for i, r := range c.batch {
		r.err = err
		r.done <- struct{}{}
		c.batch[i] = nil
	}
}

// write makes the gathered changes durable and applies them to the index.
func (c *committer) write() error {
	t := &c.tx
	if err := c.s.health.changes("commit"); err != nil {
		return err
	}
	if err := c.flush.room(); err != nil {
		return err
	}
	if err := t.seal(); err != nil {
		return err
	}
	if err := c.s.log.write(t.at, t.records); err != nil {
		return err
	}
	// Durable: whatever happens now, opening the store anew brings it back.
	if err := c.s.db.Apply(t.batch, pebble.NoSync); err != nil {
		c.s.health.fail("change of the index", err)
		return fault.New(fault.Internal, "commit", err)
	}
	return nil
}

// settle brings the rest of the store up to date after a commit.
func (c *committer) settle() {
	t := &c.tx
	c.lsn = t.lsn
	c.s.log.wrote(t.next, t.live)
	c.s.stats.commits.Inc()
	c.s.stats.ops.Add(float64(t.ops))
	stamp := c.s.pins.free()
	if len(t.deadSegments) > 0 {
		c.s.log.free(t.deadSegments, t.lsn, stamp)
	}
	c.s.files.free(t.deadFiles, stamp)
	if len(t.deadSegments) > 0 || len(t.deadFiles) > 0 || t.removed {
		c.s.keeper.wake()
	}
	t.settleQueue()
	for _, u := range t.usages {
		c.s.watchers.changed(u.account)
	}
	c.flush.committed(int64(t.redo), c.lsn)
}

// cache holds the heads and usages that changed last, so that a delivery needs
// not read the index. It is the committer's own.
type cache struct {
	heads  map[mailboxKey]*head
	usages map[mail.AccountID]*usage
}

// maxCached bounds the heads and usages in the cache, each.
const maxCached = 16384

func newCache() cache {
	return cache{make(map[mailboxKey]*head), make(map[mail.AccountID]*usage)}
}

// trim makes room: some of the entries go, whichever come first.
func (c *cache) trim() {
	if len(c.heads) > maxCached {
		n := 0
		for k := range c.heads {
			delete(c.heads, k)
			if n++; n >= maxCached/8 {
				break
			}
		}
	}
	if len(c.usages) > maxCached {
		n := 0
		for k := range c.usages {
			delete(c.usages, k)
			if n++; n >= maxCached/8 {
				break
			}
		}
	}
}

// forget drops what a commit that failed had changed.
func (c *cache) forget(t *tx) {
	for _, h := range t.heads {
		delete(c.heads, h.key)
	}
	for _, u := range t.usages {
		delete(c.usages, u.account)
	}
}
