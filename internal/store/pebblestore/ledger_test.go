package pebblestore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// ledger is what clients know: what they asked for, and what was acknowledged.
type ledger struct {
	mu      sync.Mutex
	mail    map[mail.ID]*entry
	records map[string]*recordHistory
	queue   map[mail.ID]*queuedEntry
}

// knowledge is a ledger as it was at one moment.
type knowledge struct {
	mail    map[mail.ID]entry
	records map[string]recordHistory
	queue   map[mail.ID]queuedEntry
}

type entry struct {
	body     []byte
	to       []mail.AccountID
	accepted state
	removed  map[mail.AccountID]state
	// held: it is in no mailbox until its release. Only one of released and dropped
	// is asked for.
	held     bool
	released state
	dropped  state
}

// state of something that was asked for.
type state int

const (
	notAsked state = iota
	asked
	acknowledged
)

func newLedger() *ledger {
	return &ledger{mail: make(map[mail.ID]*entry), records: make(map[string]*recordHistory), queue: make(map[mail.ID]*queuedEntry)}
}

// copy returns the ledger as it is now.
func (l *ledger) copy() knowledge {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := knowledge{make(map[mail.ID]entry, len(l.mail)), make(map[string]recordHistory, len(l.records)), make(map[mail.ID]queuedEntry, len(l.queue))}
	for id, e := range l.queue {
		k.queue[id] = *e
	}
	for id, e := range l.mail {
		c := *e
		c.removed = maps.Clone(e.removed)
		k.mail[id] = c
	}
	for key, r := range l.records {
		k.records[key] = *r
	}
	return k
}

// prefixFor is the trace field of one copy.
func prefixFor(id mail.AccountID) []byte { return fmt.Appendf(nil, "Delivered-To: %d\r\n", id) }

// load works on a store as clients do: it accepts, sets flags and removes, from
// several goroutines, n times in all.
type load struct {
	s        *Store
	l        *ledger
	accounts []mail.AccountID
	sizes    []int
	// failed gets the errors of operations; nil: they fail the test.
	failed func(err error)
	t      testing.TB
}

func (w *load) run(seed uint64, workers, n int) {
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for range n / workers {
				w.step(r, i)
			}
		})
	}
	wg.Wait()
}

func (w *load) step(r *rand.Rand, worker int) {
	var err error
	switch k := r.IntN(30); {
	case k >= 25:
		err = w.settle(r)
	case k >= 21:
		err = w.enqueue(r)
	case k >= 20:
		err = w.freeze()
	case k < 8:
		err = w.accept(r, false)
	case k < 11:
		err = w.accept(r, true)
	case k < 14:
		err = w.endHold(r)
	case k < 16:
		err = w.record(r, worker)
	case k < 19:
		err = w.remove(r)
	default:
		err = w.s.SetFlags(context.Background(), w.accounts[r.IntN(len(w.accounts))], mail.Inbox, []mail.UID{mail.UID(1 + r.IntN(50))}, mail.Seen, 0)
	}
	if err == nil {
		return
	}
	if w.failed == nil {
		w.t.Errorf("load: %v", err)
		return
	}
	w.failed(err)
}

func (w *load) accept(r *rand.Rand, held bool) error {
	body := make([]byte, w.sizes[r.IntN(len(w.sizes))])
	for i := range body {
		body[i] = byte(r.Uint32())
	}
	to := slices.Clone(w.accounts)
	r.Shuffle(len(to), func(i, j int) { to[i], to[j] = to[j], to[i] })
	to = to[:1+r.IntN(len(to))]
	id := mail.NewID(time.Now())
	e := &entry{body: body, to: to, accepted: asked, removed: make(map[mail.AccountID]state), held: held}
	w.l.mu.Lock()
	w.l.mail[id] = e
	w.l.mu.Unlock()
	var due time.Time
	if held {
		due = time.Unix(int64(r.IntN(10)), 0)
	}
	if err := acceptUntil(w.s, id, body, to, due); err != nil {
		return err
	}
	w.l.mu.Lock()
	e.accepted = acknowledged
	w.l.mu.Unlock()
	return nil
}

func acceptAs(s *Store, id mail.ID, body []byte, to []mail.AccountID) error {
	return acceptUntil(s, id, body, to, time.Time{})
}

// acceptUntil is acceptAs of a message that is held until due, if that is not zero.
func acceptUntil(s *Store, id mail.ID, body []byte, to []mail.AccountID, due time.Time) error {
	c, err := s.NewContent(context.Background(), 0)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(body, 5000) {
		if _, err := c.Write(chunk); err != nil {
			c.Discard()
			return err
		}
	}
	a := store.Accept{ID: id, Content: c, Received: time.Now(), Envelope: mail.Envelope{ID: id}, Hold: due}
	for _, account := range to {
		a.Deliveries = append(a.Deliveries, store.Delivery{Account: account, Mailbox: mail.Inbox, Prefix: prefixFor(account)})
	}
	_, err = s.Accept(context.Background(), a)
	return err
}

// remove removes some of a maildrop, as POP3 does.
func (w *load) remove(r *rand.Rand) error {
	account := w.accounts[r.IntN(len(w.accounts))]
	d, err := w.s.OpenMaildrop(context.Background(), account, store.Snapshot, "load")
	if err != nil {
		return err
	}
	defer d.Close()
	var uids []mail.UID
	var ids []mail.ID
	for m, err := range d.List(context.Background()) {
		if err != nil {
			return err
		}
		if r.IntN(3) == 0 {
			uids, ids = append(uids, m.UID), append(ids, m.ID)
		}
	}
	w.removal(ids, account, asked)
	if err := d.Remove(context.Background(), uids); err != nil {
		return err
	}
	w.removal(ids, account, acknowledged)
	return nil
}

func (w *load) removal(ids []mail.ID, account mail.AccountID, s state) {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	for _, id := range ids {
		if e := w.l.mail[id]; e != nil {
			e.removed[account] = max(e.removed[account], s)
		}
	}
}

// addAccounts makes a domain and n accounts in it.
func addAccounts(t testing.TB, s *Store, n int) []mail.AccountID {
	t.Helper()
	changes := []store.Change{store.PutDomain{Domain: store.Domain{Name: "example.test"}}}
	for i := range n {
		changes = append(changes, store.PutAccount{New: true, Account: store.Account{Address: fmt.Sprintf("u%d@example.test", i)}})
	}
	ids, err := s.Change(t.Context(), changes...)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// verify holds a store against the ledger: before is what was known before the
// moment that the store shows, after what was known after it. Set aside are
// contents that the store has said it could not keep.
func verify(s *Store, accounts []mail.AccountID, before, after knowledge) error {
	has := make(map[mail.ID]map[mail.AccountID]bool)
	for _, account := range accounts {
		if err := verifyInbox(s, account, after, has); err != nil {
			return err
		}
	}
	held, err := verifyHeld(s, accounts, after)
	if err != nil {
		return err
	}
	if err := verifyRecords(s, before, after); err != nil {
		return err
	}
	if err := verifyQueue(s, before, after); err != nil {
		return err
	}
	for id, e := range after.mail {
		before := before.mail[id]
		there := 0
		for _, account := range e.to {
			switch in := has[id][account]; {
			case in && before.removed[account] == acknowledged:
				return fmt.Errorf("message %v is back in %d after its removal was acknowledged", id, account)
			case in || e.removed[account] != notAsked:
				there++
			}
		}
		if e.held {
			if err := e.verifyHold(&before, held[id], len(has[id]), there); err != nil {
				return fmt.Errorf("message %v (%d octets): %w", id, len(e.body), err)
			}
			continue
		}
		// A removal that is known may have been asked for after the crash, of a message
		// that was accepted after it, too: only copies tell that it was there.
		if there != len(e.to) && (len(has[id]) != 0 || before.accepted == acknowledged) {
			return fmt.Errorf("message %v (%d octets) is in %d mailboxes, in or removed from %d of %d; accepted before: %v",
				id, len(e.body), len(has[id]), there, len(e.to), before.accepted == acknowledged)
		}
	}
	return nil
}

func verifyInbox(s *Store, account mail.AccountID, after knowledge, has map[mail.ID]map[mail.AccountID]bool) error {
	for m, err := range s.List(context.Background(), account, mail.Inbox, 0) {
		if err != nil {
			return fmt.Errorf("list %d: %w", account, err)
		}
		e, ok := after.mail[m.ID]
		if !ok || !slices.Contains(e.to, account) {
			return fmt.Errorf("message %v in %d was never sent there", m.ID, account)
		}
		if has[m.ID][account] {
			return fmt.Errorf("message %v is twice in %d", m.ID, account)
		}
		if has[m.ID] == nil {
			has[m.ID] = make(map[mail.AccountID]bool)
		}
		has[m.ID][account] = true
		if err := verifyMessage(s, account, m, e.body); err != nil {
			return err
		}
	}
	return nil
}

func verifyMessage(s *Store, account mail.AccountID, m store.Message, body []byte) error {
	r, err := s.Open(context.Background(), account, mail.Inbox, m.UID)
	if err != nil {
		return err
	}
	defer r.Close()
	var got bytes.Buffer
	if _, err := io.Copy(&got, r); err != nil {
		return err
	}
	want := append(prefixFor(account), body...)
	if !bytes.Equal(got.Bytes(), want) || m.Size != int64(len(want)) {
		return fmt.Errorf("message %d of %d has %d octets, want %d, or other ones", m.UID, account, got.Len(), len(want))
	}
	if env, err := r.Envelope(); err != nil || env.ID != m.ID {
		return fmt.Errorf("envelope of message %d: %v, %v", m.UID, env.ID, err)
	}
	return nil
}

// checkClean returns what Check finds.
func checkClean(s *Store) error {
	var findings []string
	_, err := s.Check(context.Background(), false, func(f store.Finding) {
		findings = append(findings, f.Where+": "+f.Problem)
	})
	if err == nil && len(findings) > 0 {
		err = fmt.Errorf("check found: %q", findings)
	}
	return err
}

// smallOptions make everything happen soon: new segments, reuse, large files,
// flushes of the index.
func smallOptions(fs vfs.FS) Options {
	return Options{FS: fs, Dir: "store", SegmentSize: 64 << 10, SmallMax: 8 << 10, MemTableSize: 64 << 10, CacheSize: 1 << 20}
}

var smallSizes = []int{0, 10, 1000, 1000, 1000, 7000, 20_000, 70_000}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

// kindsAfterFailure are those that operations may have when the disk fails.
var kindsAfterFailure = []fault.Kind{fault.Internal, fault.ReadOnly, fault.NoSpace, fault.Corrupt, fault.Transient}
