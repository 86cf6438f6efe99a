//go:build !linux && !windows

package admin

import "syscall"

// maxSocketPath is what fits into a sockaddr_un of BSD, in octets, with its final NUL.
const maxSocketPath = 103

var errRefused error = syscall.ECONNREFUSED

func socketPath(path string) (short string, release func(), err error) {
	return pathIfShort(path)
}
