package dialogue

import (
	"crypto/tls"
	"io"
	"net"
	"time"
)

// Patience is how long a server may take for one read or write.
const Patience = 10 * time.Second

// NewNet returns the transport over a network connection, which it owns.
func NewNet(conn net.Conn) Transport { return &netTransport{conn: conn} }

type netTransport struct{ conn net.Conn }

// Read waits no longer than Patience.
func (t *netTransport) Read(p []byte) (int, error) {
	if err := t.conn.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		return 0, err
	}
	return t.conn.Read(p)
}

// Write waits no longer than Patience.
func (t *netTransport) Write(p []byte) (int, error) {
	if err := t.conn.SetWriteDeadline(time.Now().Add(Patience)); err != nil {
		return 0, err
	}
	return t.conn.Write(p)
}

// Handshake goes on under TLS, whoever the server is.
func (t *netTransport) Handshake() error {
	conn := tls.Client(t.conn, &tls.Config{InsecureSkipVerify: true}) // a test's server has a certificate of its own
	if err := t.conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	t.conn = conn
	return conn.Handshake()
}

// Close ends the client's half and waits until the server has ended its own, so
// that what the server does about it is done before the dialogue goes on.
func (t *netTransport) Close() error {
	if half, ok := t.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, t)
	}
	return t.conn.Close()
}
