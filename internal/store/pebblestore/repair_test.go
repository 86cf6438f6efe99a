package pebblestore

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// findingsOf checks a store and returns what was found.
func findingsOf(t *testing.T, s *Store, repair bool) []store.Finding {
	t.Helper()
	var all []store.Finding
	result, err := s.Check(t.Context(), repair, func(f store.Finding) { all = append(all, f) })
	if err != nil || result.Findings != int64(len(all)) {
		t.Fatalf("check: %v, %d findings counted, %d reported", err, result.Findings, len(all))
	}
	return all
}

func messagesIn(t *testing.T, s *Store, account mail.AccountID) int64 {
	t.Helper()
	m, err := s.Mailbox(t.Context(), account, mail.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	return m.Messages
}

// kept returns the octets of the files in damaged/, by name.
func kept(t *testing.T, fs vfs.FS) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	for _, path := range files(t, fs, "store/damaged") {
		all[path] = readAll(t, fs, path)
	}
	return all
}

// TestRepairKeepsADamagedLargeFileWhole: one bad block costs the message its
// place in the mailbox, but not an octet.
func TestRepairKeepsADamagedLargeFileWhole(t *testing.T) {
	for _, noLinks := range []bool{false, true} {
		mem := vfs.NewCrashableMem()
		links := &failAt{err: errIO, lasting: true, matches: func(op errorfs.Op) bool { return noLinks && op.Kind == errorfs.OpLink }}
		o := smallOptions(errorfs.Wrap(mem, links))
		s := mustOpen(t, o)
		accounts := addAccounts(t, s, 1)
		if err := acceptAs(s, mail.ID{1}, bytes.Repeat([]byte("x"), 1<<20), accounts); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		file := files(t, mem, "store/large")[0]
		flip(t, mem, file, 300_000)
		damaged := readAll(t, mem, file)
		s = mustOpen(t, o)
		if n := len(findingsOf(t, s, true)); n == 0 {
			t.Error("nothing was found")
		}
		if n := messagesIn(t, s, accounts[0]); n != 0 {
			t.Errorf("%d messages after the repair, want 0", n)
		}
		crashed := mem.CrashClone(vfs.CrashCloneCfg{})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, b := range kept(t, crashed) {
			found = found || bytes.Equal(b, damaged)
		}
		if !found {
			t.Errorf("links fail %v: the file's octets are not in damaged/", noLinks)
		}
	}
}

// TestRepairRemovesNothingThatItCannotKeep: the message stays, and the finding
// says why.
func TestRepairRemovesNothingThatItCannotKeep(t *testing.T) {
	for _, size := range []int{7000, 100_000} {
		mem := vfs.NewMem()
		var full atomic.Bool
		disk := &failAt{err: errFull, lasting: true, matches: func(op errorfs.Op) bool {
			return full.Load() && strings.Contains(op.Path, damagedFolder) && (isWrite(op) || isName(op))
		}}
		o := smallOptions(errorfs.Wrap(mem, disk))
		s := mustOpen(t, o)
		accounts := addAccounts(t, s, 1)
		at := s.log.headPosition()
		if err := acceptAs(s, mail.ID{1}, make([]byte, size), accounts); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if size > int(o.SmallMax) {
			flip(t, mem, files(t, mem, "store/large")[0], 5000)
		} else {
			flip(t, mem, "store/log/"+segmentName(at.segment), at.offset+5000)
		}
		s = mustOpen(t, o)
		full.Store(true)
		all := findingsOf(t, s, true)
		if len(all) == 0 || !strings.Contains(all[0].Problem, "can't be kept") || all[0].Repaired != "" {
			t.Errorf("%d octets: found %+v, want one that is not repaired and says that nothing can be kept", size, all)
		}
		if n := messagesIn(t, s, accounts[0]); n != 1 {
			t.Errorf("%d octets: %d messages while nothing can be kept, want 1", size, n)
		}
		full.Store(false)
		findingsOf(t, s, true)
		if n := messagesIn(t, s, accounts[0]); n != 0 {
			t.Errorf("%d octets: %d messages after the repair, want 0", size, n)
		}
		if len(kept(t, mem)) == 0 {
			t.Errorf("%d octets: nothing is kept", size)
		}
		if err := checkClean(s); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestCheckGoesOnAfterAReadError: what the disk did not give is a finding each,
// and stays.
func TestCheckGoesOnAfterAReadError(t *testing.T) {
	mem := vfs.NewMem()
	var bad atomic.Bool
	disk := &failAt{err: errIO, lasting: true, matches: func(op errorfs.Op) bool {
		return bad.Load() && op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, segmentName(1))
	}}
	s := mustOpen(t, smallOptions(errorfs.Wrap(mem, disk)))
	defer s.Close()
	accounts := addAccounts(t, s, 1)
	fill(t, s, accounts, 20, 7000)
	bad.Store(true)
	all := findingsOf(t, s, true)
	bad.Store(false)
	if len(all) == 0 {
		t.Error("nothing was found")
	}
	for _, f := range all {
		if f.Repaired != "" {
			t.Errorf("found %+v, want nothing repaired", f)
		}
	}
	if n := messagesIn(t, s, accounts[0]); n != 20 {
		t.Errorf("%d messages, want 20", n)
	}
	if err := checkClean(s); err != nil {
		t.Error(err)
	}
}

// TestOctetsAfterALargeFileAreFound, since Open refuses such a file, and cut off
// by repair: the message can be read again.
func TestOctetsAfterALargeFileAreFound(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, smallOptions(mem))
	accounts := addAccounts(t, s, 1)
	body := bytes.Repeat([]byte("0123456789"), 40_000)
	if err := acceptAs(s, mail.ID{1}, body, accounts); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file := files(t, mem, "store/large")[0]
	long := append(readAll(t, mem, file), 0)
	replace(t, mem, file, long)
	s = mustOpen(t, smallOptions(mem))
	defer s.Close()
	if len(findingsOf(t, s, false)) == 0 {
		t.Error("check found nothing")
	}
	findingsOf(t, s, true)
	for m, err := range s.List(t.Context(), accounts[0], mail.Inbox, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if err := verifyMessage(s, accounts[0], m, body); err != nil {
			t.Error(err)
		}
	}
	if n := messagesIn(t, s, accounts[0]); n != 1 {
		t.Errorf("%d messages after the repair, want 1", n)
	}
	for path, b := range kept(t, mem) {
		if !bytes.Equal(b, long) {
			t.Errorf("%s has %d octets, want the file as it was, %d", path, len(b), len(long))
		}
	}
	if err := checkClean(s); err != nil {
		t.Error(err)
	}
}

// TestAccountThatIsMadeAgainHasAVersion, without which a change that was made for
// another one of it would not be refused.
func TestAccountThatIsMadeAgainHasAVersion(t *testing.T) {
	s := mustOpen(t, smallOptions(vfs.NewMem()))
	defer s.Close()
	accounts := addAccounts(t, s, 1)
	fill(t, s, accounts, 1, 100)
	var k keyBuf
	set(t, s, k.account(accounts[0]), nil, true)
	findingsOf(t, s, true)
	a, err := s.Account(t.Context(), accounts[0])
	if err != nil || a.Version != firstVersion {
		t.Fatalf("got version %d, %v, want %d", a.Version, err, firstVersion)
	}
	for range 2 {
		_, err = s.Change(t.Context(), store.PutAccount{Account: a, IfVersion: a.Version})
	}
	if !fault.Is(err, fault.Denied) {
		t.Errorf("the second of two changes of one version: got %v, want Denied", err)
	}
}
