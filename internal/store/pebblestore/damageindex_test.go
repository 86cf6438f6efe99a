package pebblestore

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// staleLog returns the disk of a store whose log still holds the delivery of a
// message to the second account, the making of a third, and the messages held for
// the first (1, released, and 2, dropped), and one that was sent onward, but no more
// their removals, release and end; the first account has 302 messages, the last of them in a table of its own
// or not, as the engine likes. The fourth has 300 of them too, whose rows stand between
// that of the message that was removed and that of its content: damage to one block of
// both would bring it back, and more is not promised (docs/STORE.md).
func staleLog(t *testing.T) (fs *vfs.MemFS, accounts []mail.AccountID) {
	t.Helper()
	mem := vfs.NewMem()
	s := mustOpen(t, smallOptions(mem))
	accounts = addAccounts(t, s, 4)
	removed := accounts[2]
	if _, err := s.Change(t.Context(), store.PutAccount{Account: store.Account{ID: removed, Address: "ex@example.test", Password: "old"}}); err != nil {
		t.Fatal(err)
	}
	fill(t, s, accounts[:1], 7, 7000) // keeps the first segment in use
	fill(t, s, accounts[1:3], 1, 100)
	for i := range 2 {
		if err := acceptUntil(s, mail.ID{8, byte(i + 1)}, []byte("held"), accounts[:1], time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	sendOne(t, s, 7, []byte("sent"), "far.test")
	rolled := func(to mail.AccountID) {
		for h := s.log.headPosition().segment; s.log.headPosition().segment == h; {
			fill(t, s, []mail.AccountID{to}, 1, 7000)
		}
	}
	rolled(accounts[3])
	if err := s.Remove(t.Context(), accounts[1], mail.Inbox, []mail.UID{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Change(t.Context(), store.RemoveAccount{ID: removed}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Release(t.Context(), mail.ID{8, 1}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := s.DropHeld(t.Context(), mail.ID{8, 2}); err != nil {
		t.Fatal(err)
	}
	if ids, _ := sent(t, s, "far.test", func(byte) []byte { return []byte("sent") }); len(ids) != 1 {
		t.Fatalf("sent %v", ids)
	}
	if _, err := s.Usage(t.Context()); err != nil { // sweeps
		t.Fatal(err)
	}
	gone := s.log.headPosition().segment
	rolled(accounts[3])
	for end := time.Now().Add(2 * time.Minute); ; {
		var uids []mail.UID
		for m := range s.List(t.Context(), accounts[3], mail.Inbox, 0) {
			uids = append(uids, m.UID)
		}
		if err := s.Remove(t.Context(), accounts[3], mail.Inbox, uids); err != nil {
			t.Fatal(err)
		}
		rolled(accounts[3])
		if err := s.do(flushNow{}); err != nil {
			t.Fatal(err)
		}
		if _, err := mem.Stat("store/log/" + segmentName(gone)); err != nil {
			break // it was used again
		}
		if time.Now().After(end) {
			t.Fatal("the segment of the removals is not used again")
		}
		s.keeper.wake()
	}
	for i := range 300 {
		if err := acceptAs(s, mail.ID{9, byte(i), byte(i >> 8)}, []byte("x"), []mail.AccountID{accounts[0], accounts[3]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.flushIndex(); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{255}, false); err != nil {
		t.Fatal(err)
	}
	if err := acceptAs(s, mail.ID{9, 1, 2}, []byte("x"), accounts[:1]); err != nil {
		t.Fatal(err)
	}
	if err := s.flushIndex(); err != nil { // a small table above the large one
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return mem, accounts
}

// TestRebuildBringsNothingRemovedBack wherever records in a table of the index are
// damaged, and nobody can log in to an account that was removed. What tells of the
// table's own form stands in its last tenth.
func TestRebuildBringsNothingRemovedBack(t *testing.T) {
	fs, accounts := staleLog(t)
	for _, path := range files(t, fs, "store/index") {
		if !strings.HasSuffix(path, ".sst") {
			continue
		}
		sound := readAll(t, fs, path)
		for i := range 12 {
			at := int64(len(sound) * i / 14)
			t.Run(fmt.Sprintf("%s/%d", path, at), func(t *testing.T) {
				damaged := copyDisk(t, fs)
				flip(t, damaged, path, at)
				s := mustOpen(t, smallOptions(damaged))
				if _, err := s.Check(t.Context(), true, func(store.Finding) {}); err != nil {
					t.Fatal(err)
				}
				s.Close()
				s = mustOpen(t, smallOptions(damaged))
				defer s.Close()
				if a, err := s.Account(t.Context(), accounts[2]); err == nil && (!a.Disabled || a.Password != "") {
					t.Errorf("the removed account is back: %+v", a)
				}
				for m, err := range s.List(t.Context(), accounts[1], mail.Inbox, 0) {
					t.Errorf("removed mail is back: %+v, %v", m, err)
				}
				for q, err := range s.Queued(t.Context(), mail.ID{}) {
					t.Errorf("a message that was sent is queued again: %+v, %v", q, err)
				}
				for d, err := range s.Destinations(t.Context(), "") {
					t.Errorf("something waits again: %+v, %v", d, err)
				}
				for h, err := range s.Held(t.Context()) {
					t.Errorf("a message that was released or dropped is held again: %+v, %v", h, err)
				}
			})
		}
	}
}

// TestIndexOfWhichNothingIsLeftBringsNoLoginBack: all that is still in the log comes
// back then, also accounts that were removed, but nobody can log in to them.
func TestIndexOfWhichNothingIsLeftBringsNoLoginBack(t *testing.T) {
	fs, accounts := staleLog(t)
	for _, path := range files(t, fs, "store/index") {
		if strings.HasSuffix(path, ".sst") {
			replace(t, fs, path, readAll(t, fs, path)[:1000])
		}
	}
	var said bytes.Buffer
	o := smallOptions(fs)
	o.Logger = slog.New(slog.NewTextHandler(&said, nil))
	for range 2 {
		s := mustOpen(t, o)
		a, err := s.Account(t.Context(), accounts[2])
		if err != nil || !a.Disabled || a.Password != "" {
			t.Errorf("the removed account: %+v, %v", a, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(said.String(), "it is made anew") {
		t.Errorf("got the log %s", said.String())
	}
}

// copyDisk returns a copy of all files of a store.
func copyDisk(t *testing.T, from vfs.FS) *vfs.MemFS {
	t.Helper()
	to := vfs.NewMem()
	if _, err := vfs.Clone(from, to, "store", "store"); err != nil { // empty files too: Pebble's markers
		t.Fatal(err)
	}
	return to
}

// TestFailedRebuildLeavesTheOldIndex in use.
func TestFailedRebuildLeavesTheOldIndex(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, smallOptions(mem))
	accounts := addAccounts(t, s, 1)
	fill(t, s, accounts, 3, 100)
	if err := s.askRebuild(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f := &failAt{err: errFull, lasting: true, matches: func(op errorfs.Op) bool {
		return isWrite(op) && strings.Contains(op.Path, sortIndex)
	}}
	s, err := Open(smallOptions(errorfs.Wrap(mem, f)))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer s.Close()
	b, err := s.Mailbox(t.Context(), accounts[0], mail.Inbox)
	if err != nil || b.Messages != 3 {
		t.Errorf("mailbox: %d messages, %v, want 3", b.Messages, err)
	}
}

// TestReleasedMessageIsNotHeldByTheLog: of a held message whose row came back from
// the log, its copies in mailboxes tell that it was released, and its content or
// place in time, if sound blocks would have them, that it was dropped.
func TestReleasedMessageIsNotHeldByTheLog(t *testing.T) {
	id, blobID := mail.ID{7}, uint64(70)
	var k, k2 keyBuf
	h := heldOf(id, blobID, 1)
	due := slices.Clone(k.due(0, id))
	copied := message{blob: blobID, id: id}
	box := head{key: mailboxKey{1, mail.Inbox}}
	always := map[string][]byte{string(k2.held(id)): h}
	for _, row := range []struct {
		name string
		rows map[string][]byte
		held bool
	}{
		{"all of it came back", map[string][]byte{string(due): nil, string(k.blob(blobID)): (&blob{length: 100, refs: 1}).append(nil)}, true},
		{"its place in time is gone", map[string][]byte{string(k.blob(blobID)): (&blob{length: 100, refs: 1}).append(nil)}, false},
		{"its content is gone", map[string][]byte{string(due): nil}, false},
		{"it is in a mailbox", map[string][]byte{
			string(due): nil, string(k.blob(blobID)): (&blob{length: 100, refs: 1}).append(nil),
			string(k.mailbox(box.key)): box.append(nil), string(k.message(box.key, 1)): copied.append(nil),
		}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			open := func(name string) *pebble.DB {
				db, err := pebble.Open(name, &pebble.Options{FS: vfs.NewMem()})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { db.Close() })
				return db
			}
			db := open("index")
			b := &rebuilder{raw: open("raw"), gaps: []gap{{first: []byte{tableHeld}, last: []byte{tableHeld + 1}}, {first: []byte{tableDue}, last: []byte{tableDue + 1}}}}
			for _, rows := range []map[string][]byte{always, row.rows} {
				for key, v := range rows {
					if err := db.Set([]byte(key), v, pebble.NoSync); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := b.doubt(db); err != nil {
				t.Fatal(err)
			}
			_, err := findHeld(db, id)
			if held := err == nil; held != row.held {
				t.Errorf("held: %v (%v), want %v", held, err, row.held)
			}
			if v, err := lookUp(db, due); err == nil {
				v.Close()
				if !row.held {
					t.Error("its place in time is left")
				}
			}
		})
	}
}
