package config

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

// Problem is something wrong, or doubtful, in a configuration.
type Problem struct {
	// File, Line and Column (in octets) are counted from 1; Line is zero when the
	// problem is something that is not written.
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	// Warning: the server starts nevertheless.
	Warning bool `json:"warning"`
	// Message says what is wrong, Help what to write instead.
	Message string `json:"message"`
	Help    string `json:"help,omitempty"`

	text  string // the line
	width int    // octets of it that are meant
}

// Error returns the problem as compilers show theirs: place and message, the
// line, and a caret with the help.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	if p.Line == 0 {
		if p.Help != "" {
			b.WriteString("\n      " + p.Help)
		}
		return b.String()
	}
	fmt.Fprintf(&b, "\n%5d | %s\n      | %s", p.Line, printable(p.text), p.caret())
	if p.Help != "" {
		b.WriteString(" " + p.Help)
	}
	return b.String()
}

// caret returns the blanks and carets that stand under what is meant.
func (p Problem) caret() string {
	start := min(max(p.Column-1, 0), len(p.text))
	end := min(start+max(p.width, 1), len(p.text))
	var b strings.Builder
	for _, r := range p.text[:start] {
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	b.WriteString(strings.Repeat("^", max(1, utf8.RuneCountInString(p.text[start:end]))))
	return b.String()
}

// printable replaces what a terminal could take for a command.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

// Problems are all that was found. As an error they are not empty.
type Problems []Problem

// Error returns all problems, one under the other.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems that are no warnings as an error, or nil.
func (ps Problems) Err() error {
	var errs Problems
	for _, p := range ps {
		if !p.Warning {
			errs = append(errs, p)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// Sorted puts the problems in the order of the file, and returns them.
func (ps Problems) Sorted() Problems {
	sort.SliceStable(ps, func(i, j int) bool {
		if ps[i].File != ps[j].File {
			return ps[i].File < ps[j].File
		}
		if ps[i].Line != ps[j].Line {
			return ps[i].Line < ps[j].Line
		}
		return ps[i].Column < ps[j].Column
	})
	return ps
}
