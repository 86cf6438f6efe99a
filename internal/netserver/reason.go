package netserver

import (
	"errors"
	"net"
	"os"

	"postrider/internal/netconn"
)

var errCrowded = errors.New("refused without a word: too many connections")

// whyShed is what the log says of a connection that made room for another.
const whyShed = "shed: too many connections"

// reason returns an error as the log should have it: without the addresses,
// which stand beside it.
func reason(err error) string {
	var op *net.OpError
	switch {
	case netconn.IsClosed(err):
		return "closed by peer"
	case errors.Is(err, net.ErrClosed):
		return "cut off"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "peer does not read"
	case errors.As(err, &op):
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}
