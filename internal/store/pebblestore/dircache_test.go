package pebblestore

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// TestDirectoryCacheShowsChangesAtOnce: who changes the directory sees it changed,
// though others look the same records up all the time.
func TestDirectoryCacheShowsChangesAtOnce(t *testing.T) {
	s := mustOpen(t, smallOptions(vfs.NewMem()))
	defer s.Close()
	accounts := addAccounts(t, s, 1)
	const alias = "alias@example.test"
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s.Entry(t.Context(), alias)
				s.Account(t.Context(), accounts[0])
				s.Domain(t.Context(), "new.test")
			}
		})
	}
	for i := range 200 {
		targets := []string{fmt.Sprintf("t%d@example.net", i)}
		a := store.Account{ID: accounts[0], Quota: int64(i)}
		if _, err := s.Change(t.Context(), store.PutAlias{Address: alias, Targets: targets}, store.PutAccount{Account: a},
			store.PutDomain{Domain: store.Domain{Name: "new.test"}}); err != nil {
			t.Fatal(err)
		}
		if e, err := s.Entry(t.Context(), alias); err != nil || !slices.Equal(e.Targets, targets) {
			t.Fatalf("alias after change %d: %v, %v", i, e.Targets, err)
		}
		if a, err := s.Account(t.Context(), accounts[0]); err != nil || a.Quota != int64(i) {
			t.Fatalf("account after change %d: quota %d, %v", i, a.Quota, err)
		}
		if _, err := s.Domain(t.Context(), "new.test"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Change(t.Context(), store.RemoveDomain{Name: "new.test"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Domain(t.Context(), "new.test"); !fault.Is(err, fault.NotFound) {
			t.Fatalf("removed domain: %v, want not found", err)
		}
	}
	close(stop)
	wg.Wait()
}

// TestDirectoryCacheKeepsNothingReadBeforeAChange that ended since.
func TestDirectoryCacheKeepsNothingReadBeforeAChange(t *testing.T) {
	var c directoryCache
	_, before, _ := c.domains.get("d")
	var during uint64
	c.change(func() error {
		_, during, _ = c.domains.get("d")
		c.domains.put("d", store.Domain{}, during)
		if _, _, ok := c.domains.get("d"); ok {
			t.Error("kept while a change was under way")
		}
		return nil
	})
	for _, generation := range []uint64{before, during} {
		c.domains.put("d", store.Domain{}, generation)
		if _, _, ok := c.domains.get("d"); ok {
			t.Error("what was read before the end of a change was kept after it")
		}
	}
	_, now, _ := c.domains.get("d")
	c.domains.put("d", store.Domain{Name: "d"}, now)
	if d, _, ok := c.domains.get("d"); !ok || d.Name != "d" {
		t.Error("what was read after a change was not kept")
	}
}

// TestDirectoryCacheIsBounded in the records of each kind.
func TestDirectoryCacheIsBounded(t *testing.T) {
	var c directoryCache
	for id := range mail.AccountID(maxDirectoryCached + 100) {
		_, generation, _ := c.accounts.get(id)
		c.accounts.put(id, store.Account{}, generation)
	}
	if n := len(c.accounts.all); n != maxDirectoryCached {
		t.Errorf("%d accounts are kept, want %d", n, maxDirectoryCached)
	}
}

// TestCachedRecordsBelongToTheCaller, and the counters of an account are those of
// now.
func TestCachedRecordsBelongToTheCaller(t *testing.T) {
	s := mustOpen(t, smallOptions(vfs.NewMem()))
	defer s.Close()
	accounts := addAccounts(t, s, 1)
	const alias = "alias@example.test"
	if _, err := s.Change(t.Context(), store.PutAlias{Address: alias, Targets: []string{"a@example.net"}}); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		e, err := s.Entry(t.Context(), alias)
		if err != nil || e.Targets[0] != "a@example.net" {
			t.Fatalf("look-up %d: %v, %v", i, e.Targets, err)
		}
		e.Targets[0] = "changed by the caller"
		a, err := s.Account(t.Context(), accounts[0])
		if err != nil || a.Messages != int64(i) {
			t.Errorf("account has %d messages, %v, want %d", a.Messages, err, i)
		}
		if err := acceptAs(s, mail.NewID(time.Now()), []byte("body"), accounts); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkRecipient is what each recipient of a message asks of the directory.
func BenchmarkRecipient(b *testing.B) {
	s := mustOpen(b, Options{FS: vfs.NewMem(), Dir: "store"})
	defer s.Close()
	const n = 1000
	accounts := addAccounts(b, s, n)
	if err := s.flushIndex(); err != nil {
		b.Fatal(err)
	}
	addresses := make([]string, n)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("u%d@example.test", i)
	}
	b.Run("domain and entry", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := s.Domain(b.Context(), "example.test"); err != nil {
				b.Fatal(err)
			}
			if _, err := s.Entry(b.Context(), addresses[i%n]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("account", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := s.Account(b.Context(), accounts[i%n]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
