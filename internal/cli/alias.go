package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

func (a *app) aliasCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "alias",
		Short:   "Say which addresses lead elsewhere",
		GroupID: groupPeople,
	}, a.aliasAddCommand(), a.aliasListCommand(), a.aliasRemoveCommand())
}

func (a *app) aliasAddCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "add ADDRESS TARGET...",
		Short: "Let an address lead to others",
		Long: `Let an address lead to one target or more, beside those it has already: accounts
and aliases here, or addresses at other hosts, to which its mail is sent on.
@DOMAIN is the catch-all of a domain: it takes what no other address there does,
and leads to addresses here only.`,
		Example: "  postrider alias add sales@example.org alice@example.org bob@example.org\n  postrider alias add away@example.org me@example.net\n  postrider alias add @example.org alice@example.org",
		Args:    args(2, -1, "an address and its targets"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				targets, err := c.AddAlias(cmd.Context(), args[0], args[1:])
				if err != nil {
					return aliasHint(cmd.Context(), c, args[0], err)
				}
				_, err = fmt.Fprintf(a.stdout, "%s leads to %s.\n", plain(args[0]), plain(strings.Join(targets, ", ")))
				return err
			})
		},
	}
}

// aliasHint says which of the two is missing: the alias's domain, or a target.
func aliasHint(ctx context.Context, c *admin.Client, alias string, err error) error {
	_, name, _ := strings.Cut(alias, "@")
	if ascii, perr := mail.ParseDomain(name); perr == nil {
		name = ascii
	}
	for d, derr := range c.Domains(ctx) {
		if derr == nil && d.Name == name {
			return hint(err, fault.NotFound, "A target is the address of an account or of another alias here, or one at another host.")
		}
	}
	return hint(err, fault.NotFound, "An alias needs its domain: \"postrider domain add %s\" makes it.", plain(name))
}

func (a *app) aliasListCommand() *cobra.Command {
	var asJSON bool
	var domain string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the aliases",
		Example: "  postrider alias list --domain example.org",
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				return printList(a.stdout, asJSON, c.Aliases(cmd.Context(), domain), "ADDRESS\tTARGETS", func(e store.Entry) []string {
					return []string{e.Address, strings.Join(e.Targets, ", ")}
				})
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	domainFlag(cmd, &domain)
	return cmd
}

func (a *app) aliasRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove ADDRESS [TARGET...]",
		Short:   "Remove an alias, or some of its targets",
		Example: "  postrider alias remove sales@example.org bob@example.org\n  postrider alias remove sales@example.org",
		Args:    args(1, -1, "an address and, if it is to keep the others, targets"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				left, err := c.RemoveAlias(cmd.Context(), args[0], args[1:])
				if err != nil {
					return err
				}
				if len(left) == 0 {
					_, err = fmt.Fprintf(a.stdout, "Removed the alias %s.\n", plain(args[0]))
					return err
				}
				_, err = fmt.Fprintf(a.stdout, "%s leads to %s.\n", plain(args[0]), plain(strings.Join(left, ", ")))
				return err
			})
		},
	}
}
