package cli

import (
	"crypto/tls"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/certs"
	"postrider/internal/config"
	"postrider/internal/directory"
	"postrider/internal/login"
	"postrider/internal/oauth"
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
func openDirectory(cfg *config.Config, st store.Store, log *slog.Logger) *directory.Directory {
	p := cfg.Passwords
	return directory.New(st, directory.Options{
		Postmaster: cfg.Postmaster,
		Delimiters: cfg.SMTP.RecipientDelimiters,
		Argon2: directory.Argon2Params{
			Memory: uint32(p.Argon2Memory / config.KiB), Time: uint32(p.Argon2Time), Threads: uint8(p.Argon2Threads),
		},
		NoSubaddress:    cfg.SMTP.RecipientDelimiters == "",
		HashAtOnce:      p.HashAtOnce,
		CacheTTL:        orOff(p.CacheTTL.Duration()),
		SCRAMIterations: p.SCRAMIterations,
		Records:         st,
		KeyFile:         keyFile(cfg),
		Logger:          log,
	})
}

// keyFile is where the key is that seals legacy secrets.
func keyFile(cfg *config.Config) string {
	if cfg.Passwords.KeyFile != "" {
		return cfg.Passwords.KeyFile
	}
	return filepath.Join(cfg.Data, "secret.key")
}

// hasTLS reports whether some listener's clients can begin TLS.
func hasTLS(cfg *config.Config) bool {
	return cfg.Publish.MTASTSHTTPS != "" || slices.ContainsFunc(cfg.Listeners, func(l config.Listener) bool { return l.TLSMode() != config.TLSNone })
}

// openCerts returns the server's certificates; nil when no listener has TLS.
func openCerts(cfg *config.Config, records store.Records, log *slog.Logger, metrics prometheus.Registerer) (*certs.Manager, error) {
	if !hasTLS(cfg) {
		return nil, nil
	}
	o := certs.Options{
		Names:      []string{cfg.Hostname},
		SelfSigned: cfg.TLS.SelfSigned,
		Records:    records,
		MinVersion: tls.VersionTLS12,
		Logger:     log,
		Registerer: metrics,
	}
	if cfg.TLS.MinVersion == "1.3" {
		o.MinVersion = tls.VersionTLS13
	}
	for _, c := range cfg.Certificates {
		o.Files = append(o.Files, certs.Pair{Certificate: c.Chain, Key: c.Key})
	}
	if a := cfg.ACME; a.Directory != "" {
		o.ACME = &certs.ACME{
			Directory: a.Directory, CAFile: a.CAFile, Email: a.Email, Names: a.Names, HTTP: a.HTTP, TLSALPN: a.TLSALPN,
		}
		if len(a.Names) == 0 {
			o.ACME.Names = []string{cfg.Hostname}
		}
	}
	return certs.New(o)
}

// openLogins returns what decides about logins.
func openLogins(cfg *config.Config, d *directory.Directory, log *slog.Logger, metrics prometheus.Registerer) (*login.Service, error) {
	l := cfg.Login
	o := login.Options{
		Directory:  d,
		Mechanisms: l.Mechanisms,
		Policy: login.Policy{
			MaxDelay:     orOff(l.MaxDelay.Duration()),
			PairFailures: l.PairFailures, AddressFailures: l.AddressFailures,
			Window: l.Window.Duration(), Lockout: l.Lockout.Duration(), Trusted: l.Trusted,
		},
		Logger:     log,
		Registerer: metrics,
	}
	if cfg.OAuth.Issuer != "" {
		v, err := oauth.New(oauth.Options{
			Issuer: cfg.OAuth.Issuer, Audience: cfg.OAuth.Audience, Claim: cfg.OAuth.Claim, CAFile: cfg.OAuth.CAFile, Logger: log,
		})
		if err != nil {
			return nil, err
		}
		o.Tokens = v
	}
	return login.New(o), nil
}

// orOff turns the configuration's zero, "not at all", into what options take for it.
func orOff(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
