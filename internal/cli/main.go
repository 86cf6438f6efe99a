// Package cli is the program's subcommands, one file each. It puts
// configuration, engine and listeners together, and is the only package that
// knows them all.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"postrider/internal/config"
	"postrider/internal/fault"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // what was asked for was not done, or not all of it
	exitUsage  = 2 // the command was not understood; nothing was tried
)

// app is one run of the program.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	configFile     string // --config
	data           string // --data
}

// Main runs the program with its arguments, without its name, and returns the
// exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	root := newRoot(&app{stdin: stdin, stdout: stdout, stderr: stderr})
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	return report(stderr, cmd, err)
}

// report prints an error with what to do about it, and returns the exit code.
func report(w io.Writer, cmd *cobra.Command, err error) int {
	var silent errSilent
	var usage usageError
	var problems config.Problems
	switch {
	case errors.As(err, &silent):
		return exitFailed
	case errors.As(err, &problems):
		fmt.Fprintln(w, err)
		return exitFailed
	case errors.As(err, &usage), strings.HasPrefix(err.Error(), "unknown command"):
		text := strings.TrimPrefix(err.Error(), "postrider ") // a command's path begins with it
		fmt.Fprintf(w, "postrider: %s\n\"%s --help\" says more.\n", text, cmd.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(w, "postrider: %v\n", err)
	if hint := hintFor(err); hint != "" {
		fmt.Fprintln(w, hint)
	}
	return exitFailed
}

// hintFor says what helps against an error, where its words don't.
func hintFor(err error) string {
	var h hinted
	if errors.As(err, &h) {
		return h.hint
	}
	switch fault.KindOf(err) {
	case fault.ReadOnly:
		return "The store takes no changes since a write to the disk failed. Look at the disk and the log, then restart the server."
	case fault.NoSpace:
		return "Free some space on the disk, or lower store.reserve."
	}
	return ""
}

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

// Unwrap returns the error.
func (h hinted) Unwrap() error { return h.error }

// hint adds words to an error of a kind.
func hint(err error, kind fault.Kind, format string, args ...any) error {
	if !fault.Is(err, kind) {
		return err
	}
	return hinted{err, fmt.Sprintf(format, args...)}
}

// usageError is a command that was not understood.
type usageError struct{ error }

// Unwrap returns the error.
func (u usageError) Unwrap() error { return u.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSilent is a failure of which everything has been said.
type errSilent struct{}

func (errSilent) Error() string { return "failed" }
