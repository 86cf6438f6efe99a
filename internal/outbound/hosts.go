package outbound

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/resolver"
	"postrider/internal/tlspolicy"
)

// target is one address of one host of a hop.
type target struct {
	host    string // its name, or its address
	address netip.AddrPort
	policy  tlspolicy.Host
	names   []string          // those of which the operator wants one proven, if any
	domain  *tlspolicy.Domain // nil: nothing to report to
}

// String returns the host as it is named to people.
func (t *target) String() string {
	ip := t.address.Addr().String()
	if t.host == ip || t.host == "" {
		return "[" + ip + "]"
	}
	return t.host + " [" + ip + "]"
}

// where returns the host with its port, if that is not the one of mail.
func (t *target) where() string {
	if p := t.address.Port(); p != smtpPort {
		return fmt.Sprintf("%s, port %d", t, p)
	}
	return t.String()
}

// smtpPort is where hosts take mail from other hosts (RFC 5321 §4.5.4.2).
const smtpPort = 25

// way is how the mail of a hop gets to its hosts.
type way struct {
	d       *Deliverer
	route   *Route
	hosts   []mailHost
	byDNS   bool                // the hosts were found in the DNS, and not named by the operator
	relaxed bool                // it is to arrive whatever is wrong with TLS
	known   map[string]lookedUp // hosts that were looked up
}

// lookedUp is what the DNS has said of a host.
type lookedUp struct {
	addresses resolver.Addresses
	err       error
}

// mailHost is a host, and what led to it.
type mailHost struct {
	HostPort
	*origin
	preference uint16 // of its MX record
}

// origin is what led to some hosts.
type origin struct {
	domain *tlspolicy.Domain // nil: nothing is known
	// trusted says that who the hosts are is known for certain: the operator has named
	// them, or DNSSEC vouches for them.
	trusted  bool
	mailFor  string // the domain whose mail it is, if the hosts were found in the DNS
	implicit bool   // the domain has no MX record, and is its own host
}

// way finds the hosts of a hop. A failure that is final is about this domain.
func (d *Deliverer) way(ctx context.Context, h *hop, domain string) (*way, *failure) {
	w := &way{d: d, route: h.route, relaxed: h.relaxed}
	if len(h.route.Hosts) > 0 && !h.route.MX {
		from := &origin{trusted: true}
		for _, host := range h.route.Hosts {
			w.add(host.Host, host.Port, from)
		}
		return w, w.policies(ctx, from, h.route.Hosts[0].Host, resolver.MX{Authentic: true})
	}
	w.byDNS = true
	if literal, ok := strings.CutPrefix(domain, "["); ok && len(h.route.Hosts) == 0 {
		from := &origin{}
		w.add(strings.TrimPrefix(strings.TrimSuffix(literal, "]"), "IPv6:"), 0, from)
		return w, w.policies(ctx, from, domain, resolver.MX{})
	}
	if len(h.route.Hosts) == 0 {
		if f := w.lookUp(ctx, domain, 0); f != nil {
			return nil, f
		}
		return w, nil
	}
	var last *failure
	for _, name := range h.route.Hosts {
		if f := w.lookUp(ctx, name.Host, name.Port); f != nil {
			last = w.ofRoute(f)
		}
	}
	if len(w.hosts) == 0 {
		return nil, last
	}
	return w, nil
}

// ofRoute returns a failure as it counts for a route whose hosts the operator has
// named: what is wrong with them is nothing that a sender could mend, or that should
// cost a message.
func (w *way) ofRoute(f *failure) *failure {
	if f.kind != failed {
		return f
	}
	w.d.log.Error("a route's host can't be used: look at the settings", "route", w.route.Name, "error", f.text)
	o := failing("4.3.5", "the route "+w.route.Name+" of this server leads nowhere: "+f.text)
	return &o
}

func (w *way) add(host string, port uint16, from *origin) {
	if port == 0 {
		port = w.route.Port
	}
	if port == 0 {
		port = w.d.o.Port
	}
	w.hosts = append(w.hosts, mailHost{HostPort: HostPort{host, port}, origin: from})
}

// lookUp adds the exchangers of a domain.
func (w *way) lookUp(ctx context.Context, domain string, port uint16) *failure {
	mx, err := w.d.o.Resolver.MX(ctx, domain)
	switch {
	case fault.Is(err, fault.NotFound):
		f := final("5.1.2", "there is no domain "+domain)
		return &f
	case err != nil:
		w.d.log.Info("a domain can't be looked up now", "domain", domain, "error", err)
		f := failing(statusNoDNS, "the mail hosts of "+domain+" could not be looked up in the DNS")
		return &f
	case mx.Null: // RFC 7505 §4.2
		f := final("5.1.10", domain+" says that it takes no mail")
		return &f
	}
	hosts, self := w.before(mx.Hosts)
	if len(hosts) == 0 && self {
		return leadsHere(domain)
	}
	from := &origin{implicit: mx.Implicit, trusted: mx.Authentic, mailFor: domain}
	if f := w.policies(ctx, from, domain, mx); f != nil {
		return f
	}
	for _, host := range hosts {
		w.add(host.Name, port, from)
		w.hosts[len(w.hosts)-1].preference = host.Preference
	}
	return nil
}

// policies finds what holds for the hosts that a domain has led to.
func (w *way) policies(ctx context.Context, from *origin, domain string, mx resolver.MX) *failure {
	if w.d.o.Policies == nil || w.route.TLS != TLSAsPublished || w.route.Implicit {
		return nil
	}
	p, err := w.d.o.Policies.Domain(ctx, domain, mx)
	if err != nil {
		w.d.log.Info("how mail to a domain has to be protected can't be known now", "domain", domain, "error", err)
		f := failing("4.7.5", "how mail to "+domain+" has to be protected could not be found out")
		return &f
	}
	if w.relaxed {
		p = p.Relaxed()
	}
	from.domain = p
	return nil
}

var errPrivate = errors.New("its address is private or this machine's own, and mail found by the DNS does not go there")

// targets returns the addresses of the hosts in the order in which they are tried,
// and for a host that can't be, why.
func (w *way) targets(ctx context.Context) iter.Seq2[*target, *failure] {
	return func(yield func(*target, *failure) bool) {
		var behindUs *origin // whose hosts that are left are
		for i, host := range w.hosts {
			if host.origin == behindUs {
				continue
			}
			ts, f := w.unlessUs(ctx, i)
			if f != nil && w.byDNS && f.status == selfStatus {
				behindUs = host.origin
				if i > 0 && w.hosts[i-1].origin == host.origin {
					continue // those before us will take it
				}
			}
			if f != nil {
				if len(w.route.Hosts) > 0 {
					f = w.ofRoute(f)
				}
				f.host = host.Host
				if !yield(nil, f) {
					return
				}
			}
			for _, t := range ts {
				if !yield(t, nil) {
					return
				}
			}
		}
	}
}

// ofHost returns the addresses of one host.
func (w *way) ofHost(ctx context.Context, host mailHost) ([]*target, *failure) {
	found, err := w.addresses(ctx, host.Host)
	if err != nil {
		return nil, host.noAddress(err)
	}
	var policy tlspolicy.Host
	if host.domain != nil {
		policy, err = host.domain.Host(ctx, host.Host, found, host.Port)
		if err != nil {
			w.d.log.Info("how a host has to be spoken to can't be known now", "host", host.Host, "error", err)
			f := failing("4.7.5", "how "+host.Host+" has to be spoken to could not be found out in the DNS")
			return nil, &f
		}
		if policy.Skip != "" {
			host.domain.Report(policy, tlspolicy.Outcome{})
			f := failing("4.7.5", host.Host+" can't be used: "+policy.Skip)
			if policy.Unknown {
				f.status = statusNoDNS
			}
			return nil, &f
		}
	}
	var all []*target
	why := ""
	for _, ip := range w.ordered(found) {
		t := &target{host: host.Host, address: netip.AddrPortFrom(ip, host.Port), policy: policy, domain: host.domain, names: host.names()}
		switch {
		case w.isUs(t.address):
			f := final(selfStatus, "mail can't be sent to "+host.Host+": it is this server")
			return nil, &f
		case w.byDNS && !w.d.o.AllowPrivate && !resolver.IsPublic(ip):
			why = errPrivate.Error()
		default:
			all = append(all, t)
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	f := final("5.4.4", "mail can't be sent to "+host.Host+": "+why)
	return nil, &f
}

// names returns those of which a host's certificate has to have one where the
// operator wants it verified. A name that anybody may have put into the DNS proves
// nothing: then it is the domain's own, or one below it.
func (h *mailHost) names() []string {
	if h.trusted || h.mailFor == "" {
		return []string{h.Host}
	}
	names := []string{h.mailFor}
	if strings.HasSuffix(h.Host, "."+h.mailFor) {
		names = append(names, h.Host)
	}
	return names
}

// addresses returns those of a host; the DNS is asked once.
func (w *way) addresses(ctx context.Context, host string) (resolver.Addresses, error) {
	got, ok := w.known[host]
	if !ok {
		got.addresses, got.err = w.ask(ctx, host)
		w.note(host, got)
	}
	return got.addresses, got.err
}

func (w *way) note(host string, got lookedUp) {
	if w.known == nil {
		w.known = map[string]lookedUp{}
	}
	w.known[host] = got
}

// ask finds the addresses of a host, which may be an address itself. What an operator
// calls localhost is this machine, whatever a resolver says (RFC 6761 §6.3).
func (w *way) ask(ctx context.Context, host string) (resolver.Addresses, error) {
	if !w.byDNS && strings.EqualFold(host, "localhost") {
		return localhost, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Is4() {
			return resolver.Addresses{IPv4: []netip.Addr{ip}, Canonical: host}, nil
		}
		return resolver.Addresses{IPv6: []netip.Addr{ip}, Canonical: host}, nil
	}
	return w.d.o.Resolver.Addresses(ctx, host)
}

var localhost = resolver.Addresses{
	IPv4: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, IPv6: []netip.Addr{netip.IPv6Loopback()}, Canonical: "localhost",
}

// ordered returns addresses of both families in turns, the preferred one first: an
// attempt tries maxTries of them, and a whole family may be out of reach.
func (w *way) ordered(a resolver.Addresses) []netip.Addr {
	first, second := a.IPv6, a.IPv4
	if w.d.o.PreferIPv4 {
		first, second = second, first
	}
	all := make([]netip.Addr, 0, len(first)+len(second))
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			all = append(all, first[i])
		}
		if i < len(second) {
			all = append(all, second[i])
		}
	}
	return all
}

// statusNoDNS is for what could not be looked up (RFC 3463 §3.5, X.4.3).
const statusNoDNS = "4.4.3"

// noAddress says what it means that a host has no address. That of a domain
// without any record for mail is final; that of a host which the DNS or the
// operator names is a mistake that somebody will mend.
func (h *mailHost) noAddress(err error) *failure {
	f := failing(statusNoDNS, "the address of "+h.Host+" could not be looked up in the DNS")
	switch {
	case !fault.Is(err, fault.NotFound):
	case h.implicit:
		f = final("5.1.2", h.Host+" has neither a mail host nor an address in the DNS")
	default:
		f = failing("4.4.4", "the mail host "+h.Host+" has no address in the DNS")
	}
	return &f
}

// source returns the address to send from; invalid: the system's choice.
func (w *way) source(remote netip.Addr) netip.Addr {
	four, six := w.route.Source4, w.route.Source6
	if !four.IsValid() {
		four = w.d.o.Source4
	}
	if !six.IsValid() {
		six = w.d.o.Source6
	}
	if remote.Unmap().Is4() {
		return four
	}
	return six
}
