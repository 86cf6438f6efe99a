package cli

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"postrider/internal/config"
	"postrider/internal/session"
	"postrider/internal/wire"
)

// TestSTARTTLSIsPutOffUntilThereIsACertificate: a handshake would only fail.
func TestSTARTTLSIsPutOffUntilThereIsACertificate(t *testing.T) {
	for _, c := range []struct {
		name       string
		selfSigned bool
		want       string
	}{{"none yet", false, "454 4.7.0 "}, {"a self-signed one", true, "220 2.0.0 "}} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config.Default()
			cfg.Data, cfg.Hostname = t.TempDir(), "mail.example.org"
			cfg.Listeners = []config.Listener{{Protocol: config.ProtocolSMTP, Role: config.RoleMX, Address: loopback(0)}}
			cfg.TLS.SelfSigned = c.selfSigned
			cfg.ACME = config.ACME{Directory: "https://127.0.0.1:1/directory", HTTP: loopback(0)}
			e, err := newEngine(cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer e.close()
			s := e.sessions[config.ProtocolSMTP]()
			s.Start(&session.Conn{
				Context: t.Context(), Now: time.Now,
				Listener: &session.Listener{Role: config.RoleMX, Hostname: cfg.Hostname, StartTLS: true},
			})
			s.Line(wire.Line{Bytes: []byte("EHLO there")})
			if got := string(s.Line(wire.Line{Bytes: []byte("STARTTLS")}).Reply); !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
