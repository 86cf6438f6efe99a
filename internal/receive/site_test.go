package receive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/dialogue"
	"postrider/internal/directory"
	"postrider/internal/mail"
	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/smtp"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

var testTime = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// site is a receiver with a store and a directory, in memory.
type site struct {
	t        testing.TB
	model    *storetest.Model
	receiver *Receiver
	registry *prometheus.Registry
	log      logged
	accounts map[string]mail.AccountID
	ctx      context.Context
	teach    bool
	now      func() time.Time
	// submitter is who logs in by PLAIN; then the listener's role is submission,
	// unless role says another one.
	submitter, role string
	remote          string // the client's address; empty: 192.0.2.1
	options         Options
}

// logged is a log that is read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

// full is an account that has no room left for 1,000 octets.
const fullQuota = 2_000

// newSite makes the domains example.test and catch.test, and who has addresses
// in them. With wrap, the receiver gets another store in place of the model.
func newSite(t testing.TB, wrap func(*storetest.Model) Store) *site {
	return newLimitedSite(t, wrap, SubmissionLimits{})
}

// newLimitedSite is newSite with other limits of submission.
func newLimitedSite(t testing.TB, wrap func(*storetest.Model) Store, limits SubmissionLimits) *site {
	t.Helper()
	s := &site{
		t: t, model: storetest.NewModel(), registry: prometheus.NewRegistry(),
		accounts: map[string]mail.AccountID{}, ctx: context.Background(),
		now: func() time.Time { return testTime },
	}
	changes := []store.Change{
		store.PutDomain{Domain: store.Domain{Name: "example.test"}},
		store.PutDomain{Domain: store.Domain{Name: "catch.test"}},
	}
	names := []string{"alice", "bob", "carol", "full", "admin"}
	for _, n := range names {
		a := store.Account{Address: n + "@example.test"}
		if n == "full" {
			a.Quota = fullQuota
		}
		if n == "carol" {
			a.Grants = []string{"alice@example.test", "@catch.test"}
		}
		changes = append(changes, store.PutAccount{New: true, Account: a})
	}
	changes = append(changes,
		store.PutAlias{Address: "team@example.test", Targets: []string{"alice@example.test", "bob@example.test"}},
		store.PutAlias{Address: "al@example.test", Targets: []string{"alice@example.test"}},
		store.PutAlias{Address: "crowd@example.test", Targets: []string{"bob@example.test", "full@example.test"}},
		store.PutAlias{Address: "@catch.test", Targets: []string{"bob@example.test"}},
	)
	ids, err := s.model.Change(s.ctx, changes...)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range names {
		s.accounts[n] = ids[i]
	}
	var st Store = s.model
	if wrap != nil {
		st = wrap(s.model)
	}
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	dir := directory.New(s.model, directory.Options{Postmaster: "admin@example.test", Delimiters: "+", Logger: log})
	s.options = Options{
		Store:      st,
		Directory:  dir,
		Rights:     dir,
		Submission: limits,
		Logger:     log,
		Registerer: s.registry,
		Now:        func() time.Time { return s.now() },
		Hostname:   "mx.example.test",
	}
	s.receiver = New(s.options)
	return s
}

// connect opens a session and drops its greeting.
func (s *site) connect() *dialogue.Memory {
	c := &session.Conn{
		ID: "c1", Context: s.ctx, Remote: netip.MustParseAddrPort("192.0.2.1:4711"),
		Listener: &session.Listener{Name: "test-mx", Protocol: "smtp", Role: "mx", Hostname: "mx.example.test", Teach: s.teach},
		Now:      s.now,
	}
	if s.remote != "" {
		c.Remote = netip.AddrPortFrom(netip.MustParseAddr(s.remote), 4711)
	}
	role := s.role
	if role == "" && s.submitter != "" {
		role = "submission"
	}
	if role != "" {
		c.Listener.Name, c.Listener.Role = "test-"+role, role
	}
	var logins sasl.Authenticator
	if role == "submission" || role == "relay" {
		logins = &anybody{identity: sasl.Identity{Account: s.accounts[s.submitter], Address: s.submitter + "@example.test"}}
	}
	m := dialogue.NewMemory(smtp.New(s.receiver, logins, &smtp.Options{MaxHold: 30 * 24 * time.Hour, Binary: true}), c)
	replies(s.t, m)
	if s.submitter == "" {
		return m
	}
	say(s.t, m, "EHLO client.example.org")
	wantPrefix(s.t, "AUTH", say(s.t, m, "AUTH PLAIN eA==")[0], "235 2.7.0")
	return m
}

// replies returns what the session has said, a line each.
func replies(t testing.TB, m *dialogue.Memory) []string {
	t.Helper()
	var b bytes.Buffer
	if _, err := io.Copy(&b, m); err != nil && err != dialogue.ErrSilent {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\r\n"), "\r\n")
}

// say sends lines and returns the answers.
func say(t testing.TB, m *dialogue.Memory, lines ...string) []string {
	t.Helper()
	if _, err := m.Write([]byte(strings.Join(lines, "\r\n") + "\r\n")); err != nil {
		t.Fatal(err)
	}
	return replies(t, m)
}

// send sends a message in a session of its own and returns the last reply.
// Content has no line that begins with a dot.
func (s *site) send(content string, to ...string) string {
	s.t.Helper()
	m := s.connect()
	defer m.Close()
	say(s.t, m, "EHLO client.example.org", "MAIL FROM:<sender@example.org>")
	for _, r := range to {
		say(s.t, m, "RCPT TO:<"+r+">")
	}
	say(s.t, m, "DATA")
	all := say(s.t, m, content+".")
	return all[len(all)-1]
}

// inbox returns the messages in an account's maildrop, as they are read.
func (s *site) inbox(name string) []string {
	s.t.Helper()
	var all []string
	for m, err := range s.model.List(context.Background(), s.accounts[name], mail.Inbox, 1) {
		if err != nil {
			s.t.Fatal(err)
		}
		r, err := s.model.Open(context.Background(), s.accounts[name], mail.Inbox, m.UID)
		if err != nil {
			s.t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil || int64(len(b)) != m.Size {
			s.t.Fatalf("read %d octets of %d: %v", len(b), m.Size, err)
		}
		r.Close()
		all = append(all, string(b))
	}
	return all
}

// counts returns how many messages each account of names has.
func (s *site) counts(names ...string) string {
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "%s %d ", n, len(s.inbox(n)))
	}
	return strings.TrimSpace(b.String())
}

// metric returns the sum of a metric over the labels given as "name=value".
func (s *site) metric(name string, labels ...string) float64 {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	var sum float64
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metrics:
		for _, m := range f.GetMetric() {
			for i, l := range m.GetLabel() {
				if i < len(labels) && labels[i] != l.GetName()+"="+l.GetValue() {
					continue metrics
				}
			}
			sum += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

func wantPrefix(t testing.TB, what, got, want string) {
	t.Helper()
	if !strings.HasPrefix(got, want) {
		t.Errorf("%s: got %q, want %q…", what, got, want)
	}
}
