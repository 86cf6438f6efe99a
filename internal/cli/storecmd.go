package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/mail"
	"postrider/internal/store"
)

func (a *app) storeCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "store",
		Short:   "Check the store, or show how much it holds",
		GroupID: groupCare,
	}, a.storeCheckCommand(), a.storeUsageCommand())
}

func (a *app) storeCheckCommand() *cobra.Command {
	var asJSON, repair bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Read everything and verify checksums and invariants",
		Long: `Read everything and verify checksums and invariants; print what is wrong. With
--repair bad records are set aside: what can be read stays, counts are put right, and
the bad octets are kept where they can be looked at.

The exit code is 1 when something is wrong that was not repaired.`,
		Example: "  postrider store check\n  postrider store check --repair",
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				return a.storeCheck(cmd, c, repair, asJSON)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&repair, "repair", false, "set bad records aside")
	return cmd
}

func (a *app) storeCheck(cmd *cobra.Command, c *admin.Client, repair, asJSON bool) error {
	left := 0 // findings not repaired
	e := json.NewEncoder(a.stdout)
	result, err := c.Check(cmd.Context(), repair, func(f store.Finding) error {
		if f.Repaired == "" {
			left++
		}
		if asJSON {
			return e.Encode(f)
		}
		if f.Repaired != "" {
			f.Problem += "; " + f.Repaired
		}
		_, err := fmt.Fprintf(a.stdout, "%s: %s\n", plain(f.Where), plain(f.Problem))
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		err = e.Encode(result)
	} else {
		_, err = fmt.Fprintln(a.stdout, checkedText(&result))
	}
	if err != nil {
		return err
	}
	if left > 0 && !repair && !asJSON {
		fmt.Fprintln(a.stderr, "\"postrider store check --repair\" sets what is bad aside.")
	}
	if left > 0 {
		return errSilent{}
	}
	return nil
}

// checkedText says what a check went through, held and queued mail only if there is
// any.
func checkedText(r *store.CheckResult) string {
	waiting := ""
	if r.Held > 0 {
		waiting += ", " + count(r.Held, "held message", "held messages")
	}
	if r.Queued > 0 {
		waiting += ", " + count(r.Queued, "queued message", "queued messages")
	}
	return fmt.Sprintf("Checked %s, %s, %s of %s%s: %s.",
		count(r.Accounts, "account", "accounts"), count(r.Mailboxes, "mailbox", "mailboxes"),
		count(r.Messages, "message", "messages"), mail.Octets(r.Octets), waiting, findings(r.Findings))
}

func findings(n int64) string {
	if n == 0 {
		return "nothing is wrong"
	}
	return count(n, "finding", "findings")
}

func (a *app) storeUsageCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "usage",
		Short:   "Show how much the store holds, and whether it takes mail",
		Example: "  postrider store usage --json",
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				u, err := c.Usage(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(a.stdout).Encode(u)
				}
				return printFacts(a.stdout, usageFacts(u))
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func usageFacts(u admin.Usage) [][2]string {
	health := "takes mail"
	if u.Health != "" {
		health = "takes no mail: " + u.Health
	}
	return [][2]string{
		{"Engine", fmt.Sprintf("%s, format %d", u.Engine, u.Format)},
		{"State", health},
		{"Messages", countText(u.Messages)},
		{"Size", mail.Octets(u.Octets)},
		{"On disk", mail.Octets(u.OnDisk)},
		{"Free", mail.Octets(u.Free)},
		{"Reserve", mail.Octets(u.Reserve)},
	}
}
