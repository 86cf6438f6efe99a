package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// run calls Main with standard input, and returns its exit code and outputs.
func run(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func TestExitCodesTellFailureFromMisuse(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.toml")
	if err := os.WriteFile(bad, []byte("x = 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		want int
	}{
		{"help", []string{"help"}, exitOK},
		{"nothing said", nil, exitOK},
		{"version", []string{"version"}, exitOK},
		{"unknown command", []string{"frob"}, exitUsage},
		{"unknown command of a group", []string{"domain", "frob"}, exitUsage},
		{"a group alone", []string{"store"}, exitUsage},
		{"unknown flag", []string{"version", "--frob"}, exitUsage},
		{"too many arguments", []string{"version", "x"}, exitUsage},
		{"too few arguments", []string{"account", "quota", "a@example.org"}, exitUsage},
		{"bad port base", []string{"demo", "--ports", "80"}, exitUsage},
		{"bad quota", []string{"account", "add", "a@example.org", "--quota", "x"}, exitUsage},
		{"no configuration file", []string{"domain", "list", "--config", filepath.Join(dir, "none")}, exitFailed},
		{"bad configuration", []string{"config", "check", "--config", bad}, exitFailed},
		{"no data folder", []string{"domain", "list", "--data", filepath.Join(dir, "none")}, exitFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _, stderr := run("", test.args...)
			if got != test.want {
				t.Errorf("got %d, want %d; it said %s", got, test.want, stderr)
			}
		})
	}
}

func TestCtrlCEndsAQuestion(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked, typed := make(chan struct{}), make(chan struct{})
	defer close(typed)
	go func() { <-asked; cancel() }()
	_, err := unlessInterrupted(ctx, func() (string, error) {
		close(asked)
		<-typed
		return "yes", nil
	})
	if !errors.Is(err, errInterrupted) {
		t.Errorf("got %v, want %v", err, errInterrupted)
	}
}

// walk calls visit for every command that people see.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, below := range c.Commands() {
		walk(below, visit)
	}
}

func TestEveryCommandSaysWhatItDoesAndShowsAnExample(t *testing.T) {
	walk(newRoot(&app{}), func(c *cobra.Command) {
		if c.Short == "" {
			t.Errorf("%s has no description", c.CommandPath())
		}
		if !c.HasSubCommands() && !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s has no example", c.CommandPath())
		}
	})
}

func TestExamplesAreCommandsThatExist(t *testing.T) {
	walk(newRoot(&app{}), func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			_, command, ok := strings.Cut(line, "postrider ")
			if !ok {
				continue
			}
			command, _, _ = strings.Cut(command, " |")
			command, _, _ = strings.Cut(command, "   ")
			root := newRoot(&app{})
			found, rest, err := root.Find(strings.Fields(command))
			if err != nil || found == root {
				t.Errorf("%s: no such command as in %q: %v", c.CommandPath(), line, err)
				continue
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%s: %q: %v", c.CommandPath(), line, err)
				continue
			}
			if err := found.ValidateArgs(found.Flags().Args()); err != nil {
				t.Errorf("%s: %q: %v", c.CommandPath(), line, err)
			}
		}
	})
}

func TestListsOfJSONHaveTheFlag(t *testing.T) {
	walk(newRoot(&app{}), func(c *cobra.Command) {
		switch c.Name() {
		case "list", "show", "check", "usage", "version", "demo":
			if c.Flags().Lookup("json") == nil {
				t.Errorf("%s has no --json", c.CommandPath())
			}
		}
	})
}

func TestTheShellOffersFilesOnlyWhereTheyAreTaken(t *testing.T) {
	for _, test := range []struct {
		args []string
		want cobra.ShellCompDirective
	}{
		{[]string{"account", "import", ""}, cobra.ShellCompDirectiveDefault},
		{[]string{"init", ""}, cobra.ShellCompDirectiveFilterDirs},
		{[]string{"man", ""}, cobra.ShellCompDirectiveFilterDirs},
		{[]string{"init", "dir", ""}, cobra.ShellCompDirectiveNoFileComp},
		{[]string{"account", "add", ""}, cobra.ShellCompDirectiveNoFileComp},
		{[]string{"serve", ""}, cobra.ShellCompDirectiveNoFileComp},
	} {
		_, got, _ := run("", append([]string{cobra.ShellCompNoDescRequestCmd}, test.args...)...)
		if want := fmt.Sprintf(":%d\n", test.want); !strings.HasSuffix(got, want) {
			t.Errorf("%q: got %q, want it to end with %q", test.args, got, want)
		}
	}
}

func TestTextFromOutsideCannotCommandATerminal(t *testing.T) {
	if got, want := plain("a\x1b[2J\u009bb\xff\nü \u202egro.live\u2066\u200b\u2028日"), "a?[2J?b??ü ?gro.live???日"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAPasswordIsOneLineWithoutItsEnding(t *testing.T) {
	for _, test := range []struct{ name, stdin, want string }{
		{"LF", "pass word \n", "pass word "},
		{"CRLF", "secret\r\n", "secret"},
		{"no ending", "secret", "secret"},
		{"more lines", "first\nsecond\n", "first"},
	} {
		a := &app{stdin: strings.NewReader(test.stdin)}
		if got, err := a.readPassword(t.Context(), "a@example.org"); err != nil || got != test.want {
			t.Errorf("%s: got %q %v, want %q", test.name, got, err, test.want)
		}
	}
	for _, stdin := range []string{"", "\n", strings.Repeat("x", 5000)} {
		a := &app{stdin: strings.NewReader(stdin)}
		if got, err := a.readPassword(t.Context(), "a@example.org"); err == nil {
			t.Errorf("%.10q…: got %q, want an error", stdin, got)
		}
	}
}
