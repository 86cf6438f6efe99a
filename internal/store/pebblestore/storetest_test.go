package pebblestore_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/store"
	"postrider/internal/store/pebblestore"
	"postrider/internal/store/storetest"
)

// place returns where a store keeps its mail in memory, with limits so small
// that rolling, large files and reclaiming take part.
func place(t testing.TB) storetest.Place {
	fs := vfs.NewMem()
	return func() store.Store {
		t.Helper()
		s, err := pebblestore.Open(pebblestore.Options{
			FS: fs, Dir: "store", SegmentSize: 64 << 10, SmallMax: 4 << 10, CacheSize: 1 << 20, MemTableSize: 256 << 10,
		})
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		return s
	}
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return place(t)() })
}

func TestContractPersistent(t *testing.T) { storetest.RunPersistent(t, place) }

func TestHistories(t *testing.T) { storetest.RunHistories(t, place) }
