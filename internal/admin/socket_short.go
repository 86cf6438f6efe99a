//go:build !linux

package admin

import (
	"os"
	"path/filepath"

	"postrider/internal/fault"
)

// pathIfShort returns path, or its name relative to the current folder, if one
// of them fits.
func pathIfShort(path string) (short string, release func(), err error) {
	none := func() {}
	if len(path) <= maxSocketPath {
		return path, none, nil
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && len(rel) <= maxSocketPath {
			return rel, none, nil
		}
	}
	return "", nil, fault.Newf(fault.Invalid, "use "+path,
		"a socket's path has at most %d octets here; choose a shorter data folder", maxSocketPath)
}
