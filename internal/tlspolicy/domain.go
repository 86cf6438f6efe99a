package tlspolicy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"strings"

	"postrider/internal/resolver"
)

// Kind is what a host's protection follows from.
type Kind string

// The kinds.
const (
	KindDANE          Kind = "dane"          // RFC 7672
	KindDANEUnusable  Kind = "dane-unusable" // TLSA records that nobody can use: TLS, unauthenticated
	KindSTS           Kind = "sts"           // RFC 8461, mode enforce
	KindSTSTesting    Kind = "sts-testing"   // RFC 8461, mode testing: nothing is enforced
	KindOpportunistic Kind = "opportunistic"
)

// Domain is what is known of one destination. It may be used from several
// goroutines, for as long as the answers of the DNS are good.
type Domain struct {
	p       *Policies
	name    string
	mx      resolver.MX
	policy  *STSPolicy // nil: none
	relaxed bool
}

// Domain finds out what protects the mail for a domain, the next hop. Mx is what
// the DNS says of it; of a route that the operator has set, Hosts are its host,
// and Authentic is true. The error is of kind fault.Transient: the policy may be
// in the store and can't be read, or ctx has ended, so that nothing should be sent
// now.
//
// It may wait for a web server, a minute at most, and no longer than ctx: those who
// want the same policy share a fetch, which goes on while one of them waits. Whatever
// nobody waits for has ended before it returns.
func (p *Policies) Domain(ctx context.Context, domain string, mx resolver.MX) (*Domain, error) {
	d := &Domain{p: p, name: domain, mx: mx}
	if isAddress(domain) {
		return d, nil
	}
	found, err := p.sts.find(ctx, domain)
	if err != nil {
		return nil, err
	}
	d.policy = found.policy
	if found.failure != "" {
		p.reporter.fetchFailed(domain, found)
	}
	return d, nil
}

// isAddress reports whether a destination or host is an address, with brackets or
// without: the DNS publishes nothing about it.
func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil || strings.HasPrefix(name, "[")
}

// Relaxed returns the destination as it is for mail that must arrive whatever
// is wrong with TLS: reports about TLS (RFC 8460 §3), and messages with the field
// TLS-Required: No (RFC 8689 §5). Nothing about it is reported.
func (d *Domain) Relaxed() *Domain {
	relaxed := *d
	relaxed.relaxed = true
	return &relaxed
}

// Host is how to talk to one host.
type Host struct {
	Name string
	Kind Kind
	// Skip, if not empty, says why the host can't be used now; it may be used later.
	// Nothing of a peer's is in it but names of hosts.
	Skip string
	// Unknown says, with Skip, that the DNS does not answer for it.
	Unknown bool
	// MustTLS says that nothing is sent without TLS. Without it the host is tried again
	// without TLS after a handshake that failed.
	MustTLS bool
	// Verified says that a handshake that succeeds proves who the host is, as
	// REQUIRETLS wants (RFC 8689 §4.2.1).
	Verified bool
	// Config is the client's; its VerifyConnection refuses what has to be refused.
	// Nil with Skip.
	Config *tls.Config

	roots   *x509.CertPool
	failure Failure  // why Skip
	records []string // TLSA, in words, for the report
}

// Host says how to talk to a host of the destination at a port.
func (d *Domain) Host(ctx context.Context, host string, addresses resolver.Addresses, port uint16) (Host, error) {
	h := Host{Name: host, roots: d.p.o.Roots}
	if d.relaxed {
		h.opportunistic()
		return h, ctx.Err()
	}
	if found := d.dane(ctx, &h, addresses, port); found {
		return h, ctx.Err()
	}
	if d.policy != nil && d.policy.Mode != ModeNone {
		d.bySTS(&h)
		return h, ctx.Err()
	}
	h.opportunistic()
	return h, ctx.Err()
}

// opportunistic is for a host of which nothing is asked: any TLS is better than
// none, also an old one, and if it can't be had the mail goes without.
func (h *Host) opportunistic() {
	h.Kind = KindOpportunistic
	h.Config = &tls.Config{
		ServerName: h.Name, InsecureSkipVerify: true, // nothing is known to verify it by
		MinVersion: tls.VersionTLS10,
	}
}

// bySTS applies the policy that the domain publishes (RFC 8461 §5).
func (d *Domain) bySTS(h *Host) {
	listed := d.policy.Matches(h.Name)
	if d.policy.Mode == ModeTesting {
		h.opportunistic()
		h.Kind = KindSTSTesting
		if !listed {
			h.failure = FailureValidation
		}
		return
	}
	h.Kind = KindSTS
	if !listed {
		h.Skip, h.failure = "the MTA-STS policy of "+d.name+" does not list it", FailureValidation
		return
	}
	h.MustTLS, h.Verified = true, true // RFC 8461 §4.2
	name, roots := h.Name, h.roots
	h.Config = &tls.Config{
		ServerName: h.Name, InsecureSkipVerify: true, // VerifyConnection does it, as Assess does
		MinVersion:       tls.VersionTLS12,
		VerifyConnection: func(s tls.ConnectionState) error { return verifyWeb(s, name, roots) },
	}
}

// Assess says whether the certificate of a connection would do for the host's
// name, for the log: nil if it would.
func (h *Host) Assess(s tls.ConnectionState) error {
	if h.Verified {
		return nil
	}
	return verifyWeb(s, h.Name, h.roots)
}
