package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/directory"
)

func (a *app) accountImportCommand() *cobra.Command {
	var o directory.ImportOptions
	var format string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Make many accounts from a file",
		Long: `Make accounts from a file (- is standard input): Dovecot's passwd-file form, or CSV
with the columns address, password and, if wanted, quota.

A password may be plain, or a hash: argon2, bcrypt, SHA-512-crypt, with or without
Dovecot's {SCHEME}. Hashes are verified as they are and replaced by argon2id at the
next login. Lines that can't be used are reported and left out; the exit code is 1 then.
Importing a file again is safe.`,
		Example: `  postrider account import users.passwd --domain example.org --create-domains
  postrider account import accounts.csv --update`,
		Args:              args(1, 1, "a file, or -"),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Format = directory.Format(format)
			switch o.Format {
			case directory.FormatAuto, directory.FormatPasswd, directory.FormatCSV:
			default:
				return usagef("--format can't be %q; write auto, passwd or csv", format)
			}
			return a.accountImport(cmd.Context(), args[0], o, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&format, "format", "auto", "auto, passwd or csv: the `FORMAT`")
	f.StringVar(&o.DefaultDomain, "domain", "", "the `DOMAIN` of names that have none")
	f.BoolVar(&o.CreateDomains, "create-domains", false, "add domains that are not here yet")
	f.BoolVar(&o.Update, "update", false, "give accounts that are here the file's password and quota")
	f.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

func (a *app) accountImport(ctx context.Context, path string, o directory.ImportOptions, asJSON bool) error {
	file := io.NopCloser(a.stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		file = f
	}
	defer file.Close()
	return a.withClient(ctx, func(c *admin.Client) error {
		result, err := c.Import(ctx, file, o)
		if perr := a.printImport(result, asJSON); err == nil {
			err = perr // what was done is said in any case
		}
		if err == nil && result.Failed > 0 {
			return errSilent{}
		}
		return err
	})
}

func (a *app) printImport(r directory.ImportResult, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(a.stdout).Encode(r)
	}
	for _, e := range r.Errors {
		fmt.Fprintf(a.stderr, "line %d: %s\n", e.Line, plain(e.Problem))
	}
	if more := r.Failed - len(r.Errors); more > 0 {
		fmt.Fprintf(a.stderr, "and %d more lines\n", more)
	}
	_, err := fmt.Fprintf(a.stdout, "%d added, %d updated, %d there already, %d failed.\n", r.Added, r.Updated, r.Skipped, r.Failed)
	return err
}
