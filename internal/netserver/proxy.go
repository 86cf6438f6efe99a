package netserver

import (
	"bufio"
	"errors"
	"net/netip"
	"os"
	"time"

	"github.com/pires/go-proxyproto"

	"postrider/internal/netconn"
)

// headerBuffer is the size of the buffer for a PROXY header in octets; what
// follows the header in it has to fit into the connection's own.
const headerBuffer = 256

var errNotTCP = errors.New("not about TCP")

// readHeader takes the PROXY header from a peer that must send one, and learns
// from it whom the peer speaks for.
func (c *conn) readHeader() error {
	if !contains(c.l.ProxyFrom, c.info.Remote.Addr()) {
		return nil
	}
	now := time.Now()
	if err := c.beginRead(inSetup, now, now.Add(headerWait)); err != nil {
		return err
	}
	r := bufio.NewReaderSize(c.nc, headerBuffer)
	header, err := proxyproto.Read(r)
	c.endWait()
	if err == nil {
		err = c.believe(header)
	}
	if err != nil {
		return c.headerFailed(err)
	}
	c.in.ready(smallSize)
	rest, _ := r.Peek(r.Buffered()) // never fails: it is there
	c.in.w = copy(c.in.b, rest)
	c.octetsIn += int64(len(rest))
	return nil
}

// believe takes the addresses of a header. One that is about the proxy itself
// (LOCAL, UNKNOWN: a health check) changes nothing.
func (c *conn) believe(h *proxyproto.Header) error {
	if h.Command == proxyproto.LOCAL {
		return nil
	}
	remote, local, ok := h.TCPAddrs()
	if !ok {
		return errNotTCP
	}
	c.info.Remote, c.info.Local = netconn.AddrPort(remote), netconn.AddrPort(local)
	return nil
}

// headerFailed counts and words a failure, unless the connection had to go for
// another reason.
func (c *conn) headerFailed(err error) error {
	if c.toldToLeave() || c.srv.stopping.Load() {
		return errInterrupted
	}
	why := reason(err)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.l.metrics.timeouts.Inc()
		why = "timeout"
	}
	c.l.metrics.refused[badHeader].Inc()
	c.srv.log.Warn("no valid PROXY header", "conn", c.info.ID, "listener", c.l.Name,
		"remote", c.info.Remote, "error", why)
	return errors.New("PROXY header: " + why)
}

// contains reports whether one of the prefixes has the address.
func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	a = a.WithZone("")
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
