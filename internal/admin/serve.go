package admin

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"postrider/internal/fault"
)

const (
	// headerWait bounds how long a caller may take to send a request's header.
	headerWait = 10 * time.Second
	// closeWait is how long callers get to read the rest of an answer when the
	// server stops.
	closeWait = 2 * time.Second
)

// Socket is the Unix socket that a server answers on.
type Socket struct {
	listener net.Listener
	path     string
}

// Close removes a socket that Serve is not called on.
func (s *Socket) Close() error {
	err := s.listener.Close()
	removeSocket(s.path)
	return err
}

// Serve answers until the context ends. It returns when no call is under way
// any more: the store may be closed then. The socket is gone then too.
func (s *Socket) Serve(ctx context.Context, h http.Handler) error {
	calls := &gate{handler: h}
	srv := &http.Server{
		Handler:           calls,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: headerWait,
		ErrorLog:          log.New(io.Discard, "", 0), // a command that was interrupted is nobody's concern
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
		defer cancel()
		if srv.Shutdown(wait) != nil {
			srv.Close()
		}
	})
	err := srv.Serve(s.listener)
	if stop() {
		srv.Close()
	} else {
		<-closed
	}
	calls.shut()
	removeSocket(s.path)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fault.New(fault.Internal, "serve "+s.path, err)
}

// gate lets calls through to a handler until it is shut.
type gate struct {
	handler http.Handler
	mu      sync.Mutex
	closed  bool
	within  sync.WaitGroup
}

// ServeHTTP calls the handler, unless the gate is shut.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		http.Error(w, "the server stops", http.StatusServiceUnavailable)
		return
	}
	g.within.Add(1)
	g.mu.Unlock()
	defer g.within.Done()
	g.handler.ServeHTTP(w, r)
}

// shut lets no more calls in and waits for those within.
func (g *gate) shut() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.within.Wait()
}

// Listen opens a Unix socket at path, for its owner only: from then on callers
// are answered, or wait for Serve. A socket file left behind by a process that
// died is replaced; Busy when somebody answers on it.
func Listen(ctx context.Context, path string) (*Socket, error) {
	op := "open the administration socket " + path
	if err := clearStale(ctx, path); err != nil {
		return nil, fault.Wrap(op, err)
	}
	short, release, err := socketPath(path)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	defer release()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fault.New(fault.Internal, op, err)
	}
	ln.SetUnlinkOnClose(false) // short may mean something else by then
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		removeSocket(path)
		return nil, fault.New(fault.Internal, op, err)
	}
	return &Socket{ln, path}, nil
}

// clearStale removes a socket file that nobody answers on.
func clearStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() || info.IsDir() {
		return fault.Newf(fault.Exists, "replace "+path, "it is no socket; move it away")
	}
	conn, err := dial(ctx, path)
	switch {
	case err == nil:
		conn.Close()
		return fault.Newf(fault.Busy, "replace "+path, "a server answers on it")
	case nobodyThere(err):
		return os.Remove(path)
	}
	return err
}

// removeSocket tidies up; the next server does it too.
func removeSocket(path string) { _ = os.Remove(path) }

// dial connects to the socket.
func dial(ctx context.Context, path string) (net.Conn, error) {
	short, release, err := socketPath(path)
	if err != nil {
		return nil, err
	}
	defer release()
	var d net.Dialer
	return d.DialContext(ctx, "unix", short)
}

// nobodyThere reports whether a dial failed because no server runs.
func nobodyThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errRefused)
}
