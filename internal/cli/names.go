package cli

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"postrider/internal/config"
	"postrider/internal/dkim"
	"postrider/internal/resolver"
)

// resolvConf is where the system names its DNS servers.
const resolvConf = "/etc/resolv.conf"

// openResolver returns whom the configuration says to ask for names.
func openResolver(cfg *config.Config) (*resolver.Resolver, error) {
	o := resolver.Options{Validating: cfg.DNS.DNSSEC}
	for _, s := range cfg.DNS.Servers {
		host, port, err := config.ParseHost(s)
		if err != nil {
			return nil, fmt.Errorf("dns.servers: %w", err)
		}
		if port == 0 {
			port = 53
		}
		o.Servers = append(o.Servers, net.JoinHostPort(host, strconv.Itoa(int(port))))
	}
	if len(o.Servers) == 0 {
		var err error
		if o.Servers, err = resolver.SystemServers(resolvConf); err != nil {
			o.Servers = []string{"127.0.0.1:53"} // as the system does, see resolv.conf(5)
		}
	}
	return resolver.New(o)
}

// lookupTXT asks a resolver for text records.
func lookupTXT(r *resolver.Resolver) dkim.TXT {
	return func(ctx context.Context, name string) ([]string, error) {
		found, _, err := r.Lookup(ctx, name, dns.TypeTXT)
		if err != nil {
			return nil, err
		}
		var all []string
		for _, rr := range found {
			if t, ok := rr.(*dns.TXT); ok {
				all = append(all, strings.Join(t.Txt, ""))
			}
		}
		return all, nil
	}
}

// tendKeys activates pending keys when the DNS shows them, until the context ends.
func (e *engine) tendKeys(ctx context.Context) error {
	if !e.cfg.DKIM.Enabled {
		return nil
	}
	return e.keys.Run(ctx, lookupTXT(e.resolver), e.cfg.DKIM.Settle.Duration())
}
