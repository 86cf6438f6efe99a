package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"postrider/internal/mail"
)

// jsonFlag adds --json to a command.
func jsonFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print JSON, one object a line")
}

// tableRows is how many rows are aligned with each other. A long list is
// printed in parts, so that it does not have to be in memory whole.
const tableRows = 500

// printList prints items as a table with a header, or as lines of JSON.
func printList[T any](w io.Writer, asJSON bool, items iter.Seq2[T, error], header string, row func(T) []string) error {
	if asJSON {
		return printJSON(w, items)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	n := 0
	for item, err := range items {
		if err != nil {
			t.Flush()
			return err
		}
		if n == 0 {
			fmt.Fprintln(t, header)
		}
		cells := row(item)
		for i := range cells {
			cells[i] = plain(cells[i])
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
		if n++; n%tableRows == 0 {
			if err := t.Flush(); err != nil {
				return err
			}
		}
	}
	return t.Flush()
}

func printJSON[T any](w io.Writer, items iter.Seq2[T, error]) error {
	e := json.NewEncoder(w)
	for item, err := range items {
		if err != nil {
			return err
		}
		if err := e.Encode(item); err != nil {
			return err
		}
	}
	return nil
}

// printFacts prints names and values, aligned.
func printFacts(w io.Writer, facts [][2]string) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, f := range facts {
		fmt.Fprintf(t, "%s:\t%s\n", f[0], plain(f[1]))
	}
	return t.Flush()
}

// plain replaces what a terminal could take for a command, or shows in another order
// or on another line, or not at all: so that what is read is what is there.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsGraphic(r) {
			return '?'
		}
		return r
	}, s)
}

// count formats a number with its noun.
func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func quotaText(octets int64) string {
	if octets == 0 {
		return "none"
	}
	return mail.Octets(octets)
}

func timeText(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }
