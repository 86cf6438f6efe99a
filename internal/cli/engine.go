package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/access"
	"postrider/internal/admin"
	"postrider/internal/certs"
	"postrider/internal/config"
	"postrider/internal/directory"
	"postrider/internal/dkim"
	"postrider/internal/login"
	"postrider/internal/netserver"
	"postrider/internal/observe"
	"postrider/internal/outbound"
	"postrider/internal/pop3"
	"postrider/internal/receive"
	"postrider/internal/resolver"
	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/smtp"
	"postrider/internal/store"
	"postrider/internal/tlspolicy"
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
	logins    *login.Service
	certs     *certs.Manager // nil: no listener has TLS
	keys      *dkim.Keys
	receiver  *receive.Receiver
	resolver  *resolver.Resolver
	policies  *tlspolicy.Policies
	deliverer *outbound.Deliverer
	server    *netserver.Server
	sessions  map[string]func() session.Session // by protocol

	mu        sync.Mutex
	listening []netip.AddrPort // where mail is taken, once it is
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
	e.keys = dkim.NewKeys(st, log, nil)
	if e.logins, err = openLogins(cfg, e.directory, log, e.metrics); err == nil {
		e.certs, err = openCerts(cfg, st, log, e.metrics)
	}
	if err == nil {
		err = e.openOutbound()
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	e.server = netserver.New(netserver.Options{
		Logger:          log,
		Registerer:      e.metrics,
		MaxConns:        cfg.Limits.MaxConnections,
		MaxConnsPerAddr: cfg.Limits.MaxConnectionsPerAddress,
		Grace:           cfg.Limits.Grace.Duration(),
		HandshakeWait:   cfg.TLS.Handshake.Duration(),
	})
	e.sessions = map[string]func() session.Session{
		config.ProtocolSMTP: e.smtpSessions(),
		config.ProtocolPOP3: e.pop3Sessions(),
	}
	return e, nil
}

func (e *engine) smtpSessions() func() session.Session {
	limits := e.cfg.Submission
	e.receiver = receive.New(receive.Options{
		Store:       e.store,
		Directory:   e.directory,
		Rights:      e.directory,
		MaxReceived: e.cfg.SMTP.MaxReceived,
		Submission: receive.SubmissionLimits{
			MessagesPerHour: limits.MessagesPerHour, MessagesPerDay: limits.MessagesPerDay,
			RecipientsPerHour: limits.RecipientsPerHour, RecipientsPerDay: limits.RecipientsPerDay,
		},
		HideClient: limits.HideClient,
		Onward:     e.cfg.Outbound.Accept,
		Queue:      e.deliverer,
		Rows:       e.store,
		Records:    e.store,
		Clients:    relayClients(e.cfg),
		Hostname:   e.cfg.Hostname,
		Logger:     e.log,
		Registerer: e.metrics,
	})
	o := &smtp.Options{
		MaxSize:         int64(e.cfg.SMTP.MaxSize),
		MaxRecipients:   e.cfg.SMTP.MaxRecipients,
		MaxTransactions: e.cfg.SMTP.MaxTransactions,
		MaxErrors:       e.cfg.SMTP.MaxErrors,
		MaxLogins:       e.cfg.Login.PerConnection,
		MaxUnknown:      e.cfg.SMTP.MaxUnknown,
		CommandTimeout:  e.cfg.SMTP.CommandTimeout.Duration(),
		DataTimeout:     e.cfg.SMTP.DataTimeout.Duration(),
		MaxHold:         limits.MaxHold.Duration(),
		MinDeliverBy:    e.cfg.SMTP.MinDeliverBy.Duration(),
		MaxPriority:     limits.MaxPriority,
		Binary:          true,
		TLSAvailable:    func() bool { return e.certs == nil || e.certs.Ready() },
		Product:         product,
	}
	if len(e.cfg.Turns) > 0 {
		o.Turner = e.deliverer
	}
	return func() session.Session { return smtp.New(e.receiver, e.logins, o) }
}

// relayClients are the hosts that may relay.
func relayClients(cfg *config.Config) []receive.Client {
	all := make([]receive.Client, len(cfg.Relays))
	for i, r := range cfg.Relays {
		all[i] = receive.Client{
			Name: r.Name, Networks: r.Networks, From: r.From,
			MessagesPerHour: r.MessagesPerHour, RecipientsPerHour: r.RecipientsPerHour,
		}
	}
	return all
}

func (e *engine) pop3Sessions() func() session.Session {
	lock := store.Exclusive
	if e.cfg.POP3.Lock == config.LockSnapshot {
		lock = store.Snapshot
	}
	backend := access.New(access.Options{
		Maildrops:  e.store,
		Lock:       lock,
		Logger:     e.log,
		Registerer: e.metrics,
	})
	o := &pop3.Options{
		Implementation: product,
		IdleWait:       e.cfg.POP3.IdleTimeout.Duration(),
		MaxErrors:      e.cfg.POP3.MaxErrors,
		MaxLogins:      e.cfg.Login.PerConnection,
	}
	return func() session.Session { return pop3.New(backend, e.logins, o) }
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
	served, err := e.listeners(listeners)
	if err == nil {
		err = e.servePolicy(ctx, serve)
	}
	if err == nil {
		err = e.serveAdmin(ctx, serve)
	}
	if err != nil {
		closeAll(listeners)
		cancel(nil)
		wg.Wait()
		return err
	}
	e.noteListening(listeners)
	for i, l := range listeners {
		e.log.Info("listening", "listener", l.Name, "protocol", l.Protocol, "address", l.socket.Addr().String(),
			"tls", l.TLSMode(), "teach", l.Teach)
		serve(func() error { return e.server.Serve(l.socket, served[i]) })
	}
	serve(func() error { return e.receiver.ReleaseHeld(ctx) })
	serve(func() error { return e.runOutbound(ctx) })
	serve(func() error { return e.policies.Run(ctx) })
	if e.certs != nil {
		serve(func() error { return e.certs.Run(ctx) })
	}
	serve(func() error { return e.tendKeys(ctx) })
	if err := e.store.Health(); err != nil {
		e.log.Error("the store takes no mail", "error", err)
	}
	ready()
	netserver.NotifyReady()
	<-ctx.Done()
	netserver.NotifyStopping()
	e.log.Info("stopping", "grace", e.cfg.Limits.Grace)
	e.logins.Stop()
	if err := e.server.Shutdown(context.Background()); err != nil {
		// It is what the time of grace is for: nothing was acknowledged to them.
		e.log.Warn("not everybody was done when the time of grace was over", "error", err)
	}
	cancel(nil)
	wg.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// noteListening remembers where mail is taken.
func (e *engine) noteListening(all []opened) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range all {
		if a, err := netip.ParseAddrPort(l.socket.Addr().String()); err == nil && l.Protocol == config.ProtocolSMTP {
			e.listening = append(e.listening, a)
		}
	}
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
	h := admin.Handler(admin.Options{
		Directory: e.directory, Store: e.store, Keys: e.keys, Logins: e.logins, Certs: e.certs,
		Deliverer: e.deliverer, Release: e.receiver.Release,
	})
	serve(func() error { return socket.Serve(ctx, h) })
	return nil
}

// listeners returns what the driver is to know of each.
func (e *engine) listeners(all []opened) ([]netserver.Listener, error) {
	made := make([]netserver.Listener, len(all))
	for i := range all {
		var err error
		if made[i], err = e.listener(&all[i].Listener); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// listener returns what the driver is to know of a listener.
func (e *engine) listener(l *config.Listener) (netserver.Listener, error) {
	role, mode := l.Role, l.TLSMode()
	if l.Submits() {
		role = config.RoleSubmission
	}
	made := netserver.Listener{
		Listener: session.Listener{
			Name: l.Name, Protocol: l.Protocol, Role: role, Teach: l.Teach, Hostname: e.cfg.Hostname,
			StartTLS: mode == config.TLSStartTLS, PlaintextAuth: l.AllowPlaintextAuth,
			PopBeforeSMTP: l.PopBeforeSMTP.Duration(), TrustedNetworks: l.TrustedNetworks,
		},
		MaxConns:        l.MaxConnections,
		MaxConnsPerAddr: l.MaxConnectionsPerAddress,
		ProxyFrom:       l.ProxyFrom,
		Implicit:        mode == config.TLSImplicit,
		New:             e.sessions[l.Protocol],
	}
	if l.LogsIn() {
		made.MaxLine = sasl.MaxLine
	}
	if mode == config.TLSNone {
		return made, nil
	}
	clients, err := clientAuthorities(l.ClientCA)
	if err != nil {
		return made, fmt.Errorf("listener %s: %w", l.Name, err)
	}
	made.TLS = netserver.StrictALPN(e.certs.Config(l.Protocol, clients), l.Protocol)
	return made, nil
}
