package pebblestore

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// asidePath returns a path in damaged/ that is not taken, and makes the folder.
func (s *Store) asidePath(name string) (string, error) {
	dir := s.fs.PathJoin(s.o.Dir, damagedFolder)
	if err := s.fs.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := syncDir(s.fs, s.o.Dir); err != nil {
		return "", err
	}
	first := s.fs.PathJoin(dir, s.o.Now().UTC().Format("20060102T150405")+"-"+name)
	path := first
	for i := 1; ; i++ {
		_, err := s.fs.Stat(path)
		if isNotExist(err) {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		path = fmt.Sprintf("%s.%d", first, i)
	}
}

// aside keeps octets in a new file in damaged/, durably, and returns its path.
// After an error what they were taken from must stay.
func (s *Store) aside(name string, b []byte) (string, error) {
	path, err := s.asidePath(name)
	if err != nil {
		return "", err
	}
	if err := writeFile(s.fs, path, b); err != nil {
		return "", err
	}
	return path, syncDir(s.fs, s.fs.PathDir(path))
}

// fileAside keeps a file whole in damaged/, durably, and returns its path there.
// The file itself stays: it is linked where the disk can do that, else copied.
// The path is empty if there is no such file.
func (s *Store) fileAside(name, file string) (string, error) {
	path, err := s.asidePath(name)
	if err != nil {
		return "", err
	}
	err = vfs.LinkOrCopy(s.fs, file, path)
	if isNotExist(err) {
		return "", nil
	}
	if err != nil {
		_ = s.fs.Remove(path) // a part of a copy
		return "", err
	}
	return path, syncDir(s.fs, s.fs.PathDir(path))
}

// contentAside keeps what is there of a content: the octets of its record, and
// its large file whole. It returns the paths, none if nothing is there.
func (s *Store) contentAside(id uint64, octets []byte, o blob) (string, error) {
	var paths []string
	if len(octets) > 0 {
		path, err := s.aside(fmt.Sprintf("content-%016x", id), octets)
		if err != nil {
			return "", err
		}
		paths = append(paths, path)
	}
	if o.file != 0 {
		path, err := s.fileAside(fmt.Sprintf("content-%016x-file", id), s.files.path(o.file))
		if err != nil {
			return "", err
		}
		if path != "" {
			paths = append(paths, path)
		}
	}
	return strings.Join(paths, " and "), nil
}
