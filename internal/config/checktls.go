package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"postrider/internal/mail"
)

// tls looks at certificates, and at what the listeners want of them.
func (k *checker) tls() {
	c := k.c
	wanted := c.Publish.MTASTSHTTPS != ""
	for i := range c.Listeners {
		l := &c.Listeners[i]
		k.listenerTLS(i, l)
		wanted = wanted || l.TLSMode() != TLSNone
	}
	for i, cert := range c.Certificates {
		path := fmt.Sprintf("certificate[%d]", i)
		switch {
		case cert.Chain == "":
			k.report(path, Problem{Message: "the certificate has no chain", Help: `write chain = "fullchain.pem"`})
		case cert.Key == "":
			k.report(path, Problem{Message: "the certificate has no key", Help: `write key = "privkey.pem"`})
		}
	}
	k.acme()
	if !wanted || len(c.Certificates) > 0 || c.ACME.Directory != "" {
		return
	}
	if !c.TLS.SelfSigned {
		k.report("tls.self_signed", Problem{
			Message: "there is no certificate for TLS",
			Help:    `write [[certificate]] or [acme]; or self_signed = true; or tls = "none" at every listener`,
		})
		return
	}
	k.report("tls", Problem{
		Warning: true, Message: "there is no certificate: the server signs one itself, which no client can verify",
		Help: "write [[certificate]] with chain and key, or [acme] with directory",
	})
}

func (k *checker) listenerTLS(i int, l *Listener) {
	mode := l.TLSMode()
	switch {
	case l.Role == RoleSubmissions && mode != TLSImplicit:
		k.report(listenerPath(i, "tls"), Problem{
			Message: "the role submissions has TLS from the first octet",
			Help:    `leave tls out; or write role = "submission", where clients ask for TLS`,
		})
	case l.Role == RoleMX && mode == TLSImplicit:
		k.report(listenerPath(i, "tls"), Problem{
			Warning: true, Message: "no other server begins with TLS when it delivers mail",
			Help: `write tls = "starttls"; for clients that log in, role = "submissions"`,
		})
	case l.ClientCA != "" && mode == TLSNone:
		k.report(listenerPath(i, "client_ca"), Problem{Message: "without TLS there are no client certificates", Help: "leave client_ca or tls out"})
	case l.ClientCA != "" && l.Role == RoleMX:
		k.report(listenerPath(i, "client_ca"), Problem{
			Warning: true, Message: "nobody logs in at a listener with the role mx: certificates of clients prove nothing there", Help: "leave it out",
		})
	}
	k.plaintext(i, l)
	k.popBeforeSMTP(i, l)
}

// plaintext looks at logins on connections without TLS.
func (k *checker) plaintext(i int, l *Listener) {
	path := listenerPath(i, "allow_plaintext_auth")
	switch {
	case l.AllowPlaintextAuth && !l.LogsIn():
		k.report(path, Problem{Message: "nobody logs in at a listener with the role mx", Help: "leave it out, or write role = \"submission\""})
	case l.AllowPlaintextAuth && l.TLSMode() != TLSImplicit && (l.Systemd != "" || !loopback(l.Address)):
		k.report(path, Problem{
			Warning: true, Message: "passwords may be sent without TLS, and others can read them on the way",
			Help: "leave it out; clients can use STARTTLS, STLS, or the ports 465 and 995",
		})
	case !l.AllowPlaintextAuth && l.TLSMode() == TLSNone && (l.Submits() || l.Protocol == ProtocolPOP3):
		k.report(listenerPath(i, "tls"), Problem{
			Warning: true, Message: "without TLS no password is taken here: only clients with SCRAM can log in",
			Help: `leave tls out; or, on loopback, add allow_plaintext_auth = true`,
		})
	}
}

func (k *checker) popBeforeSMTP(i int, l *Listener) {
	if l.PopBeforeSMTP == 0 {
		if len(l.TrustedNetworks) > 0 {
			k.report(listenerPath(i, "trusted_networks"), Problem{
				Warning: true, Message: "trusted_networks is for pop_before_smtp, which is off", Help: "leave it out",
			})
		}
		return
	}
	path := listenerPath(i, "pop_before_smtp")
	if !l.Submits() {
		k.report(path, Problem{Message: "pop_before_smtp is for listeners with the role submission", Help: "leave it out"})
		return
	}
	help := "let clients log in (AUTH); or name networks where each address is one person's in trusted_networks"
	if len(l.TrustedNetworks) > 0 {
		help = "let clients log in (AUTH)"
	}
	k.report(path, Problem{
		Warning: true, Message: "whoever shares an address with somebody who collects mail may send in that person's name", Help: help,
	})
	k.everybody(listenerPath(i, "trusted_networks"), l.TrustedNetworks, "trusts every address there is")
	if !slices.ContainsFunc(k.c.Listeners, func(l Listener) bool { return l.Protocol == ProtocolPOP3 }) {
		k.report(path, Problem{Warning: true, Message: "there is no POP3 listener to log in at before", Help: `write one; or leave pop_before_smtp out`})
	}
	k.behindProxy(i, l)
}

// behindProxy warns where addresses are a proxy's word, or may be a proxy's own.
func (k *checker) behindProxy(i int, l *Listener) {
	if len(l.ProxyFrom) > 0 {
		return
	}
	for j, other := range k.c.Listeners {
		if other.Protocol == ProtocolPOP3 && len(other.ProxyFrom) > 0 {
			k.report(listenerPath(i, "pop_before_smtp"), Problem{
				Warning: true, Message: "POP3 clients come through a proxy and those of this listener don't: their addresses may not agree",
				Help: "see " + k.place(j),
			})
			return
		}
	}
}

// everybody warns of a list of networks that has every address in it.
func (k *checker) everybody(path string, networks []netip.Prefix, what string) {
	for _, p := range networks {
		if p.Bits() == 0 {
			k.report(path, Problem{Warning: true, Message: fmt.Sprintf("%s %s", p, what), Help: "write smaller networks"})
		}
	}
}

func (k *checker) acme() {
	a := k.c.ACME
	if a.Directory == "" {
		if a.HTTP != "" || a.TLSALPN != "" || len(a.Names) > 0 || a.Email != "" || a.CAFile != "" {
			k.report("acme", Problem{Message: "[acme] has no directory", Help: "write the address of the authority's directory"})
		}
		return
	}
	if u, err := url.Parse(a.Directory); err != nil || u.Host == "" || u.Scheme != "https" {
		k.notPrivate("acme.directory", a.Directory)
	}
	if a.HTTP == "" && a.TLSALPN == "" {
		k.report("acme", Problem{
			Message: "[acme] has no way to prove the names", Help: `write http = ":80" or tls_alpn = ":443"`,
		})
	}
	if len(a.Names) == 0 && k.c.Hostname == "" {
		k.report("acme", Problem{Message: "[acme] has no names", Help: `write names = ["mail.example.org"], or hostname`})
	}
	k.acmeNames("acme.names", a.Names...)
	if len(a.Names) == 0 && k.c.Hostname != "" {
		k.acmeNames("hostname", k.c.Hostname)
	}
	k.take("acme.http", a.HTTP)
	k.take("acme.tls_alpn", a.TLSALPN)
}

// take notes that a setting wants to listen on an address, and reports one that can't
// be, or that another has.
func (k *checker) take(path, address string) {
	if address == "" {
		return
	}
	host, port, err := splitAddress(address)
	if err != nil {
		k.report(path, Problem{Message: fmt.Sprintf("address can't be %q", address), Help: err.Error()})
		return
	}
	if k.taken == nil {
		k.taken = k.addresses()
	}
	key := net.JoinHostPort(host, strconv.Itoa(port))
	if other := k.taken[key]; other != "" && port != 0 {
		k.report(path, Problem{Message: address + " is listened on already", Help: "see " + other})
	}
	k.taken[key] = path
}

// acmeNames refuses names that no certificate can be obtained for.
func (k *checker) acmeNames(path string, names ...string) {
	for _, name := range names {
		domain, err := mail.ParseDomain(name)
		why, help := "", "write host names"
		switch plain := strings.ToLower(strings.TrimSuffix(name, ".")); {
		case err != nil:
			why = err.Error()
		case strings.Trim(domain, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "", net.ParseIP(domain) != nil:
			why = "no authority gives a certificate for it"
		case !strings.Contains(domain, "."):
			why, help = "it is no whole host name", "write it with its domain; or write names = [\"mail.example.org\"] below [acme]"
		case domain != plain:
			why, help = "it is not in ASCII", "write "+domain
		default:
			continue
		}
		k.report(path, Problem{Message: fmt.Sprintf("a name can't be %q: %s", name, why), Help: help})
	}
}

// addresses tells which setting wants each address, of the listeners and admin.
func (k *checker) addresses() map[string]string {
	taken := map[string]string{}
	add := func(address, what string) {
		if host, port, err := splitAddress(address); err == nil {
			taken[net.JoinHostPort(host, strconv.Itoa(port))] = what
		}
	}
	add(k.c.Admin.Address, "admin.address")
	for i, l := range k.c.Listeners {
		add(l.Address, k.place(i))
	}
	return taken
}

// webAddress refuses an address where secrets would travel in the open.
func (k *checker) webAddress(path, address string) {
	u, err := url.Parse(address)
	if err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()+":0")) {
		return
	}
	k.notPrivate(path, address)
}

func (k *checker) notPrivate(path, address string) {
	k.report(path, Problem{Message: fmt.Sprintf("the address can't be %q", address), Help: "write one that begins with https://"})
}

// logins looks at the policy of logins and at OAuth.
func (k *checker) logins() {
	k.everybody("login.trusted", k.c.Login.Trusted, "lets everybody guess passwords")
	k.mechanisms()
	o := k.c.OAuth
	if o.Issuer == "" {
		if o.Audience != "" || o.CAFile != "" {
			k.report("oauth", Problem{Message: "[oauth] has no issuer", Help: "write the issuer's address; or leave [oauth] out"})
		}
		return
	}
	k.webAddress("oauth.issuer", o.Issuer)
	if u, err := url.Parse(o.Issuer); err == nil && (u.RawQuery != "" || u.ForceQuery || u.User != nil || strings.Contains(o.Issuer, "#")) {
		k.report("oauth.issuer", Problem{
			Message: "an issuer's address has a host and a path, and nothing more", Help: `write it as the tokens do: in their claim "iss"`,
		})
	}
	if o.Audience == "" {
		k.report("oauth", Problem{
			Message: "[oauth] has no audience: tokens made for any other service would do", Help: `write audience = "…", the name that the issuer knows this server by`,
		})
	}
	if o.Claim == "" {
		k.report("oauth.claim", Problem{Message: "claim is empty", Help: `write claim = "email"`})
	}
}

// mechanisms warns of ways to log in that are wanted and can't work.
func (k *checker) mechanisms() {
	const path = "login.mechanisms"
	wanted := k.c.Login.Mechanisms
	if wanted != nil && len(wanted) == 0 {
		k.report(path, Problem{Message: "mechanisms is empty, which does not mean none", Help: "leave it out for all; or write those that may be used"})
	}
	if slices.Contains(wanted, "OAUTHBEARER") && k.c.OAuth.Issuer == "" {
		k.report(path, Problem{Warning: true, Message: "OAUTHBEARER needs an issuer", Help: "write [oauth] with issuer and audience"})
	}
	if slices.Contains(wanted, "EXTERNAL") && !slices.ContainsFunc(k.c.Listeners, func(l Listener) bool { return l.ClientCA != "" }) {
		k.report(path, Problem{Warning: true, Message: "EXTERNAL needs certificates of clients", Help: "write client_ca at a listener"})
	}
}

// submission warns of limits that are never reached.
func (k *checker) submission() {
	s := k.c.Submission
	for _, l := range []struct {
		of        string
		hour, day int
	}{{"messages", s.MessagesPerHour, s.MessagesPerDay}, {"recipients", s.RecipientsPerHour, s.RecipientsPerDay}} {
		if l.day > 0 && l.hour > l.day {
			k.report("submission."+l.of+"_per_hour", Problem{
				Warning: true, Message: fmt.Sprintf("more %s an hour than a day", l.of), Help: fmt.Sprintf("%s_per_day is %d", l.of, l.day),
			})
		}
	}
}
