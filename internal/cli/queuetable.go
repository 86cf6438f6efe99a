package cli

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"golang.org/x/term"
)

// minCut is how many characters of a last cell are shown on the narrowest terminal.
const minCut = 30

// width returns how many characters a line of the terminal has; zero: the output
// is no terminal, and lines may have any length.
func (a *app) width() int {
	f, ok := a.stdout.(*os.File)
	if !ok {
		return 0
	}
	w, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return w
}

// printCutList prints items as printList does, but cuts the last cell of each row
// so that the line fits the width.
func printCutList[T any](w io.Writer, width int, items iter.Seq2[T, error], header string, row func(T) []string) error {
	t := newCutTable(w, width)
	n := 0
	for item, err := range items {
		if err != nil {
			t.flush()
			return err
		}
		if n == 0 {
			t.add(strings.Split(header, "\t"))
		}
		t.add(row(item))
		if n++; n%tableRows == 0 {
			if err := t.flush(); err != nil {
				return err
			}
		}
	}
	return t.flush()
}

// cutTable aligns all cells but the last, which it cuts.
type cutTable struct {
	w       io.Writer
	width   int // zero: nothing is cut
	aligned bytes.Buffer
	t       *tabwriter.Writer
	last    []string // a row each
}

func newCutTable(w io.Writer, width int) *cutTable {
	c := &cutTable{w: w, width: width}
	c.t = tabwriter.NewWriter(&c.aligned, 0, 8, 2, ' ', 0)
	return c
}

func (c *cutTable) add(cells []string) {
	for i := range cells {
		cells[i] = plain(cells[i])
	}
	end := len(cells) - 1
	fmt.Fprintln(c.t, strings.Join(cells[:end], "\t")+"\t")
	c.last = append(c.last, cells[end])
}

func (c *cutTable) flush() error {
	c.t.Flush()
	for _, text := range c.last {
		line, err := c.aligned.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		if c.width > 0 {
			text = cutText(text, max(c.width-utf8.RuneCountInString(line), minCut))
		}
		if _, err := fmt.Fprintln(c.w, strings.TrimRight(line+text, " ")); err != nil {
			return err
		}
	}
	c.last = c.last[:0]
	c.aligned.Reset()
	return nil
}

// cutText cuts a text to so many characters.
func cutText(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
