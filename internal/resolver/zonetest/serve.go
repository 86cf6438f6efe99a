package zonetest

import (
	"net"
	"testing"

	"github.com/miekg/dns"
)

// Serve answers on a port of loopback, over UDP and TCP, until the test ends. It
// returns the address and port.
func (z *Zone) Serve(t testing.TB) string {
	t.Helper()
	udp, tcp := listen(t)
	for _, s := range []*dns.Server{{PacketConn: udp}, {Listener: tcp}} {
		s.Handler = dns.HandlerFunc(z.serve)
		s.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
		started, ended := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			if err := s.ActivateAndServe(); err != nil {
				t.Log(err)
			}
		}()
		<-started
		t.Cleanup(func() {
			_ = s.Shutdown()
			<-ended
		})
	}
	return udp.LocalAddr().String()
}

// listen takes one port for both.
func listen(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err == nil {
			return udp, tcp
		}
		_ = tcp.Close() // somebody else has the other half
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil, nil
}

func (z *Zone) serve(w dns.ResponseWriter, q *dns.Msg) {
	m := z.answer(q)
	if m == nil {
		return
	}
	size := dns.MaxMsgSize
	if _, ok := w.RemoteAddr().(*net.UDPAddr); ok {
		size = dns.MinMsgSize
	}
	if o := q.IsEdns0(); o != nil {
		m.SetEdns0(o.UDPSize(), o.Do())
		if size != dns.MaxMsgSize {
			size = int(o.UDPSize())
		}
	}
	m.Truncate(size)
	_ = w.WriteMsg(m)
}
