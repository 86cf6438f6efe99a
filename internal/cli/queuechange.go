package cli

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/mail"
)

// queueVerb is a command that changes rows of the queue.
type queueVerb struct {
	name, short, long, example string
	// done is what was done, as "Held %s.", with how many rows.
	done string
	// asks, if not empty, is what would be done, as "This removes %s", with what; it
	// is asked before it is.
	asks string
	// hasWhy gives it --why.
	hasWhy bool
}

// queueWhich is said of every queueVerb.
const queueWhich = `

Which rows: those of the message ID, or some of them (--row), or all that fit every
option given, or with --all the whole queue. Rows that are being sent at this moment
are left as they are and said; the exit code is 1 then.`

func (a *app) queueHoldCommand() *cobra.Command {
	return a.queueChangeCommand(&queueVerb{
		name: "hold", short: "Keep rows from being sent until they are released", done: "Held %s.",
		long:    "Keep rows from being sent until \"queue release\". The time after which they are\nreturned to their sender runs on.",
		example: "  postrider queue hold 01m7q4p2vj8kq3x5c9d6t0w1ze\n  postrider queue hold --sender @example.org --domain example.net",
	})
}

func (a *app) queueReleaseCommand() *cobra.Command {
	return a.queueChangeCommand(&queueVerb{
		name: "release", short: "Let rows go that were held", done: "Released %s.",
		long:    "Let rows go that were held: they are due now, or when their sender wants it (\"postrider\nheld\").",
		example: "  postrider queue release --state held --domain example.net\n  postrider queue release 01m7q4p2vj8kq3x5c9d6t0w1ze --row 2",
	})
}

func (a *app) queueRetryCommand() *cobra.Command {
	return a.queueChangeCommand(&queueVerb{
		name: "retry", short: "Try rows now that would be tried later", done: "Made %s due.",
		long:    "Try rows now that would be tried later, also when their hosts could not be reached a\nmoment ago. Rows that are held stay so, and so do those of a frozen destination.\nWhat its sender holds back until a time (\"postrider held\") is tried only if it is named.",
		example: "  postrider queue retry --domain example.net\n  postrider queue retry --all",
	})
}

func (a *app) queueDropCommand() *cobra.Command {
	return a.queueChangeCommand(&queueVerb{
		name: "drop", short: "Remove rows for good", done: "Removed %s.",
		asks:    "This removes %s for good, and nobody is told.",
		long:    "Remove rows for good. Nobody is told: neither sender nor recipient.",
		example: "  postrider queue drop --sender mallory@example.org --dry-run\n  postrider queue drop --sender mallory@example.org",
	})
}

func (a *app) queueBounceCommand() *cobra.Command {
	return a.queueChangeCommand(&queueVerb{
		name: "bounce", short: "Return rows to their sender as failed", done: "Returned %s.", hasWhy: true,
		asks:    "This returns %s to the sender.",
		long:    "Return rows to their sender now, with a notification that delivery has failed. It needs\nthe running server.",
		example: "  postrider queue bounce --domain exmaple.net --why typo",
	})
}

// queueChoice is what the options of a queueVerb say.
type queueChoice struct {
	flags            queueFlags
	change           admin.QueueChange
	yes, dry, asJSON bool
}

func (a *app) queueChangeCommand(v *queueVerb) *cobra.Command {
	var q queueChoice
	cmd := &cobra.Command{
		Use:     v.name + " [ID]",
		Short:   v.short,
		Long:    v.long + queueWhich,
		Example: v.example,
		Args:    args(0, 1, "one message's id at most"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := q.read(cmd, args); err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(c *admin.Client) error { return a.queueChange(cmd, c, v, &q) })
		},
	}
	q.flags.add(cmd)
	f := cmd.Flags()
	f.IntSliceVar(&q.change.Rows, "row", nil, "only the message's row `N`; may be given more than once")
	f.BoolVar(&q.change.All, "all", false, "the whole queue")
	f.BoolVar(&q.dry, "dry-run", false, "change nothing, and say how many rows it would be")
	jsonFlag(cmd, &q.asJSON)
	if v.asks != "" {
		f.BoolVar(&q.yes, "yes", false, "don't ask")
	}
	if v.hasWhy {
		f.StringVar(&q.change.Why, "why", "", "the reason, for the sender: `TEXT`")
	}
	return cmd
}

// read says which rows are meant.
func (q *queueChoice) read(cmd *cobra.Command, args []string) error {
	var err error
	if q.change.Filter, err = q.flags.read(cmd, time.Now()); err != nil {
		return err
	}
	filtered := q.change.Filter != admin.QueueFilter{}
	if len(args) == 1 {
		q.change.ID = args[0]
		if filtered || q.change.All {
			return usagef("give a message's id, or options that say which rows")
		}
		return nil
	}
	switch {
	case len(q.change.Rows) > 0:
		return usagef("--row is a row of a message: give its id")
	case filtered && q.change.All:
		return usagef("--all is the whole queue: leave out the other options, or it")
	case !filtered && !q.change.All:
		return usagef("say which rows: a message's id, options such as --domain, or --all")
	}
	return nil
}

// queueChange does it, after a question if that is needed.
func (a *app) queueChange(cmd *cobra.Command, c *admin.Client, v *queueVerb, q *queueChoice) error {
	if v.asks != "" && !q.yes && !q.dry {
		asked := time.Now()
		would, err := a.askQueue(cmd, c, v, q, true)
		if err != nil {
			return err
		}
		if would.Rows > 0 {
			if err := a.confirm(cmd.Context(), false, fmt.Sprintf(v.asks, rowsText(&would))); err != nil {
				return err
			}
		}
		// What comes after the question was not asked about.
		if f := &q.change.Filter; q.change.ID == "" && (f.Before.IsZero() || f.Before.After(asked)) {
			f.Before = asked
		}
	}
	done, err := a.askQueue(cmd, c, v, q, q.dry)
	if err != nil && done.Changed == 0 {
		return err
	}
	if serr := a.sayChanged(v, q, &done); serr != nil {
		return serr
	}
	if err == nil && done.NotDone > 0 {
		err = errSilent{}
	}
	return err
}

// askQueue has the server or the store do it, or only count.
func (a *app) askQueue(cmd *cobra.Command, c *admin.Client, v *queueVerb, q *queueChoice, dry bool) (admin.QueueChanged, error) {
	change := q.change
	change.DryRun = dry
	e := json.NewEncoder(a.stdout)
	return c.ChangeQueue(cmd.Context(), v.name, change, func(p admin.QueueProblem) error {
		switch {
		case q.asJSON:
			return e.Encode(p)
		case p.Row < 0:
			fmt.Fprintf(a.stderr, "%s: %s\n", plain(p.ID), plain(p.Problem))
		default:
			fmt.Fprintf(a.stderr, "%s row %d, to %s: %s\n", plain(p.ID), p.Row, plain(p.To), plain(p.Problem))
		}
		return nil
	})
}

// rowsText says how much a change is about.
func rowsText(d *admin.QueueChanged) string {
	return fmt.Sprintf("%s of %s (%s)", count(d.Rows, "row", "rows"), count(d.Messages, "message", "messages"), mail.Octets(d.Octets))
}

func (a *app) sayChanged(v *queueVerb, q *queueChoice, done *admin.QueueChanged) error {
	if q.asJSON {
		return json.NewEncoder(a.stdout).Encode(done)
	}
	_, err := fmt.Fprintln(a.stdout, changedText(v, done))
	return err
}

// changedText says what was done, and what was not.
func changedText(v *queueVerb, d *admin.QueueChanged) string {
	if d.Rows == 0 && d.NotDone == 0 {
		return "No row of the queue fits."
	}
	if d.DryRun {
		return "It would be " + rowsText(d) + "."
	}
	s := fmt.Sprintf(v.done, count(d.Changed, "row", "rows"))
	if same := d.Rows - d.Changed - d.NotDone; same > 0 {
		s += fmt.Sprintf(" %s no change.", count(same, "row needed", "rows needed"))
	}
	if d.NotDone > 0 {
		s += fmt.Sprintf(" Left as they are: %d.", d.NotDone)
	}
	return s
}
