package cli

import (
	"github.com/spf13/cobra"

	"postrider/internal/config"
)

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the server in the foreground",
		Long: `Run the server in the foreground until Ctrl-C or SIGTERM, then finish what is under
way. A second Ctrl-C ends it at once; nothing that was acknowledged is lost. The
configuration is read at the start; SIGHUP has certificate files read again.`,
		Example: "  postrider serve --config /etc/postrider/postrider.toml",
		GroupID: groupServer,
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, doubts, err := a.loadToServe()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, doubts, a.stderr)
		},
	}
}

// loadToServe reads and checks the configuration and fills in what the machine
// knows. It returns the warnings too.
func (a *app) loadToServe() (*config.Config, config.Problems, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	problems := cfg.Check()
	if err := problems.Err(); err != nil {
		return nil, nil, err
	}
	if err := fillHostname(cfg); err != nil {
		return nil, nil, err
	}
	return cfg, problems, haveData(cfg.Data)
}

func (a *app) demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a server with accounts of its own on loopback",
		Long: `Run a server for example.test on loopback, with accounts whose passwords it
prints, and with the words to type to send and collect a message. Ctrl-C stops it;
started again with the same --data it has its accounts and mail again.

With --json it prints one line when it is ready, for programs that test against it.`,
		Example: `  postrider demo
  postrider demo --data DIR --ports auto --json`,
		GroupID: groupServer,
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.data, o.config = a.data, a.configFile
			if o.data == "" {
				o.data, o.dataDefault = "data", true
			}
			if o.accounts < 0 {
				return usagef("--accounts is a number from 0")
			}
			if _, err := parseBase(o.ports); err != nil {
				return usageError{err}
			}
			return demo(cmd.Context(), o, a.stdout, a.stderr)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.ports, "ports", "", "listen on `BASE` + each protocol's own port number, or auto (default 2525, 1110, 2587, 2465, 1995)")
	f.BoolVar(&o.json, "json", false, "print one line of JSON when ready")
	f.IntVar(&o.accounts, "accounts", 2, "make so many accounts (`N`)")
	f.BoolVar(&o.strict, "strict", false, "no kindness to typists: what a real site has")
	f.StringVar(&o.relayTo, "relay-to", "", "send what is not for example.test to `HOST:PORT`; else it waits in the queue")
	return cmd
}
