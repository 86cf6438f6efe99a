package pebblestore

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// filesPerFolder is how many numbers of large files share a folder.
const filesPerFolder = 4096

// largeFiles are the contents that are files: large/<number/4096>/<number>, in
// hexadecimal. A number is used once. A file is durable, name and all, before a
// commit refers to it; one that no commit refers to is removed at opening.
type largeFiles struct {
	fs     vfs.FS
	dir    string
	health *health

	mu      sync.Mutex
	next    uint64
	folders map[uint64]bool // known to be there, durably
	freed   []freedFile
}

type freedFile struct {
	num   uint64
	stamp uint64 // of pins
}

func (l *largeFiles) folder(num uint64) string {
	return l.fs.PathJoin(l.dir, fmt.Sprintf("%08x", num/filesPerFolder))
}

func (l *largeFiles) path(num uint64) string {
	return l.fs.PathJoin(l.folder(num), fmt.Sprintf("%011x", num))
}

// parseHex reads a number of width hexadecimal digits or more.
func parseHex(name string, width int) (uint64, bool) {
	n, err := strconv.ParseUint(name, 16, 64)
	return n, err == nil && fmt.Sprintf("%0*x", width, n) == name
}

// create makes a file for a content that arrives. Its name is not durable yet.
func (l *largeFiles) create() (vfs.File, uint64, error) {
	l.mu.Lock()
	num := l.next
	l.next++
	l.mu.Unlock()
	if err := l.makeFolder(num); err != nil {
		return nil, 0, err
	}
	f, err := l.fs.Create(l.path(num), vfs.WriteCategoryUnspecified)
	return f, num, err
}

// makeFolder makes the folder of a file durable.
func (l *largeFiles) makeFolder(num uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.folders[num/filesPerFolder] {
		return nil
	}
	if err := l.fs.MkdirAll(l.folder(num), 0o700); err != nil {
		return err
	}
	if err := syncDir(l.fs, l.dir); err != nil {
		return err
	}
	l.folders[num/filesPerFolder] = true
	return nil
}

// settle makes a file's name durable.
func (l *largeFiles) settle(num uint64) error { return syncDir(l.fs, l.folder(num)) }

// remove removes a file that nothing refers to.
func (l *largeFiles) remove(num uint64) {
	if err := l.fs.Remove(l.path(num)); err != nil {
		l.health.log.Warn("store: a file that nothing refers to can't be removed", "file", l.path(num), "error", err.Error())
	}
}

// free has files removed when no pin can want them any more.
func (l *largeFiles) free(nums []uint64, stamp uint64) {
	if len(nums) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, num := range nums {
		l.freed = append(l.freed, freedFile{num, stamp})
	}
}

// collect removes the freed files that no pin can want.
func (l *largeFiles) collect(clear func(stamp uint64) bool) {
	l.mu.Lock()
	var gone []uint64
	keep := l.freed[:0]
	for _, f := range l.freed {
		if clear(f.stamp) {
			gone = append(gone, f.num)
		} else {
			keep = append(keep, f)
		}
	}
	l.freed = keep
	l.mu.Unlock()
	for _, num := range gone {
		l.remove(num)
	}
}

// waiting reports whether freed files can't be removed yet.
func (l *largeFiles) waiting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.freed) > 0
}

// isFreed reports whether a file waits to be removed.
func (l *largeFiles) isFreed(num uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.freed {
		if f.num == num {
			return true
		}
	}
	return false
}

// scan calls f with the number of every file there is.
func (l *largeFiles) scan(f func(num uint64)) error {
	folders, err := l.fs.List(l.dir)
	if err != nil {
		return err
	}
	for _, name := range folders {
		if _, ok := parseHex(name, 8); !ok {
			continue
		}
		files, err := l.fs.List(l.fs.PathJoin(l.dir, name))
		if err != nil {
			return err
		}
		for _, name := range files {
			if num, ok := parseHex(name, 11); ok {
				f(num)
			}
		}
	}
	return nil
}
