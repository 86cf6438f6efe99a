package cli

import (
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/mail"
)

func (a *app) accountListCommand() *cobra.Command {
	var asJSON bool
	var domain string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the accounts",
		Example: "  postrider account list --domain example.org\n  postrider account list --json",
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				return printList(a.stdout, asJSON, c.Accounts(cmd.Context(), domain), "ADDRESS\tMESSAGES\tSIZE\tQUOTA\tLOGIN", accountRow)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	domainFlag(cmd, &domain)
	return cmd
}

func domainFlag(cmd *cobra.Command, domain *string) {
	cmd.Flags().StringVar(domain, "domain", "", "only those of `DOMAIN`")
}

func accountRow(acc admin.Account) []string {
	return []string{acc.Address, countText(acc.Messages), mail.Octets(acc.Octets), quotaText(acc.Quota), loginText(acc)}
}

// loginText says whether and how somebody can log in.
func loginText(acc admin.Account) string {
	switch {
	case acc.Disabled:
		return "disabled"
	case acc.Password == "":
		return "no password"
	}
	return acc.Password
}

func (a *app) accountShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show ADDRESS",
		Short:   "Show an account",
		Example: "  postrider account show alice@example.org",
		Args:    args(1, 1, "an address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				acc, err := c.Account(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(a.stdout).Encode(acc)
				}
				return printFacts(a.stdout, [][2]string{
					{"Address", acc.Address},
					{"Number", countText(int64(acc.ID))},
					{"Login", loginText(acc)},
					{"SCRAM", yesNo(acc.SCRAM)},
					{"App passwords", countText(int64(acc.AppPasswords))},
					{"Legacy secret", yesNo(acc.LegacySecret)},
					{"May send as", grantsText(acc.Grants)},
					{"Messages", countText(acc.Messages)},
					{"Size", mail.Octets(acc.Octets)},
					{"Held", mail.Octets(acc.HeldOctets)},
					{"Quota", quotaText(acc.Quota)},
					{"Added", timeText(acc.Created)},
				})
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// grantsText says as whom an account may send besides its own addresses.
func grantsText(grants []string) string {
	if len(grants) == 0 {
		return "its own addresses"
	}
	return "its own addresses, " + strings.Join(grants, ", ")
}
