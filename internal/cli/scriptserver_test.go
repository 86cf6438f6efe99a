package cli

import (
	"context"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"postrider/internal/config"
)

// startServer runs the whole server on a script's data folder until the
// function it returns is called. It returns when the server answers.
func startServer(ts *testscript.TestScript, dir string) (stop func()) {
	cfg, err := config.Load(filepath.Join(dir, "postrider.toml"))
	ts.Check(err)
	log, err := os.Create(filepath.Join(dir, "server.log")) // where absent looks too
	ts.Check(err)
	logger, err := newLogger(cfg, log)
	ts.Check(err)
	e, err := newEngine(cfg, logger)
	ts.Check(err)
	listeners, err := e.listen()
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- e.run(ctx, listeners, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		ts.Fatalf("the server ended: %v", err)
	}
	return func() {
		cancel()
		if err := <-ended; err != nil {
			ts.Logf("the server: %v", err)
		}
		if err := e.close(); err != nil {
			ts.Logf("the store: %v", err)
		}
		log.Close()
	}
}
