package netserver

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"postrider/internal/wire"
)

// Server serves any number of listeners.
type Server struct {
	opts    Options
	log     *slog.Logger
	metrics *metrics
	began   time.Time // what since counts from
	prefix  string    // of connection ids
	serial  atomic.Uint64

	ctx    context.Context // of all connections
	cancel context.CancelFunc

	stopping atomic.Bool
	stopped  chan struct{} // closed when stopping begins
	empty    chan struct{} // closed when stopping and no connection is left

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	perAddr   map[addrKey]int
	gate      gate
	leaving   int // connections told to go that are not gone
}

// listener is what all connections of a Listener share.
type listener struct {
	Listener
	handshakes *tls.Config // what handshakes begin with; nil without TLS
	metrics    listenerMetrics
	gate       gate // guarded by Server.mu
	perAddr    int  // connections of one address; negative: no limit
}

// New returns a server. If the metrics can't be registered it says so in the
// log and goes on without showing them.
func New(o Options) *Server {
	o.MaxConns = orDefault(o.MaxConns, DefaultMaxConns)
	o.MaxConnsPerAddr = orDefault(o.MaxConnsPerAddr, DefaultMaxConnsPerAddr)
	o.Grace = orDefault(o.Grace, DefaultGrace)
	o.WriteWait = orDefault(o.WriteWait, DefaultWriteWait)
	o.ContentTime = orDefault(o.ContentTime, DefaultContentTime)
	o.HandshakeWait = orDefault(o.HandshakeWait, DefaultHandshakeWait)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		o.Logger.Error("network metrics not registered", "error", err)
	}
	s := &Server{
		opts:      o,
		log:       o.Logger,
		metrics:   m,
		began:     time.Now(),
		prefix:    newPrefix(),
		stopped:   make(chan struct{}),
		empty:     make(chan struct{}),
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*conn]struct{}),
		perAddr:   make(map[addrKey]int),
		gate:      gate{max: o.MaxConns},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// newPrefix returns four random characters, which tell the connections of one
// run of the program from those of another.
func newPrefix() string {
	var b [4]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	const digits, width = 32, 32 * 32 * 32
	return strconv.FormatUint(width+uint64(binary.BigEndian.Uint32(b[:]))%(digits*width-width), digits)
}

// newID returns the id of a new connection.
func (s *Server) newID() string {
	return s.prefix + "-" + strconv.FormatUint(s.serial.Add(1), 32)
}

// Listen returns a TCP listener on an address. It leaves TCP's keep-alive off,
// since every connection has deadlines, and saves each of them some system calls.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	return lc.Listen(ctx, "tcp", address)
}

// Serve accepts connections from ln and drives their sessions until Shutdown,
// and returns nil then; or until ln fails for good, or is closed, and returns
// the error. It closes ln. Settings that contradict each other are an error at
// once. Failures that pass, such as too many open files, are
// logged and waited for.
func (s *Server) Serve(ln net.Listener, l Listener) error {
	defer ln.Close()
	if err := l.check(); err != nil {
		return fmt.Errorf("serve %s: %w", l.Name, err)
	}
	if !s.add(ln) {
		return nil
	}
	defer s.drop(ln)
	l.Wait = orDefault(l.Wait, DefaultWait)
	l.MaxLine = orDefault(l.MaxLine, wire.MaxLine)
	shared := &listener{
		Listener:   l,
		handshakes: configure(l.TLS),
		metrics:    s.metrics.of(l.Name),
		gate:       gate{max: l.MaxConns},
		perAddr:    orDefault(l.MaxConnsPerAddr, s.opts.MaxConnsPerAddr),
	}
	return s.accept(ln, shared)
}

// check reports settings that can't be served.
func (l *Listener) check() error {
	switch {
	case l.MaxLine > bulkSize:
		return fmt.Errorf("line limit of %d octets is over %d", l.MaxLine, bulkSize)
	case l.TLS == nil && (l.StartTLS || l.Implicit):
		return errNoTLS
	case l.TLS != nil && len(l.TLS.Certificates) == 0 && l.TLS.GetCertificate == nil && l.TLS.GetConfigForClient == nil:
		return errNoCertificate
	}
	return nil
}

// add registers a listener; it reports false when the server stops.
func (s *Server) add(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return false
	}
	s.listeners[ln] = struct{}{}
	return true
}

func (s *Server) drop(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
}

// Shutdown closes the listeners and gives every session session.Shutdown. It
// waits for them until Options.Grace has passed or ctx ends, then cancels their
// contexts and cuts their connections, which it reports as an error. When it
// returns nil, every session has had its last call.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	grace := time.NewTimer(max(s.opts.Grace, 0))
	defer grace.Stop()
	defer s.cancel()
	select {
	case <-s.empty:
		return nil
	case <-grace.C:
	case <-ctx.Done():
	}
	s.cancel()
	n := s.cutAll()
	if n == 0 {
		return nil
	}
	end := time.NewTimer(cutWait)
	defer end.Stop()
	select {
	case <-s.empty:
		return fmt.Errorf("shut down: %d connections cut off", n)
	case <-end.C:
		return fmt.Errorf("shut down: %d connections cut off; some sessions still at work", n)
	}
}

// stop begins the shutdown, once.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Swap(true) {
		return
	}
	close(s.stopped)
	for ln := range s.listeners {
		ln.Close()
	}
	for c := range s.conns {
		c.interrupt()
	}
	s.checkEmpty()
}

// cutAll closes every connection under its session and returns how many.
func (s *Server) cutAll() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.cut()
	}
	return len(s.conns)
}

// checkEmpty tells Shutdown when the last connection is gone. It needs s.mu.
func (s *Server) checkEmpty() {
	if !s.stopping.Load() || len(s.conns) > 0 {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

// stamp returns a time as the distance from the server's beginning in
// nanoseconds, never zero.
func (s *Server) stamp(t time.Time) int64 { return int64(t.Sub(s.began)) + 1 }
