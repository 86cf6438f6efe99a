package pebblestore

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestHolesAreBoundedAndInOrder however many classes there are.
func TestHolesAreBoundedAndInOrder(t *testing.T) {
	var h holes
	for i := range 3 * maxHoles {
		start := fmt.Appendf(nil, "w%d.test\x00\x12", i*7919%(2*maxHoles))
		h.set(start, append(bytes.Clone(start), 5))
	}
	if len(h.all) != maxHoles {
		t.Errorf("%d holes, want %d", len(h.all), maxHoles)
	}
	if !slices.IsSortedFunc(h.all, func(a, b hole) int { return bytes.Compare(a.start, b.start) }) {
		t.Error("they are not in order")
	}
}

// TestSeekPassesOverHolesOnly: what was lowered is found, and what is between holes.
func TestSeekPassesOverHolesOnly(t *testing.T) {
	db, err := pebble.Open("db", &pebble.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, key := range []string{"a1", "a3", "a5", "b1", "b2", "c1", "e1"} {
		if err := db.Set([]byte(key), nil, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	var h holes
	h.set([]byte("a"), []byte("a4"))
	h.set([]byte("b"), []byte("c"))
	h.set([]byte("d"), []byte("d9"))
	seek := func(what, from, want string) {
		t.Helper()
		it, err := span(db, []byte("a"), []byte("z"))
		if err != nil {
			t.Fatal(err)
		}
		defer it.Close()
		got := ""
		if h.seek(it, []byte(from)) {
			got = string(it.Key())
		}
		if got != want {
			t.Errorf("%s: from %q to %q, want %q", what, from, got, want)
		}
	}
	seek("in a hole", "a", "a5")
	seek("at a hole's end", "a4", "a5")
	seek("over a hole that follows", "a6", "c1")
	seek("over an empty one", "c2", "e1")
	seek("behind all", "f", "")
	h.lower([]byte("a3"))
	h.lower([]byte("b2"))
	h.lower([]byte("c9")) // in none
	seek("lowered", "a", "a3")
	seek("not before", "a6", "b2")
}
