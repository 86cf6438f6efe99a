package tlspolicy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"postrider/internal/resolver"
)

// fetchTimeout is for a request and all of its answer (RFC 8461 §3.3).
const fetchTimeout = time.Minute

// newHTTPClient returns a client that goes where our resolver says, to addresses
// that are allowed, verifies the certificate, and follows nobody elsewhere
// (RFC 8461 §3.3).
func newHTTPClient(o Options) *http.Client {
	return &http.Client{
		Timeout: fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return dialName(ctx, o, network, address)
			},
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			TLSHandshakeTimeout:    fetchTimeout,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}
}

// dialName connects to one of the addresses of a name.
func dialName(ctx context.Context, o Options, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	found, err := addressesOf(ctx, o.Resolver, host)
	if err != nil {
		return nil, err
	}
	last := errors.New("its addresses are none of the internet's")
	for _, a := range found {
		if !o.AllowAddress(a) {
			continue
		}
		conn, err := o.Dial(ctx, network, net.JoinHostPort(a.String(), port))
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, last
}

func addressesOf(ctx context.Context, r *resolver.Resolver, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	a, err := r.Addresses(ctx, host)
	return slices.Concat(a.IPv6, a.IPv4), err
}
