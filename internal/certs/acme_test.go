package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/fault"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// pebble is a running ACME server, github.com/letsencrypt/pebble, which the
// go.mod of tools names: no other installation is needed.
type pebble struct {
	host              string // its address, and where it looks for challenges
	http, tlsALPN     string // the same with ports
	directory, manage string
	caFile            string
	answers           *resolver
	client            *http.Client
	log               *journal
}

// resolver is a DNS server that sends every name to one address.
type resolver struct {
	mu    sync.Mutex
	addr  net.IP
	asked func() // called at each question
}

func (r *resolver) atQuestion(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = f
}

func (r *resolver) set(addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addr = net.ParseIP(addr)
}

func (r *resolver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	if r.asked != nil {
		r.asked()
	}
	for _, question := range q.Question {
		if question.Qtype == dns.TypeA {
			h := dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}
			m.Answer = append(m.Answer, &dns.A{Hdr: h, A: r.addr})
		}
	}
	_ = w.WriteMsg(m)
}

// startResolver serves until the test ends and returns its address.
func startResolver(t *testing.T, answer string) (*resolver, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0") // pebble asks over TCP
	if err != nil {
		t.Fatal(err)
	}
	r := &resolver{addr: net.ParseIP(answer)}
	s := &dns.Server{Listener: ln, Handler: r}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.ActivateAndServe()
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return r, ln.Addr().String()
}

// loopback returns an address of this machine, where it can be one that nobody
// else uses, so that a port that was free a moment ago still is.
func loopback() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	n := rand.N(254 * 254)
	return fmt.Sprintf("127.77.%d.%d", 1+n/254, 1+n%254)
}

// freeAddrs returns addresses on a host that nobody listens on.
func freeAddrs(t *testing.T, host string, n int) []string {
	t.Helper()
	var addrs []string
	for range n {
		ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// startPebble builds and starts the ACME server, with certificates that are
// good for so many seconds (zero: for long), and waits until it answers.
func startPebble(t *testing.T, seconds int) *pebble {
	t.Helper()
	path, err := exec.Command("go", "tool", "-n", "-modfile=../../tools/go.mod", "pebble").Output()
	if err != nil {
		t.Fatalf("build pebble: %v\n%s", err, exitErrors(err))
	}
	dir := t.TempDir()
	host := loopback()
	ca, pair, err := DemoAuthority(dir, []string{host}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	addrs := freeAddrs(t, host, 4)
	answers, dnsAddr := startResolver(t, host)
	p := &pebble{
		host: host, directory: "https://" + addrs[0] + "/dir", manage: "https://" + addrs[1], caFile: ca,
		http: addrs[2], tlsALPN: addrs[3], answers: answers, log: newJournal(),
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": addrs[0], "managementListenAddress": addrs[1],
		"certificate": pair.Certificate, "privateKey": pair.Key,
		"httpPort": portOf(t, p.http), "tlsPort": portOf(t, p.tlsALPN),
		"profiles": map[string]any{"default": map[string]any{"description": "test", "validityPeriod": seconds}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	configFile := filepath.Join(dir, "pebble.json")
	writeNew(t, configFile, config)
	cmd := exec.Command(strings.TrimSpace(string(path)), "-config", configFile, "-dnsserver", dnsAddr)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0")
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("pebble:\n%s", p.log)
		}
	})
	p.log.wait(t, "ACME directory available", 1)
	roots, err := readRoots(ca)
	if err != nil {
		t.Fatal(err)
	}
	p.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	p.get(t, p.directory)
	return p
}

func exitErrors(err error) string {
	if e, ok := err.(*exec.ExitError); ok {
		return string(e.Stderr)
	}
	return ""
}

// get fetches a page; the server says that it listens a moment before it does.
func (p *pebble) get(t *testing.T, url string) []byte {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); ; {
		r, err := p.client.Get(url)
		if err != nil && time.Now().Before(until) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: got %s, %v", url, r.Status, err)
		}
		return b
	}
}

// roots are those of the certificates that it issues.
func (p *pebble) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(p.get(t, p.manage+"/roots/0")) {
		t.Fatal("no root")
	}
	return pool
}

// run runs m until the returned function is called, or the test ends.
func run(t *testing.T, m *Manager) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// noSecrets fails when a key that is in the store, or a part of it, is in the log.
func noSecrets(t *testing.T, records store.Records, log string) {
	t.Helper()
	keys := 0
	for r, err := range records.ListRecords(context.Background(), acmePrefix) {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(r.Key, ".key") {
			continue
		}
		keys++
		for line := range bytes.Lines(r.Value) {
			if line := strings.TrimSpace(string(line)); len(line) > 20 && !strings.HasPrefix(line, "-") && strings.Contains(log, line) {
				t.Errorf("a line of %s is in the log", r.Key)
			}
		}
	}
	if keys < 2 {
		t.Errorf("got %d keys in the store, want the account's and the certificate's", keys)
	}
	for _, words := range []string{"PRIVATE KEY", "protected", "signature"} {
		if strings.Contains(log, words) {
			t.Errorf("the log has %q:\n%s", words, log)
		}
	}
}

func TestACMEObtainsServesKeepsAndRenews(t *testing.T) {
	t.Parallel()
	p := startPebble(t, 0)
	for _, c := range []struct {
		name string
		acme ACME
	}{
		{"http", ACME{HTTP: p.http, Names: []string{"http.example.org"}, Email: "postmaster@example.org"}},
		{"alpn", ACME{TLSALPN: p.tlsALPN, Names: []string{"Alpn.example.org", "alpn2.example.org"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			records, j := storetest.NewModel(), newJournal()
			c.acme.Directory, c.acme.CAFile = p.directory, p.caFile
			o := Options{ACME: &c.acme, Records: records, Logger: j.logger(), Names: c.acme.Names, SelfSigned: true}
			m := newManager(t, o)
			if got := m.List()[0]; got.Source != SourceSelfSigned {
				t.Errorf("before: got %+v, want a self-signed one", got)
			}
			stop := run(t, m)
			j.wait(t, "certificate obtained\"", len(c.acme.Names))
			roots := p.roots(t)
			var serials []string
			for _, name := range c.acme.Names {
				cs, err := shake(t, m.Config("smtp", nil), &tls.Config{ServerName: name, RootCAs: roots})
				if err != nil {
					t.Fatalf("handshake for %s: %v", name, err)
				}
				serials = append(serials, cs.PeerCertificates[0].SerialNumber.String())
			}
			for _, i := range m.List() {
				if i.Source != SourceACME || i.SelfSigned || len(i.Problems) > 0 {
					t.Errorf("after: got %+v, want one of the authority without problems", i)
				}
			}
			if j.count("until then another serves") != len(c.acme.Names) {
				t.Errorf("the log doesn't warn of names without a certificate:\n%s", j)
			}
			infos, err := m.Renew(context.Background(), c.acme.Names[0])
			if err != nil || len(infos) != 1 {
				t.Fatalf("renew: got %+v, %v", infos, err)
			}
			renewed := served(t, m, c.acme.Names[0])
			if renewed.SerialNumber.String() == serials[0] || infos[0].SHA256 != Fingerprint(renewed.Raw) {
				t.Error("the former certificate is served after the renewal")
			}
			stop()
			if _, err := m.Renew(context.Background(), ""); !fault.Is(err, fault.Transient) {
				t.Errorf("renew after the end: got %v, want Transient", err)
			}
			before := j.count("\n")
			again := newManager(t, o)
			if got := served(t, again, c.acme.Names[0]); !got.Equal(renewed) {
				t.Error("a new start doesn't serve what is kept")
			}
			if got := j.count("\n"); got != before {
				t.Errorf("a new start with certificates logs:\n%s", j)
			}
			noSecrets(t, records, j.String())
		})
	}
}

func TestACMEThatFailsSaysWhyAndIsTriedAgainWhenAsked(t *testing.T) {
	t.Parallel()
	p := startPebble(t, 0)
	p.answers.set("127.66.0.1") // where nobody listens
	records, j := storetest.NewModel(), newJournal()
	m := newManager(t, Options{
		ACME:       &ACME{Directory: p.directory, CAFile: p.caFile, HTTP: p.http, TLSALPN: p.tlsALPN, Names: []string{"fails.example.org"}},
		SelfSigned: true, Records: records, Logger: j.logger(), Names: []string{"fails.example.org"},
	})
	run(t, m)
	j.wait(t, "no certificate could be obtained", 1)
	if !served(t, m, "fails.example.org").Equal(m.selfSigned.cert.Leaf) {
		t.Error("the self-signed certificate doesn't serve")
	}
	var problems []string
	for _, i := range m.List() {
		if i.Source == SourceACME {
			problems = i.Problems
		}
	}
	if got := strings.Join(problems, "; "); !strings.Contains(got, "not obtained yet: ") {
		t.Errorf("got problems %q, want the reason", got)
	}
	if _, err := m.Renew(context.Background(), "fails.example.org"); !fault.Is(err, fault.Transient) {
		t.Errorf("renew while it can't: got %v, want Transient", err)
	}
	if got := j.count("no certificate could be obtained"); got != 2 {
		t.Errorf("got %d failures, want the first and that of the renewal, without a wait for others", got)
	}
	if got := j.count("made_now=true"); got != 1 {
		t.Errorf("got %d self-signed certificates, want the first to fill in until the end", got)
	}
	p.answers.set(p.host)
	if _, err := m.Renew(context.Background(), "fails.example.org"); err != nil {
		t.Fatalf("renew when it can: %v", err)
	}
	if _, err := shake(t, m.Config("smtp", nil), &tls.Config{ServerName: "fails.example.org", RootCAs: p.roots(t)}); err != nil {
		t.Error(err)
	}
	if got := m.List(); len(got) != 1 || len(got[0].Problems) > 0 {
		t.Errorf("got %+v, want one without problems", got)
	}
	noSecrets(t, records, j.String())
}

func TestACMERenewsByItselfBeforeTheEnd(t *testing.T) {
	t.Parallel()
	p, j := startPebble(t, 6), newJournal()
	m := newManager(t, Options{
		ACME:    &ACME{Directory: p.directory, CAFile: p.caFile, TLSALPN: p.tlsALPN, Names: []string{"short.example.org"}},
		Records: storetest.NewModel(), Logger: j.logger(),
	})
	m.acme.every = 200 * time.Millisecond
	run(t, m)
	j.wait(t, "certificate obtained\"", 1)
	first := served(t, m, "short.example.org")
	j.wait(t, "certificate obtained\"", 2)
	if second := served(t, m, "short.example.org"); !second.NotAfter.After(first.NotAfter) {
		t.Errorf("got an end at %v, want one after %v", second.NotAfter, first.NotAfter)
	}
}

func TestRenewalGoesOnAfterTheAccountHasChanged(t *testing.T) {
	t.Parallel()
	p := startPebble(t, 0)
	a := ACME{Directory: p.directory, CAFile: p.caFile, HTTP: p.http, Names: []string{"account.example.org"}, Email: "one@example.org"}
	records := storetest.NewModel()
	for _, email := range []string{"one@example.org", "two@example.org"} {
		j := newJournal()
		a.Email = email
		m := newManager(t, Options{ACME: &a, Records: records, Logger: j.logger()})
		stop := run(t, m)
		j.wait(t, "started background certificate maintenance", 1)
		if len(m.table.Load().all) == 0 {
			j.wait(t, "certificate obtained\"", 1)
		} else if _, err := m.Renew(context.Background(), "account.example.org"); err != nil {
			t.Errorf("as another account: %v", err)
		}
		stop()
	}
}

func TestUnknownAuthorityIsNotTrusted(t *testing.T) {
	t.Parallel()
	p, j := startPebble(t, 0), newJournal()
	other, _, err := DemoAuthority(t.TempDir(), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m := newManager(t, Options{
		ACME: &ACME{Directory: p.directory, CAFile: other, HTTP: p.http, Names: []string{"mitm.example.org"}}, Logger: j.logger(),
	})
	run(t, m)
	j.wait(t, "no certificate could be obtained", 1)
	if j.count("x509:") == 0 || j.count("the authority's own server isn't trusted") != 1 {
		t.Errorf("the log doesn't say that the authority's server isn't trusted:\n%s", j)
	}
}

func TestUnreachableAuthorityIsSaidOnceForEachAttempt(t *testing.T) {
	t.Parallel()
	j, addrs := newJournal(), freeAddrs(t, loopback(), 3)
	m := newManager(t, Options{
		ACME: &ACME{
			Directory: "https://" + addrs[0] + "/directory", HTTP: addrs[1], TLSALPN: addrs[2], Names: []string{"mail.example.org"},
		},
		Logger: j.logger(),
	})
	run(t, m)
	j.wait(t, "no certificate could be obtained", 1)
	if _, err := m.Renew(context.Background(), "mail.example.org"); err == nil {
		t.Error("a certificate was obtained of nobody")
	}
	if got := j.count("can't be reached"); got != 2 {
		t.Errorf("it is said %d times that the authority can't be reached, want once for each of 2 attempts:\n%s", got, j)
	}
	if j.count("port 80") > 0 {
		t.Errorf("the log sends the reader to the ports:\n%s", j)
	}
	for line := range strings.Lines(j.String()) {
		if strings.Contains(line, "msg=\"acme: ") && !strings.Contains(line, "level=DEBUG") {
			t.Errorf("the log says more: %s", line)
		}
	}
}

func TestStrangersLearnNothingFromChallengeListeners(t *testing.T) {
	t.Parallel()
	addrs := freeAddrs(t, loopback(), 3)
	j := newJournal()
	m := newManager(t, Options{
		// Nobody answers at the directory.
		ACME:       &ACME{Directory: "https://" + addrs[2] + "/dir", HTTP: addrs[0], TLSALPN: addrs[1], Names: []string{"mail.example.org"}},
		SelfSigned: true, Logger: j.logger(),
	})
	stop := run(t, m)
	j.wait(t, "no certificate could be obtained", 1)
	before := j.count("level=WARN") + j.count("level=ERROR")
	for _, path := range []string{"/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/token", "/metrics"} {
		r, err := http.Get("http://" + addrs[0] + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != http.StatusNotFound || strings.Contains(string(b), "token") {
			t.Errorf("%s: got %s %q, want 404", path, r.Status, b)
		}
	}
	for _, host := range []string{"", "mail.example.org"} {
		c, err := net.Dial("tcp", addrs[0])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
		began := time.Now()
		if _, err := io.ReadAll(c); err != nil || time.Since(began) > challengeTime/2 {
			t.Errorf("after an answer the connection is kept open: %v, %v", err, time.Since(began))
		}
	}
	for _, protos := range [][]string{nil, {"acme-tls/1"}, {"h2", "acme-tls/1"}, {"smtp"}} {
		c, err := tls.Dial("tcp", addrs[1], &tls.Config{ServerName: "mail.example.org", InsecureSkipVerify: true, NextProtos: protos})
		if err == nil {
			c.Close()
			t.Errorf("ALPN %q: got a handshake, want none", protos)
		}
	}
	if got := j.count("level=WARN") + j.count("level=ERROR"); got != before {
		t.Errorf("strangers can fill the log:\n%s", j)
	}
	stalled, err := net.Dial("tcp", addrs[1])
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Close()
	stop()
	if _, err := stalled.Read(make([]byte, 1)); err == nil {
		t.Error("a stalled connection outlives Run")
	}
	if _, err := net.Dial("tcp", addrs[0]); err == nil {
		t.Error("a listener outlives Run")
	}
}

// TestOtherTokensAreNotAnsweredDuringAChallenge, however the host is written.
func TestOtherTokensAreNotAnsweredDuringAChallenge(t *testing.T) {
	t.Parallel()
	p, j := startPebble(t, 0), newJournal()
	const name = "stranger.example.org"
	m := newManager(t, Options{
		ACME: &ACME{Directory: p.directory, CAFile: p.caFile, HTTP: p.http, Names: []string{name}}, Logger: j.logger(),
	})
	asked := 0
	p.answers.atQuestion(func() {
		for _, host := range []string{name, strings.ToUpper(name), name + ".", name + ":80"} {
			asked++
			r, err := http.NewRequest(http.MethodGet, "http://"+p.http+"/.well-known/acme-challenge/c3RyYW5nZXI", nil)
			if err != nil {
				t.Error(err)
				return
			}
			r.Host = host
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			b, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.StatusCode != http.StatusNotFound || strings.Contains(string(b), "c3RyYW5nZXI") {
				t.Errorf("host %s: got %s %q, want 404", host, answer.Status, b)
			}
		}
	})
	run(t, m)
	j.wait(t, "certificate obtained", 1)
	if asked == 0 {
		t.Error("nobody asked during a challenge: this tests nothing")
	}
}

func TestConnectionsToAChallengeListenerAreBounded(t *testing.T) {
	l, err := listenForChallenges(http01, "127.0.0.1:0", newJournal().logger())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var held []net.Conn
	for range maxChallengeConns {
		dial()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	one := dial()
	accepted := make(chan net.Conn)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	if _, err := one.Read(make([]byte, 1)); err == nil {
		t.Error("one more connection than may be stays open")
	}
	held[0].Close()
	held[0].Close()
	dial()
	(<-accepted).Close()
	for _, c := range held {
		c.Close()
	}
}

func TestAddressInUseEndsRunWithWhatToDo(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	m := newManager(t, Options{ACME: &ACME{
		Directory: "https://ca.example/dir", HTTP: "127.0.0.1:0", TLSALPN: ln.Addr().String(), Names: []string{"mail.example.org"},
	}})
	err = m.Run(t.Context())
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("got %v, want Invalid and the address", err)
	}
}

func TestACMESettingsThatCannotWorkAreRefused(t *testing.T) {
	good := func() ACME {
		return ACME{Directory: "https://ca.example/dir", HTTP: ":80", Names: []string{"mail.example.org"}}
	}
	if _, err := New(Options{ACME: ptr(good()), Records: storetest.NewModel()}); err != nil {
		t.Fatalf("good settings: %v", err)
	}
	for _, c := range []struct {
		name string
		edit func(*ACME)
		says string
	}{
		{"no directory", func(a *ACME) { a.Directory = "" }, "directory"},
		{"http directory", func(a *ACME) { a.Directory = "http://ca.example/dir" }, "https"},
		{"no names", func(a *ACME) { a.Names = nil }, "names"},
		{"wildcard", func(a *ACME) { a.Names = []string{"*.example.org"} }, "wildcard"},
		{"address", func(a *ACME) { a.Names = []string{"192.0.2.1"} }, "address"},
		{"one label", func(a *ACME) { a.Names = []string{"localhost"} }, "whole host name"},
		{"space", func(a *ACME) { a.Names = []string{"mail.exam ple.org"} }, "letters"},
		{"empty label", func(a *ACME) { a.Names = []string{"mail..org"} }, "letters"},
		{"name too long to be kept", func(a *ACME) { a.Names = []string{strings.Repeat("a123456789.", 22) + "org"} }, "too long"},
		{"other script", func(a *ACME) { a.Names = []string{"bücher.example"} }, "xn--"},
		{"no challenge", func(a *ACME) { a.HTTP = "" }, "port 80"},
		{"bad address", func(a *ACME) { a.TLSALPN = "443" }, "host:port"},
		{"no CA file", func(a *ACME) { a.CAFile = "/nonexistent/ca.pem" }, "/nonexistent/ca.pem"},
		{"CA file without certificates", func(a *ACME) { a.CAFile = os.DevNull }, "no certificate in it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := good()
			c.edit(&a)
			_, err := New(Options{ACME: &a, Records: storetest.NewModel()})
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want Invalid and %q", err, c.says)
			}
		})
	}
	if _, err := New(Options{ACME: ptr(good())}); !fault.Is(err, fault.Invalid) {
		t.Errorf("no store: got %v, want Invalid", err)
	}
}

func ptr[T any](v T) *T { return &v }

func TestCertificateThatWasKeptBrokenIsSaid(t *testing.T) {
	records, j := storetest.NewModel(), newJournal()
	a := ACME{Directory: "https://ca.example/dir", HTTP: ":80", Names: []string{"mail.example.org"}}
	s := newStorage(records, time.Now)
	for _, ext := range []string{".crt", ".key"} {
		key := "certificates/" + issuerKey(a.Directory) + "/mail.example.org/mail.example.org" + ext
		if err := s.Store(context.Background(), key, []byte("rubbish")); err != nil {
			t.Fatal(err)
		}
	}
	m := newManager(t, Options{ACME: &a, Records: records, Logger: j.logger()})
	got := m.List()
	if len(got) != 1 || !slices.Equal(got[0].Names, a.Names) || len(got[0].Problems) == 0 {
		t.Errorf("got %+v, want the name with a problem", got)
	}
	if j.count("level=ERROR") != 1 {
		t.Errorf("got no error in the log:\n%s", j)
	}
}

func TestObtainedCertificateThatCannotBeReadIsNoSuccess(t *testing.T) {
	ctx, j := context.Background(), newJournal()
	a := ACME{Directory: "https://ca.example/dir", HTTP: ":80", Names: []string{"mail.example.org"}}
	records := &failingRecords{Model: storetest.NewModel()}
	p := newTestCA(t).leaf(t, nil, a.Names...)
	key, err := p.keyPEM()
	if err != nil {
		t.Fatal(err)
	}
	s := newStorage(records, time.Now)
	for ext, b := range map[string][]byte{".crt": p.certPEM(), ".key": key} {
		if err := s.Store(ctx, "certificates/"+issuerKey(a.Directory)+"/mail.example.org/mail.example.org"+ext, b); err != nil {
			t.Fatal(err)
		}
	}
	m := newManager(t, Options{ACME: &a, Records: records, Logger: j.logger()})
	records.get = fault.Newf(fault.Corrupt, "record", "checksum")
	m.nowObtained(ctx, "mail.example.org")
	if j.count("certificate obtained") != 0 || j.count("level=ERROR") != 1 {
		t.Errorf("got a success in the log, or no error:\n%s", j)
	}
	p.wants(t, served(t, m, "mail.example.org"))
}

func TestRenewalReplacesWhatWasKeptBroken(t *testing.T) {
	t.Parallel()
	p, j := startPebble(t, 0), newJournal()
	records, ctx := storetest.NewModel(), context.Background()
	const name = "broken.example.org"
	s := newStorage(records, time.Now)
	for _, ext := range []string{".crt", ".key", ".json"} {
		key := "certificates/" + issuerKey(p.directory) + "/" + name + "/" + name + ext
		if err := s.Store(ctx, key, []byte("rubbish")); err != nil {
			t.Fatal(err)
		}
	}
	m := newManager(t, Options{
		ACME:    &ACME{Directory: p.directory, CAFile: p.caFile, HTTP: p.http, Names: []string{name}},
		Records: records, Logger: j.logger(),
	})
	run(t, m)
	j.wait(t, "until then another serves", 1)
	if _, err := m.Renew(ctx, name); err != nil {
		t.Fatal(err)
	}
	if _, err := shake(t, m.Config("smtp", nil), &tls.Config{ServerName: name, RootCAs: p.roots(t)}); err != nil {
		t.Error(err)
	}
}

func TestRunEndsWhileTheAuthorityIsSilent(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	records := storetest.NewModel()
	m := newManager(t, Options{
		ACME:    &ACME{Directory: "https://" + ln.Addr().String() + "/dir", HTTP: "127.0.0.1:0", Names: []string{"mail.example.org"}},
		Records: records,
	})
	stop := run(t, m)
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	renewed := make(chan error, 1)
	go func() {
		_, err := m.Renew(context.Background(), "mail.example.org")
		renewed <- err
	}()
	stop()
	if err := <-renewed; !fault.Is(err, fault.Transient) {
		t.Errorf("renew at the end: got %v, want Transient", err)
	}
	if err := m.acme.storage.Store(context.Background(), "late", nil); !fault.Is(err, fault.Transient) {
		t.Errorf("a write after the end: got %v, want Transient", err)
	}
}
