package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"postrider/internal/config"
	"postrider/internal/observe"
)

// untilSignal returns a context that ends at Ctrl-C or SIGTERM; a second one
// ends the process the hard way.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// serve runs a server until it is told to stop. Doubts are warnings about the
// configuration.
func serve(ctx context.Context, cfg *config.Config, doubts config.Problems, stderr io.Writer) error {
	log, err := newLogger(cfg, stderr)
	if err != nil {
		return err
	}
	hangups := takeHangups()
	defer signal.Stop(hangups)
	log.Info("starting", "version", readVersion().Version, "pid", os.Getpid(), "hostname", cfg.Hostname, "data", cfg.Data)
	for _, p := range doubts {
		place := []any{"help", p.Help}
		if p.Line > 0 {
			place = append(place, "file", p.File, "line", p.Line)
		}
		log.Warn("configuration: "+p.Message, place...)
	}
	outliveReader()
	e, err := newEngine(cfg, log)
	if err != nil {
		return err
	}
	defer onHangup(hangups, e.reload)()
	listeners, err := e.listen()
	if err != nil {
		e.close()
		return err
	}
	err = e.run(ctx, listeners, func() {})
	if cerr := e.close(); err == nil {
		err = cerr
	}
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// outliveReader keeps the process from ending by SIGPIPE when whoever reads its
// log or its output has gone.
func outliveReader() { signal.Ignore(syscall.SIGPIPE) }

// takeHangups takes SIGHUP from now on. Many send it to have files read again, and
// must not end the server with it, nor while it starts; the first waits until then.
func takeHangups() chan os.Signal {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	return hangups
}

// onHangup calls f at each SIGHUP until stop is called.
func onHangup(hangups <-chan os.Signal, f func()) (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-hangups:
				f()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

// reload reads certificates in files again. The rest of the configuration is
// read at the start only.
func (e *engine) reload() {
	if e.certs == nil {
		e.log.Warn("SIGHUP: there are no certificates to read again; for changes of the configuration restart the server")
		return
	}
	e.log.Info("SIGHUP: certificates are read again; for other changes of the configuration restart the server")
	if err := e.certs.Reload(); err != nil {
		e.log.Error("certificates not read again; those that were in use stay", "error", err)
	}
}

func newLogger(cfg *config.Config, w io.Writer) (*slog.Logger, error) {
	return observe.NewLogger(w, cfg.Log.Format, cfg.Log.Level)
}
