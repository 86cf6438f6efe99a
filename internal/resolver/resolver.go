// Package resolver asks the DNS: where a domain's mail goes, which addresses a
// host has, and what is published about its certificates.
//
// An answer is authentic when a validating server vouches for it (its AD bit).
// The bit says nothing unless the way to that server is safe, so it is believed
// only of servers on loopback, and only if Options.Validating says so.
//
// Errors are of kind fault.NotFound when the name, or what was asked of it, is
// not there; fault.Transient when that can't be known now, or when the zone is
// broken (a CNAME loop, a mail exchanger without a name): its owner will want to
// put that right, and mail waits for it until it expires; fault.Invalid for a
// name that can't be asked for.
package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/fault"
	"postrider/internal/mail"
)

// Limits.
const (
	maxAliases   = 8               // CNAMEs that are followed
	maxFresh     = 5 * time.Minute // for which an answer is kept
	maxMissing   = time.Minute     // for which it is known that something isn't there
	maxAddresses = 32              // of a host, for each family
	maxTLSA      = 64              // TLSA records of a host
)

// errServerFailed is in the chain of an error when a server answered SERVFAIL,
// which is also what a validating server answers to what is forged (RFC 4035 §5.5).
var errServerFailed = errors.New("the DNS server answered SERVFAIL")

// Transport carries one query to a server, and its answer back. The answer
// belongs to the caller.
type Transport interface {
	Exchange(ctx context.Context, query *dns.Msg) (*dns.Msg, error)
}

// Options are a resolver's. Zero values mean the defaults.
type Options struct {
	// Servers are recursive servers as address and port, asked in this order.
	// SystemServers has those of the system.
	Servers []string
	// Timeout is for one question to one server (default 3 s), and Tries how often
	// all servers are asked (default 2).
	Timeout time.Duration
	Tries   int
	// Validating says that the servers validate DNSSEC and that their AD bit is to
	// be believed. All of them have to be on loopback then.
	Validating bool
	// Concurrent is how many queries may be under way at once (default 100). Others
	// wait.
	Concurrent int
	// CacheOctets bounds the answers that are kept, in octets of their wire form
	// (default 8 MiB).
	CacheOctets int
	// Transport, if not nil, is asked in place of Servers.
	Transport Transport
}

// Resolver asks. It may be used from several goroutines.
type Resolver struct {
	transport  Transport
	validating bool
	free       chan struct{}
	cache      *cache
}

// New returns a resolver. The error is of kind fault.Invalid.
func New(o Options) (*Resolver, error) {
	r := &Resolver{
		transport: o.Transport, validating: o.Validating,
		free:  make(chan struct{}, orDefault(o.Concurrent, 100)),
		cache: newCache(orDefault(o.CacheOctets, 8<<20)),
	}
	if o.Transport != nil {
		return r, nil
	}
	if err := checkServers(o); err != nil {
		return nil, err
	}
	r.transport = &network{
		servers: o.Servers,
		timeout: time.Duration(orDefault(int(o.Timeout), int(3*time.Second))),
		tries:   orDefault(o.Tries, 2),
	}
	return r, nil
}

func orDefault(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

func checkServers(o Options) error {
	const op = "set the resolver up"
	if len(o.Servers) == 0 {
		return fault.Newf(fault.Invalid, op, "no DNS server is named")
	}
	for _, s := range o.Servers {
		at, err := netip.ParseAddrPort(s)
		if err != nil {
			return fault.Newf(fault.Invalid, op, "DNS server %q is not an address and a port", s)
		}
		if o.Validating && !at.Addr().Unmap().IsLoopback() {
			return fault.Newf(fault.Invalid, op, "DNS server %s is not on loopback: nobody can believe what it says of DNSSEC", s)
		}
	}
	return nil
}

// SystemServers reads the servers from a file in the form of resolv.conf(5).
func SystemServers(file string) ([]string, error) {
	c, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fault.New(fault.Invalid, "read the system's DNS servers", err)
	}
	var all []string
	for _, s := range c.Servers {
		all = append(all, net.JoinHostPort(s, c.Port))
	}
	return all, nil
}

// Validating reports whether answers can be authentic at all.
func (r *Resolver) Validating() bool { return r.validating }

// Lookup returns the records of one type that a name has, aliases followed, and
// whether the answer is authentic, which means something for NotFound too. The
// records may be shared: nobody changes them.
func (r *Resolver) Lookup(ctx context.Context, name string, kind uint16) (records []dns.RR, authentic bool, err error) {
	a, err := r.lookup(ctx, name, kind)
	if err != nil {
		return nil, false, err
	}
	if len(a.records) == 0 {
		return nil, a.authentic, a.notFound(name, kind)
	}
	return a.records, a.authentic, nil
}

// lookup is Lookup with all there is to say about the answer. That there is
// nothing is no error.
func (r *Resolver) lookup(ctx context.Context, name string, kind uint16) (answer, error) {
	canonical, err := mail.ParseDomain(name)
	if err != nil || strings.HasPrefix(canonical, "[") {
		return answer{}, fault.Newf(fault.Invalid, "look up "+typeName(kind), "%q is not a name", name)
	}
	key := key{canonical, kind}
	if a, ok := r.cache.get(key); ok {
		return a, nil
	}
	a, err := r.follow(ctx, canonical, kind)
	if err != nil {
		return answer{}, fault.Wrap(operation(canonical, kind), err)
	}
	r.cache.put(key, a)
	return a, nil
}

// ask puts one question, when its turn has come.
func (r *Resolver) ask(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	select {
	case r.free <- struct{}{}:
		defer func() { <-r.free }()
	case <-ctx.Done():
		return nil, fault.New(fault.Transient, "wait for other DNS queries", ctx.Err())
	}
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), kind)
	q.SetEdns0(udpSize, r.validating)
	q.AuthenticatedData = r.validating // RFC 6840 §5.7
	m, err := r.transport.Exchange(ctx, q)
	if err != nil {
		return nil, fault.New(fault.Transient, "ask the DNS", err)
	}
	if !belongs(m, q) {
		return nil, fault.Newf(fault.Transient, "ask the DNS", "the answer is to another question")
	}
	switch m.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
		return m, nil
	case dns.RcodeServerFailure:
		return nil, fault.New(fault.Transient, "ask the DNS", errServerFailed)
	}
	return nil, fault.Newf(fault.Transient, "ask the DNS", "the DNS server answered %s", rcodeName(m.Rcode))
}

// belongs reports whether m answers q's question.
func belongs(m, q *dns.Msg) bool {
	if !m.Response || m.Opcode != dns.OpcodeQuery || len(m.Question) != 1 {
		return false
	}
	a, b := m.Question[0], q.Question[0]
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}

func operation(name string, kind uint16) string { return "look up " + typeName(kind) + " of " + name }

func typeName(kind uint16) string { return dns.Type(kind).String() }

func rcodeName(rcode int) string {
	if s, ok := dns.RcodeToString[rcode]; ok {
		return s
	}
	return "an error that nobody knows"
}
