package outbound

import (
	"math/rand/v2"
	"strings"
	"time"

	"postrider/internal/mail"
)

// Terms are how a destination is treated. Zero fields of a Special's terms mean
// those of Options.Terms, whose zero fields mean the defaults.
type Terms struct {
	// Connections is how many a hop may have; they begin with InitialConnections,
	// grow with success and shrink with failure.
	Connections, InitialConnections int
	// MessagesPerConnection and RecipientsPerMessage bound a connection and a
	// transaction.
	MessagesPerConnection, RecipientsPerMessage int
	// MessagesPerMinute is the rate of a hop; zero: no limit.
	MessagesPerMinute int
	// RetryFirst is the time between the first attempt and the second; it doubles
	// up to RetryMax.
	RetryFirst, RetryMax time.Duration
	// Lifetime is how long a message is tried. BounceLifetime is that of
	// notifications and others with the null reverse-path.
	Lifetime, BounceLifetime time.Duration
	// DelayNotice is when a sender is told that a message is late; negative: never.
	DelayNotice time.Duration
}

// defaultTerms are what holds where nothing is said. RFC 5321 §4.5.4.1 asks for
// retries of half an hour and more in general, sooner at first, and for giving up
// after four to five days.
var defaultTerms = Terms{
	Connections: 20, InitialConnections: 5, MessagesPerConnection: 200, RecipientsPerMessage: 100,
	RetryFirst: 5 * time.Minute, RetryMax: 4 * time.Hour,
	Lifetime: 5 * 24 * time.Hour, BounceLifetime: 5 * 24 * time.Hour,
	DelayNotice: 4 * time.Hour,
}

// DefaultTerms returns what holds where nothing is said.
func DefaultTerms() Terms { return defaultTerms }

// Special is what holds for some destinations.
type Special struct {
	Domains []string // as in Route.Domains
	Terms
}

// over returns t with its zero fields taken from base.
func (t Terms) over(base Terms) Terms {
	for _, f := range []struct{ own, base *int }{
		{&t.Connections, &base.Connections},
		{&t.InitialConnections, &base.InitialConnections},
		{&t.MessagesPerConnection, &base.MessagesPerConnection},
		{&t.RecipientsPerMessage, &base.RecipientsPerMessage},
		{&t.MessagesPerMinute, &base.MessagesPerMinute},
	} {
		if *f.own == 0 {
			*f.own = *f.base
		}
	}
	for _, f := range []struct{ own, base *time.Duration }{
		{&t.RetryFirst, &base.RetryFirst},
		{&t.RetryMax, &base.RetryMax},
		{&t.Lifetime, &base.Lifetime},
		{&t.BounceLifetime, &base.BounceLifetime},
		{&t.DelayNotice, &base.DelayNotice},
	} {
		if *f.own == 0 {
			*f.own = *f.base
		}
	}
	t.InitialConnections = min(t.InitialConnections, t.Connections)
	return t
}

// termsOf returns how a destination is treated.
func (o *Options) termsOf(domain string) *Terms {
	for i := range o.Special {
		if fitsAny(o.Special[i].Domains, domain) {
			return &o.Special[i].Terms
		}
	}
	return &o.Terms
}

// fitsAny reports whether a domain is in a list: by its name, below ".name", or
// by "*".
func fitsAny(list []string, domain string) bool {
	for _, p := range list {
		if p == "*" || p == domain || strings.HasPrefix(p, ".") && strings.HasSuffix(domain, p) {
			return true
		}
	}
	return false
}

// jitter is how far a pause is moved at random, as a share of it, so that what
// failed together is not tried together.
const jitter = 0.2

// chance returns where in the share that a pause is moved by it ends up: from -1 to 1.
// Rows of one message that fail together have one, so that they stay together.
func chance() float64 { return rand.Float64()*2 - 1 }

// pause returns how long to wait after so many attempts.
func (t *Terms) pause(attempts int, chance float64) time.Duration {
	p := t.RetryFirst
	for i := 1; i < attempts && p < t.RetryMax; i++ {
		p *= 2
	}
	p = min(p, t.RetryMax)
	return p + time.Duration(chance*jitter*float64(p))
}

// lifetime returns how long a message with a reverse-path is tried.
func (t *Terms) lifetime(from mail.Address) time.Duration {
	if from.IsZero() {
		return t.BounceLifetime
	}
	return t.Lifetime
}

// next returns when a row is tried again after an attempt that failed at now, and
// false if its time is over: pause is how long it would wait. The last attempt is made at the very end, and one
// when the sender would be told of the delay, so that the notice tells of a fresh
// failure.
func (t *Terms) next(now, begun time.Time, from mail.Address, pause time.Duration, delayed bool) (time.Time, bool) {
	end := begun.Add(t.lifetime(from))
	if !now.Before(end) {
		return time.Time{}, false
	}
	next := now.Add(pause)
	if late := begun.Add(t.DelayNotice); t.DelayNotice > 0 && !delayed && now.Before(late) && next.After(late) {
		next = late
	}
	if next.After(end) {
		next = end
	}
	return next, true
}

// late reports whether the sender is to be told of a delay.
func (t *Terms) late(now, begun time.Time) bool {
	return t.DelayNotice > 0 && !now.Before(begun.Add(t.DelayNotice))
}
