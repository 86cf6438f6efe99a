package certs

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fault"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

func newTestStorage(t *testing.T, keys ...string) *storage {
	t.Helper()
	s := newStorage(storetest.NewModel(), time.Now)
	for _, k := range keys {
		if err := s.Store(context.Background(), k, []byte("value of "+k)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestStoredValueIsLoadedAndReplaced(t *testing.T) {
	s, ctx := newTestStorage(t, "a/b", "a/c"), context.Background()
	if err := s.Store(ctx, "a/b", []byte("new")); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"a/b": "new", "a/c": "value of a/c"} {
		if got, err := s.Load(ctx, key); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", key, got, err, want)
		}
	}
}

func TestWhatIsNotThereIsErrNotExist(t *testing.T) {
	s, ctx := newTestStorage(t, "a/b"), context.Background()
	for _, key := range []string{"a", "a/b/c", "a/", "x", "", "A/B"} {
		if _, err := s.Load(ctx, key); key != "" && key != "a/" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("load %q: got %v, want ErrNotExist", key, err)
		}
	}
	if _, err := s.Stat(ctx, "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat: got %v, want ErrNotExist", err)
	}
	for _, path := range []string{"x", "ab", "a/b"} {
		if _, err := s.List(ctx, path, true); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("list %q: got %v, want ErrNotExist", path, err)
		}
	}
	if err := s.Delete(ctx, "x"); err != nil {
		t.Errorf("delete: got %v, want nil", err)
	}
}

func TestFolderIsThereWhileSomethingIsInIt(t *testing.T) {
	s, ctx := newTestStorage(t, "a/b/c"), context.Background()
	for key, want := range map[string]bool{"a": true, "a/b": true, "a/b/c": true, "a/b/c/d": false, "a/bb": false, "b": false} {
		if got := s.Exists(ctx, key); got != want {
			t.Errorf("exists %q: got %v, want %v", key, got, want)
		}
	}
	folder, err := s.Stat(ctx, "a/b")
	if err != nil || folder.IsTerminal || folder.Key != "a/b" {
		t.Errorf("folder: got %+v, %v", folder, err)
	}
	file, err := s.Stat(ctx, "a/b/c")
	if err != nil || !file.IsTerminal || file.Size != int64(len("value of a/b/c")) || file.Modified.IsZero() {
		t.Errorf("file: got %+v, %v", file, err)
	}
	if err := s.Delete(ctx, "a/b/c"); err != nil || s.Exists(ctx, "a") {
		t.Errorf("after its last file: got %v, exists %v", err, s.Exists(ctx, "a"))
	}
}

func TestListGoesOneFolderOrAllTheWay(t *testing.T) {
	s := newTestStorage(t, "a/b", "a/c/d", "a/c/e", "a-b/x", "f")
	for _, c := range []struct {
		path      string
		recursive bool
		want      []string
	}{
		{"", false, []string{"a", "a-b", "f"}},
		{"", true, []string{"a", "a-b", "a-b/x", "a/b", "a/c", "a/c/d", "a/c/e", "f"}},
		{"a", false, []string{"a/b", "a/c"}},
		{"a", true, []string{"a/b", "a/c", "a/c/d", "a/c/e"}},
		{"a/c", false, []string{"a/c/d", "a/c/e"}},
	} {
		t.Run(c.path, func(t *testing.T) {
			got, err := s.List(context.Background(), c.path, c.recursive)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestDeleteOfAFolderTakesWhatIsInItOnly(t *testing.T) {
	s, ctx := newTestStorage(t, "a/b", "a/c/d", "ab/c", "a-b"), context.Background()
	if err := s.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.List(ctx, "", true); err != nil || !slices.Equal(got, []string{"a-b", "ab", "ab/c"}) {
		t.Errorf("left: got %q, %v", got, err)
	}
}

func TestOtherRecordsAreOutOfReach(t *testing.T) {
	s, ctx := newTestStorage(t, "a"), context.Background()
	if err := s.records.PutRecord(ctx, store.Record{Key: "other", Value: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"../other", "/../other", "", "a/../../other"} {
		if b, err := s.Load(ctx, key); err == nil {
			t.Errorf("load %q: got %q", key, b)
		}
		_ = s.Delete(ctx, key)
	}
	if _, err := s.records.Record(ctx, "other"); err != nil {
		t.Errorf("another part's record has gone: %v", err)
	}
}

func TestUnfitKeysAndValuesAreRefused(t *testing.T) {
	s, ctx := newTestStorage(t), context.Background()
	for _, key := range []string{"", "/a", "a/", "a//b", "a\x00b", "ä", strings.Repeat("k", store.MaxRecordKey)} {
		if err := s.Store(ctx, key, nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("key %.20q: got %v, want Invalid", key, err)
		}
	}
	if err := s.Store(ctx, strings.Repeat("k", store.MaxRecordKey-len(acmePrefix)), []byte("x")); err != nil {
		t.Errorf("longest key: %v", err)
	}
	if err := s.Store(ctx, "large", make([]byte, store.MaxRecord+1)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("large value: got %v, want TooLarge", err)
	}
}

func TestFailureOfTheStoreIsNotAbsence(t *testing.T) {
	model := storetest.NewModel()
	s, ctx := newStorage(model, time.Now), context.Background()
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Load(stopped, "a"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load: got %v, want another error than ErrNotExist", err)
	}
	if _, err := s.List(stopped, "a", true); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("list: got %v, want another error than ErrNotExist", err)
	}
	if err := s.Delete(stopped, "a"); err == nil {
		t.Error("delete: got nil, want an error")
	}
}

func TestClosedStorageTouchesNothing(t *testing.T) {
	s, ctx := newTestStorage(t, "a"), context.Background()
	s.close()
	_, load := s.Load(ctx, "a")
	_, list := s.List(ctx, "", true)
	_, stat := s.Stat(ctx, "a")
	for op, err := range map[string]error{
		"load": load, "list": list, "stat": stat, "store": s.Store(ctx, "a", nil), "delete": s.Delete(ctx, "a"),
	} {
		if !fault.Is(err, fault.Transient) {
			t.Errorf("%s: got %v, want Transient", op, err)
		}
	}
	if _, err := s.records.Record(ctx, acmePrefix+"a"); err != nil {
		t.Errorf("the record has gone: %v", err)
	}
	s.open()
	if _, err := s.Load(ctx, "a"); err != nil {
		t.Errorf("opened again: %v", err)
	}
}

func TestLockIsHeldByOneAtATime(t *testing.T) {
	s, ctx := newTestStorage(t), context.Background()
	var wg sync.WaitGroup
	inside, total := 0, 0
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if err := s.Lock(ctx, "name"); err != nil {
					t.Error(err)
					return
				}
				inside++
				if inside != 1 {
					t.Errorf("%d are inside", inside)
				}
				total++
				inside--
				if err := s.Unlock(ctx, "name"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if total != 400 || len(s.locks) != 0 {
		t.Errorf("got %d turns and %d locks left, want 400 and 0", total, len(s.locks))
	}
}

func TestWaitForALockEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ctx := newTestStorage(t), t.Context()
		if err := s.Lock(ctx, "name"); err != nil {
			t.Fatal(err)
		}
		if err := s.Lock(ctx, "other"); err != nil {
			t.Errorf("another lock: %v", err)
		}
		short, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		if err := s.Lock(short, "name"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		if ok, err := s.TryLock(ctx, "name"); ok || err != nil {
			t.Errorf("trying a lock that is held: got %v, %v", ok, err)
		}
		if err := s.Unlock(ctx, "name"); err != nil {
			t.Error(err)
		}
		if ok, err := s.TryLock(ctx, "name"); !ok || err != nil {
			t.Errorf("trying a free lock: got %v, %v", ok, err)
		}
		if err := s.Unlock(ctx, "nobody's"); err == nil {
			t.Error("unlocking what is not locked: got nil")
		}
	})
}

// FuzzStorage holds the storage to a map from keys to values.
func FuzzStorage(f *testing.F) {
	f.Add("a/b", "a/b/c", "a")
	f.Add("acme/ca.example-dir/users/me@example.org/me.key", "certificates/ca/x/x.crt", "certificates")
	f.Add("a//b", "../x", "a/")
	f.Add("a\n", "é", "")
	f.Fuzz(func(t *testing.T, one, two, path string) {
		s, ctx := newStorage(storetest.NewModel(), time.Now), context.Background()
		want := map[string]bool{}
		for _, k := range []string{one, two} {
			if err := s.Store(ctx, k, []byte(k)); err == nil {
				want[k] = true
			}
		}
		for k := range want {
			got, err := s.Load(ctx, k)
			if err != nil || string(got) != k {
				t.Errorf("load %q: got %q, %v", k, got, err)
			}
		}
		below := 0
		for k := range want {
			if strings.HasPrefix(k, path+"/") {
				below++
			}
		}
		if got, want := s.Exists(ctx, path), want[path] || below > 0; got != want {
			t.Errorf("exists %q: got %v, want %v", path, got, want)
		}
		keys, err := s.List(ctx, path, true)
		if path != "" && (err == nil) != (below > 0) {
			t.Errorf("list %q: got %q, %v, want %d files", path, keys, err, below)
		}
		for _, k := range keys {
			if !s.Exists(ctx, k) {
				t.Errorf("list %q: %q does not exist", path, k)
			}
		}
		if err := s.Delete(ctx, path); err == nil && s.Exists(ctx, path) {
			t.Errorf("delete %q: still there", path)
		}
	})
}
