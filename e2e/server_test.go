//go:build e2e

// Package e2e runs the real binary and talks to it over TCP: with real mail
// clients, with the dialogues, and while it is being killed.
package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// binary is what make build has made.
const binary = "../bin/postrider"

// server is a running postrider.
type server struct {
	t       *testing.T
	cmd     *exec.Cmd
	log     *lockedBuffer
	exited  chan error
	ready   ready
	stopped bool
}

// ready is the line of JSON that the demo prints.
type ready struct {
	Data      string
	PID       int
	Domain    string
	CA        string
	Listeners []struct{ Name, Protocol, Role, TLS, Address string }
	Accounts  []struct{ Address, Password string }
}

// lockedBuffer takes the server's log while the test may read it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs "postrider demo" on free ports with more flags and waits until it
// is ready. It is stopped when the test ends.
func start(t *testing.T, data string, flags ...string) *server {
	t.Helper()
	s := &server{t: t, log: &lockedBuffer{}, exited: make(chan error, 1)}
	args := append([]string{"demo", "--data", data, "--json", "--ports", "auto"}, flags...)
	s.cmd = exec.Command(binary, args...)
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("%v (make build makes it)", err)
	}
	t.Cleanup(s.stop)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &s.ready)
	}
	if err != nil {
		s.cmd.Process.Kill()
		s.stopped = true
		s.cmd.Wait()
		t.Fatalf("the demo did not become ready: %v, it said %q\n%s", err, line, s.log)
	}
	go func() { s.exited <- s.cmd.Wait() }()
	return s
}

// passwordsInTheOpen lets a strict demo's POP3 listener take passwords without
// TLS, for tests of other things.
const passwordsInTheOpen = `
[[listener]]
name = "pop3"
allow_plaintext_auth = true
`

// openPOP writes passwordsInTheOpen to a file.
func openPOP(t *testing.T) string { return write(t, "open.toml", passwordsInTheOpen) }

// startOpen starts a strict demo that takes passwords without TLS.
func startOpen(t *testing.T, data string) *server {
	t.Helper()
	return start(t, data, "--strict", "--config", openPOP(t))
}

// write makes a file in a folder of its own and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// stop stops the server as Ctrl-C does, and fails the test when it doesn't
// stop cleanly.
func (s *server) stop() {
	if s.stopped {
		return
	}
	s.stopped = true
	s.cmd.Process.Signal(syscall.SIGINT)
	if err := <-s.exited; err != nil {
		s.t.Errorf("the server did not stop cleanly: %v\n%s", err, s.log)
	}
}

// kill ends the server as a power cut does, but for the disk.
func (s *server) kill() {
	s.stopped = true
	s.cmd.Process.Kill()
	<-s.exited
}

// address returns host:port of a listener: "smtp", "submission", "submissions",
// "pop3" or "pop3s".
func (s *server) address(name string) string {
	for _, l := range s.ready.Listeners {
		if l.Name == name {
			return l.Address
		}
	}
	s.t.Fatalf("the demo has no listener %s: %+v", name, s.ready)
	return ""
}

// port returns the port of a listener.
func (s *server) port(name string) string {
	_, port, _ := strings.Cut(s.address(name), ":")
	return port
}

// trust is a configuration of TLS that believes the demo's authority.
func (s *server) trust() *tls.Config {
	s.t.Helper()
	b, err := os.ReadFile(s.ready.CA)
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		s.t.Fatalf("%s: no certificate", s.ready.CA)
	}
	return &tls.Config{RootCAs: roots, ServerName: "mail.example.test"}
}

// run runs a program with standard input and returns what it printed; the test
// fails when it exits with an error.
func run(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = strings.NewReader(stdin)
	c.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C.UTF-8")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// postrider runs a subcommand on a data folder.
func postrider(t *testing.T, data, stdin string, args ...string) string {
	t.Helper()
	path, err := filepath.Abs(binary)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, stdin, path, append([]string{"--data", data}, args...)...)
}
