package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/admin"
	"postrider/internal/certs"
	"postrider/internal/config"
	"postrider/internal/dkim"
	"postrider/internal/fault"
)

const (
	// resolverTime is how long the resolver may take to answer the doctor.
	resolverTime = 10 * time.Second
	// signedName is a name whose records are signed, by the root's keys.
	signedName = "org"
	// someNames is how many names a finding lists.
	someNames = 5
)

// sends reports whether the server sends mail to other hosts.
func sends(cfg *config.Config) bool { return cfg.Outbound.Accept && cfg.Outbound.Enabled }

// examineSources looks for the addresses that mail is sent from.
func examineSources(cfg *config.Config) []finding {
	if !sends(cfg) {
		return nil
	}
	var all []finding
	look := func(where string, sources ...string) {
		for _, s := range sources {
			if ip := addressOf(s); ip.IsValid() && !isOurs(ip) {
				all = append(all, finding{where, stateBad, s + " is no address of this machine: nothing can be sent from it"})
			}
		}
	}
	look("outbound", cfg.Outbound.Source4, cfg.Outbound.Source6)
	for i := range cfg.Routes {
		r := &cfg.Routes[i]
		name := r.Name
		if name == "" {
			name = fmt.Sprint(i + 1)
		}
		look("route "+name, r.Source4, r.Source6)
	}
	return all
}

// examineResolver asks the resolver two questions: about this host, and, if its word on
// DNSSEC is to be believed, about a name that is signed.
func examineResolver(ctx context.Context, cfg *config.Config) []finding {
	const subject = "resolver"
	if !sends(cfg) {
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, resolverTime)
	defer stop()
	r, err := openResolver(cfg)
	if err != nil {
		return []finding{{subject, stateBad, err.Error()}}
	}
	name := cfg.Hostname
	if name == "" {
		name = signedName
	}
	if _, _, err := r.Lookup(ctx, name, dns.TypeA); err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Invalid) {
		return []finding{{subject, stateBad, "without its answers mail for other hosts waits: " + err.Error()}}
	}
	if !cfg.DNS.DNSSEC {
		return []finding{{subject, stateGood, "it answers"}}
	}
	if _, authentic, err := r.Lookup(ctx, signedName, dns.TypeDS); err != nil || !authentic {
		return []finding{{subject, stateWarning, "it answers, and checks no signatures (DNSSEC), though dns.dnssec says so: no host's certificate is held to what it publishes (DANE)"}}
	}
	return []finding{{subject, stateGood, "it answers, and checks signatures (DNSSEC)"}}
}

// examineDomains looks at what the domains that live here need for their mail to be
// believed, and to come over verified TLS.
func examineDomains(ctx context.Context, cfg *config.Config, inFiles []certs.Info, c *admin.Client) []finding {
	signs, err := signingDomains(ctx, c)
	if err != nil {
		return []finding{{"DKIM", stateBad, err.Error()}}
	}
	used := certificatesInUse(ctx, inFiles, c)
	var unsigned, uncovered []string
	for d, err := range c.Domains(ctx) {
		if err != nil {
			return []finding{{"domains", stateBad, err.Error()}}
		}
		if !signs[d.Name] {
			unsigned = append(unsigned, d.Name)
		}
		if host := "mta-sts." + d.Name; !slices.ContainsFunc(used, func(i certs.Info) bool { return covers(i, host) }) {
			uncovered = append(uncovered, host)
		}
	}
	var all []finding
	if sends(cfg) && cfg.DKIM.Enabled && len(unsigned) > 0 {
		all = append(all, finding{"DKIM", stateWarning, "mail is not signed of " + some(unsigned) +
			": make keys (postrider dkim generate), or publish those that are pending (postrider dkim list)"})
	}
	if cfg.Publish.MTASTS != config.STSNone && cfg.Publish.MTASTSHTTPS != "" && len(uncovered) > 0 {
		all = append(all, finding{"MTA-STS", stateWarning, "no certificate is made for " + some(uncovered) + ": nobody there can have the policy"})
	}
	return all
}

// signingDomains are those with a key that signs.
func signingDomains(ctx context.Context, c *admin.Client) (map[string]bool, error) {
	signs := map[string]bool{}
	for k, err := range c.Keys(ctx, "") {
		if err != nil {
			return nil, err
		}
		if k.State == dkim.Active {
			signs[k.Domain] = true
		}
	}
	return signs, nil
}

// certificatesInUse are the server's, or those in files when none runs.
func certificatesInUse(ctx context.Context, inFiles []certs.Info, c *admin.Client) []certs.Info {
	var used []certs.Info
	for i, err := range c.Certificates(ctx) {
		if err != nil {
			return inFiles
		}
		used = append(used, i)
	}
	return used
}

// examineTurns looks for the accounts of hosts that ask for their mail.
func examineTurns(ctx context.Context, cfg *config.Config, c *admin.Client) []finding {
	var all []finding
	for _, t := range cfg.Turns {
		if t.Account == "" {
			continue
		}
		if _, err := c.Account(ctx, t.Account); fault.Is(err, fault.NotFound) {
			all = append(all, finding{"turn", stateBad, "there is no account " + t.Account + ", which is to get the mail for " + some(t.Domains)})
		} else if err != nil {
			all = append(all, finding{"turn", stateBad, err.Error()})
		}
	}
	return all
}

// examineQueue looks at how long mail waits, and for what.
func examineQueue(ctx context.Context, cfg *config.Config, c *admin.Client) []finding {
	const subject = "queue"
	var oldest time.Time
	totals, err := c.QueueStats(ctx, admin.QueueFilter{}, func(d admin.QueueDestination) error {
		if oldest.IsZero() || d.Oldest.Before(oldest) {
			oldest = d.Oldest
		}
		return nil
	})
	if err != nil {
		return []finding{{subject, stateBad, err.Error()}}
	}
	f := finding{subject, stateGood, "it is empty"}
	if totals.Rows > 0 {
		f.Words = fmt.Sprintf("%s, the oldest since %s", count(totals.Rows, "recipient waits", "recipients wait"), timeText(oldest))
		late := cfg.Outbound.DelayNotice.Duration()
		if late > 0 && time.Since(oldest) > late {
			f.State = stateWarning
			f.Words += ": \"postrider queue stats\" says for what"
		}
	}
	all := []finding{f}
	var frozen []string
	for d, err := range c.FrozenDestinations(ctx) {
		if err != nil {
			return append(all, finding{subject, stateBad, err.Error()})
		}
		frozen = append(frozen, d.Name)
	}
	if len(frozen) > 0 {
		all = append(all, finding{subject, stateWarning, "nothing is sent to " + some(frozen) + ", frozen by an operator: \"postrider queue thaw\" ends it"})
	}
	return all
}

// some names a few of many.
func some(names []string) string {
	if len(names) <= someNames {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:someNames], ", "), len(names)-someNames)
}
