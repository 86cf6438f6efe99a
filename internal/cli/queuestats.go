package cli

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/mail"
)

func (a *app) queueStatsCommand() *cobra.Command {
	var asJSON bool
	var flags queueFlags
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Count what waits for each destination",
		Long: `Count what waits for each destination, the one with the most first: rows, how long ago
the oldest was accepted, when the next is due, what goes on there now, and the last
failure. What goes on is known while the server runs.`,
		Example: "  postrider queue stats\n  postrider queue stats --state delayed --json",
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			f, err := flags.read(cmd, now)
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				if asJSON {
					return a.queueStatsJSON(cmd, c, f)
				}
				return a.queueStats(cmd, c, f, now)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	flags.add(cmd)
	return cmd
}

func (a *app) queueStatsJSON(cmd *cobra.Command, c *admin.Client, f admin.QueueFilter) error {
	e := json.NewEncoder(a.stdout)
	totals, err := c.QueueStats(cmd.Context(), f, func(d admin.QueueDestination) error { return e.Encode(d) })
	if err != nil {
		return err
	}
	return e.Encode(totals)
}

func (a *app) queueStats(cmd *cobra.Command, c *admin.Client, f admin.QueueFilter, now time.Time) error {
	var totals admin.QueueTotals
	rows := func(yield func(admin.QueueDestination, error) bool) {
		var err error
		if totals, err = c.QueueStats(cmd.Context(), f, func(d admin.QueueDestination) error {
			if !yield(d, nil) {
				return errSilent{}
			}
			return nil
		}); err != nil {
			yield(admin.QueueDestination{}, err)
		}
	}
	err := printCutList(a.stdout, a.width(), rows, "DESTINATION\tROWS\tHELD\tOLDEST\tNEXT\tNOW\tLAST FAILURE",
		func(d admin.QueueDestination) []string { return queueStatsCells(&d, now) })
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, totalsText(&totals))
	return err
}

func queueStatsCells(d *admin.QueueDestination, now time.Time) []string {
	next, failure := "-", ""
	switch {
	case d.Frozen:
		next = "frozen"
	case !d.Next.IsZero():
		next = untilText(d.Next, now, d.Kept)
	}
	if d.Failure != nil {
		failure = spanText(now.Sub(d.Failure.At)) + " ago: " + oneLine(d.Failure.Reply)
	}
	return []string{
		d.Destination, countText(d.Rows), countText(d.Held), spanText(now.Sub(d.Oldest)), next, hopText(d, now), failure,
	}
}

// hopText says what goes on with the hosts of a destination.
func hopText(d *admin.QueueDestination, now time.Time) string {
	h := d.Hop
	switch {
	case h == nil && d.Leased > 0:
		return count(d.Leased, "row", "rows") + " leased"
	case h == nil:
		return "-"
	case h.Failing != "":
		return "not tried for " + spanText(h.Until.Sub(now))
	}
	return fmt.Sprintf("%d of %s", h.Connections, count(int64(h.Limit), "connection", "connections"))
}

func totalsText(t *admin.QueueTotals) string {
	if t.Rows == 0 {
		return "Nothing waits."
	}
	s := fmt.Sprintf("%s of %s (%s) for %s: %d waiting, %d delayed, %d leased, %d held.",
		count(t.Rows, "row", "rows"), count(t.Messages, "message", "messages"), mail.Octets(t.Octets),
		count(t.Destinations, "destination", "destinations"), t.Waiting, t.Delayed, t.Leased, t.Held)
	if t.LeftOut > 0 {
		s += fmt.Sprintf(" %s for further destinations.", count(t.LeftOut, "of the rows is", "of the rows are"))
	}
	return s
}
