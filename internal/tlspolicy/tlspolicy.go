// Package tlspolicy decides how a delivery to another host is protected, and
// tells the domains that want to know what came of it.
//
// What counts is what the destination publishes: DANE (RFC 7672), which wins, then
// MTA-STS (RFC 8461). Where there is neither, TLS is used if it can be had. What was
// found is counted, and reported daily to those who ask for it (TLS-RPT, RFC 8460).
package tlspolicy

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"postrider/internal/resolver"
	"postrider/internal/store"
)

// Options are a Policies'. Resolver and Records are needed.
type Options struct {
	Resolver *resolver.Resolver
	// Records keep the policies of MTA-STS (below mta-sts/) and the results that are
	// to be reported (below tlsrpt/).
	Records store.Records
	// Roots are the authorities that are trusted; nil: the system's.
	Roots *x509.CertPool
	// Dial connects to an address and port for HTTPS; nil: net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// AllowAddress says which addresses HTTPS may go to; nil: those that are public.
	AllowAddress func(netip.Addr) bool
	// Reporting are the daily reports. The zero value makes none.
	Reporting Reporting
	Log       *slog.Logger // nil: slog.Default
}

// Policies knows what protection deliveries need. It may be used from several
// goroutines.
type Policies struct {
	o        Options
	sts      *stsCache
	reporter *reporter
}

// New returns the policies.
func New(o Options) *Policies {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.AllowAddress == nil {
		o.AllowAddress = resolver.IsPublic // nobody may send us to our own machine or network by a name
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 30 * time.Second}).DialContext
	}
	return &Policies{o: o, sts: newSTSCache(o), reporter: newReporter(o)}
}
