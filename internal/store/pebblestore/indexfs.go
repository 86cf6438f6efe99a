package pebblestore

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// indexRetry is how long the index waits before it tries again to make a file
// after the disk was full: Pebble itself would try at once, for ever.
const indexRetry = time.Second

// indexFS is what the index sees of the disk. It watches what fails there:
//
//   - A sync or write that fails breaks the store (health.fail), and nothing is
//     written or removed any more. Pebble would go on: it repeats a failed flush,
//     and after a failed MANIFEST sync it calls Logger.Fatalf and, when that
//     returns, removes tables that the MANIFEST on disk may already name. The
//     log has everything, so nothing is lost by stopping.
//   - A full disk is waited out: the index is behind meanwhile, and no mail is
//     taken. So is a lack of open files.
type indexFS struct {
	vfs.FS
	health *health
	stop   <-chan struct{}
	short  atomic.Bool // a file could not be opened: too many are

	mu      sync.Mutex
	holding bool     // while the store opens
	held    []string // files to be removed when it is open
}

// hold has removals wait: until the log has been read nobody knows whether the
// MANIFEST is whole, and Pebble removes what it does not name.
func (f *indexFS) hold() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.holding = true
}

// holds reports whether tables are to be removed.
func (f *indexFS) holds() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.held, func(name string) bool { return strings.HasSuffix(name, ".sst") })
}

// letGo removes what was held.
func (f *indexFS) letGo() {
	f.mu.Lock()
	f.holding = false
	held := f.held
	f.held = nil
	f.mu.Unlock()
	for _, name := range held {
		if err := f.Remove(name); err != nil {
			f.health.log.Warn("store: a file that the index does not need can't be removed", "file", name, "error", err.Error())
		}
	}
}

// heldBack reports whether the removal of a file has to wait.
func (f *indexFS) heldBack(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.holding {
		f.held = append(f.held, name)
	}
	return f.holding
}

var _ vfs.FS = (*indexFS)(nil)

// Unwrap implements vfs.FS.
func (f *indexFS) Unwrap() vfs.FS { return f.FS }

// may returns why nothing may be written.
func (f *indexFS) may() error { return f.health.changes("write index") }

// note looks at the error of an operation that changed something.
func (f *indexFS) note(op string, err error) error {
	switch {
	case err == nil:
	case isFull(err):
		f.full(true)
	case isShort(err):
		f.short.Store(true)
	default:
		f.health.fail("index: "+op, err)
	}
	return err
}

// full records whether the index lacks space.
func (f *indexFS) full(is bool) {
	if !f.health.full(is) {
		return
	}
	if is {
		f.health.log.Error("store: the disk is full: the index falls behind, no mail is taken until there is space", "store", f.health.dir)
		return
	}
	f.health.log.Info("store: the index has caught up, mail is taken again", "store", f.health.dir)
}

// Create implements vfs.FS.
func (f *indexFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.pause()
	if err := f.may(); err != nil {
		return nil, err
	}
	if strings.HasPrefix(f.PathBase(name), "marker.") {
		// Pebble syncs the folder only after this file, which makes the MANIFEST
		// count, is there. What it names must be there, too.
		if err := syncDir(f.FS, f.PathDir(name)); err != nil {
			return nil, f.health.noteSync("index: sync "+f.PathDir(name), err)
		}
	}
	file, err := f.FS.Create(name, c)
	if f.note("create "+name, err) != nil {
		return nil, err
	}
	return &indexFile{file, f, name}, nil
}

// pause waits before a repetition.
func (f *indexFS) pause() {
	if f.health.broken.Load() == nil && !f.health.indexFull.Load() && !f.short.Swap(false) {
		return
	}
	t := time.NewTimer(indexRetry)
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.stop: // it will not try again
	}
}

// OpenReadWrite implements vfs.FS.
func (f *indexFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	if err := f.may(); err != nil {
		return nil, err
	}
	file, err := f.FS.OpenReadWrite(name, c, o...)
	if err != nil {
		return nil, err
	}
	return &indexFile{file, f, name}, nil
}

// OpenDir implements vfs.FS.
func (f *indexFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &indexDir{indexFile{file, f, name}}, nil
}

// indexDir is a folder of the index.
type indexDir struct{ indexFile }

// Sync implements vfs.File. Pebble panics when it fails after a change of the
// MANIFEST's name, in a goroutine of its own. It need not know: from the failure
// on no change of its reaches the disk.
func (d *indexDir) Sync() error {
	if d.fs.may() == nil {
		_ = d.synced(d.File.Sync())
	}
	return nil
}

// Link implements vfs.FS.
func (f *indexFS) Link(oldname, newname string) error {
	if err := f.may(); err != nil {
		return err
	}
	return f.FS.Link(oldname, newname)
}

// Remove implements vfs.FS.
func (f *indexFS) Remove(name string) error {
	if err := f.may(); err != nil {
		return err
	}
	if f.heldBack(name) {
		return nil
	}
	return f.FS.Remove(name)
}

// RemoveAll implements vfs.FS.
func (f *indexFS) RemoveAll(name string) error {
	if err := f.may(); err != nil {
		return err
	}
	return f.FS.RemoveAll(name)
}

// Rename implements vfs.FS.
func (f *indexFS) Rename(oldname, newname string) error {
	if err := f.may(); err != nil {
		return err
	}
	return f.note("rename "+oldname, f.FS.Rename(oldname, newname))
}

// ReuseForWrite implements vfs.FS.
func (f *indexFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.may(); err != nil {
		return nil, err
	}
	file, err := f.FS.ReuseForWrite(oldname, newname, c)
	if err != nil {
		return nil, err
	}
	return &indexFile{file, f, newname}, nil
}

// Lock implements vfs.FS.
func (f *indexFS) Lock(name string) (io.Closer, error) { return f.FS.Lock(name) }

// indexFile is a file or folder of the index.
type indexFile struct {
	vfs.File
	fs   *indexFS
	name string
}

// Write implements vfs.File.
func (f *indexFile) Write(p []byte) (int, error) {
	if err := f.fs.may(); err != nil {
		return 0, err
	}
	n, err := f.File.Write(p)
	return n, f.fs.note("write "+f.name, err)
}

// WriteAt implements vfs.File.
func (f *indexFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.may(); err != nil {
		return 0, err
	}
	n, err := f.File.WriteAt(p, off)
	return n, f.fs.note("write "+f.name, err)
}

// Sync implements vfs.File.
func (f *indexFile) Sync() error {
	if err := f.fs.may(); err != nil {
		return err
	}
	return f.synced(f.File.Sync())
}

// SyncData implements vfs.File.
func (f *indexFile) SyncData() error {
	if err := f.fs.may(); err != nil {
		return err
	}
	return f.synced(f.File.SyncData())
}

// SyncTo implements vfs.File.
func (f *indexFile) SyncTo(length int64) (bool, error) {
	if err := f.fs.may(); err != nil {
		return false, err
	}
	full, err := f.File.SyncTo(length)
	return full, f.synced(err)
}

// synced breaks the store if a sync failed, whatever the reason: unlike a write
// that found no room it can't be repeated.
func (f *indexFile) synced(err error) error {
	if err != nil {
		f.fs.health.fail("index: sync "+f.name, err)
	}
	return err
}

// indexLog passes on what Pebble has to say.
type indexLog struct {
	log    *slog.Logger
	health *health
}

var _ pebble.Logger = indexLog{}

// Infof implements pebble.Logger.
func (l indexLog) Infof(format string, args ...any) {
	l.log.Debug("store: index: " + fmt.Sprintf(format, args...))
}

// Errorf implements pebble.Logger.
func (l indexLog) Errorf(format string, args ...any) {
	l.log.Warn("store: index: " + fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. Pebble calls it where it can't go on; the
// store can, reading only: every path of Pebble's that matters here (MANIFEST
// updates) returns the error after it.
func (l indexLog) Fatalf(format string, args ...any) {
	l.health.fail("the index", fmt.Errorf(format, args...))
}
