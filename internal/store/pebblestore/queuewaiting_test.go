package pebblestore

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/mail"
	"postrider/internal/store"
)

func TestARowThatIsHeldWhileItIsLookedForWaitsNoMore(t *testing.T) {
	s := mustOpen(t, smallOptions(vfs.NewMem()))
	defer s.Close()
	sendOne(t, s, 1, []byte("hello"), "far.test")
	sendOne(t, s, 2, []byte("hello"), "far.test")
	ids, err := s.waitingIDs("far.test", 10)
	if err != nil || len(ids) != 2 {
		t.Fatal(ids, err)
	}
	if _, err := s.ChangeRows(t.Context(), mail.ID{1}, nil, store.HoldRows, s.o.Now()); err != nil {
		t.Fatal(err)
	}
	all, err := s.readWaiting(ids, "far.test")
	if err != nil || len(all) != 1 || all[0].Message != (mail.ID{2}) {
		t.Errorf("got %+v, %v, want the other one alone", all, err)
	}
}
