package pebblestore

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// holdOne accepts a message that is held, of an ID of one octet.
func holdOne(t *testing.T, s *Store, id byte, body []byte, to []mail.AccountID) {
	t.Helper()
	if err := acceptUntil(s, mail.ID{id}, body, to, time.Unix(int64(id), 0)); err != nil {
		t.Fatal(err)
	}
}

// releaseOne releases a message and holds its first copy against the body.
func releaseOne(t *testing.T, s *Store, id byte, body []byte) {
	t.Helper()
	done, err := s.Release(t.Context(), mail.ID{id}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range done.Placed {
		m := store.Message{UID: p.UID, ID: mail.ID{id}, Size: int64(len(prefixFor(p.Account)) + len(body))}
		if err := verifyMessage(s, p.Account, m, body); err != nil {
			t.Error(err)
		}
	}
}

func heldIn(t *testing.T, s *Store) []byte {
	t.Helper()
	var ids []byte
	for h, err := range s.Held(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, h.ID[0])
	}
	return ids
}

// TestHeldContentIsMovedWithItsSegment: what is held keeps its octets while the
// segments around it are emptied and used again.
func TestHeldContentIsMovedWithItsSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		s := mustOpen(t, smallOptions(mem))
		accounts := addAccounts(t, s, 2)
		body := func(id byte) []byte { return bytes.Repeat([]byte{id}, 3000) }
		large := bytes.Repeat([]byte("L"), 70_000)
		holdOne(t, s, 200, large, accounts)
		first := s.log.headPosition().segment
		for round := range 20 {
			if round < 10 {
				holdOne(t, s, byte(round+1), body(byte(round+1)), accounts)
			}
			fill(t, s, accounts[:1], 20, 5000) // more than a segment
			if err := s.Remove(t.Context(), accounts[0], mail.Inbox, uidRange(round*20+1, round*20+20, 1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * keeperRetry)
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.log.uses(first) {
			t.Error("the first segment was not emptied")
		}
		if got := heldIn(t, s); !slices.Equal(got, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 200}) {
			t.Errorf("%v are held", got)
		}
		if err := checkClean(s); err != nil {
			t.Error(err)
		}
		for id := range byte(10) {
			releaseOne(t, s, id+1, body(id+1))
		}
		releaseOne(t, s, 200, large)
		if err := checkClean(s); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestDroppedContentFreesItsSegments: mail that is held and dropped takes a
// bounded number of them.
func TestDroppedContentFreesItsSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		s := mustOpen(t, smallOptions(mem))
		accounts := addAccounts(t, s, 2)
		for round := range 30 {
			for i := range 20 {
				id := mail.ID{byte(round + 1), byte(i)}
				if err := acceptUntil(s, id, make([]byte, 5000), accounts, time.Unix(1, 0)); err != nil {
					t.Fatal(err)
				}
				if err := s.DropHeld(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(2 * keeperRetry)
			synctest.Wait()
		}
		if n := segmentFiles(t, mem); n > maxPool+4 {
			t.Errorf("%d segment files after 30 rounds, want at most %d", n, maxPool+4)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestFileOfAHeldMessageStays when the store is opened again, and goes when it is
// dropped.
func TestFileOfAHeldMessageStays(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, smallOptions(mem))
	accounts := addAccounts(t, s, 1)
	large := bytes.Repeat([]byte("L"), 70_000)
	holdOne(t, s, 1, large, accounts)
	holdOne(t, s, 2, large, accounts)
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	s.Close()
	s = mustOpen(t, smallOptions(crashed))
	s.background.Go(func() { s.sweepOrphans(1 << 40) }) // once more, whatever the opening does
	releaseOne(t, s, 1, large)
	if err := s.DropHeld(t.Context(), mail.ID{2}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, smallOptions(crashed))
	defer s.Close()
	eventually(t, "the dropped message's file is removed", func() bool { return len(files(t, crashed, "store/large")) == 1 })
	if err := checkClean(s); err != nil {
		t.Error(err)
	}
}

// TestHeldOutlivesItsAcceptID: a message may be held for longer than the ID of
// its Accept is remembered, and is known all the same.
func TestHeldOutlivesItsAcceptID(t *testing.T) {
	mem := vfs.NewMem()
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	o := smallOptions(mem)
	o.Now = func() time.Time { return now }
	s := mustOpen(t, o)
	defer func() { s.Close() }()
	accounts := addAccounts(t, s, 1)
	id := mail.NewID(now)
	if err := acceptUntil(s, id, []byte("held"), accounts, now); err != nil {
		t.Fatal(err)
	}
	now = now.Add(72 * time.Hour)
	if err := s.do(&pruneOp{before: now.Add(-acceptsKept)}); err != nil {
		t.Fatal(err)
	}
	var key keyBuf
	if s.has(key.accept(id)) {
		t.Fatal("the ID is still remembered: this tests nothing")
	}
	for range 2 {
		for _, due := range []time.Time{{}, now} {
			if err := acceptUntil(s, id, []byte("again"), accounts, due); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, o)
	}
	if n := messagesIn(t, s, accounts[0]); n != 0 {
		t.Errorf("%d messages, want none: it is held", n)
	}
	if _, err := s.Release(t.Context(), id, now); err != nil {
		t.Fatal(err)
	}
	if u, err := s.Usage(t.Context()); err != nil || u.Messages != 1 || u.Octets != 4 {
		t.Errorf("%d contents of %d octets, %v, want the first only", u.Messages, u.Octets, err)
	}
	if err := checkClean(s); err != nil {
		t.Error(err)
	}
}

// TestRepairPutsHeldMessagesRight and keeps those that are sound.
func TestRepairPutsHeldMessagesRight(t *testing.T) {
	var k keyBuf
	rows := []struct {
		name  string
		spoil func(t *testing.T, s *Store, accounts []mail.AccountID)
		held  []byte
		also  string // in a finding
	}{
		{"it is missing in the list by time", func(t *testing.T, s *Store, _ []mail.AccountID) {
			set(t, s, k.due(1, mail.ID{1}), nil, true)
		}, []byte{1, 2}, "list by time"},
		{"it is elsewhere in the list by time", func(t *testing.T, s *Store, _ []mail.AccountID) {
			set(t, s, k.due(1, mail.ID{1}), nil, true)
			set(t, s, k.due(9, mail.ID{1}), nil, false)
		}, []byte{1, 2}, "where it is not"},
		{"one of its accounts is gone", func(t *testing.T, s *Store, accounts []mail.AccountID) {
			spoilHeld(t, s, 1, func(h *held) {
				h.copies = append(h.copies, heldCopy{box: mailboxKey{accounts[1] + 100, mail.Inbox}})
			})
		}, []byte{1, 2}, "which is not there"},
		{"all of its accounts are gone", func(t *testing.T, s *Store, accounts []mail.AccountID) {
			spoilHeld(t, s, 1, func(h *held) {
				for i := range h.copies {
					h.copies[i].box.account += 100
				}
			})
		}, []byte{2}, "which is not there"},
		{"its size is another", func(t *testing.T, s *Store, _ []mail.AccountID) {
			spoilHeld(t, s, 1, func(h *held) { h.body++ })
		}, []byte{2}, "kept in"},
		{"its content's references are off", func(t *testing.T, s *Store, _ []mail.AccountID) {
			h, err := findHeld(s.db, mail.ID{1})
			if err != nil {
				t.Fatal(err)
			}
			o, err := findBlob(s.db, h.blob)
			if err != nil {
				t.Fatal(err)
			}
			o.refs = 7
			set(t, s, k.blob(h.blob), o.append(nil), false)
		}, []byte{1, 2}, "off"},
		{"it is not counted for its account", func(t *testing.T, s *Store, accounts []mail.AccountID) {
			spoilUsage(t, s, accounts[1], func(u *usage) { u.held-- })
		}, []byte{1, 2}, "octets that are held for it"},
		{"more is counted for its account than there is", func(t *testing.T, s *Store, accounts []mail.AccountID) {
			spoilUsage(t, s, accounts[0], func(u *usage) { u.held += 1 << 40 })
		}, []byte{1, 2}, "octets that are held for it"},
		{"its account's counters are lost", func(t *testing.T, s *Store, accounts []mail.AccountID) {
			set(t, s, k.usage(accounts[0]), nil, true)
		}, []byte{1, 2}, "its counters"},
		{"its account's record is lost", func(t *testing.T, s *Store, accounts []mail.AccountID) {
			set(t, s, k.account(accounts[0]), nil, true)
		}, []byte{1, 2}, "no record"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := mustOpen(t, smallOptions(vfs.NewMem()))
			defer s.Close()
			accounts := addAccounts(t, s, 2)
			holdOne(t, s, 1, []byte("first"), accounts)
			holdOne(t, s, 2, bytes.Repeat([]byte("L"), 70_000), accounts[:1])
			row.spoil(t, s, accounts)
			all := findingsOf(t, s, false)
			if len(all) == 0 {
				t.Error("check found nothing")
			}
			all = append(all, findingsOf(t, s, true)...)
			if !slices.ContainsFunc(all, func(f store.Finding) bool { return strings.Contains(f.Problem, row.also) }) {
				t.Errorf("found %+v, want one with %q", all, row.also)
			}
			if err := checkClean(s); err != nil {
				t.Errorf("after the repair: %v", err)
			}
			if err := verifyHeldOctets(s, accounts); err != nil {
				t.Errorf("after the repair: %v", err)
			}
			if got := heldIn(t, s); !bytes.Equal(got, row.held) {
				t.Errorf("%v are held, want %v", got, row.held)
			}
			if slices.Contains(row.held, 1) {
				releaseOne(t, s, 1, []byte("first"))
			}
			releaseOne(t, s, 2, bytes.Repeat([]byte("L"), 70_000))
			if u, err := s.Usage(t.Context()); err != nil || u.Messages != int64(len(row.held)) {
				t.Errorf("%d contents, %v, want %d", u.Messages, err, len(row.held))
			}
			if err := checkClean(s); err != nil {
				t.Errorf("after the releases: %v", err)
			}
			if err := verifyHeldOctets(s, accounts); err != nil {
				t.Errorf("after the releases: %v", err)
			}
		})
	}
}

// set sets a row of the index, or takes it away.
func set(t *testing.T, s *Store, key, value []byte, gone bool) {
	t.Helper()
	var err error
	if gone {
		err = s.db.Delete(key, pebble.NoSync)
	} else {
		err = s.db.Set(key, value, pebble.NoSync)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// spoilUsage changes an account's counters behind the committer's back.
func spoilUsage(t *testing.T, s *Store, id mail.AccountID, spoil func(u *usage)) {
	t.Helper()
	u, err := findUsage(s.db, id)
	if err != nil {
		t.Fatal(err)
	}
	spoil(&u)
	var k keyBuf
	set(t, s, k.usage(id), u.append(nil), false)
}

func spoilHeld(t *testing.T, s *Store, id byte, spoil func(h *held)) {
	t.Helper()
	h, err := findHeld(s.db, mail.ID{id})
	if err != nil {
		t.Fatal(err)
	}
	spoil(&h)
	var k keyBuf
	set(t, s, k.held(h.id), h.append(nil), false)
}

// TestDamagedHeldMessageIsSetAside by repair, its octets kept; the others stay
// held.
func TestDamagedHeldMessageIsSetAside(t *testing.T) {
	for _, size := range []int{7000, 100_000} {
		mem := vfs.NewMem()
		s := mustOpen(t, smallOptions(mem))
		accounts := addAccounts(t, s, 2)
		at := s.log.headPosition()
		holdOne(t, s, 1, make([]byte, size), accounts)
		holdOne(t, s, 2, []byte("sound"), accounts)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if size > 8<<10 {
			flip(t, mem, files(t, mem, "store/large")[0], 5000)
		} else {
			flip(t, mem, "store/log/"+segmentName(at.segment), at.offset+5000)
		}
		s = mustOpen(t, smallOptions(mem))
		if all := findingsOf(t, s, true); len(all) < 2 {
			t.Errorf("%d octets: found %+v, want the content and the held message", size, all)
		}
		if len(kept(t, mem)) == 0 {
			t.Errorf("%d octets: nothing is kept", size)
		}
		if err := checkClean(s); err != nil {
			t.Errorf("%d octets: after the repair: %v", size, err)
		}
		if got := heldIn(t, s); !bytes.Equal(got, []byte{2}) {
			t.Errorf("%d octets: %v are held, want the other only", size, got)
		}
		releaseOne(t, s, 2, []byte("sound"))
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestUnreadableHeldMessageHidesNoOther: a listing tells of it and goes on.
func TestUnreadableHeldMessageHidesNoOther(t *testing.T) {
	s := mustOpen(t, smallOptions(vfs.NewMem()))
	defer s.Close()
	accounts := addAccounts(t, s, 1)
	for id := range byte(3) {
		holdOne(t, s, id+1, []byte("body"), accounts)
	}
	var k keyBuf
	set(t, s, k.held(mail.ID{2}), []byte{0xff}, false)
	var got []byte
	bad := 0
	for h, err := range s.Held(t.Context()) {
		if err != nil {
			bad++
			continue
		}
		got = append(got, h.ID[0])
	}
	if !bytes.Equal(got, []byte{1, 3}) || bad != 1 {
		t.Errorf("listed %v and %d errors, want 1, 3 and one error", got, bad)
	}
	if _, err := s.Change(t.Context(), store.RemoveAccount{ID: accounts[0]}); err != nil {
		t.Errorf("the account can't be removed: %v", err)
	}
}
