package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/admin"
	"postrider/internal/config"
	"postrider/internal/fault"
)

// configFiles are where the configuration is looked for.
var configFiles = []string{"postrider.toml", "/etc/postrider/postrider.toml"}

// findConfig returns the configuration file, empty when there is none.
func (a *app) findConfig() string {
	if a.configFile != "" {
		return a.configFile
	}
	for _, path := range configFiles {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// load reads the configuration. With --data it may be missing.
func (a *app) load() (*config.Config, error) {
	path := a.findConfig()
	if path == "" && a.data == "" {
		return nil, usagef("there is no configuration: neither %s nor %s; name one with --config, or make one with \"postrider init\"",
			configFiles[0], configFiles[1])
	}
	cfg := config.Default()
	if path != "" {
		var err error
		if cfg, err = config.Load(path); err != nil {
			return nil, err
		}
	}
	if a.data != "" {
		cfg.Data = a.data
	}
	return cfg, nil
}

// withClient calls f with a client of the data folder: of the server that runs
// on it, or else of the store itself, which is open meanwhile.
func (a *app) withClient(ctx context.Context, f func(*admin.Client) error) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	if err := haveData(cfg.Data); err != nil {
		return err
	}
	c, err := admin.Connect(ctx, adminSocket(cfg.Data))
	if fault.Is(err, fault.NotFound) {
		return a.withStore(cfg, f)
	}
	if err != nil {
		return hint(err, fault.Denied, "Run this as the user who owns %s.", cfg.Data)
	}
	defer c.Close()
	return f(c)
}

// haveData reports a data folder that is not there: it is not made by the way,
// since the reason is most likely a slip of the pen.
func haveData(data string) error {
	info, err := os.Stat(data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hinted{fmt.Errorf("there is no data folder %s", data), "\"postrider init\" makes one, with a configuration; beside a configuration, make it with: mkdir -m 700 FOLDER"}
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("the data folder %s is not a folder", data)
	}
	return nil
}

// withStore opens the store for the time of f.
func (a *app) withStore(cfg *config.Config, f func(*admin.Client) error) error {
	log := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	st, err := openStore(cfg, log, prometheus.NewRegistry())
	if err != nil {
		return hint(err, fault.Busy, "Another process has %s open and does not answer on its administration socket. Wait until it ends.", cfg.Data)
	}
	err = f(admin.InProcess(admin.Handler(admin.Options{Directory: openDirectory(cfg, st, log), Store: st})))
	if cerr := st.Close(); err == nil {
		err = cerr
	}
	return err
}
