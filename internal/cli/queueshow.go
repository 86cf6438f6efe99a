package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/mail"
)

func (a *app) queueShowCommand() *cobra.Command {
	var asJSON, header, raw bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a message of the queue, and each of its rows",
		Long: `Show a message of the queue, and each of its rows with all that is known of it. With
--headers its header is printed instead, made harmless for terminals; with --raw the
message itself, octet by octet.`,
		Example: "  postrider queue show 01m7q4p2vj8kq3x5c9d6t0w1ze\n  postrider queue show 01m7q4p2vj8kq3x5c9d6t0w1ze --headers\n  postrider queue show 01m7q4p2vj8kq3x5c9d6t0w1ze --raw",
		Args:    args(1, 1, "a message's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if raw && (header || asJSON) {
				return usagef("--raw prints the message and nothing else: leave out --headers and --json")
			}
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				switch {
				case raw:
					return c.ReadQueued(cmd.Context(), args[0], false, a.stdout)
				case header:
					return a.queueHeader(cmd, c, args[0], asJSON)
				}
				m, err := c.QueuedMessage(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(a.stdout).Encode(m)
				}
				return printQueued(a.stdout, &m, time.Now())
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&header, "headers", false, "print the message's header")
	cmd.Flags().BoolVar(&raw, "raw", false, "print the message itself")
	return cmd
}

// queueHeader prints a message's header.
func (a *app) queueHeader(cmd *cobra.Command, c *admin.Client, id string, asJSON bool) error {
	var header bytes.Buffer
	if err := c.ReadQueued(cmd.Context(), id, true, &header); err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(a.stdout).Encode(map[string]string{"id": id, "header": header.String()})
	}
	for line := range strings.Lines(header.String()) {
		text := strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "\t", " ")
		if _, err := fmt.Fprintln(a.stdout, plain(text)); err != nil {
			return err
		}
	}
	return nil
}

func printQueued(w io.Writer, m *admin.QueueMessage, now time.Time) error {
	facts := [][2]string{
		{"Message", m.ID},
		{"Accepted", timeText(m.Accepted) + ", " + spanText(now.Sub(m.Accepted)) + " ago, as " + m.AcceptID},
		{"Size", mail.Octets(m.Octets)},
		{"From", pathText(m.From)},
		{"On account of", m.Warrant},
		{"Body", m.Body},
	}
	for _, f := range [][2]string{
		{"Notifications to", m.Notified},
		{"Envelope id", m.EnvID},
		{"Return", m.Ret},
		{"Asks for", strings.Join(askedFor(m), ", ")},
	} {
		if f[1] != "" {
			facts = append(facts, f)
		}
	}
	if err := printFacts(w, facts); err != nil {
		return err
	}
	for i := range m.Rows {
		fmt.Fprintln(w)
		if err := printFacts(w, queuedFacts(&m.Rows[i], now)); err != nil {
			return err
		}
	}
	return nil
}

// askedFor is what a sender wants of the way.
func askedFor(m *admin.QueueMessage) (all []string) {
	if m.SMTPUTF8 {
		all = append(all, "SMTPUTF8")
	}
	if m.RequireTLS {
		all = append(all, "verified TLS")
	}
	if m.TLSOptional {
		all = append(all, "delivery though TLS fails")
	}
	if m.Priority != 0 {
		all = append(all, fmt.Sprintf("priority %d", m.Priority))
	}
	if !m.DeliverBy.IsZero() {
		all = append(all, "delivery by "+timeText(m.DeliverBy)+", else "+m.ByMode)
	}
	return all
}

func queuedFacts(r *admin.QueueRecipient, now time.Time) [][2]string {
	facts := [][2]string{
		{"Row", countText(int64(r.Row))},
		{"To", r.To},
		{"State", stateText(r, now)},
		{"Tries", countText(int64(r.Tries))},
	}
	if r.Tries > 0 {
		facts = append(facts, [2]string{"Last", timeText(r.Last) + ", " + spanText(now.Sub(r.Last)) + " ago"})
	}
	for _, f := range [][2]string{
		{"Host", r.Host}, {"Reply", oneLine(r.Reply)}, {"Notify", r.Notify}, {"Original recipient", r.OriginalRecipient},
	} {
		if f[1] != "" {
			facts = append(facts, f)
		}
	}
	if r.SenderTold {
		facts = append(facts, [2]string{"Sender", "has been told of the delay"})
	}
	if r.Uncertain {
		facts = append(facts, [2]string{"Uncertain", "the other host may have taken it already, and it may come twice"})
	}
	return facts
}

// stateText says a row's state, and when it is tried next.
func stateText(r *admin.QueueRecipient, now time.Time) string {
	switch {
	case r.State == admin.QueueLeased:
		return "leased: it is being sent at this moment"
	case r.State == admin.QueueHeld:
		return "held until it is released"
	case r.Frozen:
		return r.State + "; " + r.Destination + " is frozen"
	case r.Kept && !r.Next.After(now):
		return r.State + ", due, and kept: nothing is sent, since no server runs or outbound.enabled is false"
	case !r.Next.After(now):
		return r.State + ", due now"
	}
	return r.State + ", due in " + spanText(r.Next.Sub(now)) + " (" + timeText(r.Next) + ")"
}
