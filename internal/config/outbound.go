package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"postrider/internal/mail"
)

// Outbound says how mail is sent to other hosts.
type Outbound struct {
	Accept       bool     `toml:"accept" doc:"Take mail for other hosts, from those who may send it: accounts, the hosts of [[relay]], and aliases that lead elsewhere. With false, all of it is refused."`
	Enabled      bool     `toml:"enabled" doc:"Send what is in the queue. With false, mail for other hosts is still taken from those who may send, and waits."`
	TLSReports   bool     `toml:"tls_reports" doc:"Count how TLS to other hosts went, and send the domains that ask for it (TLS-RPT, RFC 8460) a report each day, from the postmaster."`
	Connections  int      `toml:"connections" min:"1" max:"10000" doc:"Connections to other hosts at a time, in all. Every destination gets its turn."`
	PreferIPv4   bool     `toml:"prefer_ipv4" doc:"Try a host's IPv4 addresses before its IPv6 addresses."`
	Source4      string   `toml:"source_ipv4" example:"192.0.2.25" doc:"The IPv4 address to send from. Empty: the system's choice."`
	Source6      string   `toml:"source_ipv6" example:"2001:db8::25" doc:"The IPv6 address to send from. Empty: the system's choice."`
	AllowPrivate bool     `toml:"allow_private" doc:"Let mail whose host is found in the DNS, and requests for MTA-STS policies, go to loopback, private and link-local addresses, which a domain could name to make the server talk to machines behind it. Routes may name such hosts in any case."`
	MaxReturn    Size     `toml:"max_return" min:"1KiB" max:"50MiB" doc:"The largest message that a notification of failure brings back whole; of larger ones it brings the header."`
	Connect      Duration `toml:"connect_timeout" min:"1s" max:"5m" doc:"How long a connection may take to come about."`
	Idle         Duration `toml:"idle" max:"5m" doc:"How long a connection waits for another message for its host. It takes a place there meanwhile."`
	Command      Duration `toml:"command_timeout" min:"1s" max:"1h" doc:"How long a host may take for its greeting and for an answer to a command (RFC 5321 §4.5.3.2: five minutes)."`
	Block        Duration `toml:"data_timeout" min:"1s" max:"1h" doc:"How long one part of a message may take to be sent (RFC 5321 §4.5.3.2.5: three minutes)."`
	End          Duration `toml:"end_timeout" min:"1s" max:"1h" doc:"How long a host may take to answer the end of a message (RFC 5321 §4.5.3.2.6: ten minutes). What comes later may come twice."`
	Terms
}

// Terms are how a destination is treated. In a [[destination]], what is not
// written is as in [outbound].
type Terms struct {
	PerDestination        int      `toml:"connections_per_destination" example:"5" min:"1" max:"1000" doc:"Connections at a time to the hosts of one destination. They begin with a few, and grow with success."`
	MessagesPerConnection int      `toml:"messages_per_connection" example:"20" min:"1" max:"100000" doc:"Messages on one connection."`
	RecipientsPerMessage  int      `toml:"recipients_per_message" example:"50" min:"1" max:"10000" doc:"Recipients of one message in one transaction."`
	MessagesPerMinute     int      `toml:"messages_per_minute" example:"60" min:"1" off:"-1" doc:"The rate of one destination. -1: no limit."`
	RetryFirst            Duration `toml:"retry_first" example:"1m" min:"1s" max:"1d" doc:"How long after the first attempt that failed the second is made. The pause doubles with each attempt, and is moved a little at random."`
	RetryMax              Duration `toml:"retry_max" example:"1h" min:"1s" max:"7d" doc:"The longest pause."`
	Lifetime              Duration `toml:"lifetime" example:"2d" min:"1s" max:"60d" doc:"How long a message is tried; then its sender is told that it could not be delivered (RFC 5321 §4.5.4.1: four to five days)."`
	BounceLifetime        Duration `toml:"bounce_lifetime" example:"1d" min:"1s" max:"60d" doc:"The same for notifications."`
	DelayNotice           Duration `toml:"delay_notice" example:"2h" max:"60d" doc:"When a sender is told that a message is late. 0s in [outbound]: never."`
}

// Destination is a special treatment of some domains.
type Destination struct {
	Domains []string `toml:"domains" example:"example.com" doc:"The recipients' domains: example.com, .example.com for all below it, or * for all."`
	Terms
}

// Route is a way that some mail takes.
type Route struct {
	Name         string   `toml:"name" example:"smarthost" doc:"Stands in logs. Default: route, with a number."`
	Domains      []string `toml:"domains" example:"remote.test" doc:"The recipients' domains that take this route: example.com, .example.com for all below it, or *. Default: all."`
	Senders      []string `toml:"senders" example:"@example.org" doc:"The senders (reverse-paths) that take it: an address, @domain, or <> for notifications. Default: all."`
	Accounts     []string `toml:"accounts" example:"alice@example.org" doc:"The accounts whose mail takes it. Default: all."`
	Hosts        []string `toml:"hosts" example:"smtp.example.net:587" doc:"The hosts that take the mail, tried in this order: a name or an address, with a port if it is not 25. Empty: those that the DNS names."`
	MX           bool     `toml:"mx" doc:"Take hosts for domains, and look their mail hosts up (MX)."`
	TLS          string   `toml:"tls" example:"verify" values:"published|encrypt|verify|implicit|none" doc:"published: what the host publishes (DANE, MTA-STS), else TLS if it is offered. encrypt: not without TLS. verify: not without TLS and a certificate for the host's name. implicit: verify, with TLS from the first octet (port 465). none: never."`
	CAFile       string   `toml:"ca_file" path:"file" example:"smarthost-ca.pem" doc:"Who vouches for the hosts' certificates, as PEM, where they are verified. Default: the system's authorities."`
	Username     string   `toml:"username" example:"postrider" doc:"The name to log in with."`
	PasswordFile string   `toml:"password_file" path:"file" example:"/etc/postrider/smarthost.password" doc:"The file with the password, on its first line."`
	Plaintext    bool     `toml:"allow_plaintext_auth" doc:"Send the password as it is, also without TLS and to a host that has not proven its name. Whoever is on the way, or answers in the host's place, learns it."`
	Source4      string   `toml:"source_ipv4" example:"192.0.2.26" doc:"As in [outbound], for this route."`
	Source6      string   `toml:"source_ipv6" example:"2001:db8::26" doc:"As in [outbound], for this route."`
	Hold         bool     `toml:"hold" doc:"Keep this mail in the queue until it is asked for (ATRN, ETRN), its route is changed, or its lifetime is over."`
}

// Turn is a host that is seldom connected, and asks for its mail.
type Turn struct {
	Domains  []string       `toml:"domains" example:"branch.example" doc:"The domains whose mail it may ask for."`
	Account  string         `toml:"account" example:"branch@example.org" doc:"The account that gets it on its own connection, after a login (ATRN, RFC 2645)."`
	Networks []netip.Prefix `toml:"networks" example:"192.0.2.0/24" doc:"From where delivery of it may be asked for without a login (ETRN, RFC 1985). The mail goes to the domain's own hosts, whoever asks."`
}

// DNS is whom the server asks for names.
type DNS struct {
	Servers []string `toml:"servers" example:"127.0.0.1:53" doc:"The resolvers, as addresses with a port if it is not 53. Default: those of the system."`
	DNSSEC  bool     `toml:"dnssec" doc:"The resolvers check signatures (DNSSEC), and their word for it (AD) is believed: hosts that publish their certificates' keys (DANE, RFC 7672) are held to them. Only for resolvers on this machine, that nobody can answer for."`
}

// The words of Route.TLS that overrule what is published.
const (
	RouteEncrypt  = "encrypt"
	RouteVerify   = "verify"
	RouteImplicit = "implicit"
	RouteOff      = "none"
)

// defaultTerms are the terms of [outbound].
var defaultTerms = Terms{
	PerDestination: 20, MessagesPerConnection: 200, RecipientsPerMessage: 100, MessagesPerMinute: -1,
	RetryFirst: 5 * Minute, RetryMax: 4 * Hour, Lifetime: 5 * day, BounceLifetime: 5 * day, DelayNotice: 4 * Hour,
}

func defaultOutbound() Outbound {
	return Outbound{
		Accept: true, Enabled: true, TLSReports: true, Connections: 500, MaxReturn: 64 * KiB, Connect: 30 * Second, Idle: Second,
		Command: 5 * Minute, Block: 3 * Minute, End: 10 * Minute, Terms: defaultTerms,
	}
}

var errHostPort = errors.New("write a host name or an address, with a port if it is not 25: smtp.example.net:587, 192.0.2.1, [2001:db8::1]:25")

// ParseHost reads a host of a route; port is zero if none is written.
func ParseHost(s string) (host string, port uint16, err error) {
	bare := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		bare = s[1 : len(s)-1]
	}
	if ip, err := netip.ParseAddr(bare); err == nil {
		return ip.String(), 0, nil
	}
	name, number, err := net.SplitHostPort(s)
	if err != nil {
		name, number = s, ""
	}
	if number != "" {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			return "", 0, errHostPort
		}
		port = uint16(n)
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.String(), port, nil
	}
	if name, err = mail.ParseDomain(name); err != nil || strings.HasPrefix(name, "[") {
		return "", 0, errHostPort
	}
	return name, port, nil
}

// outbound checks how mail is sent.
func (k *checker) outbound() {
	c := k.c
	k.source("outbound.source_ipv4", c.Outbound.Source4, netip.Addr.Is4)
	k.source("outbound.source_ipv6", c.Outbound.Source6, netip.Addr.Is6)
	k.terms("outbound", &c.Outbound.Terms)
	for i := range c.Destinations {
		at := fmt.Sprintf("destination[%d]", i)
		k.patterns(at+".domains", c.Destinations[i].Domains)
		if len(c.Destinations[i].Domains) == 0 {
			k.report(at+".domains", Problem{Message: "a destination needs domains", Help: `write domains = ["example.com"]`})
		}
		k.terms(at, &c.Destinations[i].Terms)
	}
	for i := range c.Routes {
		k.route(fmt.Sprintf("route[%d]", i), &c.Routes[i])
	}
	for i := range c.Turns {
		k.turn(fmt.Sprintf("turn[%d]", i), &c.Turns[i])
	}
	k.dns()
}

func (k *checker) source(path, address string, family func(netip.Addr) bool) {
	if address == "" {
		return
	}
	if ip, err := netip.ParseAddr(address); err != nil || !family(ip) {
		k.report(path, Problem{Message: fmt.Sprintf("%q is no address of that family", address), Help: "write an address of this machine"})
	}
}

func (k *checker) terms(at string, t *Terms) {
	if t.RetryFirst > 0 && t.RetryMax > 0 && t.RetryFirst > t.RetryMax {
		k.report(at+".retry_max", Problem{Message: "the longest pause is shorter than the first", Help: fmt.Sprintf("retry_first is %v", t.RetryFirst)})
	}
	if t.Lifetime > 0 && t.DelayNotice > t.Lifetime {
		k.report(at+".delay_notice", Problem{Warning: true, Message: "the notice of a delay comes after the end", Help: fmt.Sprintf("lifetime is %v", t.Lifetime)})
	}
}

// patterns checks a list of domains.
func (k *checker) patterns(path string, list []string) {
	for _, p := range list {
		name := strings.TrimPrefix(p, ".")
		if canonical, err := mail.ParseDomain(name); p != "*" && (err != nil || canonical != name) {
			k.report(path, Problem{
				Message: fmt.Sprintf("%q is no domain as it is compared", p),
				Help:    "write it in lower case: example.com, .example.com for all below it, or *",
			})
		}
	}
}

func (k *checker) route(at string, r *Route) {
	k.patterns(at+".domains", r.Domains)
	for _, h := range r.Hosts {
		if _, _, err := ParseHost(h); err != nil {
			k.report(at+".hosts", Problem{Message: fmt.Sprintf("%q is no host", h), Help: err.Error()})
		}
	}
	for _, s := range r.Senders {
		domain, isDomain := strings.CutPrefix(s, "@")
		_, err := mail.ParseAddress(s)
		if isDomain {
			_, err = mail.ParseDomain(domain)
		}
		if s != "<>" && err != nil {
			k.report(at+".senders", Problem{Message: fmt.Sprintf("%q is no sender", s), Help: "write an address, @domain, or <>"})
		}
	}
	k.source(at+".source_ipv4", r.Source4, netip.Addr.Is4)
	k.source(at+".source_ipv6", r.Source6, netip.Addr.Is6)
	switch {
	case r.Username != "" && r.PasswordFile == "":
		k.report(at+".username", Problem{Message: "a login needs a password", Help: "write password_file: the file with the password on its first line"})
	case r.Username == "" && r.PasswordFile != "":
		k.report(at+".password_file", Problem{Message: "a login needs a name", Help: "write username"})
	case r.Username != "" && len(r.Hosts) == 0:
		k.report(at+".username", Problem{Message: "a login is for hosts that you name", Help: "write hosts"})
	case r.Username != "" && r.TLS != RouteVerify && r.TLS != RouteImplicit && !r.Plaintext:
		k.report(at+".tls", Problem{
			Warning: true,
			Message: "the host need not prove its name, so that it is not told the password as it is: the login fails unless it knows SCRAM, or publishes how it is known (DANE, MTA-STS)",
			Help:    `write tls = "verify" or "implicit", with ca_file if its certificate is your own`,
		})
	}
	if r.Hold && len(r.Hosts) > 0 {
		k.report(at+".hold", Problem{Message: "mail that is held goes to no host", Help: "write either hold or hosts"})
	}
	if r.MX && len(r.Hosts) == 0 {
		k.report(at+".mx", Problem{Message: "mx is about hosts, and there are none", Help: "write the domains in hosts, or leave mx out: mail goes by MX anyway"})
	}
}

func (k *checker) turn(at string, t *Turn) {
	if len(t.Domains) == 0 {
		k.report(at+".domains", Problem{Message: "there is nothing to ask for", Help: `write domains = ["branch.example"]`})
	}
	k.patterns(at+".domains", t.Domains)
	if t.Account == "" && len(t.Networks) == 0 {
		k.report(at+".account", Problem{Message: "nobody may ask", Help: "write an account (ATRN), or networks (ETRN)"})
	}
	if t.Account != "" {
		if _, err := mail.ParseAddress(t.Account); err != nil {
			k.report(at+".account", Problem{Message: fmt.Sprintf("account can't be %q: %v", t.Account, err), Help: "write an account's address"})
		}
	}
	k.everybody(at+".networks", t.Networks, "may have mail sent")
	k.turnLogin(at, t)
}

// turnLogin warns of an account that can log in nowhere where ATRN is answered: it
// takes a login (RFC 2645 §5).
func (k *checker) turnLogin(at string, t *Turn) {
	answers := func(l Listener) bool { return l.Submits() || l.Role == RoleRelay }
	if t.Account == "" || slices.ContainsFunc(k.c.Listeners, answers) {
		return
	}
	k.report(at+".account", Problem{
		Warning: true, Message: fmt.Sprintf("there is no listener where %s could log in and ask for its mail (ATRN)", t.Account),
		Help: `write a [[listener]] with protocol = "smtp", role = "submission" and address = ":366" or ":587"; or, for ETRN alone, networks in place of account`,
	})
}

func (k *checker) dns() {
	for _, s := range k.c.DNS.Servers {
		host, _, err := ParseHost(s)
		ip, ierr := netip.ParseAddr(host)
		if err != nil || ierr != nil {
			k.report("dns.servers", Problem{Message: fmt.Sprintf("%q is no address of a resolver", s), Help: "write an address, with a port if it is not 53"})
			continue
		}
		if k.c.DNS.DNSSEC && !ip.IsLoopback() {
			k.report("dns.dnssec", Problem{
				Message: fmt.Sprintf("the resolver %s is not on this machine: anybody on the way could answer for it", s),
				Help:    "run a validating resolver (unbound) on loopback and name only that, or leave dnssec out",
			})
		}
	}
	if k.c.DNS.DNSSEC && len(k.c.DNS.Servers) == 0 {
		k.report("dns.dnssec", Problem{Message: "dnssec needs a resolver that is named", Help: `write servers = ["127.0.0.1"]`})
	}
}
