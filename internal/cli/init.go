package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"postrider/internal/config"
)

func (a *app) initCommand() *cobra.Command {
	var hostname string
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Write a commented configuration and make the data folder",
		Long: `Write DIR/postrider.toml, with every setting explained, and make the data folder
beside it, which only its owner can enter. What is there is not overwritten.`,
		Example:           "  postrider init /srv/mail\n  postrider init --hostname mail.example.org .",
		GroupID:           groupServer,
		Args:              args(1, 1, "a folder"),
		ValidArgsFunction: completeFolder,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.init(args[0], hostname)
		},
	}
	cmd.Flags().StringVar(&hostname, "hostname", "", "the `NAME` the server greets with")
	return cmd
}

// initialConfig is what init writes: a server on loopback that works at once.
func initialConfig(hostname, data string) *config.Config {
	cfg := config.Default()
	cfg.Hostname = hostname
	if data != "" {
		cfg.Data = data
	}
	cfg.Listeners = []config.Listener{
		{Name: "smtp", Protocol: config.ProtocolSMTP, Role: config.RoleMX, Address: loopback(2525), Teach: true},
		{Name: "submission", Protocol: config.ProtocolSMTP, Role: config.RoleSubmission, Address: loopback(2587), Teach: true, AllowPlaintextAuth: true},
		{Name: "pop3", Protocol: config.ProtocolPOP3, Address: loopback(1110), Teach: true, AllowPlaintextAuth: true},
	}
	return cfg
}

func (a *app) init(dir, hostname string) error {
	data := a.data
	if data != "" && !filepath.IsAbs(data) {
		abs, err := filepath.Abs(data) // the file's relative paths start at DIR
		if err != nil {
			return err
		}
		data = abs
	}
	cfg := initialConfig(hostname, data)
	for _, p := range cfg.Check() {
		if !p.Warning {
			return usagef("%s", p.Message)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, "postrider.toml")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return hinted{fmt.Errorf("%s is there already", path), "Nothing was changed. Choose another folder, or move it away."}
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(config.Example(cfg))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if !filepath.IsAbs(cfg.Data) {
		cfg.Data = filepath.Join(dir, cfg.Data)
	}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, `Wrote %s and made %s.

Next:
  cd %s
  postrider config check      # now, and after each change of postrider.toml
  postrider domain add example.org
  postrider account add you@example.org
  postrider serve
`, path, cfg.Data, dir)
	return err
}
