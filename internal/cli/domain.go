package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/fault"
	"postrider/internal/store"
)

func (a *app) domainCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "domain",
		Short:   "Say which domains have their mail here",
		GroupID: groupPeople,
	}, a.domainAddCommand(), a.domainListCommand(), a.domainRemoveCommand())
}

func (a *app) domainAddCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "add DOMAIN",
		Short:   "Take mail for a domain",
		Example: "  postrider domain add example.org",
		Args:    args(1, 1, "a domain"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				if err := c.AddDomain(cmd.Context(), args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.stdout, "Added the domain %s.\n", plain(args[0]))
				return err
			})
		},
	}
}

func (a *app) domainListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the domains",
		Example: "  postrider domain list --json",
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				return printList(a.stdout, asJSON, c.Domains(cmd.Context()), "DOMAIN\tADDED", func(d store.Domain) []string {
					return []string{d.Name, timeText(d.Created)}
				})
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) domainRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove DOMAIN",
		Short:   "Take no more mail for a domain",
		Long:    "Take no more mail for a domain. Its accounts and aliases have to be removed first.",
		Example: "  postrider domain remove example.org",
		Args:    args(1, 1, "a domain"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				if err := c.RemoveDomain(cmd.Context(), args[0]); err != nil {
					return hint(err, fault.Exists, "Remove its accounts and aliases first: \"postrider account list --domain %[1]s\" and \"postrider alias list --domain %[1]s\" show them.", plain(args[0]))
				}
				_, err := fmt.Fprintf(a.stdout, "Removed the domain %s.\n", plain(args[0]))
				return err
			})
		},
	}
}
