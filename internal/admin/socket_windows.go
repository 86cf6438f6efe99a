package admin

import "syscall"

// maxSocketPath is what fits into a sockaddr_un, in octets, with its final NUL.
const maxSocketPath = 107

// errRefused is WSAECONNREFUSED: Windows has its own number for it.
var errRefused error = syscall.Errno(10061)

func socketPath(path string) (short string, release func(), err error) {
	return pathIfShort(path)
}
