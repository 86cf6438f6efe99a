package outbound

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/session"
	"postrider/internal/smtp"
	"postrider/internal/store"
)

// Turn is a host that is seldom connected, and asks for its mail.
type Turn struct {
	// Domains, as in Route.Domains, are those whose mail it may ask for.
	Domains []string
	// Account is the address of the account that gets it by ATRN; empty: none.
	Account string
	// Networks are those from which ETRN may be given without a login.
	Networks []netip.Prefix
}

var _ smtp.Turner = (*Deliverer)(nil)

// running reports whether mail is sent and settled, under mu.
func (d *Deliverer) running() bool { return d.ctx != nil && !d.stopped }

func errNotRunning(op string) error { return fault.Newf(fault.Transient, op, "nothing is sent now") }

// isHeldBack reports whether a row waits for the time that its sender has set (RFC
// 4865): nothing has been made of it yet, and it is not due. No host that calls gets
// it sooner.
func isHeldBack(r *store.Row, now time.Time) bool {
	return r.Attempts == 0 && r.Reply == "" && r.Due.After(now)
}

// Retry makes rows that wait due now, and returns how many: those that want
// reports. Their hosts are tried though they could not be reached a moment ago.
func (d *Deliverer) Retry(ctx context.Context, want func(m *store.QueuedMessage, r *store.Row) bool) (int, error) {
	n := 0
	domains := map[string]bool{}
	for m, err := range d.o.Store.Queued(ctx, mail.ID{}) {
		if err != nil {
			if m.ID.IsZero() {
				return n, err
			}
			continue // it is set aside when it is its turn
		}
		var rows []int
		for i := range m.Rows {
			if r := &m.Rows[i]; r.State == store.RowWaiting && !r.Leased && want(&m, r) {
				rows = append(rows, r.Index)
				domains[r.Recipient.Address.Domain] = true
			}
		}
		if len(rows) == 0 {
			continue
		}
		changed, err := d.o.Store.ChangeRows(ctx, m.ID, rows, store.RetryRows, d.o.Now())
		if err != nil && !fault.Is(err, fault.Busy) && !fault.Is(err, fault.NotFound) {
			return n, err
		}
		n += changed
	}
	d.Revive(slices.Collect(maps.Keys(domains))...)
	return n, nil
}

// Turn implements smtp.Turner: what waits for a client's domains goes out over its
// own connection (RFC 2645).
func (d *Deliverer) Turn(ctx context.Context, c *smtp.Client, domains []string) (session.Session, error) {
	const op = "turn the connection"
	allowed := d.turnsOf(c)
	if len(allowed) == 0 {
		return nil, fault.Newf(fault.Denied, op, "%s has no domains to ask for", c.Login)
	}
	for _, name := range domains {
		if !fitsAny(allowed, name) {
			return nil, fault.Newf(fault.Denied, op, "%s may not ask for %s", c.Login, name)
		}
	}
	if !d.Running() {
		return nil, errNotRunning(op)
	}
	waiting, err := d.waiting(ctx, allowed, domains)
	if err != nil || len(waiting) == 0 {
		return nil, fault.Wrap(op, err)
	}
	h := d.newHop("turn "+c.Login, &Route{Name: "turn"}, waiting[0])
	h.limit, h.terms.Connections = 0, 0 // it has no connections of its own
	src := &turning{domains: waiting, conversation: conversation{
		d: d, h: h, t: &target{host: c.Login, address: c.Remote}, ctx: ctx, tls: c.TLS, turned: true,
	}}
	o := d.clientOptions(h)
	o.TLS = smtp.TLSNever // whatever protects the connection already does
	o.Verified = bound(c)
	return &turned{Session: smtp.NewClient(o, src), src: src}, nil
}

// bound reports whether a client has proven to be the other end of its TLS connection:
// by its certificate, or by a login that is bound to the connection (RFC 9266). That is
// what a certificate for a host's name proves elsewhere (RFC 8689 §4.2.1), of a host that
// the operator has named. A password alone may have been passed on by somebody between.
func bound(c *smtp.Client) bool {
	return c.TLS != "" && (c.Mechanism == "EXTERNAL" || strings.HasSuffix(c.Mechanism, "-PLUS"))
}

// turnsOf returns the domains that a client's account may ask for.
func (d *Deliverer) turnsOf(c *smtp.Client) (domains []string) {
	for i := range d.o.Turns {
		if t := &d.o.Turns[i]; t.isOf(c) {
			domains = append(domains, t.Domains...)
		}
	}
	return domains
}

// isOf reports whether a client has logged in to the account.
func (t *Turn) isOf(c *smtp.Client) bool {
	return c.Account != 0 && t.Account != "" && strings.EqualFold(t.Account, c.Login)
}

// waiting returns those of the domains wanted, or of all that are allowed, for
// which something waits.
func (d *Deliverer) waiting(ctx context.Context, allowed, wanted []string) (names []string, err error) {
	if len(wanted) == 0 {
		for at, err := range d.o.Store.Destinations(ctx, "") {
			if err != nil {
				return nil, err
			}
			if !at.Frozen && fitsAny(allowed, at.Name) {
				names = append(names, at.Name)
			}
		}
		return names, nil
	}
	for _, name := range wanted {
		at, err := d.o.Store.Destination(ctx, name)
		switch {
		case fault.Is(err, fault.NotFound):
		case err != nil:
			return nil, err
		case !at.Frozen:
			names = append(names, name)
		}
	}
	return names, nil
}

// turning gives a turned connection what waits for its domains.
type turning struct {
	conversation
	awaited bool // the Deliverer does not stop before it has ended
	domains []string
	// heldBack are leases of what is not to be sent yet. They are kept to the end, so
	// that it is not leased again and again; maxHeldBack at most.
	heldBack []store.RowLease
	leased   []string // the domains of which there were rows
}

const maxHeldBack = 10_000

// farFuture is when every row is due: who has called gets all, whenever it would
// have been tried, but for what its sender has held back. All that is leased so is
// settled or given back when the connection ends.
const farFuture = 100 * 365 * 24 * time.Hour

// begin has the Deliverer wait for the end: what is sent has to be settled, or it
// would be sent again after the next start. If it has stopped already nothing is sent.
func (s *turning) begin() {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.awaited = s.d.running(); s.awaited {
		s.d.workers.Add(1)
		return
	}
	s.domains = nil
}

// Next implements smtp.Source.
func (s *turning) Next(ctx context.Context, peer *smtp.Peer) *smtp.Outgoing {
	for len(s.domains) > 0 && len(s.h.jobs) == 0 {
		if !s.lease(ctx, s.domains[0]) {
			s.domains = s.domains[1:]
		}
	}
	return s.conversation.Next(ctx, peer)
}

// lease leases more of a domain's rows, and reports whether there were any.
func (s *turning) lease(ctx context.Context, domain string) bool {
	if len(s.heldBack) >= maxHeldBack {
		return false
	}
	now := s.d.o.Now()
	all, _, err := s.d.fetch(ctx, store.LeaseQuery{
		Destination: domain, Now: now.Add(farFuture), Until: now.Add(farFuture + leaseTime), Limit: leaseBatch,
	})
	if err != nil {
		s.d.log.Error("rows of the queue can't be leased", "destination", domain, "error", err)
		return false
	}
	if n := len(s.leased); len(all) > 0 && (n == 0 || s.leased[n-1] != domain) {
		s.leased = append(s.leased, domain)
	}
	for i := range all {
		l := &all[i]
		j := &job{msg: l.Message, fences: l.Fences, domain: domain, latest: now.Add(leaseTime)}
		early := &job{}
		if l.Err == nil {
			early = j.split(func(i int) bool { return isHeldBack(&j.msg.Rows[i], now) })
			s.heldBack = append(s.heldBack, early.leases()...)
		}
		s.d.mu.Lock()
		s.d.leased -= early.rows()
		if l.Err == nil && j.rows() > 0 {
			s.h.put(j)
		}
		s.d.mu.Unlock()
		if l.Err != nil {
			s.d.setAside(ctx, l, domain)
		}
	}
	return len(all) > 0
}

// close gives back what was not sent.
func (s *turning) close() {
	if s.left != nil {
		s.d.finish(s.left, all(s.left, *s.failure))
		s.left = nil
	}
	s.d.mu.Lock()
	jobs := s.h.drop()
	s.d.mu.Unlock()
	for _, j := range jobs {
		s.d.giveBack(j)
	}
	s.d.o.Store.Unlease(context.Background(), s.heldBack)
	s.heldBack = nil
	// While all of a domain was leased the schedule may have forgotten it.
	s.d.Kick(s.leased...)
	s.leased = nil
	if s.awaited {
		s.awaited = false
		s.d.workers.Done()
	}
}

// turned is a turned connection's session.
type turned struct {
	session.Session
	src *turning
}

// Start implements session.Session.
func (t *turned) Start(c *session.Conn) session.Step {
	t.src.begin()
	return t.Session.Start(c)
}

// Event implements session.Session.
func (t *turned) Event(e session.Event) session.Step {
	step := t.Session.Event(e)
	if e == session.Closed {
		t.src.close()
	}
	return step
}
