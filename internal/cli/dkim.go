package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/dkim"
	"postrider/internal/fault"
	"postrider/internal/zone"
)

func (a *app) dkimCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "dkim",
		Short: "Make and change the keys that sign mail",
		Long: `Make and change the keys that sign mail (DKIM). A key is pending until the DNS shows its
record, then active: it signs. One that has been replaced is retired: its record stays
until the mail that it signed has arrived.`,
		GroupID: groupPeople,
	}, a.dkimGenerateCommand(), a.dkimListCommand(), a.dkimActivateCommand(), a.dkimRotateCommand(),
		a.dkimRetireCommand(), a.dkimRemoveCommand())
}

func (a *app) dkimGenerateCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "generate DOMAIN",
		Short: "Make keys for a domain, and say what to publish",
		Long: `Make keys for a domain, one of each algorithm (RSA and Ed25519), and say which records
the DNS has to have. They sign when it shows them: the server looks once an hour.

The domain need not have mail here: keys of the server's hostname sign notifications,
those of others what hosts of [[relay]] send in their name (dkim.sign_relayed), and
keys may be made before a domain moves here. It is said, since it may be a slip.`,
		Example: "  postrider dkim generate example.org",
		Args:    args(1, 1, "a domain"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				made, err := c.GenerateKeys(cmd.Context(), args[0], name)
				if err != nil {
					return err
				}
				if err := a.printNewKeys(made); err != nil {
					return err
				}
				return a.doubtDomain(cmd.Context(), c, made)
			})
		},
	}
	cmd.Flags().StringVar(&name, "selector", "", "what the keys' `NAME`s begin with; default: pr- and the month")
	return cmd
}

func (a *app) printNewKeys(made []dkim.Key) error {
	fmt.Fprintf(a.stdout, "Made %s for %s. Publish:\n\n", count(int64(len(made)), "key", "keys"), made[0].Domain)
	for _, r := range zone.Records(zone.Domain{Name: made[0].Domain, Hostname: made[0].Domain, Keys: zoneKeys(made)}) {
		if i := slices.IndexFunc(made, func(k dkim.Key) bool { return k.Name+"." == r.RR.Header().Name }); i >= 0 {
			fmt.Fprintln(a.stdout, zone.Line(r))
		}
	}
	_, err := fmt.Fprintf(a.stdout, "\nThe server looks for the records once an hour; \"postrider dkim activate %s --check\" does at once.\n", made[0].Domain)
	return err
}

// doubtDomain says of keys just made if their domain has no mail here: they may be
// meant for later, or for another domain.
func (a *app) doubtDomain(ctx context.Context, c *admin.Client, made []dkim.Key) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	if err := fillHostname(cfg); err != nil {
		return err
	}
	domain := made[0].Domain
	if strings.EqualFold(domain, cfg.Hostname) {
		return nil // notifications come from it
	}
	if _, err = localDomain(ctx, c, domain); !fault.Is(err, fault.NotFound) {
		return err
	}
	_, err = fmt.Fprintf(a.stderr, `
Note: %[1]s has no mail here. Until "postrider domain add %[1]s" these keys sign nothing,
but what hosts of [[relay]] send in its name, with dkim.sign_relayed. If you meant
another domain, remove them:
`, domain)
	for _, k := range made {
		if err == nil {
			_, err = fmt.Fprintf(a.stderr, "  postrider dkim remove %s %s\n", domain, k.Selector)
		}
	}
	return err
}

// zoneKeys says of keys what the DNS has to know.
func zoneKeys(keys []dkim.Key) []zone.Key {
	var all []zone.Key
	for _, k := range keys {
		all = append(all, zone.Key{
			Selector: k.Selector, Record: k.Record, Signs: k.State == dkim.Active, Retired: k.State == dkim.Retired,
		})
	}
	return all
}

func (a *app) dkimListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list [DOMAIN]",
		Short:   "List the keys; their secrets are never shown",
		Example: "  postrider dkim list example.org",
		Args:    args(0, 1, "one domain at most"),
		RunE: func(cmd *cobra.Command, args []string) error {
			domain := ""
			if len(args) == 1 {
				domain = args[0]
			}
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				return printList(a.stdout, asJSON, c.Keys(cmd.Context(), domain), "DOMAIN\tSELECTOR\tALGORITHM\tSTATE\tSINCE", func(k dkim.Key) []string {
					return []string{k.Domain, k.Selector, string(k.Algorithm), string(k.State), timeText(since(k))}
				})
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// since is when a key's state began.
func since(k dkim.Key) time.Time {
	switch k.State {
	case dkim.Active:
		return k.Activated
	case dkim.Retired:
		return k.Retired
	}
	return k.Created
}

func (a *app) dkimActivateCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "activate DOMAIN [SELECTOR...]",
		Short: "Let keys sign, in place of those that do",
		Long: `Let keys sign: those named, or all of the domain that are pending. Those of the same
algorithm that signed until now are retired. The server does it by itself when the DNS
has shown the records for a while ([dkim] settle).`,
		Example: "  postrider dkim activate example.org --check",
		Args:    args(1, -1, "a domain, and selectors if not all pending keys are meant"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				if check {
					if err := a.published(cmd.Context(), c, args[0], args[1:]); err != nil {
						return err
					}
				}
				now, err := c.ActivateKeys(cmd.Context(), args[0], args[1:]...)
				if err != nil {
					return err
				}
				for _, k := range now {
					fmt.Fprintf(a.stdout, "%s signs the mail of %s.\n", plain(k.Selector), plain(k.Domain))
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "only if the DNS shows the records")
	return cmd
}

// published looks whether the DNS shows the keys that are to be activated.
func (a *app) published(ctx context.Context, c *admin.Client, domain string, selectors []string) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	r, err := openResolver(cfg)
	if err != nil {
		return err
	}
	for k, err := range c.Keys(ctx, domain) {
		if err != nil {
			return err
		}
		if len(selectors) == 0 && k.State != dkim.Pending || len(selectors) > 0 && !slices.Contains(selectors, k.Selector) {
			continue
		}
		if err := lookupTXT(r).Shows(ctx, k); err != nil {
			return hint(err, fault.NotFound, "Publish it as \"postrider dns %[1]s\" says (\"postrider dkim list %[1]s --json\", if %[1]s has no mail here); resolvers may not see it for some time.", plain(domain))
		}
	}
	return nil
}

func (a *app) dkimRotateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate DOMAIN",
		Short: "Make the next keys for a domain",
		Long: `Make the next keys for a domain that signs. Publish them and leave the old records: the
server switches when the DNS has shown the new ones for a while ([dkim] settle), and
retires the old keys. Remove their records a week later, and the keys with "dkim remove".`,
		Example: "  postrider dkim rotate example.org",
		Args:    args(1, 1, "a domain"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				made, err := c.RotateKeys(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.printNewKeys(made)
			})
		},
	}
}

func (a *app) dkimRetireCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "retire DOMAIN SELECTOR",
		Short:   "Let a key sign no more",
		Example: "  postrider dkim retire example.org pr-2026-11-rsa",
		Args:    args(2, 2, "a domain and a selector"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				if err := c.RetireKey(cmd.Context(), args[0], args[1]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.stdout, "%s signs no more. Leave its record in the DNS for a week, until what it signed has arrived.\n", plain(args[1]))
				return err
			})
		},
	}
}

func (a *app) dkimRemoveCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "remove DOMAIN SELECTOR",
		Short:   "Remove a key that does not sign for good",
		Example: "  postrider dkim remove example.org pr-2026-11-rsa",
		Args:    args(2, 2, "a domain and a selector"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				if err := a.confirm(cmd.Context(), yes, "This removes the key for good."); err != nil {
					return err
				}
				if err := c.RemoveKey(cmd.Context(), args[0], args[1]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.stdout, "Removed %s. Its record in the DNS is of no use any more when the mail that it signed has arrived.\n", plain(args[1]))
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	return cmd
}
