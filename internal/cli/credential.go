package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/store"
)

func (a *app) appPasswordCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "app-password",
		Short: "Give a program a password of its own",
		Long: `Give a program a password of its own, which can be revoked without changing the
account's. It is made here and shown once.`,
	}, a.appPasswordAddCommand(), a.appPasswordListCommand(), a.appPasswordRevokeCommand())
}

func (a *app) appPasswordAddCommand() *cobra.Command {
	var scope []string
	cmd := &cobra.Command{
		Use:     "add ADDRESS NAME",
		Short:   "Make an app password and print it",
		Example: "  postrider account app-password add alice@example.org phone\n  postrider account app-password add alice@example.org printer --scope smtp",
		Args:    args(2, 2, "an address and a name for the password"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				password, err := c.AddAppPassword(cmd.Context(), args[0], args[1], scope)
				if err != nil {
					return err
				}
				fmt.Fprintf(a.stderr, "The password for %q, which is not shown again:\n", plain(args[1]))
				_, err = fmt.Fprintln(a.stdout, password)
				return err
			})
		},
	}
	cmd.Flags().StringSliceVar(&scope, "scope", nil, "only for these `PROTOCOLS`: smtp, pop3, imap (default: all)")
	return cmd
}

func (a *app) appPasswordListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list ADDRESS",
		Short:   "List an account's app passwords",
		Long:    "List an account's app passwords. When one was last used is kept to the hour.",
		Example: "  postrider account app-password list alice@example.org",
		Args:    args(1, 1, "an address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				return printList(a.stdout, asJSON, c.AppPasswords(cmd.Context(), args[0]), "NAME\tSCOPE\tMADE\tLAST USED", appPasswordRow)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func appPasswordRow(p store.AppPassword) []string {
	scope, used := "all", "never"
	if len(p.Scope) > 0 {
		scope = strings.Join(p.Scope, ", ")
	}
	if !p.Used.IsZero() {
		used = p.Used.Local().Format("2006-01-02 15h")
	}
	return []string{p.Name, scope, timeText(p.Created), used}
}

func (a *app) appPasswordRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke ADDRESS NAME",
		Short:   "Remove an app password",
		Example: "  postrider account app-password revoke alice@example.org printer",
		Args:    args(2, 2, "an address and the password's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				if err := c.RevokeAppPassword(cmd.Context(), args[0], args[1]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.stdout, "Revoked the app password %q of %s. Connections that are logged in stay so until they end.\n", plain(args[1]), plain(args[0]))
				return err
			})
		},
	}
}

func (a *app) legacySecretCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "legacy-secret",
		Short: "Let old clients log in with CRAM-MD5 or APOP",
		Long: `Let old clients log in with CRAM-MD5 or APOP. These need a secret that the server
can read, which a password here never is: it is a secret of its own, kept encrypted
under the key in passwords.key_file, and good for nothing else.

While an account has one, clients are offered APOP, and CRAM-MD5 where no password may
be sent as it is. Under TLS CRAM-MD5 is offered only if login.mechanisms names it:
clients that prefer it to PLAIN fail to log in to accounts without a legacy secret,
and with the password of those that have one.`,
	}, a.legacySecretOnCommand(), a.legacySecretOffCommand())
}

func (a *app) legacySecretOnCommand() *cobra.Command {
	var ask bool
	cmd := &cobra.Command{
		Use:     "on ADDRESS",
		Short:   "Make a legacy secret and print it",
		Example: "  postrider account legacy-secret on alice@example.org",
		Args:    args(1, 1, "an address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			secret := ""
			if ask {
				var err error
				if secret, err = a.readPassword(cmd.Context(), plain(args[0])); err != nil {
					return err
				}
			}
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				made, err := c.SetLegacySecret(cmd.Context(), args[0], secret)
				if err != nil {
					return err
				}
				if ask {
					_, err = fmt.Fprintf(a.stdout, "%s can log in with CRAM-MD5 and APOP.\n", plain(args[0]))
					return err
				}
				fmt.Fprintf(a.stderr, "The secret for CRAM-MD5 and APOP, which is not shown again:\n")
				_, err = fmt.Fprintln(a.stdout, made)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&ask, "ask", false, "ask for the secret, or read a line from standard input, and don't make one")
	return cmd
}

func (a *app) legacySecretOffCommand() *cobra.Command {
	return a.change(&cobra.Command{
		Use:     "off ADDRESS",
		Short:   "Remove the legacy secret",
		Example: "  postrider account legacy-secret off alice@example.org",
	}, "%s has no legacy secret any more.", func(ctx context.Context, c *admin.Client, address string) error {
		return c.RemoveLegacySecret(ctx, address)
	})
}

func (a *app) grantCommand() *cobra.Command {
	return a.right(&cobra.Command{
		Use:   "grant ADDRESS AS...",
		Short: "Let an account send as other addresses",
		Long: `Let an account send as other addresses of the domains here: one address, or with
@DOMAIN all of a domain. Its own address, with anything after a delimiter, and
aliases that lead to it alone need no grant.`,
		Example: "  postrider account grant alice@example.org sales@example.org\n  postrider account grant alice@example.org @example.org",
	}, "%s may send as %s.", (*admin.Client).Grant)
}

func (a *app) ungrantCommand() *cobra.Command {
	return a.right(&cobra.Command{
		Use:     "ungrant ADDRESS AS...",
		Short:   "Take a grant back",
		Example: "  postrider account ungrant alice@example.org sales@example.org",
	}, "%s may no longer send as %s.", (*admin.Client).Ungrant)
}

// right makes a command that changes as whom an account may send.
func (a *app) right(cmd *cobra.Command, did string, f func(c *admin.Client, ctx context.Context, address, as string) error) *cobra.Command {
	cmd.Args = args(2, -1, "an account's address, and addresses to send as")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withClient(cmd.Context(), func(c *admin.Client) error {
			for _, as := range args[1:] {
				if err := f(c, cmd.Context(), args[0], as); err != nil {
					return err
				}
				if _, err := fmt.Fprintf(a.stdout, did+"\n", plain(args[0]), plain(as)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return cmd
}
