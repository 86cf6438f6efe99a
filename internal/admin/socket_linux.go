package admin

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// maxSocketPath is what fits into a sockaddr_un, in octets, with its final NUL (unix(7)).
const maxSocketPath = 107

var errRefused error = syscall.ECONNREFUSED

// socketPath returns a name for path that is short enough for a socket: path
// itself, or one by way of its folder's descriptor, good until release.
func socketPath(path string) (short string, release func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	short = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	return short, func() { dir.Close() }, nil
}
