package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postrider/internal/admin"
	"postrider/internal/certs"
	"postrider/internal/config"
	"postrider/internal/fault"
	"postrider/internal/mail"
)

// finding is what the doctor says about one thing.
type finding struct {
	Subject string `json:"subject"`
	// State is "good", "warning" or "bad".
	State string `json:"state"`
	Words string `json:"words"`
}

const (
	stateGood    = "good"
	stateWarning = "warning"
	stateBad     = "bad"
)

func (a *app) doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is not as it should be",
		Long: `Say what is not as it should be: the configuration, the store, the certificates, the
addresses that every site needs, the DNS resolver, keys that sign, the queue. The exit code
is 1 when something is bad.

Only the resolver is asked: whether other hosts can be reached shows in "postrider queue stats".`,
		Example: "  postrider doctor",
		GroupID: groupCare,
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.doctor(cmd.Context(), asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) doctor(ctx context.Context, asJSON bool) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	files := examineFiles(cfg)
	all := examineConfig(slices.Concat(cfg.Check(), files.problems, files.open).Sorted())
	all = append(all, examineHostname(cfg.Hostname)...)
	all = append(all, examineSources(cfg)...)
	all = append(all, examineResolver(ctx, cfg)...)
	err = a.withClient(ctx, func(c *admin.Client) error {
		all = append(all, examineStore(ctx, c))
		if cfg.Postmaster != "" { // that there is none is said of the configuration
			all = append(all, examinePostmaster(ctx, cfg, c))
		}
		all = append(all, examineCertificates(ctx, cfg, files.list(), c)...)
		all = append(all, examineDomains(ctx, cfg, files.list(), c)...)
		all = append(all, examineTurns(ctx, cfg, c)...)
		all = append(all, examineQueue(ctx, cfg, c)...)
		return nil
	})
	if err != nil {
		all = append(all, finding{"data folder", stateBad, err.Error()})
	}
	bad := false
	for _, f := range all {
		bad = bad || f.State == stateBad
		if asJSON {
			err = json.NewEncoder(a.stdout).Encode(f)
		} else {
			_, err = fmt.Fprintf(a.stdout, "%-8s %s: %s\n", f.State, f.Subject, plain(f.Words))
		}
		if err != nil {
			return err
		}
	}
	if bad {
		return errSilent{}
	}
	return nil
}

func examineConfig(problems config.Problems) []finding {
	var all []finding
	for _, p := range problems {
		state := stateBad
		if p.Warning {
			state = stateWarning
		}
		words := p.Message
		if p.Help != "" {
			words += "; " + p.Help
		}
		if p.Line > 0 {
			words += fmt.Sprintf(" (line %d)", p.Line)
		}
		all = append(all, finding{"configuration", state, words})
	}
	if len(all) == 0 {
		all = []finding{{"configuration", stateGood, "nothing is wrong in it"}}
	}
	return all
}

// examineHostname looks at the name that the server greets with.
func examineHostname(name string) []finding {
	words := "it is " + name
	if name == "" {
		name, _ = os.Hostname()
		words = "none is configured, so it is the machine's: " + name
	}
	if strings.Contains(name, ".") {
		return nil
	}
	return []finding{{"hostname", stateWarning, words + ", by which no other machine can find this one (RFC 5321 §2.3.5)"}}
}

// examineStore looks at the room there is.
func examineStore(ctx context.Context, c *admin.Client) finding {
	u, err := c.Usage(ctx)
	switch {
	case err != nil:
		return finding{"store", stateBad, err.Error()}
	case u.Health != "":
		return finding{"store", stateBad, u.Health}
	case u.Free <= u.Reserve:
		return finding{"store", stateBad, fmt.Sprintf("%s are free on the disk, the reserve is %s: no mail is taken",
			mail.Octets(u.Free), mail.Octets(u.Reserve))}
	case u.Free < 2*u.Reserve:
		return finding{"store", stateWarning, fmt.Sprintf("%s are free on the disk; at %s no mail is taken any more",
			mail.Octets(u.Free), mail.Octets(u.Reserve))}
	}
	return finding{"store", stateGood, fmt.Sprintf("%s, %s; %s free on the disk",
		count(u.Messages, "message", "messages"), mail.Octets(u.Octets), mail.Octets(u.Free))}
}

// examinePostmaster follows the address that every site must have.
func examinePostmaster(ctx context.Context, cfg *config.Config, c *admin.Client) finding {
	const subject = "postmaster"
	_, err := c.Account(ctx, cfg.Postmaster)
	if err == nil {
		return finding{subject, stateGood, "mail for it goes to " + cfg.Postmaster}
	}
	if !fault.Is(err, fault.NotFound) {
		return finding{subject, stateBad, err.Error()}
	}
	key := cfg.Postmaster
	if addr, err := mail.ParseAddress(key); err == nil {
		key = addr.Key()
	}
	for e, err := range c.Aliases(ctx, "") {
		if err == nil && e.Address == key {
			return finding{subject, stateGood, "mail for it goes to " + strings.Join(e.Targets, ", ")}
		}
	}
	return finding{subject, stateBad, cfg.Postmaster + " is neither an account nor an alias here"}
}

// examineCertificates looks at those that the server uses, or, when none runs, at
// those that it would read from files.
func examineCertificates(ctx context.Context, cfg *config.Config, inFiles []certs.Info, c *admin.Client) []finding {
	const subject = "certificates"
	used, all := []certs.Info{}, []finding{}
	for i, err := range c.Certificates(ctx) {
		switch {
		case fault.Is(err, fault.NotFound) && len(inFiles) == 0:
			return []finding{{subject, stateWarning, "no server runs, which would know them"}}
		case fault.Is(err, fault.NotFound):
			used = inFiles
		case err != nil:
			return []finding{{subject, stateBad, err.Error()}}
		default:
			used = append(used, i)
		}
	}
	if len(used) == 0 {
		return []finding{{subject, stateWarning, "no listener has TLS: mail and passwords can be read on the way"}}
	}
	for _, i := range used {
		all = append(all, examineCertificate(i))
	}
	if !madeFor(used, cfg.Hostname) {
		all = append(all, finding{subject, stateWarning, "none is made for " + cfg.Hostname + ": clients that connect to that name refuse"})
	}
	return all
}

func examineCertificate(i certs.Info) finding {
	name := strings.Join(i.Names, ", ")
	if name == "" {
		name = i.CertificateFile
	}
	f := finding{"certificate " + name, stateGood, "good until " + timeText(i.NotAfter)}
	if len(i.Problems) > 0 {
		f.State, f.Words = stateWarning, strings.Join(i.Problems, "; ")
	}
	if i.SelfSigned {
		f.State = stateWarning
		f.Words += "; its fingerprint is SHA-256 " + i.SHA256
	}
	if time.Now().After(i.NotAfter) { // also of one that has yet to be obtained
		f.State = stateBad
	}
	return f
}
