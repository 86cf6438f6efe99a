package receive

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"postrider/internal/mail"
	"postrider/internal/smtp"
)

// Client is a host that may relay, on listeners of the role relay: whoever comes
// from its networks.
type Client struct {
	// Name is what logs, the queue and metrics call it.
	Name     string
	Networks []netip.Prefix
	// From are the domains that its reverse-paths may have; empty: any. The null
	// reverse-path always may be.
	From []string
	// MessagesPerHour and RecipientsPerHour are how much it may send; zero: no limit.
	MessagesPerHour, RecipientsPerHour int
}

// client is a Client with what it has sent.
type client struct {
	Client
	from  []string // canonical
	rates *rates
}

// clientKey is the account under which the rates of one client count.
const clientKey mail.AccountID = 1

func newClients(all []Client) []*client {
	clients := make([]*client, len(all))
	for i, c := range all {
		clients[i] = &client{Client: c, rates: newRates(SubmissionLimits{
			MessagesPerHour: orUnlimited(c.MessagesPerHour), RecipientsPerHour: orUnlimited(c.RecipientsPerHour),
			MessagesPerDay: -1, RecipientsPerDay: -1,
		})}
		clients[i].Networks = slices.Clone(c.Networks)
		for j, p := range c.Networks {
			if p.Addr().Is4In6() && p.Bits() >= 96 { // addresses are compared as IPv4
				clients[i].Networks[j] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
			}
		}
		for _, d := range c.From {
			if name, err := mail.ParseDomain(d); err == nil {
				d = name
			}
			clients[i].from = append(clients[i].from, d)
		}
	}
	return clients
}

func orUnlimited(n int) int {
	if n <= 0 {
		return -1
	}
	return n
}

// What a relay client is refused for.
var (
	verdictNoClient = verdict{reason: "no relay client", reply: smtp.Reply{
		Code: 550, Enhanced: "7.1", Text: "Relaying denied: your address is not one of those that may relay here",
	}}
	verdictClientFrom = verdict{reason: "not the client's domain", reply: smtp.Reply{
		Code: 550, Enhanced: "7.1", Text: "You may not send from that domain here",
	}}
)

// clientAt returns the client that an address belongs to, or nil: of several, the
// one with the smallest network.
func (r *Receiver) clientAt(a netip.Addr) *client {
	a = a.Unmap().WithZone("")
	var found *client
	bits := -1
	for _, c := range r.clients {
		for _, p := range c.Networks {
			if p.Contains(a) && p.Bits() > bits {
				found, bits = c, p.Bits()
			}
		}
	}
	return found
}

// isNamedClient refuses who is in no relay client's network.
func isNamedClient(_ context.Context, r *Receiver, tx *smtp.Transaction) error {
	c := r.clientAt(tx.Client.Remote.Addr())
	if c == nil {
		return &verdictNoClient
	}
	routeOf(tx).client = c
	return nil
}

// mayRelayFrom refuses a reverse-path of a domain that is not the client's.
func mayRelayFrom(_ context.Context, _ *Receiver, tx *smtp.Transaction) error {
	c, from := routeOf(tx).client, tx.Envelope.From
	if len(c.from) == 0 || from.IsZero() || slices.Contains(c.from, from.Domain) {
		return nil
	}
	return verdictClientFrom.with(fmt.Sprintf("%s of client %s", from.Domain, c.Name))
}

// clientMaySendMessage refuses a message beyond the client's rate.
func clientMaySendMessage(_ context.Context, r *Receiver, tx *smtp.Transaction) error {
	return routeOf(tx).client.rates.check(clientKey, r.o.Now(), amount{messages: 1})
}

// clientMaySendToOneMore refuses a recipient beyond the client's rate.
func clientMaySendToOneMore(_ context.Context, r *Receiver, a *attempt) error {
	if a.route.client == nil {
		return &verdictNoClient
	}
	n := len(a.tx.Envelope.Recipients) + 1
	return a.route.client.rates.check(clientKey, r.o.Now(), amount{messages: 1, recipients: n})
}

// relay begins a relay client's message. It is left as it is, but for the trace
// field: what a host passes on is not ours to mend.
func (r *Receiver) relay(ctx context.Context, tx *smtp.Transaction) (content, error) {
	c := routeOf(tx).client
	if c == nil {
		return content{}, r.refuse(ctx, stageData, tx, nil, &verdictNoClient)
	}
	return r.beginRated(ctx, tx, c.rates, clientKey)
}
