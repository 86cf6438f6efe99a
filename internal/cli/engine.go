package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/access"
	"postrider/internal/admin"
	"postrider/internal/config"
	"postrider/internal/directory"
	"postrider/internal/netserver"
	"postrider/internal/observe"
	"postrider/internal/pop3"
	"postrider/internal/receive"
	"postrider/internal/session"
	"postrider/internal/smtp"
	"postrider/internal/store"
)

// adminSocket is where the data folder's administration socket is.
func adminSocket(data string) string { return filepath.Join(data, "admin.sock") }

// engine is a whole server, put together from a configuration.
type engine struct {
	cfg       *config.Config
	log       *slog.Logger
	metrics   *prometheus.Registry
	store     store.Store
	directory *directory.Directory
	server    *netserver.Server
	sessions  map[string]func() session.Session // by protocol
}

// newEngine opens the store and makes everything that needs it. The caller
// closes it.
func newEngine(cfg *config.Config, log *slog.Logger) (*engine, error) {
	e := &engine{cfg: cfg, log: log, metrics: observe.NewRegistry()}
	st, err := openStore(cfg, log, e.metrics)
	if err != nil {
		return nil, err
	}
	e.store = st
	e.directory = openDirectory(cfg, st, log)
	e.server = netserver.New(netserver.Options{
		Logger:          log,
		Registerer:      e.metrics,
		MaxConns:        cfg.Limits.MaxConnections,
		MaxConnsPerAddr: cfg.Limits.MaxConnectionsPerAddress,
		Grace:           cfg.Limits.Grace.Duration(),
	})
	e.sessions = map[string]func() session.Session{
		config.ProtocolSMTP: e.smtpSessions(),
		config.ProtocolPOP3: e.pop3Sessions(),
	}
	return e, nil
}

func (e *engine) smtpSessions() func() session.Session {
	backend := receive.New(receive.Options{
		Store:       e.store,
		Directory:   e.directory,
		MaxReceived: e.cfg.SMTP.MaxReceived,
		Logger:      e.log,
		Registerer:  e.metrics,
	})
	o := &smtp.Options{
		MaxSize:         int64(e.cfg.SMTP.MaxSize),
		MaxRecipients:   e.cfg.SMTP.MaxRecipients,
		MaxTransactions: e.cfg.SMTP.MaxTransactions,
		MaxErrors:       e.cfg.SMTP.MaxErrors,
		CommandTimeout:  e.cfg.SMTP.CommandTimeout.Duration(),
		DataTimeout:     e.cfg.SMTP.DataTimeout.Duration(),
		Product:         product,
	}
	return func() session.Session { return smtp.New(backend, o) }
}

func (e *engine) pop3Sessions() func() session.Session {
	lock := store.Exclusive
	if e.cfg.POP3.Lock == config.LockSnapshot {
		lock = store.Snapshot
	}
	backend := access.New(access.Options{
		Maildrops:  e.store,
		Directory:  e.directory,
		Lock:       lock,
		Logger:     e.log,
		Registerer: e.metrics,
	})
	o := &pop3.Options{
		Implementation: product,
		IdleWait:       e.cfg.POP3.IdleTimeout.Duration(),
		MaxErrors:      e.cfg.POP3.MaxErrors,
	}
	return func() session.Session { return pop3.New(backend, o) }
}

func (e *engine) close() error { return e.store.Close() }

// opened is a listener whose socket is open.
type opened struct {
	config.Listener
	socket net.Listener
}

// listen opens the socket of every listener of the configuration, or none.
func (e *engine) listen() ([]opened, error) {
	activated, err := netserver.ListenersFromSystemd()
	if err != nil {
		return nil, err
	}
	var all []opened
	for _, l := range e.cfg.Listeners {
		ls, err := openSockets(l, activated)
		if err != nil {
			closeAll(all)
			return nil, err
		}
		all = append(all, ls...)
	}
	return all, nil
}

func openSockets(l config.Listener, activated map[string][]net.Listener) ([]opened, error) {
	if l.Systemd == "" {
		socket, err := netserver.Listen(context.Background(), l.Address)
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", l.Name, err)
		}
		return []opened{{l, socket}}, nil
	}
	sockets := activated[l.Systemd]
	if len(sockets) == 0 {
		return nil, fmt.Errorf("listener %s: systemd has passed no socket named %q: set FileDescriptorName=%[2]s in the socket unit", l.Name, l.Systemd)
	}
	var all []opened
	for _, s := range sockets {
		all = append(all, opened{l, s})
	}
	return all, nil
}

func closeAll(ls []opened) {
	for _, l := range ls {
		l.socket.Close()
	}
}

// run serves until the context ends, then lets transactions under way finish.
// Ready is called when every listener is served.
func (e *engine) run(ctx context.Context, listeners []opened, ready func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	serve := func(f func() error) {
		wg.Go(func() {
			if err := f(); err != nil {
				cancel(err)
			}
		})
	}
	if err := e.serveAdmin(ctx, serve); err != nil {
		closeAll(listeners)
		return err
	}
	for _, l := range listeners {
		e.log.Info("listening", "listener", l.Name, "protocol", l.Protocol, "address", l.socket.Addr().String(), "teach", l.Teach)
		serve(func() error { return e.server.Serve(l.socket, e.listener(l.Listener)) })
	}
	if err := e.store.Health(); err != nil {
		e.log.Error("the store takes no mail", "error", err)
	}
	ready()
	netserver.NotifyReady()
	<-ctx.Done()
	netserver.NotifyStopping()
	e.log.Info("stopping", "grace", e.cfg.Limits.Grace)
	err := e.server.Shutdown(context.Background())
	cancel(nil)
	wg.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// serveAdmin starts the administration socket and, if it is configured, the
// HTTP listener for machines that watch. Both are open when it returns.
func (e *engine) serveAdmin(ctx context.Context, serve func(func() error)) error {
	socket, err := admin.Listen(ctx, adminSocket(e.cfg.Data))
	if err != nil {
		return err
	}
	if e.cfg.Admin.Address != "" {
		ln, err := net.Listen("tcp", e.cfg.Admin.Address)
		if err != nil {
			return errors.Join(fmt.Errorf("admin listener: %w", err), socket.Close())
		}
		e.log.Info("listening", "listener", "admin", "protocol", "http", "address", ln.Addr().String())
		page := observe.Handler(e.metrics, observe.Health{Ready: e.store.Health})
		serve(func() error { return observe.Serve(ctx, ln, page, e.log) })
	}
	h := admin.Handler(e.directory, e.store)
	serve(func() error { return socket.Serve(ctx, h) })
	return nil
}

func (e *engine) listener(l config.Listener) netserver.Listener {
	return netserver.Listener{
		Listener: session.Listener{
			Name: l.Name, Protocol: l.Protocol, Role: l.Role, Teach: l.Teach, Hostname: e.cfg.Hostname,
		},
		MaxConns:        l.MaxConnections,
		MaxConnsPerAddr: l.MaxConnectionsPerAddress,
		ProxyFrom:       l.ProxyFrom,
		New:             e.sessions[l.Protocol],
	}
}
