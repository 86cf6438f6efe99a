package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"postrider/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "config",
		Short:   "Check the configuration, or describe its settings",
		GroupID: groupServer,
	}, a.configCheckCommand(), a.configReferenceCommand())
}

func (a *app) configCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong in the configuration",
		Long: `Say what is wrong in the configuration, and in the files that it names: where, and
what to write instead. Run it as the user that the server runs as. The exit code is
1 when the server would not start with it; warnings don't count.`,
		Example: "  postrider config check --config /etc/postrider/postrider.toml",
		Args:    args(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			return a.configCheck(asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) configCheck(asJSON bool) error {
	cfg, err := a.load()
	var problems config.Problems
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	if err == nil {
		files := examineFiles(cfg)
		problems = slices.Concat(cfg.Check(), files.problems, files.doubts(cfg)).Sorted()
	}
	e := json.NewEncoder(a.stdout)
	for _, p := range problems {
		if asJSON {
			err = e.Encode(p)
		} else {
			_, err = fmt.Fprintln(a.stdout, p.Error())
		}
		if err != nil {
			return err
		}
	}
	if problems.Err() != nil {
		return errSilent{}
	}
	if asJSON {
		return nil
	}
	where := a.findConfig()
	if where == "" {
		where = "the default configuration"
	}
	_, err = fmt.Fprintf(a.stdout, "%s is good.\n", where)
	return err
}

func (a *app) configReferenceCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "reference",
		Short:   "Describe every setting, in Markdown",
		Example: "  postrider config reference | less",
		Args:    args(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(a.stdout, config.Reference())
			return err
		},
	}
}
