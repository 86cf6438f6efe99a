package receive

import (
	"context"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/smtp"
	"postrider/internal/store"
	"postrider/internal/store/storetest"
)

// noted is a store that notes what it is given.
type noted struct {
	*storetest.Model
	mu      sync.Mutex
	accepts []notedAccept
	settled []store.Settlement
	kicked  []string
	// refused is the error of the next Accept, as of one that can't settle.
	refused error
	after   func() // called once, after the next
	settles bool   // settlements are made, too
	// collected: what was delivered has gone from its mailboxes.
	collected bool
}

// notedAccept is an Accept with its octets.
type notedAccept struct {
	store.Accept
	octets string
}

func (n *noted) Accept(ctx context.Context, a store.Accept) (store.Accepted, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.refused; err != nil {
		n.refused = nil
		a.Content.Discard()
		return store.Accepted{}, err
	}
	b, err := io.ReadAll(io.NewSectionReader(a.Content, 0, a.Content.Size()))
	if err != nil {
		return store.Accepted{}, err
	}
	given := a
	if !n.settles {
		given.Settle = nil
	}
	done, err := n.Model.Accept(ctx, given)
	if err == nil && !done.Repeated {
		n.accepts = append(n.accepts, notedAccept{a, string(b)})
		n.settled = append(n.settled, a.Settle...)
	}
	if n.after != nil {
		n.after()
		n.after = nil
	}
	return done, err
}

func (n *noted) Settle(_ context.Context, all []store.Settlement) (int, error) {
	n.settled = append(n.settled, all...)
	return len(all), nil
}

func (n *noted) Open(ctx context.Context, account mail.AccountID, mailbox mail.MailboxID, uid mail.UID) (store.Reader, error) {
	if n.collected {
		return nil, fault.New(fault.NotFound, "open", nil)
	}
	return n.Model.Open(ctx, account, mailbox, uid)
}

func (n *noted) Kick(destinations ...string) { n.kicked = append(n.kicked, destinations...) }

// queued are the messages that came into the queue, as "from → to, to (kind name)".
func (n *noted) queued() (all []string) {
	for _, a := range n.accepts {
		for _, p := range a.Onward {
			for _, m := range p.Messages() {
				var to []string
				for _, r := range m.Envelope.Recipients {
					to = append(to, r.Address.String())
				}
				all = append(all, "<"+m.Envelope.From.String()+"> → "+strings.Join(to, ", ")+" ("+p.Warrant().Kind().String()+" "+p.Warrant().Name()+")")
			}
		}
	}
	return all
}

// messages are the messages that came into the queue.
func (n *noted) messages() (all []store.Onward) {
	for _, a := range n.accepts {
		for _, p := range a.Onward {
			all = append(all, p.Messages()...)
		}
	}
	return all
}

func wantQueued(t testing.TB, n *noted, want ...string) {
	t.Helper()
	if got := n.queued(); !slices.Equal(got, want) {
		t.Errorf("queued\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// newOnwardSite is a site with a queue, aliases that lead elsewhere, and a relay
// client at 192.0.2.0/28.
func newOnwardSite(t testing.TB, change ...func(*Options)) (*site, *noted) {
	n := new(noted)
	s := newSite(t, func(m *storetest.Model) Store {
		n.Model = m
		return n
	})
	_, err := s.model.Change(s.ctx,
		store.PutAlias{Address: "away@example.test", Targets: []string{"me@far.example"}},
		store.PutAlias{Address: "both@example.test", Targets: []string{"alice@example.test", "me@far.example"}},
		store.PutAlias{Address: "two@catch.test", Targets: []string{"away@example.test", "you@far.example", "she@other.example"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	s.options.Onward, s.options.Queue, s.options.Rows, s.options.Records = true, n, n, s.model
	s.options.Clients = []Client{{Name: "printer", Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}}}
	for _, f := range change {
		f(&s.options)
	}
	s.options.Registerer = nil
	s.receiver = New(s.options)
	return s, n
}

// deliver sends a message with the parameters of its RCPT commands, "<address>
// PARAMETERS", and returns the last reply.
func (s *site) deliver(from, content string, to ...string) string {
	s.t.Helper()
	m := s.connect()
	defer m.Close()
	if s.submitter == "" {
		say(s.t, m, "EHLO client.example.org")
	}
	if got := say(s.t, m, "MAIL FROM:"+from)[0]; !strings.HasPrefix(got, "250 ") {
		return got
	}
	for _, r := range to {
		if got := say(s.t, m, "RCPT TO:"+r)[0]; !strings.HasPrefix(got, "250 ") {
			return got
		}
	}
	all := say(s.t, m, "DATA")
	all = append(all, say(s.t, m, content+".")...)
	return all[len(all)-1]
}

func TestNobodyWithoutAWarrantCanRelay(t *testing.T) {
	attempts := []string{
		"<victim@far.example>", "<@example.test:victim@far.example>", "<@example.test,@catch.test:victim@far.example>",
		"<victim@[192.0.2.1]>", "<victim@[127.0.0.1]>", "<victim@[IPv6:::1]>", "<victim@localhost>", "<victim@sub.example.test>",
		"<victim@example.test.>", `<"victim@far.example"@[192.0.2.1]>`, "<example.test!victim@far.example>", "<victim%far.example@other.example>",
		`<"victim%far.example"@example.test>`, "<victim%far.example@example.test>", "<far.example!victim@example.test>", `<"victim@far.example"@example.test>`,
		"<SRS0=abcdefgh=aa=far.example=victim@example.test>", "<SRS1=abcdefgh=far.example==aa=bb=c=d@example.test>",
	}
	for _, who := range []struct {
		name, role, remote string
		want               []string
	}{
		{"a stranger at mx", "mx", "", nil},
		{"loopback at mx", "mx", "127.0.0.1", nil},
		{"IPv6 loopback at mx", "mx", "::1", nil},
		{"the relay client at mx", "mx", "192.0.2.1", nil},
		{"a role that is not known", "other", "127.0.0.1", nil},
		{"no login at submission", "submission", "127.0.0.1", nil},
		{"the relay client at submission", "submission", "192.0.2.1", nil},
		{"a stranger at relay", "relay", "192.0.2.77", nil},
		{"loopback at relay", "relay", "127.0.0.1", nil},
		{"an IPv4-mapped stranger at relay", "relay", "::ffff:192.0.2.77", nil},
	} {
		t.Run(who.name, func(t *testing.T) {
			s, n := newOnwardSite(t)
			s.role, s.remote = who.role, who.remote
			for _, from := range []string{"<alice@example.test>", "<>", "<eve@far.example>"} {
				for _, to := range attempts {
					got := s.deliver(from, hello, to)
					if !strings.HasPrefix(got, "5") {
						t.Errorf("from %s to %s: got %q, want it refused", from, to, got)
					}
				}
			}
			wantQueued(t, n)
			if len(n.accepts) > 0 {
				t.Errorf("accepted %d messages", len(n.accepts))
			}
		})
	}
}

func TestARefusedRelayIsToldAndLogged(t *testing.T) {
	s, _ := newOnwardSite(t)
	wantPrefix(t, "mx", s.deliver("<a@b.test>", hello, "<x@far.example>"), "550 5.7.1 Relaying denied")
	s.role, s.remote = "relay", "198.51.100.1"
	wantPrefix(t, "relay", s.deliver("<a@b.test>", hello, "<alice@example.test>"), "550 5.7.1 Relaying denied: your address is not one")
	if !strings.Contains(s.log.String(), `reason="no relay client"`) {
		t.Errorf("the log has no reason: %s", s.log.String())
	}
}

func TestAccountsSendToOtherHosts(t *testing.T) {
	s, n := newOnwardSite(t)
	s.submitter = "alice"
	got := s.deliver("<al@example.test> RET=HDRS ENVID=x", complete+"\r\nHi\r\n",
		"<bob@example.test>", "<x@far.example> NOTIFY=FAILURE ORCPT=rfc822;y@z.test", "<X@FAR.example>", "<y@other.example>")
	wantPrefix(t, "message", got, "250 2.0.0")
	wantQueued(t, n, "<al@example.test> → x@far.example, y@other.example (account alice@example.test)")
	if got := s.counts("bob"); got != "bob 1" {
		t.Errorf("got %s", got)
	}
	a := n.accepts[0]
	o := a.Onward[0].Messages()[0]
	e := o.Envelope
	switch {
	case len(n.accepts) != 1 || len(a.Deliveries) != 1:
		t.Errorf("got %d accepts, want one for all", len(n.accepts))
	case a.Onward[0].Warrant().Account() != s.accounts["alice"]:
		t.Error("the warrant is not alice's")
	case o.ID != a.ID || len(o.Prefix) > 0 || !o.Due.Equal(testTime) || !o.Notify.IsZero():
		t.Errorf("got %+v", o)
	case e.Ret != mail.RetHeaders || e.EnvID != "x" || !e.ID.IsZero() || e.Size != 0:
		t.Errorf("got the envelope %+v", e)
	case e.Recipients[0].Notify != mail.NotifyFailure || e.Recipients[0].ORcpt != "rfc822;y@z.test":
		t.Errorf("got %+v", e.Recipients)
	}
	if want := []string{"far.example", "other.example"}; !slices.Equal(n.kicked, want) {
		t.Errorf("kicked %q, want %q", n.kicked, want)
	}
	if !strings.Contains(s.log.String(), "copies=1 onward=2") {
		t.Errorf("the log does not count them: %s", s.log.String())
	}
}

func TestAMessageForOtherHostsOnlyNeedsNoMailbox(t *testing.T) {
	s, n := newOnwardSite(t)
	s.submitter = "alice"
	wantPrefix(t, "message", s.deliver("<alice@example.test>", complete+"\r\nHi\r\n", "<x@[192.0.2.5]>"), "250 2.0.0")
	wantQueued(t, n, "<alice@example.test> → x@[192.0.2.5] (account alice@example.test)")
	if len(n.accepts[0].Deliveries) > 0 {
		t.Error("there are deliveries")
	}
}

func TestAHoldIsTheQueuesToo(t *testing.T) {
	for _, c := range []struct {
		name string
		to   []string
		held bool
	}{{"both", []string{"<bob@example.test>", "<x@far.example>"}, true}, {"only elsewhere", []string{"<x@far.example>"}, false}} {
		t.Run(c.name, func(t *testing.T) {
			s, n := newOnwardSite(t)
			s.submitter = "alice"
			wantPrefix(t, "message", s.deliver("<alice@example.test> HOLDFOR=60", complete+"\r\n", c.to...), "250 2.0.0")
			until := testTime.Add(time.Minute)
			a, o := n.accepts[0], n.messages()[0]
			if !o.Due.Equal(until) || !o.Envelope.Hold.Equal(until) || a.Hold.Equal(until) != c.held {
				t.Errorf("due %v, held until %v", o.Due, a.Hold)
			}
		})
	}
}

// TestTheFieldTLSRequiredIsNoted is RFC 8689 §4.1, for all ways into the queue.
func TestTheFieldTLSRequiredIsNoted(t *testing.T) {
	for _, c := range []struct {
		name, submitter, field, to string
		want                       bool
	}{
		{"submitted", "alice", "TLS-Required: No\r\n", "<x@far.example>", true},
		{"by an alias", "", "TLS-Required: No\r\n", "<away@example.test>", true},
		{"none", "alice", "", "<x@far.example>", false},
		{"another word", "alice", "TLS-Required: Maybe\r\n", "<x@far.example>", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, n := newOnwardSite(t)
			s.submitter = c.submitter
			wantPrefix(t, "message", s.deliver("<alice@example.test>", c.field+complete+"\r\nHi\r\n", c.to), "250 2.0.0")
			if got := n.messages()[0].Envelope.TLSOptional; got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
}

func TestREQUIRETLSOutdoesTheField(t *testing.T) {
	c := content{tx: &smtp.Transaction{Envelope: mail.Envelope{RequireTLS: true}}}
	c.scanner.Write([]byte("TLS-Required: No\r\n\r\n"))
	if e := c.envelope(); e.TLSOptional || !e.RequireTLS {
		t.Errorf("got %+v", e)
	}
}

func TestWithoutAQueueNothingGoesOn(t *testing.T) {
	s, n := newOnwardSite(t, func(o *Options) { o.Onward = false })
	wantPrefix(t, "alias", s.deliver("<a@b.test>", hello, "<away@example.test>"), "550 5.7.1 That address leads to another host")
	wantPrefix(t, "alias of both", s.deliver("<a@b.test>", hello, "<both@example.test>"), "550 5.7.1")
	s.submitter = "alice"
	wantPrefix(t, "submission", s.deliver("<alice@example.test>", complete+"\r\n", "<x@far.example>"), "550 5.7.1 That domain is not local, and relaying is not configured")
	if len(n.accepts) > 0 {
		t.Errorf("accepted %d messages", len(n.accepts))
	}
}

func TestRemoteRecipientsCountForTheRate(t *testing.T) {
	s, _ := newOnwardSite(t, func(o *Options) { o.Submission.RecipientsPerHour = 2 })
	s.submitter = "alice"
	wantPrefix(t, "three", s.deliver("<alice@example.test>", complete+"\r\n", "<x@far.example>", "<y@far.example>", "<z@far.example>"), "450 4.7.1")
	wantPrefix(t, "two", s.deliver("<alice@example.test>", complete+"\r\n", "<x@far.example>", "<y@far.example>"), "250 2.0.0")
	wantPrefix(t, "one more", s.deliver("<alice@example.test>", complete+"\r\n", "<x@far.example>"), "450 4.7.1")
}

func TestNamedClientsRelay(t *testing.T) {
	for _, remote := range []string{"192.0.2.1", "::ffff:192.0.2.1"} {
		s, n := newOnwardSite(t)
		s.role, s.remote = "relay", remote
		wantPrefix(t, "message", s.deliver("<x@y.test>", hello, "<alice@example.test>", "<x@far.example>"), "250 2.0.0")
		wantQueued(t, n, "<x@y.test> → x@far.example (client printer)")
		if got := s.inbox("alice")[0]; !strings.HasSuffix(got, "+0000\r\n"+hello) {
			t.Errorf("got %q, want it unchanged", got)
		}
		if !strings.Contains(s.log.String(), "client=printer") {
			t.Errorf("the log does not name the client: %s", s.log.String())
		}
	}
}

func TestRelayClientsAreHeldToTheirLimits(t *testing.T) {
	s, _ := newOnwardSite(t, func(o *Options) {
		c := &o.Clients[0]
		c.From, c.MessagesPerHour, c.RecipientsPerHour = []string{"Own.TEST"}, 2, 3
	})
	s.role = "relay"
	wantPrefix(t, "another domain", s.deliver("<x@y.test>", hello, "<x@far.example>"), "550 5.7.1 You may not send from that domain")
	wantPrefix(t, "four recipients", s.deliver("<x@own.test>", hello, "<a@far.example>", "<b@far.example>", "<c@far.example>", "<d@far.example>"), "450 4.7.1")
	wantPrefix(t, "own domain", s.deliver("<x@own.test>", hello, "<x@far.example>"), "250 2.0.0")
	wantPrefix(t, "null reverse-path", s.deliver("<>", hello, "<x@far.example>"), "250 2.0.0")
	wantPrefix(t, "a third message", s.deliver("<>", hello, "<x@far.example>"), "450 4.7.1")
}

func TestOfSeveralClientsTheSmallestNetworkCounts(t *testing.T) {
	s, n := newOnwardSite(t, func(o *Options) {
		o.Clients = append(o.Clients, Client{Name: "one", Networks: []netip.Prefix{netip.MustParsePrefix("::ffff:192.0.2.1/128")}},
			Client{Name: "all", Networks: []netip.Prefix{netip.MustParsePrefix("192.0.0.0/16")}})
	})
	s.role = "relay"
	for _, remote := range []string{"192.0.2.1", "192.0.2.2", "192.0.3.1"} {
		s.remote = remote
		wantPrefix(t, "message", s.deliver("<>", hello, "<x@far.example>"), "250 2.0.0")
	}
	wantQueued(t, n, "<> → x@far.example (client one)", "<> → x@far.example (client printer)", "<> → x@far.example (client all)")
}

func TestAnAccountAtARelayListenerIsHeldToWhatAccountsAre(t *testing.T) {
	s, n := newOnwardSite(t)
	s.submitter, s.role, s.remote = "alice", "relay", "198.51.100.1"
	wantPrefix(t, "another's address", s.deliver("<bob@example.test>", complete+"\r\n", "<x@far.example>"), "550 5.7.1")
	wantPrefix(t, "its own", s.deliver("<alice@example.test>", complete+"\r\n", "<x@far.example>"), "250 2.0.0")
	wantQueued(t, n, "<alice@example.test> → x@far.example (account alice@example.test)")
}

func TestAnAddressTrustedSinceAPOPLoginSendsAsItsAccount(t *testing.T) {
	s, n := newOnwardSite(t)
	tx := &smtp.Transaction{Client: &smtp.Client{
		Role: "submission", Account: s.accounts["bob"], Login: "bob@example.test", Remote: netip.MustParseAddrPort("192.0.2.99:1"),
	}}
	tx.Envelope.From = mail.Address{Local: "bob", Domain: "example.test"}
	to := mail.Recipient{Address: mail.Address{Local: "x", Domain: "far.example"}}
	for _, err := range []error{s.receiver.Sender(t.Context(), tx), s.receiver.Recipient(t.Context(), tx, to)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tx.Envelope.Recipients = append(tx.Envelope.Recipients, to)
	c, err := s.receiver.Content(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantQueued(t, n, "<bob@example.test> → x@far.example (account bob@example.test)")
}

func TestAnAccountThatIsDisabledSendsNoMore(t *testing.T) {
	s, n := newOnwardSite(t)
	s.submitter = "alice"
	if _, err := s.model.Change(t.Context(), store.PutAccount{
		Account: store.Account{ID: s.accounts["alice"], Address: "alice@example.test", Disabled: true},
	}); err != nil {
		t.Fatal(err)
	}
	wantPrefix(t, "MAIL", s.deliver("<alice@example.test>", complete+"\r\n", "<x@far.example>"), "550 5.7.1 The account may not send")
	wantQueued(t, n)
}

func TestAFailedAcceptQueuesAndCountsNothing(t *testing.T) {
	s, n := newOnwardSite(t, func(o *Options) { o.Submission.MessagesPerHour = 1 })
	s.submitter = "alice"
	n.refused = fault.New(fault.NoSpace, "accept", nil)
	wantPrefix(t, "message", s.deliver("<alice@example.test>", complete+"\r\n", "<x@far.example>"), "452 4.3.1")
	if len(n.kicked) > 0 {
		t.Errorf("kicked %q", n.kicked)
	}
	wantPrefix(t, "again", s.deliver("<alice@example.test>", complete+"\r\n", "<x@far.example>"), "250 2.0.0")
}
