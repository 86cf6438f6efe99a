package cli

import (
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/config"
	"postrider/internal/directory"
	"postrider/internal/store"
	"postrider/internal/store/pebblestore"
)

// openStore opens the embedded store in the configuration's data folder, which
// is made when it is not there. It fails with fault.Busy while another process
// has it open.
func openStore(cfg *config.Config, log *slog.Logger, metrics prometheus.Registerer) (store.Store, error) {
	if err := rightUser(cfg.Data); err != nil {
		return nil, err
	}
	return pebblestore.Open(pebblestore.Options{
		Dir:            filepath.Join(cfg.Data, "store"),
		Logger:         log,
		Registerer:     metrics,
		SegmentSize:    int64(cfg.Store.SegmentSize),
		SmallMax:       int64(cfg.Store.SmallMax),
		Reserve:        cfg.Store.Reserve.Octets,
		ReservePercent: cfg.Store.Reserve.Percent,
		CacheSize:      int64(cfg.Store.Cache),
	})
}

// openDirectory returns the directory over a store.
func openDirectory(cfg *config.Config, st store.Directory, log *slog.Logger) *directory.Directory {
	p := cfg.Passwords
	return directory.New(st, directory.Options{
		Postmaster: cfg.Postmaster,
		Delimiters: cfg.SMTP.RecipientDelimiters,
		Argon2: directory.Argon2Params{
			Memory: uint32(p.Argon2Memory / config.KiB), Time: uint32(p.Argon2Time), Threads: uint8(p.Argon2Threads),
		},
		NoSubaddress: cfg.SMTP.RecipientDelimiters == "",
		HashAtOnce:   p.HashAtOnce,
		CacheTTL:     orOff(p.CacheTTL.Duration()),
		Logger:       log,
	})
}

// orOff turns the configuration's zero, "not at all", into what options take for it.
func orOff(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
