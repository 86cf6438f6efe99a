package login

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/directory"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/store"
)

// people is a Directory in memory.
type people struct {
	mu       sync.Mutex
	accounts map[string]*person // by key
	checks   int                // passwords and proofs that were looked at
	takes    time.Duration      // what one look costs
	used     []string
	trouble  error
	lookup   error // of LoginAccount
	noLegacy bool
	noSCRAM  bool
}

type person struct {
	store.Account
	password string
	app      map[string]string // password → name
	secret   string
}

const (
	alicesPassword = "correct horse battery staple"
	bobsPassword   = "Tr0ub4dor&3"
	appPassword    = "abcd-efgh-ijkl-mnop"
	alicesSecret   = "tanstaaf"
)

func newPeople() *people {
	p := &people{accounts: map[string]*person{}}
	p.add("alice@example.org", alicesPassword)
	p.add("bob@example.org", bobsPassword)
	p.accounts["alice@example.org"].secret = alicesSecret
	p.accounts["alice@example.org"].app = map[string]string{appPassword: "phone"}
	return p
}

func (p *people) add(address, password string) {
	p.accounts[address] = &person{
		Account:  store.Account{ID: mail.AccountID(len(p.accounts) + 1), Address: address, Version: 1},
		password: password,
	}
}

func (p *people) find(name string) *person {
	a, err := mail.ParseAddress(name)
	if err != nil {
		return nil
	}
	return p.accounts[a.Key()]
}

// look counts a look at a credential.
func (p *people) look() error {
	time.Sleep(p.takes) // in a bubble: no real time
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checks++
	return p.trouble
}

func (p *people) Authenticate(_ context.Context, l directory.Login) (directory.Authenticated, error) {
	if err := p.look(); err != nil {
		return directory.Authenticated{}, err
	}
	a := p.find(l.Name)
	if a == nil || a.Disabled {
		return directory.Authenticated{}, fault.New(fault.Denied, "authenticate", nil)
	}
	if name, ok := a.app[l.Password]; ok {
		return directory.Authenticated{Account: a.Account, AppPassword: name}, nil
	}
	if a.password != l.Password {
		return directory.Authenticated{}, fault.New(fault.Denied, "authenticate", nil)
	}
	return directory.Authenticated{Account: a.Account}, nil
}

const iterations = 4096

func (p *people) SCRAM(_ context.Context, name, _ string) (directory.SCRAM, error) {
	salt := []byte("0123456789abcdef")
	s := directory.SCRAM{Salt: salt, Iterations: iterations}
	if p.trouble != nil {
		return s, p.trouble
	}
	a := p.find(name)
	if a == nil { // decoys, which must do no harm even where they fit
		a = p.accounts["alice@example.org"]
	} else {
		s.Usable = true
	}
	s.Account = a.Account
	add := func(password, app string) {
		k := sasl.DeriveKeys(password, salt, iterations)
		s.Keys = append(s.Keys, directory.SCRAMKeys{Stored: k.Stored, Server: k.Server, AppPassword: app})
	}
	add(a.password, "")
	for password, app := range a.app {
		add(password, app)
	}
	return s, nil
}

func (p *people) Secret(_ context.Context, name string) ([]byte, store.Account, error) {
	a := p.find(name)
	if err := p.look(); err != nil {
		return nil, store.Account{}, err
	}
	if a == nil || a.secret == "" {
		return nil, store.Account{}, fault.New(fault.Denied, "log in", nil)
	}
	return []byte(a.secret), a.Account, nil
}

func (p *people) LoginAccount(_ context.Context, name string) (store.Account, error) {
	if p.lookup != nil {
		return store.Account{}, p.lookup
	}
	a := p.find(name)
	if a == nil || a.Disabled {
		return store.Account{}, fault.New(fault.Denied, "log in", nil)
	}
	return a.Account, nil
}

func (p *people) Used(_ context.Context, _ mail.AccountID, app string, _ time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used = append(p.used, app)
	return nil
}

func (p *people) SCRAMPossible() bool { return !p.noSCRAM }

func (p *people) LegacyPossible() bool { return !p.noLegacy }

// desk is a Service with what a test looks at.
type desk struct {
	*Service
	people   *people
	log      *lockedBuffer
	registry *prometheus.Registry
}

// lockedBuffer is a buffer that several may write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newDesk(t testing.TB, change func(*Options)) *desk {
	t.Helper()
	d := &desk{people: newPeople(), log: &lockedBuffer{}, registry: prometheus.NewRegistry()}
	o := Options{
		Directory: d.people, Registerer: d.registry,
		Logger: slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&o)
	}
	d.Service = New(o)
	return d
}

// undelayed is for tests in real time.
func undelayed(o *Options) { o.Policy.MaxDelay = -1 }

// from is a POP3 connection with TLS from an address.
func from(t testing.TB, address string) *session.Conn {
	return &session.Conn{
		ID: "c1", Context: t.Context(), Now: time.Now,
		Remote: netip.AddrPortFrom(netip.MustParseAddr(address), 40000),
		Listener: &session.Listener{
			Name: "pop3s", Protocol: "pop3", Hostname: "mail.example.org",
		},
		TLS: &session.TLS{},
	}
}

// fails makes failed logins, one after another.
func (d *desk) fails(t *testing.T, c *session.Conn, name string, times int) {
	t.Helper()
	for range times {
		if _, err := d.Password(c, name, "wrong"); !fault.Is(err, fault.Denied) {
			t.Fatalf("a wrong password for %s: %v, want denied", name, err)
		}
	}
}

// kindOf is an error's kind in words, "ok" for nil.
func kindOf(err error) string {
	if err == nil {
		return "ok"
	}
	return fault.KindOf(err).String()
}

func wantKind(t *testing.T, what string, err error, want string) {
	t.Helper()
	if got := kindOf(err); got != want {
		t.Errorf("%s: got %s (%v), want %s", what, got, err, want)
	}
}
