package cli

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `Postrider is a mail server: it receives mail by SMTP, from other servers and from
people who log in, keeps it durably, hands it out by POP3, and sends on what is for
other hosts.

Commands that change or list accounts work while the server runs (they reach it by a
socket in its data folder) and while it does not.

The configuration is --config FILE, else ./postrider.toml, else
/etc/postrider/postrider.toml.

Exit codes: 0 done; 1 failed, or not all done; 2 the command was not understood.`

const rootExample = `  postrider demo                                    try it on loopback
  postrider init /srv/mail                          make a configuration and a data folder
  cd /srv/mail
  postrider domain add example.org
  postrider account add alice@example.org --quota 1GiB
  postrider serve`

// newRoot returns the whole tree of commands.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "postrider",
		Short:         "A mail server",
		Long:          rootLong,
		Example:       rootExample,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return cmd.Help()
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	root.PersistentFlags().StringVar(&a.configFile, "config", "", "configuration `FILE`")
	root.PersistentFlags().StringVar(&a.data, "data", "", "data folder `DIR`, in place of the configuration's")
	for _, g := range []*cobra.Group{
		{ID: groupServer, Title: "The server:"},
		{ID: groupPeople, Title: "Who has mail here:"},
		{ID: groupCare, Title: "Care:"},
	} {
		root.AddGroup(g)
	}
	root.SetHelpCommandGroupID(groupCare)
	root.SetCompletionCommandGroupID(groupCare)
	root.AddCommand(
		a.serveCommand(), a.demoCommand(), a.initCommand(),
		a.domainCommand(), a.accountCommand(), a.aliasCommand(), a.mailboxCommand(), a.dkimCommand(), a.dnsCommand(),
		a.configCommand(), a.doctorCommand(), a.certCommand(), a.authCommand(), a.heldCommand(), a.queueCommand(), a.storeCommand(),
		a.versionCommand(), a.manCommand(),
	)
	completeNoFiles(root)
	return root
}

// completeNoFiles keeps the shell from offering file names where a command takes
// an address or nothing.
func completeNoFiles(c *cobra.Command) {
	if c.ValidArgsFunction == nil {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, below := range c.Commands() {
		completeNoFiles(below)
	}
}

// Completions of commands that take one file, or one folder.
var (
	completeFile   = completeOne(cobra.ShellCompDirectiveDefault)
	completeFolder = completeOne(cobra.ShellCompDirectiveFilterDirs)
)

func completeOne(kind cobra.ShellCompDirective) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, kind
	}
}

// The groups of commands in the help.
const (
	groupServer = "server"
	groupPeople = "people"
	groupCare   = "care"
)

// group returns a command that only has commands below it.
func group(c *cobra.Command, below ...*cobra.Command) *cobra.Command {
	c.AddCommand(below...)
	c.SuggestionsMinimumDistance = 2 // letters that may be wrong
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s: say which: %s", cmd.CommandPath(), strings.Join(names(below), ", "))
		}
		err := usagef("%s: there is no %q; there are %s", cmd.CommandPath(), args[0], strings.Join(names(below), ", "))
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			err = usagef("%s: there is no %q; did you mean %q?", cmd.CommandPath(), args[0], near[0])
		}
		return err
	}
	c.Args = cobra.ArbitraryArgs
	return c
}

func names(cs []*cobra.Command) []string {
	var all []string
	for _, c := range cs {
		all = append(all, c.Name())
	}
	return all
}

// args makes a wrong number of arguments a usage error, in words.
func args(low, high int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, got []string) error {
		if len(got) < low || high >= 0 && len(got) > high {
			if what == "" {
				return usagef("%s takes no arguments", cmd.CommandPath())
			}
			return usagef("%s takes %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

// flagError is what is said of an option that can't be read; of a number without the
// words of the function that could not.
func flagError(err error) error {
	var number *strconv.NumError
	if errors.As(err, &number) {
		err = errors.New(strings.Replace(err.Error(), number.Error(), number.Err.Error(), 1))
	}
	return usageError{err}
}
