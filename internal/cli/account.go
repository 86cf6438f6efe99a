package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/config"
	"postrider/internal/fault"
	"postrider/internal/mail"
)

func (a *app) accountCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "account",
		Short:   "Say who has a mailbox here",
		GroupID: groupPeople,
	},
		a.accountAddCommand(), a.accountListCommand(), a.accountShowCommand(), a.accountPasswdCommand(),
		a.accountDisableCommand(), a.accountEnableCommand(), a.accountQuotaCommand(), a.accountRemoveCommand(),
		a.accountImportCommand(), a.grantCommand(), a.ungrantCommand(), a.appPasswordCommand(), a.legacySecretCommand())
}

// change makes a command about one account that says what it did.
func (a *app) change(cmd *cobra.Command, did string, f func(ctx context.Context, c *admin.Client, address string) error) *cobra.Command {
	cmd.Args = args(1, 1, "an address")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withClient(cmd.Context(), func(c *admin.Client) error {
			if err := f(cmd.Context(), c, args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.stdout, did+"\n", plain(args[0]))
			return err
		})
	}
	return cmd
}

// parseQuota reads a quota; zero is none.
func parseQuota(s string) (int64, error) {
	if s == "" || s == "none" {
		return 0, nil
	}
	n, err := config.ParseSize(s)
	if err != nil {
		return 0, usagef("the quota can't be %q: %w; or write none", s, err)
	}
	return int64(n), nil
}

const passwordHelp = "The password is asked for twice, without echo; when standard input is no terminal,\none line is read from it. It is kept as an argon2id hash."

func (a *app) accountAddCommand() *cobra.Command {
	var quota string
	var noPassword bool
	cmd := &cobra.Command{
		Use:     "add ADDRESS",
		Short:   "Make an account",
		Long:    "Make an account: a mailbox, and a login whose name is the address.\n" + passwordHelp,
		Example: "  postrider account add alice@example.org --quota 1GiB\n  echo \"$PASSWORD\" | postrider account add alice@example.org",
		Args:    args(1, 1, "an address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n := admin.NewAccount{Address: args[0]}
			var err error
			if n.Quota, err = parseQuota(quota); err != nil {
				return err
			}
			if !noPassword {
				if n.Password, err = a.readPassword(cmd.Context(), plain(n.Address)); err != nil {
					return err
				}
			}
			return a.withClient(cmd.Context(), func(c *admin.Client) error { return a.accountAdd(cmd.Context(), c, n) })
		},
	}
	cmd.Flags().StringVar(&quota, "quota", "", "room for mail, as a `SIZE` like 1GiB (default: no limit)")
	cmd.Flags().BoolVar(&noPassword, "no-password", false, "nobody can log in until a password is set")
	return cmd
}

func (a *app) accountAdd(ctx context.Context, c *admin.Client, n admin.NewAccount) error {
	if err := c.AddAccount(ctx, n); err != nil {
		if addr, perr := mail.ParseAddress(n.Address); perr == nil {
			err = hint(err, fault.NotFound, "\"postrider domain add %s\" makes the domain.", addr.Domain)
		}
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "Added the account %s.\n", plain(n.Address))
	return err
}

func (a *app) accountPasswdCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "passwd ADDRESS",
		Short:   "Change an account's password",
		Long:    "Change an account's password.\n" + passwordHelp,
		Example: "  postrider account passwd alice@example.org",
		Args:    args(1, 1, "an address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			password, err := a.readPassword(ctx, plain(args[0]))
			if err != nil {
				return err
			}
			return a.withClient(ctx, func(c *admin.Client) error {
				if err := c.SetPassword(ctx, args[0], password); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.stdout, "Changed the password of %s.\n", plain(args[0]))
				return err
			})
		},
	}
}

func (a *app) accountDisableCommand() *cobra.Command {
	return a.change(&cobra.Command{
		Use:     "disable ADDRESS",
		Short:   "Let nobody log in; mail is still taken",
		Example: "  postrider account disable alice@example.org",
	}, "Disabled %s: mail is taken, but nobody can log in.", func(ctx context.Context, c *admin.Client, address string) error {
		return c.SetDisabled(ctx, address, true)
	})
}

func (a *app) accountEnableCommand() *cobra.Command {
	return a.change(&cobra.Command{
		Use:     "enable ADDRESS",
		Short:   "Undo disable",
		Example: "  postrider account enable alice@example.org",
	}, "Enabled %s.", func(ctx context.Context, c *admin.Client, address string) error {
		return c.SetDisabled(ctx, address, false)
	})
}

func (a *app) accountQuotaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "quota ADDRESS SIZE",
		Short:   "Change an account's room for mail",
		Example: "  postrider account quota alice@example.org 1GiB\n  postrider account quota alice@example.org none",
		Args:    args(2, 2, "an address and a size, or none"),
		RunE: func(cmd *cobra.Command, args []string) error {
			quota, err := parseQuota(args[1])
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				if err := c.SetQuota(cmd.Context(), args[0], quota); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.stdout, "The quota of %s is %s.\n", plain(args[0]), quotaText(quota))
				return err
			})
		},
	}
}

func (a *app) accountRemoveCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "remove ADDRESS",
		Short:   "Remove an account and all its mail",
		Long:    "Remove an account and all its mail, for good. On a terminal it asks first.",
		Example: "  postrider account remove alice@example.org",
		Args:    args(1, 1, "an address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				return a.accountRemove(cmd.Context(), c, args[0], yes)
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	return cmd
}

func (a *app) accountRemove(ctx context.Context, c *admin.Client, address string, yes bool) error {
	account, err := c.Account(ctx, address)
	if err != nil {
		return err
	}
	question := fmt.Sprintf("This removes %s and %s (%s) for good.",
		plain(account.Address), count(account.Messages, "message", "messages"), mail.Octets(account.Octets))
	if err := a.confirm(ctx, yes, question); err != nil {
		return err
	}
	held, err := c.RemoveAccount(ctx, account.Address)
	if err != nil {
		return err
	}
	and := ""
	if held > 0 {
		and = ", and what waited for it: " + count(int64(held), "held message", "held messages")
	}
	_, err = fmt.Fprintf(a.stdout, "Removed the account %s and %s%s.\n", plain(account.Address), count(account.Messages, "message", "messages"), and)
	return err
}
