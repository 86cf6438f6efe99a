package cli

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"postrider/internal/config"
	"postrider/internal/dkim"
	"postrider/internal/mail"
	"postrider/internal/outbound"
	"postrider/internal/receive"
	"postrider/internal/resolver"
	"postrider/internal/smtp"
	"postrider/internal/store"
	"postrider/internal/tlspolicy"
)

// openOutbound makes what sends mail to other hosts.
func (e *engine) openOutbound() error {
	var err error
	if e.resolver, err = openResolver(e.cfg); err != nil {
		return err
	}
	routes, err := outboundRoutes(e.cfg)
	if err != nil {
		return err
	}
	c := &e.cfg.Outbound
	e.policies = e.openPolicies()
	e.deliverer = outbound.New(outbound.Options{
		Store: e.store, Resolver: e.resolver, Policies: e.policies, Signer: e.openSigner(),
		Originate: func(ctx context.Context, n outbound.Notification) error {
			return e.receiver.Originate(ctx, receive.Original(n))
		},
		Hostname: e.cfg.Hostname, Routes: routes, Terms: outboundTerms(&c.Terms), Special: outboundSpecial(e.cfg.Destinations),
		// To wait not at all is not what zero means there.
		Connections: c.Connections, Idle: max(c.Idle.Duration(), 1), Connect: c.Connect.Duration(),
		PreferIPv4: c.PreferIPv4, AllowPrivate: c.AllowPrivate,
		Source4: addressOf(c.Source4), Source6: addressOf(c.Source6),
		IsSelf: e.isSelf, MaxReturn: int64(c.MaxReturn),
		Timeouts: outbound.Timeouts{
			Greeting: c.Command.Duration(), Mail: c.Command.Duration(), Rcpt: c.Command.Duration(), Data: c.Command.Duration(),
			Block: c.Block.Duration(), End: c.End.Duration(),
		},
		Turns: outboundTurns(e.cfg.Turns), Grace: e.cfg.Limits.Grace.Duration(),
		Logger: e.log, Registerer: e.metrics,
	})
	return nil
}

// runOutbound sends mail until the context ends.
func (e *engine) runOutbound(ctx context.Context) error {
	if !e.cfg.Outbound.Enabled || !e.cfg.Outbound.Accept {
		return nil
	}
	return e.deliverer.Run(ctx)
}

// isSelf reports whether an address is one where this server takes mail: a listener's, or
// one by which others reach it (publish.addresses), which may be a translator's.
func (e *engine) isSelf(a netip.AddrPort) bool {
	if a.Port() == smtpPort && slices.ContainsFunc(e.cfg.Publish.Addresses, func(s string) bool { return addressOf(s).Unmap() == a.Addr().Unmap() }) {
		return true
	}
	e.mu.Lock()
	anywhere := false
	exactly := slices.ContainsFunc(e.listening, func(l netip.AddrPort) bool {
		anywhere = anywhere || l.Port() == a.Port() && l.Addr().IsUnspecified()
		return l.Port() == a.Port() && l.Addr().Unmap() == a.Addr().Unmap()
	})
	e.mu.Unlock()
	return exactly || anywhere && isOurs(a.Addr())
}

// smtpPort is where hosts take mail from other hosts (RFC 5321 §4.5.4.2).
const smtpPort = 25

// isOurs reports whether an address is one of this machine.
func isOurs(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(all, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr().Unmap() == ip.Unmap()
	})
}

func (e *engine) openPolicies() *tlspolicy.Policies {
	o := tlspolicy.Options{Resolver: e.resolver, Records: e.store, Log: e.log}
	if e.cfg.Outbound.AllowPrivate {
		o.AllowAddress = func(netip.Addr) bool { return true }
	}
	if a, err := mail.ParseAddress(e.cfg.Postmaster); err == nil && e.cfg.Outbound.TLSReports {
		o.Reporting = tlspolicy.Reporting{
			Organization: e.cfg.Hostname, Contact: a, Hostname: e.cfg.Hostname,
			Send: func(ctx context.Context, m tlspolicy.ReportMail) error {
				return e.receiver.Originate(ctx, receive.Original{
					ID: mail.NewID(time.Now()), To: m.To, What: outbound.TLSReport, Write: m.Write,
				})
			},
		}
	}
	return tlspolicy.New(o)
}

// outboundTerms turns what is configured into what package outbound takes.
func outboundTerms(t *config.Terms) outbound.Terms {
	rate, notice := max(t.MessagesPerMinute, 0), t.DelayNotice.Duration()
	if notice == 0 {
		notice = -1 // never
	}
	return outbound.Terms{
		Connections: t.PerDestination, InitialConnections: min(t.PerDestination, outbound.DefaultTerms().InitialConnections),
		MessagesPerConnection: t.MessagesPerConnection, RecipientsPerMessage: t.RecipientsPerMessage, MessagesPerMinute: rate,
		RetryFirst: t.RetryFirst.Duration(), RetryMax: t.RetryMax.Duration(),
		Lifetime: t.Lifetime.Duration(), BounceLifetime: t.BounceLifetime.Duration(), DelayNotice: notice,
	}
}

func outboundSpecial(all []config.Destination) []outbound.Special {
	special := make([]outbound.Special, len(all))
	for i := range all {
		t := outboundTerms(&all[i].Terms)
		t.InitialConnections, t.DelayNotice = min(t.InitialConnections, t.Connections), all[i].DelayNotice.Duration()
		special[i] = outbound.Special{Domains: all[i].Domains, Terms: t}
	}
	return special
}

func outboundTurns(all []config.Turn) []outbound.Turn {
	turns := make([]outbound.Turn, len(all))
	for i, t := range all {
		turns[i] = outbound.Turn{Domains: t.Domains, Account: t.Account, Networks: t.Networks}
	}
	return turns
}

// outboundRoutes turns the configured routes into those of package outbound, and
// reads the files that they name.
func outboundRoutes(cfg *config.Config) ([]outbound.Route, error) {
	routes := make([]outbound.Route, len(cfg.Routes))
	for i := range cfg.Routes {
		r := &cfg.Routes[i]
		made := outbound.Route{
			Name: r.Name, Domains: r.Domains, Senders: senders(r.Senders), Accounts: r.Accounts, MX: r.MX,
			TLS: tlsRules[r.TLS], Implicit: r.TLS == config.RouteImplicit,
			Source4: addressOf(r.Source4), Source6: addressOf(r.Source6), Keep: r.Hold,
		}
		if made.Name == "" {
			made.Name = fmt.Sprintf("route %d", i+1)
		}
		for _, h := range r.Hosts {
			host, port, err := config.ParseHost(h)
			if err != nil {
				return nil, fmt.Errorf("%s: %q: %w", made.Name, h, err)
			}
			made.Hosts = append(made.Hosts, outbound.HostPort{Host: host, Port: port})
		}
		if made.Implicit {
			made.Port = 465
		}
		if err := routeFiles(&made, r); err != nil {
			return nil, fmt.Errorf("%s: %w", made.Name, err)
		}
		routes[i] = made
	}
	return routes, nil
}

// senders returns reverse-paths as they are compared.
func senders(list []string) []string {
	all := slices.Clone(list)
	for i, s := range all {
		if a, err := mail.ParseAddress(s); err == nil {
			all[i] = a.Key()
		} else if domain, ok := strings.CutPrefix(s, "@"); ok {
			if name, err := mail.ParseDomain(domain); err == nil {
				all[i] = "@" + name
			}
		}
	}
	return all
}

var tlsRules = map[string]outbound.TLSRule{
	config.RouteEncrypt: outbound.TLSEncrypt, config.RouteVerify: outbound.TLSVerify,
	config.RouteImplicit: outbound.TLSVerify, config.RouteOff: outbound.TLSOff,
}

func routeFiles(made *outbound.Route, r *config.Route) error {
	if r.CAFile != "" {
		pem, err := os.ReadFile(r.CAFile)
		if err != nil {
			return err
		}
		made.Roots = x509.NewCertPool()
		if !made.Roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s has no certificate", r.CAFile)
		}
	}
	if r.PasswordFile == "" {
		return nil
	}
	password, err := firstLine(r.PasswordFile)
	if err != nil {
		return err
	}
	made.Login = &smtp.ClientLogin{Username: r.Username, Password: password, Plaintext: r.Plaintext}
	return nil
}

// firstLine returns the first line of a file.
func firstLine(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	if !s.Scan() || s.Text() == "" {
		return "", errors.Join(fmt.Errorf("%s: the first line is empty", name), s.Err())
	}
	return s.Text(), nil
}

// addressOf returns an address that was checked; invalid for none.
func addressOf(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a
}

// signer makes what goes on top of mail: signatures of our own people's, seals of
// what is forwarded.
type signer struct {
	signer  *dkim.Signer
	sealer  *dkim.Sealer
	relayed bool
}

// openSigner returns what signs, nil if nothing is signed.
func (e *engine) openSigner() outbound.Signer {
	c := &e.cfg.DKIM
	if !c.Enabled {
		return nil
	}
	s := dkim.Settings{Expire: c.Expire.Duration()}
	return &signer{
		signer:  dkim.NewSigner(e.keys, s),
		sealer:  dkim.NewSealer(e.keys, dkim.Verifier{TXT: lookupTXT(e.resolver)}, e.cfg.Hostname, s),
		relayed: c.SignRelayed,
	}
}

// Sign implements outbound.Signer.
func (s *signer) Sign(ctx context.Context, m *store.QueuedMessage, stored, converted outbound.Content) ([]byte, error) {
	switch m.Warrant.Kind() {
	case store.AliasForwards:
		a, err := mail.ParseAddress(m.Warrant.Name())
		if err != nil {
			return nil, err
		}
		return s.sealer.Seal(ctx, a.Domain, dkim.Forward{ID: m.AcceptID, Came: m.Accepted, Stored: stored, Converted: converted})
	case store.ClientRelays:
		if !s.relayed {
			return nil, nil
		}
	}
	sent := stored
	if converted != nil {
		sent = converted
	}
	return s.signer.SignAuthor(ctx, sent, sent.Size())
}

var _ outbound.Resolver = (*resolver.Resolver)(nil)
