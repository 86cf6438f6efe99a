// Package netconn is what the two drivers do alike with a connection: they gather
// what is sent, name its ends, and say how it ended.
package netconn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
)

// AddrPort returns a TCP address without the disguise of an IPv4 address as IPv6;
// the zero AddrPort for other networks.
func AddrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// IsClosed reports whether the peer has closed the connection, with or without
// TLS's close_notify.
func IsClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe)
}

// PanicText returns what a panic says of itself if the runtime said it, and only
// the type of its value otherwise: the value could hold content of the connection.
func PanicText(v any) string {
	if err, ok := v.(interface {
		error
		RuntimeError()
	}); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", v)
}
