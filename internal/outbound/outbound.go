// Package outbound sends queued mail to other hosts: it decides when each row of
// the queue is tried, where it goes and how that way is protected, and what is
// said when it fails.
//
// The schedule lives in the store. A Deliverer holds a window of it: the
// destinations that are due next, and rows under lease. A destination's rows go to
// a hop (the hosts that take its mail), which has its own connections and its own
// count of how many it bears; a slow or dead hop holds up no other.
package outbound

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/mail"
	"postrider/internal/resolver"
	"postrider/internal/store"
	"postrider/internal/tlspolicy"
)

// Limits that are no settings.
const (
	// leaseTime is longer than any transaction takes (RFC 5321 §4.5.3.2) with the time
	// that a row waits for it: what has waited for more than leaseWait is given back,
	// and not tried. Only the leases of a process that has died end by their time.
	leaseTime = 24 * time.Hour
	leaseWait = 12 * time.Hour
	// maxLeased bounds the rows under lease, and with them the memory of what is
	// being tried.
	maxLeased = 10_000
	// maxUrgent is as many with those that go first.
	maxUrgent = 2 * maxLeased
	// maxWindow bounds the destinations that are remembered with their time. If more
	// wait, those due last are looked up in the store when their time comes near.
	maxWindow = 50_000
	// maxSites bounds the destinations of which is remembered where their rows went.
	maxSites = 50_000
	// maxParked bounds the destinations that wait for room at one hop. If more wait,
	// they are looked up in the store after parkPause.
	maxParked = 50_000
	parkPause = time.Minute
	// maxHops bounds the hops that are remembered while nothing goes to them.
	maxHops = 10_000
	// leaseBatch is how many rows of a destination are leased at once, firstBatch as
	// long as its hosts have taken nothing.
	leaseBatch = 64
	firstBatch = 16
	// urgentRun is how many destinations that go first are looked at before one that
	// only is due.
	urgentRun = 16
	// maxSleep is the longest sleep between two looks at the schedule; a clock that
	// is set delays a row by no more.
	maxSleep = time.Minute
	// rescan is how often the whole schedule is read anew, for what nobody has told of:
	// leases that ended by their time.
	rescan = time.Hour
	// maxTries is how many addresses of a hop one attempt tries at most, and how many
	// hosts whose addresses or keys can't be looked up now.
	maxTries = 6
)

// Defaults of Options.
const (
	DefaultConnections = 500
	DefaultIdle        = time.Second
	DefaultConnect     = 30 * time.Second
	DefaultMaxReturn   = 64 << 10 // octets
	DefaultGrace       = 30 * time.Second
	DefaultPort        = 25
)

// Resolver is what a Deliverer asks the DNS; package resolver has it.
type Resolver interface {
	MX(ctx context.Context, domain string) (resolver.MX, error)
	Addresses(ctx context.Context, host string) (resolver.Addresses, error)
}

// Signer makes the fields that go on top of a message before it is sent.
type Signer interface {
	// Sign returns whole header lines with CRLF, or nothing, for a message as it will be
	// sent: as it is stored, or, unless that is nil, as it was converted for the host.
	Sign(ctx context.Context, m *store.QueuedMessage, stored, converted Content) ([]byte, error)
}

// Content is a message at rest.
type Content interface {
	io.ReaderAt
	Size() int64
}

// Notification is a message of our own about what became of others, to be sent to
// its To; the rows are settled in the same commit.
type Notification struct {
	ID     mail.ID
	To     mail.Address
	What   string  // for the log: "failed", "delayed", …
	About  mail.ID // the message that it tells of
	UTF8   bool
	Write  func(w io.Writer) error
	Settle []store.Settlement
	// Stranger says that it tells of a success, and that nothing vouches for whom it
	// goes to: such may be left out where there are too many, and the rows settled alone.
	Stranger bool
}

// Options are what a Deliverer needs.
type Options struct {
	Store    Store
	Resolver Resolver
	// Policies say how the way to a host has to be protected, and hear what was found.
	// Nil: TLS is used where it is offered, whoever is there.
	Policies *tlspolicy.Policies
	Signer   Signer // nil: nothing is signed
	// Originate sends a notification. Its error is tried again.
	Originate func(ctx context.Context, n Notification) error
	// Hostname is what we call ourselves, in EHLO and in notifications.
	Hostname string
	// Routes are asked in their order; mail that none takes goes by MX.
	Routes []Route
	// Terms are for all destinations; Special are for some, the first that fits.
	Terms   Terms
	Special []Special
	// Connections is how many there may be in all.
	Connections int
	// Idle is how long a connection waits for another message.
	Idle time.Duration
	// Connect is how long a connection may take to come about (RFC 5321 is silent).
	Connect time.Duration
	// PreferIPv4 tries IPv4 addresses of a host first; else IPv6.
	PreferIPv4 bool
	// AllowPrivate lets mail by MX go to loopback, private and link-local addresses.
	AllowPrivate bool
	// Source4 and Source6 are the addresses to send from; invalid: the system's
	// choice.
	Source4, Source6 netip.Addr
	// Port is where hosts are found by MX take mail; zero: 25.
	Port uint16
	// IsSelf reports whether an address and port is one of our own listeners.
	IsSelf func(netip.AddrPort) bool
	// MaxReturn is the largest original that a notification brings back whole, in octets.
	MaxReturn int64
	// Timeouts are those of RFC 5321 §4.5.3.2; zero: its own.
	Timeouts Timeouts
	// Turns is who may have mail sent at their word (ETRN, ATRN).
	Turns []Turn
	// Grace is how long transactions may go on when the Deliverer stops.
	Grace time.Duration
	// Dial replaces the system's way to connect.
	Dial       func(ctx context.Context, local netip.Addr, remote netip.AddrPort) (net.Conn, error)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// withDefaults returns the options with what is not set.
func (o Options) withDefaults() Options {
	o.Terms = o.Terms.over(defaultTerms)
	o.Routes = distinct(o.Routes)
	special := make([]Special, len(o.Special))
	for i, s := range o.Special {
		special[i] = Special{s.Domains, s.Terms.over(o.Terms)}
	}
	o.Special = special
	if o.Connections == 0 {
		o.Connections = DefaultConnections
	}
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	if o.Connect == 0 {
		o.Connect = DefaultConnect
	}
	if o.MaxReturn == 0 {
		o.MaxReturn = DefaultMaxReturn
	}
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.Port == 0 {
		o.Port = DefaultPort
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Timeouts are how long a server may take; see smtp.ClientOptions.
type Timeouts struct{ Greeting, Mail, Rcpt, Data, Block, End time.Duration }

// Store is what a Deliverer needs of the store.
type Store interface {
	store.Queue
	NewContent(ctx context.Context, size int64) (store.Content, error)
	Health() error
}
