package tlspolicy

import (
	"context"
	"io"
	"net/netip"
	"sync"
	"time"

	"postrider/internal/mail"
)

// Reporting is how results are reported (RFC 8460).
type Reporting struct {
	// Organization is who reports, Contact an address of a person there. Without
	// Organization nothing is counted or reported.
	Organization string
	Contact      mail.Address
	// Hostname is this server's name, the submitter.
	Hostname string
	// Send queues a report as mail of the server's own; nil: none is sent as mail.
	Send func(ctx context.Context, m ReportMail) error
}

// ReportMail is a report that goes out as mail, from Reporting.Contact. It is to
// be delivered whatever is wrong with the TLS of its destination (RFC 8460 §3; see
// Domain.Relaxed); its header has TLS-Required: No (RFC 8689 §5).
type ReportMail struct {
	To mail.Address
	// Write writes the message with CRLF, in ASCII. It may be called again.
	Write func(w io.Writer) error
}

// Outcome is what became of TLS in one session with a host.
type Outcome struct {
	// Failure, or empty: TLS was set up. Classify has that of an error.
	Failure Failure
	// Trust is what Host.Assess said of the certificate. It matters where a policy
	// is only tested.
	Trust error
	// SendingIP and ReceivingIP are the ends of the connection. Helo is what the host
	// called itself, made safe to show.
	SendingIP, ReceivingIP netip.Addr
	Helo                   string
}

// Limits of what is counted.
const (
	maxReportDomains = 5000 // domains with results that wait to be written, in memory
	maxReportRecords = 2000 // reports that are kept, a domain and day each
	maxDetails       = 100  // kinds of failures of one domain and policy in a day
	maxReportBlocks  = 20   // policies of one domain in a day
)

// reporter counts results, and reports them.
type reporter struct {
	o Options

	mu      sync.Mutex
	pending map[reportKey]*results // not yet written
	silent  map[string]time.Time   // domains that ask for no report, until when
}

// reportKey names a report: a domain and a UTC day, as 2006-01-02.
type reportKey struct{ day, domain string }

func newReporter(o Options) *reporter {
	return &reporter{o: o, pending: map[reportKey]*results{}, silent: map[string]time.Time{}}
}

// Report counts what became of TLS in a session with a host, also of one with
// Skip. It does not wait.
func (d *Domain) Report(h Host, o Outcome) {
	if d.relaxed {
		return
	}
	failure := o.Failure
	switch {
	case h.failure != "":
		failure = h.failure
	case failure == "" && h.Kind == KindSTSTesting && o.Trust != nil:
		failure = Classify(o.Trust)
	}
	d.p.reporter.count(d.name, d.describe(h), detailOf(h, o, failure))
}

// describe says which policy a result is about (RFC 8460 §4.2).
func (d *Domain) describe(h Host) policyBlock {
	b := policyBlock{Type: "no-policy-found", Domain: d.name}
	switch h.Kind {
	case KindDANE, KindDANEUnusable:
		b.Type, b.String, b.Hosts = "tlsa", h.records, []string{h.Name}
	case KindSTS, KindSTSTesting:
		lines := d.policy.lines()
		b.Type, b.String = "sts", lines[:min(len(lines), maxPolicyStrings)]
		b.Hosts = d.policy.MX[:min(len(d.policy.MX), maxPolicyStrings)]
	}
	return b
}

// detailOf makes what is said of one session; its type is empty for a success.
func detailOf(h Host, o Outcome, f Failure) detail {
	if f == "" {
		return detail{}
	}
	return detail{
		Type: f, Sending: address(o.SendingIP), Receiving: address(o.ReceivingIP),
		Host: h.Name, Helo: short(o.Helo),
	}
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

// short keeps printable ASCII, and of it as much as a name may have.
func short(s string) string {
	b := make([]byte, 0, min(len(s), mail.MaxDomain))
	for i := 0; i < len(s) && len(b) < mail.MaxDomain; i++ {
		if ' ' <= s[i] && s[i] <= '~' {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// fetchFailed counts that a domain's policy of MTA-STS could not be had.
func (r *reporter) fetchFailed(domain string, f stsFound) {
	b := policyBlock{Type: "sts", Domain: domain}
	if f.policy != nil {
		b.String = f.policy.lines()
		b.String = b.String[:min(len(b.String), maxPolicyStrings)]
		b.Hosts = f.policy.MX[:min(len(f.policy.MX), maxPolicyStrings)]
	}
	r.count(domain, b, detail{Type: f.failure})
}

// count adds one session.
func (r *reporter) count(domain string, b policyBlock, d detail) {
	if r.o.Reporting.Organization == "" {
		return
	}
	now := time.Now()
	key := reportKey{now.UTC().Format(time.DateOnly), domain}
	r.mu.Lock()
	defer r.mu.Unlock()
	if until, ok := r.silent[domain]; ok && now.Before(until) {
		return
	}
	all := r.pending[key]
	if all == nil {
		if len(r.pending) >= maxReportDomains {
			return
		}
		all = &results{}
		r.pending[key] = all
	}
	all.add(b, d, 1)
}
