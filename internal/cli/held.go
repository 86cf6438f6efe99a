package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/mail"
)

func (a *app) heldCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "held",
		Short:   "See the mail that waits for the time its sender set",
		GroupID: groupCare,
	}, a.heldListCommand(), a.heldReleaseCommand(), a.heldRemoveCommand())
}

func (a *app) heldListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the messages that are held",
		Example: "  postrider held list",
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				return printList(a.stdout, asJSON, c.Held(cmd.Context()), "ID\tDUE\tSIZE\tFROM\tTO", func(h admin.Held) []string {
					return []string{h.ID, timeText(h.Due), mail.Octets(h.Octets), h.From, strings.Join(h.Recipients, ", ")}
				})
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) heldReleaseCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "release ID",
		Short: "Deliver a held message now",
		Long: `Deliver a held message now: into the mailboxes here, and what of it is for other hosts
is due in the queue at once. A sender who wanted to be told of the delivery is, while
the server runs.`,
		Example: "  postrider held release 01m7q4p2vj8kq3x5c9d6t0w1ze",
		Args:    args(1, 1, "a message's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				done, err := c.ReleaseHeld(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.stdout, "Delivered %s to %s.\n", plain(args[0]), count(int64(done.Mailboxes), "mailbox", "mailboxes"))
				if err == nil && done.Rows > 0 {
					_, err = fmt.Fprintf(a.stdout, "It is sent now to %s.\n", elsewhere(done.Rows))
				}
				return err
			})
		},
	}
}

func (a *app) heldRemoveCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "Remove a held message for good",
		Long: `Remove a held message for good: for the mailboxes here, and what of it waits in the queue
for other hosts. Nobody is told.`,
		Example: "  postrider held remove 01m7q4p2vj8kq3x5c9d6t0w1ze",
		Args:    args(1, 1, "a message's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				if err := a.confirm(cmd.Context(), yes, "This removes the message for good; its recipients never see it."); err != nil {
					return err
				}
				done, err := c.DropHeld(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.stdout, "Removed %s.\n", plain(args[0]))
				if err == nil && done.Rows > 0 {
					_, err = fmt.Fprintf(a.stdout, "It is not sent to %s.\n", elsewhere(done.Rows))
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	return cmd
}

func elsewhere(rows int) string {
	return count(int64(rows), "recipient at another host", "recipients at other hosts")
}
