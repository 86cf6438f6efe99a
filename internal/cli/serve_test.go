package cli

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"postrider/internal/admin"
	"postrider/internal/config"
)

// newTestEngine returns an engine on a fresh data folder, with one SMTP listener
// on any free port.
func newTestEngine(t *testing.T) (*engine, []opened) {
	t.Helper()
	cfg := config.Default()
	cfg.Data = t.TempDir()
	cfg.Hostname = "mail.example.org"
	cfg.Listeners = []config.Listener{{Name: "smtp", Protocol: config.ProtocolSMTP, Role: config.RoleMX, Address: loopback(0)}}
	e, err := newEngine(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.close() })
	listeners, err := e.listen()
	if err != nil {
		t.Fatal(err)
	}
	return e, listeners
}

func TestAServerIsNotReadyBeforeItsAdministrationSocketIsOpen(t *testing.T) {
	t.Run("open", func(t *testing.T) {
		e, listeners := newTestEngine(t)
		ctx, stop := context.WithCancel(t.Context())
		err := e.run(ctx, listeners, func() {
			defer stop()
			c, err := admin.Connect(ctx, adminSocket(e.cfg.Data))
			if err != nil {
				t.Errorf("got %v, want a connection", err)
				return
			}
			c.Close()
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("cannot be opened", func(t *testing.T) {
		e, listeners := newTestEngine(t)
		if err := os.WriteFile(filepath.Join(e.cfg.Data, "admin.sock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		err := e.run(ctx, listeners, func() {
			t.Error("got ready, want not")
			stop()
		})
		if err == nil {
			t.Error("got no error")
		}
	})
}
