package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/store/storetest"
)

// journal is a log that a test can read and wait for.
type journal struct {
	mu   sync.Mutex
	cond *sync.Cond
	b    bytes.Buffer
}

func newJournal() *journal {
	j := &journal{}
	j.cond = sync.NewCond(&j.mu)
	return j
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cond.Broadcast()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func (j *journal) count(words string) int { return strings.Count(j.String(), words) }

// wait waits until the words stand in the log n times. It gives up, and says what
// is in the log, after far longer than that takes.
func (j *journal) wait(t *testing.T, words string, n int) {
	t.Helper()
	var late bool
	defer time.AfterFunc(time.Minute, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		late = true
		j.cond.Broadcast()
	}).Stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	for strings.Count(j.b.String(), words) < n {
		if late {
			t.Fatalf("%q is not in the log %d times:\n%s", words, n, j.b.String())
		}
		j.cond.Wait()
	}
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// testCA signs what tests need.
type testCA struct{ *issued }

func newTestCA(t *testing.T) testCA {
	t.Helper()
	made, err := issue(&x509.Certificate{
		Subject: subject("test authority"), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return testCA{made}
}

// leaf makes a certificate for names; edit may change it before it is signed.
func (ca testCA) leaf(t *testing.T, edit func(*x509.Certificate), names ...string) *issued {
	t.Helper()
	c := serverTemplate(names, time.Now())
	if edit != nil {
		edit(c)
	}
	made, err := issue(c, ca.issued)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// put writes a certificate with its chain, and its key, into files of dir.
func (ca testCA) put(t *testing.T, leaf *issued, dir, name string) Pair {
	t.Helper()
	p := Pair{Certificate: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
	ca.putChain(t, leaf, p)
	putKey(t, leaf, p)
	return p
}

func (ca testCA) putChain(t *testing.T, leaf *issued, p Pair) {
	t.Helper()
	writeNew(t, p.Certificate, append(leaf.certPEM(), ca.certPEM()...))
}

func putKey(t *testing.T, leaf *issued, p Pair) {
	t.Helper()
	key, err := leaf.keyPEM()
	if err != nil {
		t.Fatal(err)
	}
	writeNew(t, p.Key, key)
}

// writeNew replaces a file by another one, as programs do that renew certificates.
func writeNew(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// clock is a time that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newManager(t *testing.T, o Options) *Manager {
	t.Helper()
	if o.Records == nil {
		o.Records = storetest.NewModel()
	}
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shake makes a handshake with m over a pipe and returns what the client sees.
func shake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	a, b := net.Pipe()
	defer b.Close()
	served := make(chan error, 1)
	go func() {
		s := tls.Server(a, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("+")) // brings the tickets of TLS 1.3 along
		}
		served <- err
		s.Close()
	}()
	c := tls.Client(b, client)
	err := c.Handshake()
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	cs := c.ConnectionState()
	b.Close()
	if serr := <-served; err == nil {
		err = serr
	}
	return cs, err
}

// served returns the leaf that a client gets that asks for a name.
func served(t *testing.T, m *Manager, name string) *x509.Certificate {
	t.Helper()
	cs, err := shake(t, m.Config("smtp", nil), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		t.Fatalf("handshake for %q: %v", name, err)
	}
	return cs.PeerCertificates[0]
}

func (i *issued) wants(t *testing.T, got *x509.Certificate) {
	t.Helper()
	if !got.Equal(i.cert) {
		t.Errorf("got the certificate for %v (serial %x), want that for %v (serial %x)",
			namesOf(got), got.SerialNumber, namesOf(i.cert), i.cert.SerialNumber)
	}
}
