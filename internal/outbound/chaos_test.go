package outbound

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/resolver"
	"postrider/internal/resolver/zonetest"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// chaosRuns is how many seeds are played.
const chaosRuns = 60

// TestWhateverGoesWrongEachRecipientIsServedOrItsSenderTold plays hours of bad
// luck: hosts misbehave at every stage, the DNS and the store fail, and the
// Deliverer is stopped or dies. When all is well again, nothing is left in the
// queue, nothing is lost, nobody was told what is not so, and what came twice has
// a reason.
func TestWhateverGoesWrongEachRecipientIsServedOrItsSenderTold(t *testing.T) {
	for seed := range uint64(chaosRuns) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) { playChaos(t, seed) })
		})
	}
}

const chaosZone = zoneText + `
$ORIGIN third.test.
@ IN MX 10 mx
mx IN A 203.0.114.4
$ORIGIN direct.test.
@ IN A 203.0.114.5
`

var chaosDomains = []string{"remote.test", "other.test", "third.test", "direct.test"}

// chaos is a world in which everything may go wrong. All but its constants is
// guarded by mu.
type chaos struct {
	t     *testing.T
	model *storetest.Model
	zone  *zonetest.Zone
	alice mail.AccountID

	mu    sync.Mutex
	rand  *rand.Rand
	calm  bool
	lives []*life
	conns map[net.Conn]bool
	wants map[string]*want // by recipient
	// refusing are the domains with a host that has refused everybody for good, or
	// that the DNS has denied.
	refusing map[string]bool
}

// want is what is known of one recipient.
type want struct {
	null    bool // the reverse-path is null: nobody is told
	queued  time.Time
	refused bool // a host has refused it for good
	copies  []chaosCopy
}

// chaosCopy is a recipient's copy that a host has taken.
type chaosCopy struct {
	at      time.Time
	life    *life
	unknown bool // the host has not said so, or nobody can have understood it
}

// life is one Deliverer over the store, from its start to its end.
type life struct {
	c *chaos
	d *Deliverer
	*storetest.Model
	log  bytes.Buffer
	stop func()
	over chan struct{}
	// dead: it has no effect on the store any more.
	dead bool
	// failed is when the store last failed to write down what it was told.
	failed time.Time
}

func playChaos(t *testing.T, seed uint64) {
	c := &chaos{
		t: t, model: storetest.NewModel(), zone: zonetest.New(t, chaosZone), rand: rand.New(rand.NewPCG(seed, 4)),
		conns: map[net.Conn]bool{}, wants: map[string]*want{}, refusing: map[string]bool{},
	}
	c.openMailbox()
	l := c.begin()
	for end := time.Now().Add(time.Duration(1+c.n(12)) * time.Hour); time.Now().Before(end); {
		time.Sleep(time.Duration(c.n(600_000)) * time.Millisecond)
		switch c.n(9) {
		case 0, 1, 2:
			c.send(l)
		case 3:
			l.stop()
			<-l.over
			l = c.begin()
		case 4:
			c.kill(l)
			l = c.begin()
		case 5:
			c.breakDNS()
		case 6:
			c.model.SetHealth(fault.Newf(fault.ReadOnly, "write", "the disk is full"))
		case 7:
			c.model.SetHealth(nil)
		case 8:
			l.operate()
		}
	}
	c.heal(l)
	time.Sleep(6 * 24 * time.Hour)
	synctest.Wait()
	c.audit(l)
	c.finish(l)
}

// n returns a number from 0 to less than limit.
func (c *chaos) n(limit int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rand.IntN(limit)
}

// openMailbox makes the account that senders' notifications go to.
func (c *chaos) openMailbox() {
	ids, err := c.model.Change(c.t.Context(), store.PutDomain{Domain: store.Domain{Name: "example.org"}},
		store.PutAccount{New: true, Account: store.Account{Address: "alice@example.org"}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.alice = ids[0]
}

// begin starts a Deliverer.
func (c *chaos) begin() *life {
	l := &life{c: c, Model: c.model, over: make(chan struct{})}
	l.d = New(Options{
		Store: l, Resolver: patient{c.zone.Resolver(c.t)}, Hostname: "mail.example.org", Dial: l.dial, Originate: l.originate,
		Logger: slog.New(slog.NewTextHandler(l, nil)), Connections: 1 + c.n(8), Grace: time.Duration(1+c.n(60)) * time.Second,
	})
	ctx, cancel := context.WithCancel(c.t.Context())
	l.stop = cancel
	go func() {
		defer close(l.over)
		if err := l.d.Run(ctx); err != nil {
			c.t.Error(err)
		}
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lives = append(c.lives, l)
	return l
}

// patient gives the DNS as much time as the resolver's way through the network
// does.
type patient struct{ Resolver }

const patience = 20 * time.Second

// MX implements Resolver.
func (p patient) MX(ctx context.Context, domain string) (resolver.MX, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.Resolver.MX(ctx, domain)
}

// Addresses implements Resolver.
func (p patient) Addresses(ctx context.Context, host string) (resolver.Addresses, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.Resolver.Addresses(ctx, host)
}

// kill ends a life as SIGKILL does: from this moment on it changes nothing, its
// connections are gone, and so are its leases.
func (c *chaos) kill(l *life) {
	c.mu.Lock()
	l.dead = true
	for nc := range c.conns {
		nc.Close()
	}
	c.mu.Unlock()
	l.stop()
	<-l.over
	c.model.Close()
	c.model.Reopen()
}

// heal ends all bad luck.
func (c *chaos) heal(l *life) {
	c.mu.Lock()
	c.calm = true
	c.mu.Unlock()
	c.model.SetHealth(nil)
	for _, name := range chaosDomains {
		c.zone.Break(name, dns.TypeANY, zonetest.None)
		c.zone.Break("mx."+name, dns.TypeANY, zonetest.None)
		_ = c.model.Thaw(c.t.Context(), name)
		l.d.Kick(name)
	}
}

// finish stops the last life and looks whether it has left anything.
func (c *chaos) finish(l *life) {
	l.stop()
	<-l.over
	if l.d.leased != 0 || l.d.conns != 0 {
		c.t.Errorf("at the end: %d rows are leased and %d connections open", l.d.leased, l.d.conns)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for nc := range c.conns {
		nc.Close()
	}
}

// breakDNS breaks, or mends, what the DNS says of a domain.
func (c *chaos) breakDNS() {
	name := chaosDomains[c.n(len(chaosDomains))]
	f := []zonetest.Fault{
		zonetest.None, zonetest.None, zonetest.ServFail, zonetest.Refused, zonetest.Timeout, zonetest.Garbage, zonetest.NoName,
	}[c.n(7)]
	host := name
	if c.n(2) == 0 {
		host = "mx." + name
	}
	if f == zonetest.NoName {
		c.mu.Lock()
		c.refusing[name] = true
		c.mu.Unlock()
	}
	c.zone.Break(host, dns.TypeANY, f)
}

// operate does what operators and ETRN do.
func (l *life) operate() {
	name := chaosDomains[l.c.n(len(chaosDomains))]
	switch l.c.n(4) {
	case 0:
		_ = l.c.model.Freeze(l.c.t.Context(), name, "maintenance", time.Now())
	case 1:
		_ = l.c.model.Thaw(l.c.t.Context(), name)
		l.d.Kick(name)
	case 2:
		l.d.Revive(name)
	case 3:
		_, _ = l.d.Retry(l.c.t.Context(), func(_ *store.QueuedMessage, r *store.Row) bool {
			return r.Recipient.Address.Domain == name
		})
	}
}

// send queues some messages.
func (c *chaos) send(l *life) {
	for range 1 + c.n(15) {
		c.sendOne(l)
	}
}

// sendOne queues a message to one to four recipients, if the store takes it.
func (c *chaos) sendOne(l *life) {
	ctx := c.t.Context()
	content, err := c.model.NewContent(ctx, 0)
	if err != nil {
		return
	}
	io.WriteString(content, "From: <alice@example.org>\r\nSubject: hello\r\n\r\nhello\r\n")
	now := time.Now()
	o := store.Onward{ID: mail.NewID(now), Due: now}
	null := c.n(6) == 0
	if !null {
		o.Envelope.From = mail.Address{Local: "alice", Domain: "example.org"}
	}
	for i := range 1 + c.n(4) {
		to := mail.Address{Local: fmt.Sprintf("%s.%d", o.ID, i), Domain: chaosDomains[c.n(len(chaosDomains))]}
		o.Envelope.Recipients = append(o.Envelope.Recipients, mail.Recipient{Address: to})
	}
	p, err := store.Pass(store.AccountWarrant(1, "alice@example.org"), o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	for _, r := range o.Envelope.Recipients {
		c.wants[r.Address.String()] = &want{null: null, queued: now}
	}
	c.mu.Unlock()
	if _, err := c.model.Accept(ctx, store.Accept{ID: o.ID, Content: content, Received: now, Onward: []store.Passage{p}}); err != nil {
		if _, err := c.model.QueuedMessage(ctx, o.ID); err == nil {
			return // only the answer was lost
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, r := range o.Envelope.Recipients {
			delete(c.wants, r.Address.String())
		}
		return
	}
	for _, r := range o.Envelope.Recipients {
		l.d.Kick(r.Address.Domain)
	}
}
