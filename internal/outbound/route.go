package outbound

import (
	"crypto/x509"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"postrider/internal/mail"
	"postrider/internal/smtp"
	"postrider/internal/store"
)

// Route is a way that some mail goes.
type Route struct {
	// Name stands in logs, and in HopStatus.Hop.
	Name string
	// Domains, Senders and Accounts say which mail takes it; an empty list is all.
	// Domains are names, ".name" for all below, or "*". Senders are reverse-paths,
	// "@domain", or "<>". Accounts are their addresses.
	Domains, Senders, Accounts []string
	// Hosts take the mail, tried in their order; none: those that the DNS names as
	// the domain's (MX). A host is a name or an address, with a port; zero is the
	// route's Port, zero again Options.Port.
	Hosts []HostPort
	Port  uint16
	// MX looks Hosts up as domains, by MX.
	MX bool
	// TLS is what the operator wants of the way, beside what the hosts publish.
	TLS TLSRule
	// Implicit begins with TLS at once (port 465).
	Implicit bool
	// Roots are who may vouch for the hosts where TLS verifies them; nil: those of the
	// system.
	Roots *x509.CertPool
	Login *smtp.ClientLogin
	// Source4 and Source6 are as in Options.
	Source4, Source6 netip.Addr
	// Keep holds the mail in the queue until it is asked for (ATRN, ETRN) or its lifetime
	// is over.
	Keep bool
	Why  string // of Keep, for people
}

// HostPort is where a host takes mail.
type HostPort struct {
	Host string // a canonical name, or an address
	Port uint16
}

// String returns host:port; an IPv6 address has brackets.
func (h HostPort) String() string {
	host := h.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(h.Port))
}

// TLSRule is what an operator wants of a way.
type TLSRule uint8

// The rules.
const (
	TLSAsPublished TLSRule = iota // DANE, MTA-STS, else if it is offered
	TLSEncrypt                    // not without TLS, whoever the host is
	TLSVerify                     // not without TLS to a host whose certificate says its name
	TLSOff                        // none
)

// distinct returns routes that have names of their own: hops are known by them.
func distinct(routes []Route) []Route {
	routes = slices.Clone(routes)
	seen := map[string]bool{}
	for i := range routes {
		name := routes[i].Name
		for n := 2; seen[routes[i].Name]; n++ {
			routes[i].Name = name + " (" + strconv.Itoa(n) + ")"
		}
		seen[routes[i].Name] = true
	}
	return routes
}

// byMX is the way of mail that no route takes.
var byMX = Route{Name: "mx"}

// routeOf returns the way of a message to a domain. Routes that keep mail don't count
// for one whose hosts have called.
func (o *Options) routeOf(m *store.QueuedMessage, domain string, called bool) *Route {
	for i := range o.Routes {
		r := &o.Routes[i]
		if r.takes(m, domain) && !(called && r.Keep) {
			return r
		}
	}
	return &byMX
}

func (r *Route) takes(m *store.QueuedMessage, domain string) bool {
	if len(r.Domains) > 0 && !fitsAny(r.Domains, domain) {
		return false
	}
	if len(r.Senders) > 0 && !sentBy(r.Senders, m.Envelope.From) {
		return false
	}
	if len(r.Accounts) == 0 {
		return true
	}
	if m.Warrant.Kind() != store.AccountSends {
		return false
	}
	for _, a := range r.Accounts {
		if strings.EqualFold(a, m.Warrant.Name()) {
			return true
		}
	}
	return false
}

// sentBy reports whether a reverse-path is in a list.
func sentBy(list []string, from mail.Address) bool {
	for _, s := range list {
		switch {
		case s == "<>":
			if from.IsZero() {
				return true
			}
		case strings.HasPrefix(s, "@"):
			if s[1:] == from.Domain {
				return true
			}
		case !from.IsZero() && s == from.Key():
			return true
		}
	}
	return false
}

// hopKey names the hosts that a route leads a message to, and how they have to be
// spoken to. Mail with the same key may share a connection.
func (r *Route) hopKey(m *store.QueuedMessage, domain string) string {
	key := domain
	switch {
	case len(r.Hosts) > 0:
		key = "route " + r.Name
	case r != &byMX:
		key += " by " + r.Name
	}
	switch {
	case requiresTLS(m):
		key += " requiretls"
	case relaxed(m):
		key += " relaxed"
	}
	return key
}

// TLSReport is the Warrant's name of reports about TLS, which arrive whatever is
// wrong with it (RFC 8460 §3).
const TLSReport = "TLS report"

// requiresTLS reports whether a message may go only where TLS is proven. One with the
// null reverse-path is not lost for that (RFC 8689 §5).
func requiresTLS(m *store.QueuedMessage) bool {
	return m.Envelope.RequireTLS && !m.Envelope.From.IsZero()
}

// relaxed reports whether a message is to arrive whatever is wrong with TLS.
func relaxed(m *store.QueuedMessage) bool {
	return m.Envelope.TLSOptional || m.Warrant.Kind() == store.ServerSends && m.Warrant.Name() == TLSReport
}

// verifies reports whether the operator wants the hosts' names proven.
func (r *Route) verifies() bool { return r.TLS == TLSVerify || r.Implicit }
