package tlspolicy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"

	"postrider/internal/tlspolicy"
)

// web is an HTTPS server in memory, which works in a synctest bubble.
type web struct {
	conns chan net.Conn
	done  chan struct{}

	mu      sync.Mutex
	cert    tls.Certificate
	handler http.HandlerFunc
	hits    int
	dialed  []string
	down    bool
	pipes   []net.Conn
}

func newWeb(t testing.TB) *web {
	t.Helper()
	w := &web{conns: make(chan net.Conn), done: make(chan struct{})}
	s := &http.Server{
		Handler: http.HandlerFunc(w.serve), ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return &w.cert, nil
		}},
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.ServeTLS(w, "", "")
	}()
	t.Cleanup(func() {
		w.hangUp() // first: a server that says goodbye to nobody waits, and holds a lock
		_ = s.Close()
		<-ended
	})
	return w
}

// hangUp ends all connections.
func (w *web) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.pipes {
		_ = c.Close()
	}
}

func (w *web) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.hits++
	h := w.handler
	w.mu.Unlock()
	h(rw, r)
}

// set changes what is answered, and with which certificate.
func (w *web) set(cert tls.Certificate, h http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cert, w.handler = cert, h
}

func (w *web) setDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// count returns the requests so far.
func (w *web) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hits
}

// dial is the client's way to the server.
func (w *web) dial(ctx context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, address)
	down := w.down
	w.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	near, far := net.Pipe()
	w.mu.Lock()
	w.pipes = append(w.pipes, near, far)
	w.mu.Unlock()
	select {
	case w.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (w *web) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (w *web) Close() error {
	select {
	case <-w.done:
	default:
		close(w.done)
	}
	return nil
}

// Addr implements net.Listener.
func (w *web) Addr() net.Addr { return &net.TCPAddr{} }

// policy answers with a policy.
func policy(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/mta-sts.txt" || r.Method != http.MethodGet {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, text)
	}
}

const stsZone = baseZone + `
_mta-sts      TXT "v=STSv1; id=1;"
mta-sts       A 192.0.2.80
_smtp._tls    TXT "v=TLSRPTv1; rua=mailto:tls@example.test,https://reports.example.test/v1?x=1"
reports       A 192.0.2.81
`

const (
	enforce       = "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.test\r\nmx: *.wild.test\r\nmax_age: 604800\r\n"
	testingPolicy = "version: STSv1\nmode: testing\nmx: mx1.example.test\nmax_age: 604800\n"
)

// newSTSHouse is a house whose example.test has a policy.
func newSTSHouse(t testing.TB, text string, change func(*tlspolicy.Options)) (*house, *web) {
	t.Helper()
	w := newWeb(t)
	h := newHouse(t, stsZone, func(o *tlspolicy.Options) {
		o.Dial = w.dial
		if change != nil {
			change(o)
		}
	})
	w.set(h.ca.issue(t, nil, "mta-sts.example.test", "reports.example.test"), policy(text))
	return h, w
}
