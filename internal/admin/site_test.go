package admin

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"

	"postrider/internal/directory"
	"postrider/internal/store/storetest"
)

// newSite returns a handler over a store in memory, with cheap passwords.
func newSite(t testing.TB) (*storetest.Model, http.Handler) {
	t.Helper()
	m := storetest.NewModel()
	d := directory.New(m, directory.Options{Argon2: directory.Argon2Params{Memory: 64, Time: 1, Threads: 1}})
	return m, Handler(Options{Directory: d, Store: m})
}

// startServe serves a handler on a socket until the test ends, and returns its path.
func startServe(t *testing.T, path string, h http.Handler) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	socket, err := Listen(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	go func() { served <- socket.Serve(ctx, h) }()
	done := false
	stop = func() error {
		if done {
			return nil
		}
		done = true
		cancel()
		return <-served
	}
	t.Cleanup(func() { stop() })
	return stop
}

// connect returns a client of the socket.
func connect(t *testing.T, path string) *Client {
	t.Helper()
	c, err := Connect(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// bothWays runs f with a client in the process and one over a socket.
func bothWays(t *testing.T, f func(t *testing.T, m *storetest.Model, c *Client)) {
	t.Run("in the process", func(t *testing.T) {
		m, h := newSite(t)
		f(t, m, InProcess(h))
	})
	t.Run("over the socket", func(t *testing.T) {
		m, h := newSite(t)
		path := filepath.Join(t.TempDir(), "admin.sock")
		startServe(t, path, h)
		f(t, m, connect(t, path))
	})
}

// must ends the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
