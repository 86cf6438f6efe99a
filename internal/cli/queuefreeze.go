package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/store"
)

func (a *app) queueFreezeCommand() *cobra.Command {
	var asJSON bool
	var why string
	cmd := &cobra.Command{
		Use:   "freeze DESTINATION",
		Short: "Send nothing to a domain until it is thawed",
		Long: `Send nothing to a domain until "queue thaw". Mail for it is taken and waits, and the
time after which it is returned to its sender runs on. What is being sent goes on.
Freezing it again changes the reason.`,
		Example: "  postrider queue freeze example.net --why maintenance",
		Args:    args(1, 1, "a domain"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				name, err := c.Freeze(cmd.Context(), args[0], why)
				if err != nil {
					return err
				}
				return a.sayFrozen(asJSON, name, true)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&why, "why", "", "the reason, for those who look at the queue: `TEXT`")
	return cmd
}

func (a *app) queueThawCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "thaw DESTINATION",
		Short:   "Let mail to a domain go again",
		Example: "  postrider queue thaw example.net",
		Args:    args(1, 1, "a domain"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				name, err := c.Thaw(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.sayFrozen(asJSON, name, false)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// sayFrozen says what a destination is now.
func (a *app) sayFrozen(asJSON bool, name string, frozen bool) error {
	if asJSON {
		return json.NewEncoder(a.stdout).Encode(struct {
			Name   string `json:"name"`
			Frozen bool   `json:"frozen"`
		}{name, frozen})
	}
	format := "Thawed %s.\n"
	if frozen {
		format = "Frozen %s: nothing is sent there.\n"
	}
	_, err := fmt.Fprintf(a.stdout, format, plain(name))
	return err
}

func (a *app) queueFrozenCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "frozen",
		Short:   "List the domains to which nothing is sent",
		Example: "  postrider queue frozen",
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				return printList(a.stdout, asJSON, c.FrozenDestinations(cmd.Context()), "DESTINATION\tSINCE\tWHY",
					func(d store.FrozenDestination) []string { return []string{d.Name, timeText(d.Since), oneLine(d.Why)} })
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
