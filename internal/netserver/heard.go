package netserver

import (
	"crypto/tls"
	"errors"
	"net"
)

// alertSize is how long a record is that holds an alert in the clear, in octets
// (RFC 8446 §5.1, §6).
const alertSize = 7

// heard is a connection under TLS: of which something may have been read
// already, and which remembers what was read last.
type heard struct {
	net.Conn
	head []byte          // what was read already
	last [alertSize]byte // zeros, while less was read
}

// Read implements net.Conn.
func (h *heard) Read(p []byte) (n int, err error) {
	if len(h.head) > 0 {
		n = copy(p, h.head)
		h.head = h.head[n:]
		if len(h.head) == 0 {
			h.head = nil
		}
	} else {
		n, err = h.Conn.Read(p)
	}
	if n < alertSize {
		copy(h.last[:], h.last[n:])
	}
	copy(h.last[max(0, alertSize-n):], p[max(0, n-alertSize):n])
	return n, err
}

// clearAlert returns the alert that the peer sent in the clear where we could
// take enciphered records only. In TLS 1.3 a client that does not like what our
// first flight has, which is mostly the certificate, may have no keys yet for
// what it sends itself: OpenSSL takes them into use with its own flight.
func (h *heard) clearAlert(err error) (tls.AlertError, bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "local error" || op.Err.Error() != "tls: bad record MAC" {
		return 0, false
	}
	const alert = 21 // RFC 8446 §B.1
	if r := &h.last; r[0] != alert || r[1] != 3 || r[3] != 0 || r[4] != 2 {
		return 0, false
	}
	return tls.AlertError(h.last[alertSize-1]), true
}
