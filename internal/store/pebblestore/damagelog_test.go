package pebblestore

import (
	"bytes"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// logOptions keep the redo of everything in one segment.
func logOptions(fs vfs.FS) Options {
	o := smallOptions(fs)
	o.MemTableSize, o.SegmentSize = 4<<20, 1<<20
	return o
}

// flip damages one octet of a file.
func flip(t *testing.T, fs vfs.FS, path string, at int64) {
	t.Helper()
	b := readAll(t, fs, path)
	b[at] ^= 1
	replace(t, fs, path, b)
}

// redoAt returns the offset of a frame's redo within its segment.
func redoAt(t *testing.T, fs vfs.FS, at position) (path string, offset int64) {
	t.Helper()
	path = "store/log/" + segmentName(at.segment)
	h, ok := parseFrame(readAll(t, fs, path)[at.offset:])
	if !ok {
		t.Fatalf("no frame at %v", at)
	}
	return path, at.offset + frameHeaderSize + int64(h.records)
}

// eventually waits for something that happens in the background.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestDamagedBodyCostsOneMessage of a commit, not the others.
func TestDamagedBodyCostsOneMessage(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, logOptions(mem))
	accounts := addAccounts(t, s, 2)
	at := s.log.headPosition()
	for i, body := range []string{"first", "second", "third"} {
		if err := acceptAs(s, mail.ID{byte(i + 1)}, []byte(body), accounts); err != nil {
			t.Fatal(err)
		}
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	s.Close()
	path, redo := redoAt(t, crashed, at)
	flip(t, crashed, path, redo-1)
	var said bytes.Buffer
	o := logOptions(crashed)
	o.Logger = slog.New(slog.NewTextHandler(&said, nil))
	s = mustOpen(t, o)
	defer s.Close()
	for uid, want := range map[mail.UID]fault.Kind{1: fault.Corrupt, 2: fault.KindOf(nil), 3: fault.KindOf(nil)} {
		r, err := s.Open(t.Context(), accounts[0], mail.Inbox, uid)
		if fault.KindOf(err) != want {
			t.Errorf("message %d: %v, want kind %v", uid, err, want)
		}
		if err == nil {
			r.Close()
		}
	}
	if !strings.Contains(said.String(), "level=ERROR") {
		t.Errorf("said %q, want an error", said.String())
	}
}

// TestFileOfALostCommitIsKept in damaged/: a message may hang on it.
func TestFileOfALostCommitIsKept(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := mustOpen(t, logOptions(mem))
	accounts := addAccounts(t, s, 1)
	at := s.log.headPosition()
	body := bytes.Repeat([]byte("L"), 50_000)
	for i, b := range [][]byte{body, []byte("small")} {
		if err := acceptAs(s, mail.ID{byte(i + 1)}, b, accounts); err != nil {
			t.Fatal(err)
		}
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	s.Close()
	path, redo := redoAt(t, crashed, at)
	flip(t, crashed, path, redo)
	s = mustOpen(t, logOptions(crashed))
	defer s.Close()
	eventually(t, "the large file is taken away", func() bool { return len(files(t, crashed, "store/large")) == 0 })
	for _, kept := range files(t, crashed, "store/damaged") {
		if strings.Contains(kept, "large-") && bytes.Count(readAll(t, crashed, kept), []byte("L")) >= len(body) {
			return
		}
	}
	t.Errorf("damaged/ holds %v, want the large file", files(t, crashed, "store/damaged"))
}

// TestFilesOfUnfinishedMailGo when nothing was damaged.
func TestFilesOfUnfinishedMailGo(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, smallOptions(mem))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mem.MkdirAll("store/large/00000000", 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		replace(t, mem, fmt.Sprintf("store/large/00000000/%011x", i+1), []byte("unfinished"))
	}
	s = mustOpen(t, smallOptions(mem))
	defer s.Close()
	eventually(t, "the files are removed", func() bool { return len(files(t, mem, "store/large")) == 0 })
	if _, err := mem.Stat("store/damaged"); err == nil {
		t.Errorf("damaged/ holds %v, want no such folder", files(t, mem, "store/damaged"))
	}
}

// uidls returns the UIDLs of an Inbox, each with the message it names.
func uidls(t *testing.T, s *Store, account mail.AccountID) map[string]mail.ID {
	t.Helper()
	all := make(map[string]mail.ID)
	for m, err := range s.List(t.Context(), account, mail.Inbox, 0) {
		if err != nil {
			t.Fatal(err)
		}
		all[m.UIDL] = m.ID
	}
	return all
}

// TestLostCommitsNumbersAreNotGivenAgain whether it is in the middle of the log
// or its end, and also if the first opening after it ends at once.
func TestLostCommitsNumbersAreNotGivenAgain(t *testing.T) {
	for _, last := range []bool{false, true} {
		t.Run(fmt.Sprintf("last=%v", last), func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			s := mustOpen(t, logOptions(mem))
			accounts := addAccounts(t, s, 2)
			if err := acceptAs(s, mail.ID{1}, []byte("one"), accounts[:1]); err != nil {
				t.Fatal(err)
			}
			at := s.log.headPosition()
			if err := acceptAs(s, mail.ID{2}, []byte("two"), accounts[:1]); err != nil {
				t.Fatal(err)
			}
			if !last {
				if err := acceptAs(s, mail.ID{3}, []byte("three"), accounts[1:]); err != nil {
					t.Fatal(err)
				}
			}
			before := uidls(t, s, accounts[0])
			crashed := mem.CrashClone(vfs.CrashCloneCfg{})
			s.Close()
			path, redo := redoAt(t, crashed, at)
			flip(t, crashed, path, redo)
			for i := range 2 {
				s = mustOpen(t, logOptions(crashed))
				if i == 1 {
					if err := acceptAs(s, mail.ID{4}, []byte("four"), accounts[:1]); err != nil {
						t.Fatal(err)
					}
					for uidl, id := range uidls(t, s, accounts[0]) {
						if was, ok := before[uidl]; ok && was != id {
							t.Errorf("%s names %v, it named %v", uidl, id, was)
						}
					}
				}
				s.Close()
			}
		})
	}
}

// TestTornFrameIsToldOnce also if it is the first of a segment that goes to the
// pool.
func TestTornFrameIsToldOnce(t *testing.T) {
	mem := vfs.NewCrashableMem()
	o := smallOptions(mem)
	o.MemTableSize = 4 << 20
	s := mustOpen(t, o)
	accounts := addAccounts(t, s, 1)
	first := s.log.head
	for i := byte(1); s.log.head == first; i++ {
		if err := acceptAs(s, mail.ID{i}, make([]byte, 6000), accounts); err != nil {
			t.Fatal(err)
		}
	}
	path, redo := redoAt(t, mem, position{segment: s.log.head})
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	s.Close()
	flip(t, crashed, path, redo)
	for i, want := range []bool{true, false} {
		var said bytes.Buffer
		o.FS, o.Logger = crashed, slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
		s := mustOpen(t, o)
		if got := said.Len() > 0; got != want {
			t.Errorf("opening %d said %q, want something: %v", i, said.String(), want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSegmentWithADamagedFrameHeaderIsEmptied by what the index knows of it.
func TestSegmentWithADamagedFrameHeaderIsEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		s := mustOpen(t, smallOptions(mem))
		accounts := addAccounts(t, s, 1)
		at := s.log.headPosition()
		fill(t, s, accounts, 40, 7000)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		flip(t, mem, "store/log/"+segmentName(at.segment), at.offset+45)
		s = mustOpen(t, smallOptions(mem))
		if err := s.Remove(t.Context(), accounts[0], mail.Inbox, uidRange(2, 20, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.log.uses(at.segment) {
			t.Error("the segment is still used")
		}
		r, err := s.Open(t.Context(), accounts[0], mail.Inbox, 1)
		if err != nil {
			t.Errorf("open the message that was moved: %v", err)
		} else {
			r.Close()
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
