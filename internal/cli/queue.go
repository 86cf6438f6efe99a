package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/config"
	"postrider/internal/mail"
)

func (a *app) queueCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "queue",
		Short:   "See the mail that waits to be sent to other hosts, and change what becomes of it",
		GroupID: groupCare,
	}, a.queueListCommand(), a.queueShowCommand(), a.queueStatsCommand(),
		a.queueHoldCommand(), a.queueReleaseCommand(), a.queueRetryCommand(), a.queueDropCommand(), a.queueBounceCommand(),
		a.queueFreezeCommand(), a.queueThawCommand(), a.queueFrozenCommand())
}

// queueFlags are the options that say which rows of the queue are meant.
type queueFlags struct {
	filter       admin.QueueFilter
	older, newer string
}

func (q *queueFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&q.filter.Sender, "sender", "", "only mail from `ADDRESS`, from @DOMAIN, or from <> (notifications)")
	f.StringVar(&q.filter.Recipient, "recipient", "", "only mail to `ADDRESS`")
	f.StringVar(&q.filter.Domain, "domain", "", "only mail to `DOMAIN`; to .DOMAIN: to all domains below it")
	f.StringVar(&q.older, "older", "", "only mail accepted longer ago than `DURATION` (90s, 5m, 1h30m, 2d)")
	f.StringVar(&q.newer, "newer", "", "only mail accepted within the last `DURATION`")
	f.StringVar(&q.filter.State, "state", "", "only rows in `STATE`: "+strings.Join(admin.QueueStates(), ", "))
	f.StringVar(&q.filter.Warrant, "warrant", "", "only mail that goes on account of `WHO`: account:ADDRESS, client:NAME, alias:ADDRESS, server; or any of a kind")
	complete := cobra.FixedCompletions(admin.QueueStates(), cobra.ShellCompDirectiveNoFileComp)
	_ = cmd.RegisterFlagCompletionFunc("state", complete) // it fails where there is no such option
}

// read returns the filter; an option that can't be read is a usage error. So is one
// that is empty: where a script has no value for it, more would be meant than is.
func (q *queueFlags) read(cmd *cobra.Command, now time.Time) (admin.QueueFilter, error) {
	f := q.filter
	for _, name := range []string{"sender", "recipient", "domain", "older", "newer", "state", "warrant"} {
		if o := cmd.Flags().Lookup(name); o != nil && o.Changed && o.Value.String() == "" {
			return f, usagef("--%s is empty: leave it out if all are meant (mail without a sender is --sender '<>')", name)
		}
	}
	for _, bound := range []struct {
		name, value string
		at          *time.Time
	}{{"older", q.older, &f.Before}, {"newer", q.newer, &f.After}} {
		if bound.value == "" {
			continue
		}
		var d config.Duration
		if err := d.UnmarshalText([]byte(bound.value)); err != nil {
			return f, usagef("--%s %.40q: %w", bound.name, bound.value, err)
		}
		*bound.at = now.Add(-d.Duration())
	}
	if err := f.Check(); err != nil {
		return f, usageError{fmt.Errorf("--%w", err)} // it begins with the field's name, which is the option's
	}
	return f, nil
}

func (a *app) queueListCommand() *cobra.Command {
	var asJSON bool
	var flags queueFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what waits, a line for each recipient",
		Long: `List what waits to be sent, a line for each recipient: a row. STATE is waiting (not
tried yet), delayed (tried, and tried again at NEXT), leased (being tried at this
moment) or held (until "queue release"). NEXT is how long from now; "frozen" if the
destination is; "kept" if it is due and nothing is sent: no server runs, or its
configuration says outbound.enabled = false. On a terminal the last reply is cut to
its width.`,
		Example: "  postrider queue list\n  postrider queue list --domain example.net --state delayed\n  postrider queue list --sender alice@example.org --older 1d --json",
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			f, err := flags.read(cmd, now)
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				rows := c.Queue(cmd.Context(), f)
				if asJSON {
					return printJSON(a.stdout, rows)
				}
				return printCutList(a.stdout, a.width(), rows, "ID\tAGE\tSIZE\tFROM\tTO\tSTATE\tNEXT\tTRIES\tLAST REPLY",
					func(r admin.QueueRow) []string { return queueRowCells(&r, now) })
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	flags.add(cmd)
	return cmd
}

func queueRowCells(r *admin.QueueRow, now time.Time) []string {
	return []string{
		r.ID, spanText(now.Sub(r.Accepted)), mail.Octets(r.Octets), pathText(r.From), r.To,
		r.State, nextText(&r.QueueRecipient, now), countText(int64(r.Tries)), oneLine(r.Reply),
	}
}

// pathText shows a reverse-path.
func pathText(from string) string {
	if from == "" {
		return "<>"
	}
	return from
}

// nextText says when a row is tried next.
func nextText(r *admin.QueueRecipient, now time.Time) string {
	switch {
	case r.State == admin.QueueLeased || r.State == admin.QueueHeld:
		return "-"
	case r.Frozen:
		return "frozen"
	}
	return untilText(r.Next, now, r.Kept)
}

// untilText says how long it is until rows are tried. What is due when nothing is sent
// is kept.
func untilText(t, now time.Time, kept bool) string {
	switch {
	case t.After(now):
		return spanText(t.Sub(now))
	case kept:
		return "kept"
	}
	return "now"
}

// spanText is a duration for people, in its largest unit.
func spanText(d time.Duration) string {
	switch {
	case d < time.Second:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// oneLine joins the lines of a text.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
