package pebblestore

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// Store is an open store.
type Store struct {
	o       Options
	fs      vfs.FS
	id      storeID
	lock    io.Closer
	db      *pebble.DB
	indexFS *indexFS
	cache   *pebble.Cache
	log     *segmentLog
	files   *largeFiles
	health  *health
	stats   *metrics

	committer  *committer
	keeper     *keeper
	pins       pins
	gate       gate
	leases     leases
	drops      drops
	rowLeases  rowLeases
	watchers   watchers
	directory  directoryCache
	recent     recentIDs // the committer's
	arriving   arriving
	buffers    *buffers
	transfers  sync.Pool // *[]byte of transferSize
	requests   sync.Pool // *request
	acceptOps  sync.Pool // *acceptOp
	background sync.WaitGroup
	stop       chan struct{} // closed when the store closes
	rebuilt    bool          // the index was made anew, and not all is counted yet
	damaged    bool          // this opening found something damaged, or cut off
}

var _ store.Store = (*Store)(nil)

// The folders and files in a store's folder.
const (
	lockFile      = "LOCK"
	indexFolder   = "index"
	logFolder     = "log"
	largeFolder   = "large"
	damagedFolder = "damaged"
)

// Open opens a store, and makes it when the folder is empty or not there.
//
// The error is of kind Busy while another process has it open, Invalid when its
// format is newer than this program, Corrupt when it can't be made sense of.
func Open(o Options) (*Store, error) {
	o = o.withDefaults()
	s := newStore(o)
	op := "open store " + o.Dir
	if err := s.fs.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fileFault(op, err)
	}
	var err error
	if s.lock, err = s.fs.Lock(s.fs.PathJoin(o.Dir, lockFile)); err != nil {
		if isFull(err) || isShort(err) {
			return nil, fileFault(op, err)
		}
		return nil, fault.Newf(fault.Busy, op, "another postrider has the folder open: %w", err)
	}
	if err := s.open(); err != nil {
		close(s.stop)
		s.abandon()
		return nil, fault.Wrap(op, err)
	}
	first := s.files.next
	go s.committer.run()
	if s.rebuilt {
		if err := s.do(&recount{}); err != nil {
			s.Close()
			return nil, fault.Wrap(op, err)
		}
	}
	if s.has(keyJump) {
		if err := s.do(jump{}); err != nil {
			s.health.fail("leaving out the numbers that lost commits gave", err) // mail would get them again
		}
	}
	s.background.Go(s.keeper.run)
	s.background.Go(func() { s.sweepOrphans(first) })
	return s, nil
}

func newStore(o Options) *Store {
	s := &Store{
		o: o, fs: o.FS,
		health: newHealth(o),
		leases: leases{open: make(map[mail.AccountID][]*lease)},
		drops:  drops{open: make(map[*maildrop]struct{})},
		rowLeases: rowLeases{
			fence: uint64(o.Now().UnixNano()), // greater than those of an earlier life
			rows:  make(map[store.RowID]*rowLease), frozen: make(map[string]bool),
		},
		watchers: watchers{by: make(map[mail.AccountID]map[chan struct{}]struct{})},
		arriving: arriving{max: o.Arriving},
		buffers:  newBuffers(int(max(o.SmallMax, maxWhole))),
		stop:     make(chan struct{}),
	}
	s.transfers.New = func() any { b := make([]byte, transferSize); return &b }
	s.requests.New = func() any { return &request{done: make(chan struct{}, 1)} }
	s.acceptOps.New = func() any { return new(acceptOp) }
	s.committer = &committer{s: s, queue: make(chan *request, 256), ended: make(chan struct{}), cache: newCache()}
	s.committer.flush = flusher{s: s, limit: o.MemTableSize / 4}
	s.keeper = &keeper{s: s, called: make(chan struct{}, 1), stuck: make(map[uint64]bool)}
	return s
}

// open does everything but start the goroutines.
func (s *Store) open() error {
	var err error
	if s.stats, err = newMetrics(s.o.Registerer, s.health); err != nil {
		return err
	}
	found, have, err := readIdentity(s.fs, s.o.Dir)
	damaged := err == errVersion
	if err != nil && !damaged {
		return fileFault("read "+versionFile, err)
	}
	if have && !damaged {
		if err := found.check(s.o.Dir); err != nil {
			return err
		}
	}
	if err := s.makeFolders(); err != nil {
		return err
	}
	if damaged {
		found = identity{}
	}
	if err := s.finishRebuild(); err != nil {
		return fileFault("put the new index in place", err)
	}
	if _, err := s.fs.Stat(s.fs.PathJoin(s.o.Dir, rebuildFile)); err == nil {
		if err := s.rebuild(found, true); err != nil {
			s.health.log.Error("store: the index can't be made anew; the damaged one is used as it is", "error", err.Error())
		}
	}
	err = s.openAll(found, have, damaged)
	if err == nil || !s.indexDamaged(err) {
		return err
	}
	if err := s.closeAll(); err != nil {
		s.health.log.Debug("store: close of the damaged index", "error", err.Error())
	}
	if err2 := s.rebuild(found, false); err2 != nil {
		return errors.Join(err, err2)
	}
	return s.openAll(found, have, damaged)
}

// makeFolders makes the folders that are missing.
func (s *Store) makeFolders() error {
	const op = "make folders"
	for _, name := range []string{logFolder, largeFolder} {
		if err := s.fs.MkdirAll(s.fs.PathJoin(s.o.Dir, name), 0o700); err != nil {
			return fileFault(op, err)
		}
	}
	if err := syncDir(s.fs, s.o.Dir); err != nil {
		return fileFault(op, err)
	}
	// The folder's own name.
	if err := syncDir(s.fs, s.fs.PathDir(s.o.Dir)); err != nil {
		s.health.log.Debug("store: sync of the folder above", "error", err.Error())
	}
	return nil
}

// identify settles which store this is: by VERSION, or else by the index, which
// has the same; a store that has neither is new.
func (s *Store) identify(found identity, have bool) error {
	v, err := s.get(keyStore)
	switch {
	case fault.Is(err, fault.NotFound) && have:
		return fault.Newf(fault.Corrupt, "identify", "%w: it is empty, the store is not", errIndex)
	case fault.Is(err, fault.NotFound):
		return s.create()
	case err != nil:
		return err
	}
	defer v.Close()
	known, err := decodeIdentity(v.b)
	if err != nil {
		return fault.Newf(fault.Corrupt, "identify", "%w: %w", errIndex, err)
	}
	if err := known.check(s.o.Dir); err != nil {
		return err
	}
	s.id = known.id
	if have && found.id != known.id {
		return fault.Newf(fault.Invalid, "identify", "log and index are not of the same store: %x, %x", found.id[:], known.id[:])
	}
	if !have {
		s.health.log.Warn("store: VERSION was missing or damaged; it is written anew", "store", s.o.Dir)
	}
	return s.raiseVersion(found)
}

// create makes a new store; VERSION comes last.
func (s *Store) create() error {
	const op = "create"
	nums, err := s.listSegments(s.fs.PathJoin(s.o.Dir, logFolder))
	if err != nil {
		return err
	}
	if len(nums) > 0 {
		return fault.Newf(fault.Corrupt, op, "there is a log, but neither VERSION nor index: restore them from a backup")
	}
	i := newIdentity()
	s.id = i.id
	b := s.db.NewBatch()
	defer b.Close()
	_ = b.Set(keyStore, i.append(nil), nil) // a batch that is not indexed takes everything
	_ = b.Set(keyApplied, applied{0, position{segment: 1}}.append(nil), nil)
	if err := s.db.Apply(b, pebble.NoSync); err != nil {
		return indexFault(op, err)
	}
	if err := s.flushIndex(); err != nil {
		return err
	}
	return fileFault(op, writeIdentity(s.fs, s.o.Dir, i))
}

// enter lets one more operation in, unless its context has ended or the store is
// closed. Who got in calls gate.leave.
func (s *Store) enter(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Transient, op, err)
	}
	return s.gate.enter(op)
}

// stopping reports whether the store closes.
func (s *Store) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// Close implements store.Keeper.
func (s *Store) Close() error {
	if !s.gate.close() {
		return nil
	}
	close(s.stop) // whoever is inside in the background comes out soon
	<-s.gate.empty
	close(s.committer.queue)
	<-s.committer.ended
	s.background.Wait()
	s.drops.end()
	var err error
	if s.health.broken.Load() == nil {
		err = s.flushIndex()
	}
	if err2 := s.abandon(); err == nil {
		err = err2
	}
	return fault.Wrap("close store "+s.o.Dir, err)
}

// abandon closes what is open, without a flush.
func (s *Store) abandon() error {
	var first error
	note := func(err error) {
		if err != nil && first == nil {
			first = err
		}
	}
	note(fileFault("close index and log", s.closeAll()))
	if s.stats != nil {
		s.stats.close()
	}
	if s.lock != nil {
		note(fileFault("unlock", s.lock.Close()))
	}
	return first
}

// Health implements store.Keeper.
func (s *Store) Health() error {
	if err := s.gate.enter("health"); err != nil {
		return err
	}
	defer s.gate.leave()
	return s.health.mail("health")
}

// Usage implements store.Keeper. The mail of removed accounts is swept first.
func (s *Store) Usage(ctx context.Context) (store.Usage, error) {
	const op = "usage"
	if err := s.enter(ctx, op); err != nil {
		return store.Usage{}, err
	}
	defer s.gate.leave()
	if err := s.keeper.sweep(ctx); err != nil && ctx.Err() != nil {
		return store.Usage{}, fault.New(fault.Transient, op, err)
	} // without the sweep too much is counted, no more
	u := store.Usage{Engine: "pebble", Format: Format}
	err := each(s.db, []byte{tableBlob}, func(_, v []byte) (bool, error) {
		o, err := decodeBlob(v)
		if err != nil {
			return true, nil // Check tells
		}
		u.Messages++
		u.Octets += o.body
		if o.file != 0 {
			u.OnDisk += blocksLength(o.body)
		}
		return true, ctx.Err()
	})
	if err != nil {
		return u, fault.Wrap(op, err)
	}
	u.OnDisk += s.log.onDisk() + int64(s.db.Metrics().DiskSpaceUsage())
	u.Free, u.Reserve, _ = s.health.space.enough()
	return u, nil
}
