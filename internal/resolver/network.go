package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// udpSize is the largest answer that is asked for over UDP, in octets: one that
// no network on the way cuts into pieces.
const udpSize = 1232

// network is the Transport to real servers. Each query has a random ID and a
// source port of its own.
type network struct {
	servers []string
	timeout time.Duration
	tries   int
}

// Exchange asks one server after the other until one answers the question. When
// all of them have refused, the last refusal is the answer.
func (n *network) Exchange(ctx context.Context, query *dns.Msg) (*dns.Msg, error) {
	var last error
	for range n.tries {
		var refused *dns.Msg
		for _, server := range n.servers {
			m, err := n.ask(ctx, server, query)
			switch {
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case err != nil:
				last = err
			case m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError:
				return m, nil
			default:
				refused = m
			}
		}
		if refused != nil {
			return refused, nil
		}
	}
	return nil, last
}

// ask asks one server, over TCP when the answer is too long for UDP (RFC 7766 §5).
func (n *network) ask(ctx context.Context, server string, query *dns.Msg) (*dns.Msg, error) {
	query = query.Copy()
	query.Id = dns.Id()
	m, err := n.once(ctx, "udp", server, query)
	if err == nil && m.Truncated {
		m, err = n.once(ctx, "tcp", server, query)
	}
	if err != nil {
		return nil, err
	}
	at, err := netip.ParseAddrPort(server)
	m.AuthenticatedData = m.AuthenticatedData && err == nil && at.Addr().Unmap().IsLoopback()
	return m, nil
}

func (n *network) once(ctx context.Context, network, server string, query *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	client := &dns.Client{Net: network, UDPSize: udpSize, Timeout: n.timeout}
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, plainError(err)
	}
	defer conn.Close()
	// The library looks at the deadline only; this is for the end of the caller.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	m, _, err := client.ExchangeWithConnContext(ctx, query, conn)
	if err != nil {
		return nil, plainError(err)
	}
	if !belongs(m, query) || m.Id != query.Id {
		return nil, errors.New("the answer is to another question")
	}
	return m, nil
}

// plainError says a timeout in words.
func plainError(err error) error {
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		return errors.New("no DNS server answered in time")
	}
	return err
}
