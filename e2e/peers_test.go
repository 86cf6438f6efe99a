//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// daemon is another program that the test has started and ends.
type daemon struct {
	t   *testing.T
	cmd *exec.Cmd
	log *lockedBuffer
}

// launch starts a program that stays in the foreground. It ends with the test, and
// so does whatever it has started.
func launch(t *testing.T, name string, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, cmd: exec.Command(name, args...), log: &lockedBuffer{}}
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.cmd.WaitDelay = patience
	if err := d.cmd.Start(); err != nil {
		t.Fatalf("%v (make clients installs it)", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- d.cmd.Wait() }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said:\n%s", name, d.log)
		}
		d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(patience):
			t.Errorf("%s did not end\n%s", name, d.log)
		}
		syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
	})
	return d
}

// eventually asks until the answer is yes. When it does not come, more says what
// there is to know.
func eventually(t *testing.T, what string, more func() string, yes func() bool) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	late := time.After(patience)
	for !yes() {
		select {
		case <-poll.C:
		case <-late:
			t.Fatalf("waited in vain: %s\n%s", what, more())
		}
	}
}

// answers waits until something accepts connections.
func (d *daemon) answers(address string, more func() string) {
	d.t.Helper()
	eventually(d.t, address+" answers", more, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// openDir makes a folder that other users can get through to.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// put writes a file in a folder and returns its path.
func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// authority vouches for hosts.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Authority of hosts"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	a.key = newKey(t)
	der := a.sign(a.cert, &a.key.PublicKey)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.file = put(t, openDir(t), "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(c *x509.Certificate, public *ecdsa.PublicKey) []byte {
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// issue returns a certificate, and the files with it and with its key.
func (a *authority) issue(dir, host string) (cert *x509.Certificate, certFile, keyFile string) {
	a.t.Helper()
	key := newKey(a.t)
	der := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, &key.PublicKey)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	return cert,
		put(a.t, dir, host+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		put(a.t, dir, host+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// outgoing is a message that an account submits.
type outgoing struct {
	params string   // of MAIL
	to     []string // with parameters behind >
	text   string   // lines end in LF
}

// submit sends as an account and returns the answer to the message's end.
func (s *server) submit(t *testing.T, account int, m outgoing) string {
	t.Helper()
	a := s.ready.Accounts[account]
	p := secured(t, s, submission, s.trust())
	defer p.Close()
	p.say("EHLO client.example.org", "250 ")
	p.say("AUTH PLAIN "+b64("\x00"+a.Address+"\x00"+a.Password), "235 ")
	return p.send(a.Address, m)
}

// send makes a transaction.
func (p *peer) send(from string, m outgoing) string {
	p.t.Helper()
	p.say(strings.TrimSpace("MAIL FROM:<"+from+"> "+m.params), "250 ")
	for _, to := range m.to {
		if !strings.Contains(to, ">") {
			to += ">"
		}
		p.say("RCPT TO:<"+to, "250 ")
	}
	p.say("DATA", "354 ")
	return p.say(strings.ReplaceAll(strings.ReplaceAll("\n"+m.text, "\n.", "\n.."), "\n", "\r\n")[2:]+".", "250 ")
}

// inbox collects what an account has until there are so many messages.
func (s *server) inbox(t *testing.T, account, messages int) (all []string) {
	t.Helper()
	sofar := func() string { return strings.Join(all, "\n---\n") }
	eventually(t, "mail for "+s.ready.Accounts[account].Address, sofar, func() bool {
		p, err := dialPOPS(s, account)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		all = append(all, takeAll(t, p)...)
		return len(all) >= messages
	})
	if len(all) > messages {
		t.Fatalf("%d messages, want %d: %q", len(all), messages, all)
	}
	return all
}

// maildir reads the messages in a maildir, until there are so many.
func maildir(t *testing.T, dir string, messages int, more func() string) (all []string) {
	t.Helper()
	eventually(t, dir+" has mail", more, func() bool {
		all = nil
		files, _ := filepath.Glob(filepath.Join(dir, "new", "*"))
		for _, f := range files {
			all = append(all, read(t, f))
		}
		return len(all) >= messages
	})
	if len(all) > messages {
		t.Fatalf("%s: %d messages, want %d: %q", dir, len(all), messages, all)
	}
	return all
}

// traces are the fields that servers put on top of a message.
var traces = []string{"Return-Path:", "Return-path:", "X-Original-To:", "Delivered-To:", "Received:", "Envelope-to:", "Delivery-date:"}

// wantSame compares a message that has arrived, octet by octet under the fields
// that were put on top.
func wantSame(t *testing.T, got, want string) {
	t.Helper()
	top, ok := strings.CutSuffix(got, want)
	if !ok {
		t.Errorf("got %q\nwant at the end %q", got, want)
		return
	}
	for _, line := range strings.Split(strings.TrimSuffix(top, "\n"), "\n") {
		trace := strings.HasPrefix(line, "\t") || strings.HasPrefix(line, " ")
		for _, name := range traces {
			trace = trace || strings.HasPrefix(line, name)
		}
		if !trace {
			t.Errorf("on top of the message is %q", line)
		}
	}
}
