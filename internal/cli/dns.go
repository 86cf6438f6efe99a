package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/config"
	"postrider/internal/dkim"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/tlspolicy"
	"postrider/internal/zone"
)

func (a *app) dnsCommand() *cobra.Command {
	var check, asJSON bool
	cmd := &cobra.Command{
		Use:   "dns DOMAIN",
		Short: "Say which records a domain needs in the DNS",
		Long: `Say which records a domain needs in the DNS, as lines of a zone file. Those that begin
with ";" belong elsewhere, or are needed only sometimes; the line above says when.

With --check, say what the DNS has of them, and what to do. The exit code is 1 when mail
suffers by what is there or is not.`,
		Example: "  postrider dns example.org\n  postrider dns example.org --check",
		GroupID: groupPeople,
		Args:    args(1, 1, "a domain"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			var d zone.Domain
			err = a.withClient(cmd.Context(), func(c *admin.Client) error {
				d, err = a.describeDomain(cmd.Context(), cfg, c, args[0])
				return err
			})
			switch {
			case err != nil:
				return err
			case check:
				return a.checkDomain(cmd.Context(), cfg, d, asJSON)
			case asJSON:
				return printJSON(a.stdout, zoneRecords(d))
			}
			return a.printZone(cfg, d)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "compare with what the DNS says")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// describeDomain gathers what the DNS has to say of a domain that lives here.
func (a *app) describeDomain(ctx context.Context, cfg *config.Config, c *admin.Client, name string) (zone.Domain, error) {
	domain, err := localDomain(ctx, c, name)
	if err != nil {
		return zone.Domain{}, err
	}
	if err := fillHostname(cfg); err != nil {
		return zone.Domain{}, err
	}
	d := publishedDomain(cfg, domain)
	for k, err := range c.Keys(ctx, domain) {
		if err != nil {
			return d, err
		}
		d.Keys = append(d.Keys, zoneKeys([]dkim.Key{k})...)
	}
	d.SPKI, err = certificateKeys(ctx, cfg, c)
	return d, err
}

// localDomain reads a domain's name, and looks whether it lives here.
func localDomain(ctx context.Context, c *admin.Client, name string) (string, error) {
	domain, err := mail.ParseDomain(name)
	if err != nil {
		return "", usagef("%q is no domain: %v", name, err)
	}
	for d, err := range c.Domains(ctx) {
		if err != nil {
			return "", err
		}
		if d.Name == domain {
			return domain, nil
		}
	}
	return "", hinted{
		fault.Newf(fault.NotFound, "find the domain "+domain, "it has no mail here"),
		"\"postrider domain add\" takes mail for it, \"postrider domain list\" shows those there are.",
	}
}

// certificateKeys returns the public keys of the certificates for the host's name:
// the server's, or if none runs those in files. Self-signed ones serve too (RFC 7672
// §3.1.1).
func certificateKeys(ctx context.Context, cfg *config.Config, c *admin.Client) ([]string, error) {
	var keys []string
	for i, err := range c.Certificates(ctx) {
		if fault.Is(err, fault.NotFound) {
			for _, f := range examineFiles(cfg).list() {
				if covers(f, cfg.Hostname) {
					keys = append(keys, f.SPKISHA256)
				}
			}
			break
		}
		if err != nil {
			return nil, err
		}
		if i.SPKISHA256 != "" && covers(i, cfg.Hostname) {
			keys = append(keys, i.SPKISHA256)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// policyOf is the MTA-STS policy of our domains; ok is false if there is none.
func policyOf(cfg *config.Config) (p tlspolicy.OwnPolicy, ok bool) {
	p = tlspolicy.OwnPolicy{Mode: tlspolicy.Mode(cfg.Publish.MTASTS), MX: []string{cfg.Hostname}}
	return p, cfg.Publish.MTASTS != config.STSNone
}

func (a *app) printZone(cfg *config.Config, d zone.Domain) error {
	if len(d.Addresses) == 0 {
		fmt.Fprintf(a.stdout, "; The addresses of %s are not known here: see publish.addresses in the configuration.\n\n", d.Hostname)
	}
	if len(d.Keys) == 0 {
		fmt.Fprintf(a.stdout, "; Mail of the domain is not signed: \"postrider dkim generate %s\" makes keys.\n\n", d.Name)
	}
	if err := zone.Write(a.stdout, zone.Records(d)); err != nil {
		return err
	}
	policy, ok := policyOf(cfg)
	if !ok {
		return nil
	}
	holds := "has to hold"
	if p := cfg.Publish; p.MTASTSHTTPS != "" || p.MTASTSHTTP != "" {
		holds = "is answered by this server"
	}
	fmt.Fprintf(a.stdout, "\n; https://mta-sts.%s/.well-known/mta-sts.txt %s:\n", d.Name, holds)
	for line := range strings.SplitSeq(strings.TrimSpace(policy.File()), "\r\n") {
		fmt.Fprintf(a.stdout, ";   %s\n", line)
	}
	return nil
}

// zoneRecord is a record as --json shows it. Its name has no dot at the end, as
// everywhere but in a zone file; the names in its data do, since data is such text.
type zoneRecord struct {
	Name     string `json:"name"`
	TTL      uint32 `json:"ttl"`
	Type     string `json:"type"`
	Data     string `json:"data"`
	Why      string `json:"why"`
	Optional bool   `json:"optional"`
	Aside    string `json:"aside,omitempty"`
}

func zoneRecords(d zone.Domain) iter.Seq2[zoneRecord, error] {
	return func(yield func(zoneRecord, error) bool) {
		for _, r := range zone.Records(d) {
			h := r.RR.Header()
			shown := zoneRecord{strings.TrimSuffix(h.Name, "."), h.Ttl, zone.Type(r), zone.Data(r), r.Why, r.Optional, r.Aside}
			if !yield(shown, nil) {
				return
			}
		}
	}
}

// checkDomain says what the DNS has.
func (a *app) checkDomain(ctx context.Context, cfg *config.Config, d zone.Domain, asJSON bool) error {
	r, err := openResolver(cfg)
	if err != nil {
		return err
	}
	bad := false
	for _, f := range zone.Check(ctx, r, d) {
		bad = bad || f.Bad()
		if asJSON {
			err = json.NewEncoder(a.stdout).Encode(f)
		} else {
			err = a.printRecordState(f)
		}
		if err != nil {
			return err
		}
	}
	if bad {
		return errSilent{}
	}
	return nil
}

// printRecordState prints what the DNS has of a record, and what to do.
func (a *app) printRecordState(f zone.Finding) error {
	state := string(f.State)
	if !f.Bad() && f.State != zone.Right {
		state = "(" + state + ")" // mail comes and goes without it
	}
	fmt.Fprintf(a.stdout, "%-11s %s %s\n", state, f.Type, plain(f.Name))
	if f.State != zone.Right {
		for _, s := range f.Found {
			fmt.Fprintf(a.stdout, "            there is  %s\n", plain(s))
		}
		for _, s := range f.Want {
			fmt.Fprintf(a.stdout, "            wanted    %s\n", plain(s))
		}
	}
	if f.Advice != "" {
		fmt.Fprintf(a.stdout, "            %s\n", plain(f.Advice))
	}
	return nil
}
