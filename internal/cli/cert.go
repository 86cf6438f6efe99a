package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/certs"
)

func (a *app) certCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "cert",
		Short:   "Show or renew the server's certificates",
		GroupID: groupCare,
	}, a.certShowCommand(), a.certRenewCommand())
}

func (a *app) certShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the certificates that TLS uses",
		Long: `Show the certificates that TLS uses: for which names, from where, until when, and
their fingerprints, by which a person can tell a self-signed one from an impostor's.`,
		Example: "  postrider cert show",
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				list := c.Certificates(cmd.Context())
				if asJSON {
					return printJSON(a.stdout, list)
				}
				n := 0
				for i, err := range list {
					if err != nil {
						return err
					}
					if n++; n > 1 {
						fmt.Fprintln(a.stdout)
					}
					if err := a.printCertificate(i); err != nil {
						return err
					}
				}
				if n == 0 {
					fmt.Fprintln(a.stdout, "There are no certificates: no listener has TLS.")
				}
				return nil
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) printCertificate(i certs.Info) error {
	facts := [][2]string{
		{"Names", strings.Join(i.Names, ", ")},
		{"Source", string(i.Source)},
	}
	if i.CertificateFile != "" {
		facts = append(facts, [2]string{"File", i.CertificateFile})
	}
	if !i.NotAfter.IsZero() {
		facts = append(facts, [][2]string{
			{"Issuer", i.Issuer},
			{"Valid", timeText(i.NotBefore) + " to " + timeText(i.NotAfter)},
			{"Fingerprint", "SHA-256 " + i.SHA256},
			{"Public key", i.Key + ", SHA-256 " + i.SPKISHA256},
		}...)
	}
	for _, p := range i.Problems {
		facts = append(facts, [2]string{"Problem", p})
	}
	return printFacts(a.stdout, facts)
}

func (a *app) certRenewCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "renew [NAME]",
		Short: "Get certificates anew now",
		Long: `Get certificates anew now, all or those of one host name: read files again, ask the
ACME authority, or sign a new one. The server does each by itself in time.`,
		Example: "  postrider cert renew\n  postrider cert renew mail.example.org",
		Args:    args(0, 1, "one host name at most"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return a.withClient(cmd.Context(), func(c *admin.Client) error {
				renewed, err := c.RenewCertificates(cmd.Context(), name)
				if err != nil {
					return err
				}
				for n, i := range renewed {
					if n > 0 {
						fmt.Fprintln(a.stdout)
					}
					if err := a.printCertificate(i); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}
