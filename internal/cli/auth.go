package cli

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/fault"
	"postrider/internal/login"
)

func (a *app) authCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "auth",
		Short:   "See who has logged in, and who has tried",
		GroupID: groupCare,
	}, a.authLogCommand(), a.authLockedCommand(), a.authUnblockCommand())
}

// needsServer says what helps against a question that only a server can answer.
func needsServer(err error) error {
	return hint(err, fault.NotFound, "The server knows it while it runs, and forgets it when it stops; its log has the rest.")
}

func (a *app) authLogCommand() *cobra.Command {
	var asJSON bool
	var f login.LogFilter
	cmd := &cobra.Command{
		Use:   "log",
		Short: "List the latest logins and attempts",
		Long: `List the latest logins and attempts, the newest last: when, from where, as whom, how,
and what came of it. The server keeps the last 10,000 since it was started. Names are
those that were given, whether or not there is such an account.`,
		Example: "  postrider auth log\n  postrider auth log --failed --account alice@example.org\n  postrider auth log --from 192.0.2.7 --json",
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.Limit < 0 {
				return usagef("--limit is a number from 0")
			}
			if f.Address != "" && !isNetwork(f.Address) {
				return usagef("--from %q is no Internet address or network", f.Address)
			}
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				return needsServer(printList(a.stdout, asJSON, c.Logins(cmd.Context(), f), "TIME\tFROM\tNAME\tPROTOCOL\tHOW\tRESULT", loginRow))
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&f.Account, "account", "", "only those as `ADDRESS`")
	cmd.Flags().StringVar(&f.Address, "from", "", "only those from the Internet address or network `IP`")
	cmd.Flags().BoolVar(&f.FailedOnly, "failed", false, "only those that failed")
	cmd.Flags().IntVar(&f.Limit, "limit", 100, "at most the latest `N`; 0: all")
	return cmd
}

// isNetwork reports whether a text is an Internet address or a network.
func isNetwork(s string) bool {
	_, noAddr := netip.ParseAddr(s)
	_, noPrefix := netip.ParsePrefix(s)
	return noAddr == nil || noPrefix == nil
}

func loginRow(e login.Entry) []string {
	how, result := e.Mechanism, e.Result
	if e.AppPassword != "" {
		how += " (" + e.AppPassword + ")"
	}
	if e.Reason != "" {
		result += ": " + e.Reason
	}
	return []string{e.Time.Local().Format("2006-01-02 15:04:05"), e.Remote, e.Name, e.Protocol, how, result}
}

func (a *app) authLockedCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "locked",
		Short:   "List who is locked out now",
		Example: "  postrider auth locked",
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				return needsServer(printList(a.stdout, asJSON, c.Locked(cmd.Context()), "ADDRESS\tACCOUNT\tUNTIL\tREFUSED", lockRow))
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func lockRow(l login.Lock) []string {
	account := l.Account
	if account == "" {
		account = "(any)"
	}
	return []string{l.Address, account, l.Until.Local().Format(time.DateTime), countText(l.Refused)}
}

func (a *app) authUnblockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "unblock ADDRESS",
		Short: "Forget failed logins",
		Long: `Forget the failed logins from an Internet address or network, or for an account, so
that nobody is delayed or locked out for them any more.`,
		Example: "  postrider auth unblock 192.0.2.7\n  postrider auth unblock 2001:db8::/64\n  postrider auth unblock alice@example.org",
		Args:    args(1, 1, "an Internet address, a network or an account's address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				if _, err := c.Unblock(cmd.Context(), args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.stdout, "Forgot the failed logins of %s.\n", plain(args[0]))
				return err
			})
		},
	}
}
