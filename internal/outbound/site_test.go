package outbound

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/mail"
	"postrider/internal/netclient"
	"postrider/internal/resolver/zonetest"
	"postrider/internal/sinktest"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// site is a Deliverer with a store, a DNS and other hosts, all in memory.
type site struct {
	t     *testing.T
	store *storetest.Model
	zone  *zonetest.Zone
	d     *Deliverer
	stop  func()
	text  string // of what queue puts in

	mu      sync.Mutex
	sinks   map[string]*sinktest.Sink // by address; what is not there refuses
	dials   []string
	notices []told
	log     bytes.Buffer
}

// told is a notification that was sent.
type told struct {
	to, what string
	text     string
	at       time.Time
	stranger bool
}

const zoneText = `
$ORIGIN remote.test.
@ IN MX 10 mx1
@ IN MX 20 mx2
mx1 IN A 203.0.114.1
mx2 IN A 203.0.114.2
$ORIGIN other.test.
@ IN MX 10 mx
mx IN A 203.0.114.3
`

// begin starts a Deliverer within a bubble. Edit changes its options.
func begin(t *testing.T, edit func(s *site, o *Options)) *site {
	s := &site{t: t, text: "From: <alice@example.org>\r\nSubject: hello\r\n\r\nhello\r\n", store: storetest.NewModel(), zone: zonetest.New(t, zoneText), sinks: map[string]*sinktest.Sink{}}
	o := Options{
		Store: s.store, Resolver: s.zone.Resolver(t), Hostname: "mail.example.org",
		Dial: s.dial, Originate: s.originate,
		Logger: slog.New(slog.NewTextHandler(lockedWriter{s}, nil)),
	}
	if edit != nil {
		edit(s, &o)
	}
	s.d = New(o)
	s.run()
	return s
}

// run starts the Deliverer, and stops it at the end of the test at the latest.
func (s *site) run() {
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.d.Run(ctx); err != nil {
			s.t.Error(err)
		}
	}()
	s.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		for _, sink := range s.sinks {
			sink.Close()
		}
	})
	s.t.Cleanup(s.stop)
}

type lockedWriter struct{ s *site }

func (w lockedWriter) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.s.log.Write(p)
}

// logged returns what the log has.
func (s *site) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// dialled returns the addresses that connections were made to, in order.
func (s *site) dialled() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dials)
}

// host puts a sink at an address.
func (s *site) host(address string, o sinktest.Options) *sinktest.Sink {
	sink := sinktest.New(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sinks[address] = sink
	return sink
}

func (s *site) dial(_ context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
	s.mu.Lock()
	s.dials = append(s.dials, to.String())
	sink := s.sinks[to.Addr().String()]
	s.mu.Unlock()
	if sink == nil {
		return nil, &netclient.Error{Stage: netclient.StageDial, Err: &net.OpError{Op: "dial", Net: "tcp", Err: errRefused}}
	}
	ours, theirs := net.Pipe()
	go sink.Serve(theirs)
	return ours, nil
}

type refusedError struct{}

func (refusedError) Error() string { return "connection refused" }

var errRefused = refusedError{}

// originate keeps what would be sent, and settles.
func (s *site) originate(ctx context.Context, n Notification) error {
	var b strings.Builder
	if err := n.Write(&b); err != nil {
		return err
	}
	if _, err := s.store.Settle(ctx, n.Settle); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notices = append(s.notices, told{n.To.String(), n.What, b.String(), time.Now(), n.Stranger})
	return nil
}

func (s *site) told() []told {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]told(nil), s.notices...)
}

// queue puts a message into the queue and returns its ID there.
func (s *site) queue(from string, edit func(o *Onward), to ...string) mail.ID {
	s.t.Helper()
	return s.queueUnder(store.AccountWarrant(1, "alice@example.org"), from, edit, to...)
}

// queueUnder is queue under another warrant.
func (s *site) queueUnder(w store.Warrant, from string, edit func(o *Onward), to ...string) mail.ID {
	s.t.Helper()
	ctx := s.t.Context()
	c, err := s.store.NewContent(ctx, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	io.WriteString(c, s.text)
	o := Onward{ID: mail.NewID(time.Now()), Due: time.Now()}
	if from != "" {
		o.Envelope.From = address(s.t, from)
	}
	var domains []string
	for _, to := range to {
		a := address(s.t, to)
		o.Envelope.Recipients = append(o.Envelope.Recipients, mail.Recipient{Address: a})
		domains = append(domains, a.Domain)
	}
	if edit != nil {
		edit(&o)
	}
	p, err := store.Pass(w, o)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.store.Accept(ctx, store.Accept{ID: o.ID, Content: c, Received: time.Now(), Onward: []store.Passage{p}}); err != nil {
		s.t.Fatal(err)
	}
	s.d.Kick(domains...)
	return o.ID
}

// Onward is store.Onward.
type Onward = store.Onward

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// rows returns what the queue has of a message, nil if it has gone.
func (s *site) rows(id mail.ID) []store.Row {
	m, err := s.store.QueuedMessage(s.t.Context(), id)
	if err != nil {
		return nil
	}
	return m.Rows
}

// recipients returns who got what a sink has taken.
func recipients(sink *sinktest.Sink) (all []string) {
	for _, m := range sink.Messages() {
		all = append(all, m.To()...)
	}
	return all
}

// bubble runs a test in a synctest bubble.
func bubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }
