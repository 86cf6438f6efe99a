package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxPasswordLine bounds a password on standard input, in octets.
const maxPasswordLine = 4096

// readPassword asks for a password, twice and without echo on a terminal; from
// anything else it reads one line.
func (a *app) readPassword(ctx context.Context, address string) (string, error) {
	if f, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return a.promptPassword(ctx, int(f.Fd()), address)
	}
	line, err := bufio.NewReader(io.LimitReader(a.stdin, maxPasswordLine+2)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	switch {
	case password == "":
		return "", usagef("there is no password: write one line with it to standard input")
	case len(password) > maxPasswordLine:
		return "", usagef("the password is longer than %d octets", maxPasswordLine)
	}
	return password, nil
}

func (a *app) promptPassword(ctx context.Context, fd int, address string) (string, error) {
	first, err := a.prompt(ctx, fd, "Password for "+address+": ")
	if err != nil {
		return "", err
	}
	if first == "" {
		return "", errors.New("the password is empty; nothing was changed")
	}
	second, err := a.prompt(ctx, fd, "Once more: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the passwords differ; nothing was changed")
	}
	return first, nil
}

// prompt reads a line without echo. When ctx ends the terminal is put right.
func (a *app) prompt(ctx context.Context, fd int, text string) (string, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprint(a.stderr, text)
	line, err := unlessInterrupted(ctx, func() (string, error) {
		line, err := term.ReadPassword(fd)
		return string(line), err
	})
	fmt.Fprintln(a.stderr)
	if ctx.Err() != nil {
		err = errors.Join(err, term.Restore(fd, before))
	}
	return line, err
}

// errInterrupted is what Ctrl-C at a question gives.
var errInterrupted = errors.New("interrupted; nothing was changed")

// unlessInterrupted returns what read does, or errInterrupted as soon as ctx
// ends; the read is left behind then.
func unlessInterrupted(ctx context.Context, read func() (string, error)) (string, error) {
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := read()
		answers <- answer{line, err}
	}()
	select {
	case got := <-answers:
		return got.line, got.err
	case <-ctx.Done():
		return "", errInterrupted
	}
}

// confirm asks a question whose answer is yes or no. Without a terminal only
// --yes says yes.
func (a *app) confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return usagef("%s Say --yes", question)
	}
	fmt.Fprintf(a.stderr, "%s Type yes: ", question)
	line, err := unlessInterrupted(ctx, func() (string, error) {
		return bufio.NewReader(io.LimitReader(f, 80)).ReadString('\n')
	})
	switch {
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(a.stderr)
		return err
	case err != nil:
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(line) != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}
