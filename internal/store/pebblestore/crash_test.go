package pebblestore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// crash is what a disk held at one moment, and what clients knew just before
// and after it.
type crash struct {
	fs            *vfs.MemFS
	before, after knowledge
	where         string
}

// crasher takes crashes of a disk while it is in use.
type crasher struct {
	mu     sync.Mutex
	fs     *vfs.MemFS
	l      *ledger
	r      *rand.Rand
	one    int // in how many moments
	max    int
	taken  []crash
	active bool
}

// MaybeError implements errorfs.Injector: it injects no errors.
func (c *crasher) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	isSync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData
	if !c.active || len(c.taken) == c.max || c.r.IntN(c.one) != 0 || (!isSync && c.r.IntN(4) != 0) {
		return nil
	}
	before := c.l.copy()
	percent := []int{0, 0, 20, 50, 80, 100}[c.r.IntN(6)]
	fs := c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.r})
	c.taken = append(c.taken, crash{fs, before, c.l.copy(), fmt.Sprintf("%v of %s, %d %% of what was not synced", op.Kind, op.Path, percent)})
	return nil
}

func (c *crasher) String() string { return "crasher" }

// TestCrashKeepsWhatWasAcknowledged crashes the disk under load at sync points
// and between, and opens what it kept.
func TestCrashKeepsWhatWasAcknowledged(t *testing.T) {
	rounds := 4
	if n, err := strconv.Atoi(os.Getenv("POSTRIDER_CRASH_ROUNDS")); err == nil {
		rounds = n
	}
	for i := range rounds {
		seed := uint64(i + 1)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { crashRound(t, seed) })
	}
}

func crashRound(t *testing.T, seed uint64) {
	mem := vfs.NewCrashableMem()
	c := &crasher{fs: mem, l: newLedger(), r: rand.New(rand.NewPCG(seed, 7)), one: 10, max: 40}
	s := mustOpen(t, smallOptions(errorfs.Wrap(mem, c)))
	accounts := addAccounts(t, s, 5)
	c.mu.Lock()
	c.active = true
	c.mu.Unlock()
	w := &load{s: s, l: c.l, accounts: accounts, sizes: smallSizes, t: t}
	w.run(seed, 8, 600)
	now := c.l.copy()
	if err := verify(s, accounts, now, now); err != nil {
		t.Errorf("before any crash: %v", err)
	}
	if err := checkClean(s); err != nil {
		t.Errorf("before any crash: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	for i, crash := range c.taken {
		if err := reopenCrashed(crash, accounts); err != nil {
			t.Errorf("crash %d at %s: %v", i, crash.where, err)
		}
	}
	t.Logf("%d crashes", len(c.taken))
}

// reopenCrashed opens what a crash left, twice: the second time what the first
// made of it must still be right.
func reopenCrashed(c crash, accounts []mail.AccountID) error {
	for range 2 {
		s, err := Open(smallOptions(c.fs))
		if err != nil {
			return err
		}
		if err := verify(s, accounts, c.before, c.after); err != nil {
			s.Close()
			return err
		}
		if err := checkClean(s); err != nil {
			s.Close()
			return err
		}
		if err := acceptAs(s, mail.ID{1}, []byte("after the crash"), accounts[:1]); err != nil {
			s.Close()
			return fmt.Errorf("accept after the crash: %w", err)
		}
		c.after.mail[mail.ID{1}] = entry{body: []byte("after the crash"), to: accounts[:1], accepted: acknowledged}
		c.before.mail[mail.ID{1}] = c.after.mail[mail.ID{1}]
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

// TestTheLedgerTellsPartFromNothing: what was accepted and removed after a crash is
// not there and may not be; what is there in part is a broken promise.
func TestTheLedgerTellsPartFromNothing(t *testing.T) {
	s := mustOpen(t, smallOptions(vfs.NewMem()))
	defer s.Close()
	accounts := addAccounts(t, s, 3)
	id, part := mail.ID{1}, mail.ID{2}
	know := func(id mail.ID, accepted state, removed ...mail.AccountID) knowledge {
		e := entry{body: []byte("x"), to: accounts, accepted: accepted, removed: make(map[mail.AccountID]state)}
		for _, account := range removed {
			e.removed[account] = asked
		}
		return knowledge{mail: map[mail.ID]entry{id: e}}
	}
	if err := verify(s, accounts, know(id, notAsked), know(id, acknowledged, accounts[0])); err != nil {
		t.Errorf("nothing is there of what was accepted after the crash: %v", err)
	}
	if err := verify(s, accounts, know(id, acknowledged), know(id, acknowledged, accounts[0])); err == nil {
		t.Error("nothing is there of what was accepted before the crash: got nil")
	}
	if err := acceptAs(s, part, []byte("x"), accounts[:2]); err != nil {
		t.Fatal(err)
	}
	if err := verify(s, accounts, know(part, notAsked), know(part, acknowledged)); err == nil {
		t.Error("two copies of three are there: got nil")
	}
	if err := verify(s, accounts, know(part, notAsked), know(part, acknowledged, accounts[2])); err != nil {
		t.Errorf("two copies are there, the third may be removed: %v", err)
	}
}

// TestLargeChangeIsNotWrittenOver: a change that is large for the index, and
// nothing else, counts as any other; the next one goes after it.
func TestLargeChangeIsNotWrittenOver(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, smallOptions(mem))
	if _, err := s.Change(t.Context(), store.PutDomain{Domain: store.Domain{Name: "example.test"}}); err != nil {
		t.Fatal(err)
	}
	var many []store.Change
	for i := range 1000 {
		many = append(many, store.PutAlias{Address: fmt.Sprintf("a%d@example.test", i), Targets: []string{strings.Repeat("x", 100) + "@far.example"}})
	}
	for i, changes := range [][]store.Change{many, {store.PutAlias{Address: "last@example.test"}}} {
		lsn := s.committer.lsn
		if _, err := s.Change(t.Context(), changes...); err != nil {
			t.Fatal(err)
		}
		if got := s.committer.lsn; got != lsn+1 {
			t.Errorf("change %d is commit %d, want %d", i, got, lsn+1)
		}
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	s.Close()
	s = mustOpen(t, smallOptions(crashed))
	defer s.Close()
	for _, address := range []string{"a0@example.test", "a999@example.test", "last@example.test"} {
		if _, err := s.Entry(t.Context(), address); err != nil {
			t.Error(err)
		}
	}
	if err := checkClean(s); err != nil {
		t.Error(err)
	}
}
