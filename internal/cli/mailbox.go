package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/mail"
)

func countText(n int64) string { return strconv.FormatInt(n, 10) }

func (a *app) mailboxCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "mailbox",
		Short:   "Show how much mail there is, and who holds a maildrop",
		GroupID: groupPeople,
	}, a.mailboxListCommand(), a.mailboxShowCommand(), a.mailboxUnlockCommand())
}

func (a *app) mailboxListCommand() *cobra.Command {
	var asJSON bool
	var domain string
	cmd := &cobra.Command{
		Use:     "list [ADDRESS]",
		Short:   "List mailboxes with their counts and sizes",
		Example: "  postrider mailbox list\n  postrider mailbox list alice@example.org\n  postrider mailbox list --domain example.org",
		Args:    args(0, 1, "one address at most"),
		RunE: func(cmd *cobra.Command, args []string) error {
			which := admin.Which{Domain: domain}
			if len(args) == 1 {
				which.Address = args[0]
			}
			if which.Address != "" && domain != "" {
				return usagef("give an address or --domain")
			}
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				return printList(a.stdout, asJSON, c.Mailboxes(cmd.Context(), which), "ACCOUNT\tMAILBOX\tMESSAGES\tSIZE", func(m admin.Mailbox) []string {
					return []string{m.Account, m.Name, countText(m.Messages), mail.Octets(m.Octets)}
				})
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	domainFlag(cmd, &domain)
	return cmd
}

func (a *app) mailboxShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show ADDRESS",
		Short:   "Show an account's mailboxes, and who holds its maildrop",
		Example: "  postrider mailbox show alice@example.org",
		Args:    args(1, 1, "an address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				s, err := c.ShowMailbox(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(a.stdout).Encode(s)
				}
				return printMailboxes(a.stdout, s)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func printMailboxes(w io.Writer, s admin.MailboxState) error {
	for i, m := range s.Mailboxes {
		if i > 0 {
			fmt.Fprintln(w)
		}
		err := printFacts(w, [][2]string{
			{"Mailbox", m.Name},
			{"Messages", countText(m.Messages)},
			{"Size", fmt.Sprintf("%s (%s)", mail.Octets(m.Octets), count(m.Octets, "octet", "octets"))},
			{"Next UID", countText(int64(m.UIDNext))},
			{"UIDVALIDITY", countText(int64(m.UIDValidity))},
		})
		if err != nil {
			return err
		}
	}
	if len(s.Holders) == 0 {
		_, err := fmt.Fprintln(w, "\nNobody has the maildrop open.")
		return err
	}
	fmt.Fprintln(w, "\nThe maildrop is open:")
	for _, h := range s.Holders {
		if _, err := fmt.Fprintf(w, "  since %s, %s, by %s\n", timeText(h.Since), h.Mode, plain(h.Who)); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) mailboxUnlockCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "unlock ADDRESS",
		Short:   "End the hold of those who have a maildrop open",
		Long:    "End the hold of those who have a maildrop open. What they marked for deletion stays.",
		Example: "  postrider mailbox unlock alice@example.org",
		Args:    args(1, 1, "an address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				n, err := c.Unlock(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if n == 0 {
					_, err = fmt.Fprintf(a.stdout, "Nobody had the maildrop of %s open.\n", plain(args[0]))
					return err
				}
				_, err = fmt.Fprintf(a.stdout, "Unlocked the maildrop of %s; %s ended.\n", plain(args[0]), count(int64(n), "hold", "holds"))
				return err
			})
		},
	}
}
