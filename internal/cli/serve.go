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

// serve runs a server until it is told to stop.
func serve(ctx context.Context, cfg *config.Config, stderr io.Writer) error {
	log, err := newLogger(cfg, stderr)
	if err != nil {
		return err
	}
	e, err := newEngine(cfg, log)
	if err != nil {
		return err
	}
	listeners, err := e.listen()
	if err != nil {
		e.close()
		return err
	}
	err = e.run(ctx, listeners, func() {})
	if cerr := e.close(); err == nil {
		err = cerr
	}
	return err
}

func newLogger(cfg *config.Config, w io.Writer) (*slog.Logger, error) {
	return observe.NewLogger(w, cfg.Log.Format, cfg.Log.Level)
}
