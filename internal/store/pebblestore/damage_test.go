package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// soundStore returns the disk of a small store, with the accounts in it and what
// clients know: closed in order, or as a crash leaves it.
func soundStore(t *testing.T, closed bool) (*vfs.MemFS, []mail.AccountID, knowledge) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	o := smallOptions(mem)
	o.MemTableSize = 4 << 20 // keep the redo of everything in the log
	s := mustOpen(t, o)
	accounts := addAccounts(t, s, 2)
	w := &load{s: s, l: newLedger(), accounts: accounts, sizes: []int{100, 3000, 7000, 70_000}, t: t}
	w.run(1, 2, 40)
	if closed {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return mem, accounts, w.l.copy()
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	known := w.l.copy()
	s.Close()
	return crashed, accounts, known
}

// files lists all files below a folder, but for those that hold nothing. The
// store may remove some meanwhile.
func files(t *testing.T, fs vfs.FS, dir string) []string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		info, err := fs.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // the store has removed it meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			all = append(all, files(t, fs, path)...)
		} else if info.Size() > 0 {
			all = append(all, path)
		}
	}
	return all
}

func readAll(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func replace(t *testing.T, fs vfs.FS, path string, b []byte) {
	t.Helper()
	if err := writeFile(fs, path, bytes.Clone(b)); err != nil { // Write may change what it is given
		t.Fatal(err)
	}
}

// TestDamageAnywhereIsNeverSilent flips bits and cuts files short, all over a
// store. Either everything acknowledged is there as it was, or the store says
// that something is wrong; wrong octets are never handed out.
func TestDamageAnywhereIsNeverSilent(t *testing.T) {
	for _, closed := range []bool{true, false} {
		sound, accounts, known := soundStore(t, closed)
		for _, path := range files(t, sound, "store") {
			t.Run(fmt.Sprintf("closed=%v/%s", closed, strings.TrimPrefix(path, "store/")), func(t *testing.T) {
				orig := readAll(t, sound, path)
				used := len(bytes.TrimRight(orig, "\x00"))
				for i := range 12 {
					at := used * i / 12
					flipped := bytes.Clone(orig)
					flipped[at] ^= 1 << (i % 8)
					damagedRound(t, sound, path, flipped, fmt.Sprintf("octet %d of %d flipped", at, used), accounts, known)
				}
				for _, at := range []int{0, used / 3, used - 1} {
					damagedRound(t, sound, path, orig[:max(at, 0)], fmt.Sprintf("cut to %d octets", at), accounts, known)
				}
			})
		}
	}
}

// damagedRound opens a store of which one file is damaged.
func damagedRound(t *testing.T, sound *vfs.MemFS, path string, b []byte, what string, accounts []mail.AccountID, known knowledge) {
	t.Helper()
	fs := sound.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0})
	replace(t, fs, path, b)
	var said bytes.Buffer
	o := smallOptions(fs)
	o.Logger = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := Open(o)
	if err != nil {
		t.Errorf("%s: open: %v", what, err)
		return
	}
	defer func() { s.Close() }()
	lost := verify(s, accounts, known, known)
	if lost == nil && checkClean(s) == nil {
		return
	}
	findings := 0
	for range 2 { // a damaged index is made anew by the opening after the check
		if _, err := s.Check(context.Background(), true, func(store.Finding) { findings++ }); err != nil {
			t.Errorf("%s: check: %v (%v)", what, err, lost)
		}
		if err := s.Close(); err != nil && !strings.HasPrefix(path, "store/index/") {
			t.Errorf("%s: close: %v", what, err)
		}
		if s, err = Open(o); err != nil {
			t.Fatalf("%s: open after the repair: %v", what, err)
		}
	}
	if said.Len() == 0 && findings == 0 {
		t.Errorf("%s: silently: %v", what, lost)
	}
	if err := checkClean(s); err != nil {
		t.Errorf("%s: after repair: %v", what, err)
	}
	for _, account := range accounts {
		err := verifyInbox(s, account, known, make(map[mail.ID]map[mail.AccountID]bool))
		if err != nil && !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: after repair: %v", what, err)
		}
	}
}

// TestNewerFormatIsRefused with words that say what to do.
func TestNewerFormatIsRefused(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, smallOptions(mem))
	id := s.id
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	replace(t, mem, "store/VERSION", []byte(identity{Format + 1, id}.text()))
	_, err := Open(smallOptions(mem))
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "newer") {
		t.Errorf("open: %v, want kind invalid and the word newer", err)
	}
}

// TestLostVersionIsWrittenAnew from the index.
func TestLostVersionIsWrittenAnew(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, smallOptions(mem))
	want := identity{Format, s.id}.text()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mem.Remove("store/VERSION"); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, smallOptions(mem))
	defer s.Close()
	if got := string(readAll(t, mem, "store/VERSION")); got != want {
		t.Errorf("VERSION is %q, want %q", got, want)
	}
}

// TestLostManifestCostsNothing: the index is made anew from its tables and the
// log.
func TestLostManifestCostsNothing(t *testing.T) {
	for _, closed := range []bool{true, false} {
		fs, accounts, known := soundStore(t, closed)
		for _, path := range files(t, fs, "store/index") {
			if strings.Contains(path, "MANIFEST-") {
				replace(t, fs, path, []byte("damaged"))
			}
		}
		s := mustOpen(t, smallOptions(fs))
		if err := verify(s, accounts, known, known); err != nil {
			t.Errorf("closed %v: %v", closed, err)
		}
		if err := checkClean(s); err != nil {
			t.Errorf("closed %v: %v", closed, err)
		}
		fill(t, s, accounts, 3, 1000)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestLostIndexIsNotMadeAnew: an empty index over a full log would hide all mail.
func TestLostIndexIsNotMadeAnew(t *testing.T) {
	mem := vfs.NewMem()
	s := mustOpen(t, smallOptions(mem))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mem.RemoveAll("store/index"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(smallOptions(mem)); !fault.Is(err, fault.Corrupt) {
		t.Errorf("open without the index: %v, want kind corrupt", err)
	}
}
