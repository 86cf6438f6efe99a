package cli

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"postrider/internal/config"
	"postrider/internal/zone"
)

// fillHostname puts the machine's name in where none is set.
func fillHostname(cfg *config.Config) error {
	if cfg.Hostname != "" {
		return nil
	}
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("the machine does not say its name; write hostname into the configuration: %w", err)
	}
	cfg.Hostname = name
	return nil
}

// publishedDomain is what the configuration says of a domain.
func publishedDomain(cfg *config.Config, domain string) zone.Domain {
	d := zone.Domain{
		Name: domain, Hostname: cfg.Hostname, Addresses: publicAddresses(cfg), Services: services(cfg),
		Reports: cfg.Publish.Reports,
	}
	if d.Reports == "" {
		d.Reports = "postmaster@" + domain
	}
	if p, ok := policyOf(cfg); ok {
		d.STS = p.TXT()
	}
	return d
}

// publicAddresses are those that are set, or those that listeners name.
func publicAddresses(cfg *config.Config) []netip.Addr {
	var all []netip.Addr
	for _, s := range cfg.Publish.Addresses {
		if ip, err := netip.ParseAddr(s); err == nil {
			all = append(all, ip.Unmap())
		}
	}
	if len(all) > 0 {
		return all
	}
	seen := map[netip.Addr]bool{}
	for _, l := range cfg.Listeners {
		ip, _ := listenerAddress(l)
		public := ip.IsGlobalUnicast() && !ip.IsPrivate()
		if l.Protocol == config.ProtocolSMTP && !l.Submits() && public && !seen[ip] {
			seen[ip] = true
			all = append(all, ip)
		}
	}
	return all
}

// listenerAddress returns where a listener listens; the address is not valid for
// all addresses, or for a socket of systemd.
func listenerAddress(l config.Listener) (netip.Addr, uint16) {
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil {
		return netip.Addr{}, 0
	}
	n, _ := strconv.ParseUint(port, 10, 16)
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, _ := netip.ParseAddr(host)
	return ip.Unmap(), uint16(n)
}

// services says what mail programs can use: of each the first listener that others
// can reach.
func services(cfg *config.Config) []zone.Service {
	all := []zone.Service{{Name: "submission"}, {Name: "submissions"}, {Name: "pop3"}, {Name: "pop3s"}}
	usual := []uint16{587, 465, 110, 995}
	for _, l := range cfg.Listeners {
		i := 0
		switch {
		case l.Protocol == config.ProtocolPOP3:
			i = 2
		case !l.Submits():
			continue
		}
		if l.TLSMode() == config.TLSImplicit {
			i++
		}
		ip, port := listenerAddress(l)
		switch {
		case all[i].Port != 0 || l.Systemd == "" && ip.IsLoopback():
			continue
		case port == 0:
			port = usual[i]
		}
		all[i].Port = port
	}
	return all
}
