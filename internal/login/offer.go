package login

import (
	"context"
	"slices"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/sasl"
	"postrider/internal/session"
)

// Mechanisms that need more than a connection to be of use.
const (
	external     = "EXTERNAL"
	oauthBearer  = "OAUTHBEARER"
	cramMD5      = "CRAM-MD5"
	scramSHA256  = "SCRAM-SHA-256"
	scramPlus    = "SCRAM-SHA-256-PLUS"
	maxMechanism = 20 // octets of a name (RFC 4422 §3.1)
)

// bindings are the kinds of channel binding that a SCRAM client can ask for.
var bindings = [...]string{"tls-exporter", "tls-server-end-point"}

// allowed reports whether the options allow a way to log in.
func (s *Service) allowed(name string) bool { return len(s.o.Mechanisms) == 0 || s.named(name) }

// named reports whether the options name a way to log in.
func (s *Service) named(name string) bool {
	return slices.ContainsFunc(s.o.Mechanisms, func(m string) bool { return strings.EqualFold(m, name) })
}

// private reports whether a password may be sent on the connection as it is.
func private(c *session.Conn) bool { return c.TLS != nil || c.Listener.PlaintextAuth }

// usable reports whether the mechanism could be used on the connection, if only it
// had TLS. CRAM-MD5 is of use where a password may not be sent: elsewhere it would
// only lead astray clients that prefer it to PLAIN, whose account has no legacy
// secret. Options that name it say that it is wanted.
func (s *Service) usable(c *session.Conn, m sasl.Mechanism) bool {
	if !s.allowed(m.Name) {
		return false
	}
	switch {
	case m.Name == scramSHA256:
		return s.o.Directory.SCRAMPossible()
	case m.Name == scramPlus:
		return s.o.Directory.SCRAMPossible() && c.TLS != nil && binds(c.TLS)
	case m.Name == external:
		return c.TLS != nil && len(c.TLS.ClientNames) > 0
	case m.Name == oauthBearer:
		return s.o.Tokens != nil
	case m.Name == cramMD5:
		return s.o.Directory.LegacyPossible() && (!private(c) || s.named(cramMD5))
	}
	return true
}

// binds reports whether the connection has a channel binding.
func binds(t *session.TLS) bool {
	return t.Binding != nil && slices.ContainsFunc(bindings[:], func(kind string) bool {
		return len(t.Binding(kind)) > 0
	})
}

// Mechanisms implements sasl.Authenticator.
func (s *Service) Mechanisms(c *session.Conn) (names []string) {
	for _, m := range sasl.Mechanisms() {
		if s.usable(c, m) && (!m.Plain || private(c)) {
			names = append(names, m.Name)
		}
	}
	return names
}

// PasswordOffered implements sasl.Authenticator.
func (s *Service) PasswordOffered(c *session.Conn) bool { return s.allowed(User) && private(c) }

// DigestOffered implements sasl.Authenticator.
func (s *Service) DigestOffered(*session.Conn) bool {
	return s.allowed(APOP) && s.o.Directory.LegacyPossible()
}

// Begin implements sasl.Authenticator.
func (s *Service) Begin(c *session.Conn, mechanism string) (sasl.Exchange, error) {
	m, ok := known(mechanism)
	if !ok || !s.usable(c, m) {
		return nil, fault.Newf(fault.NotFound, "log in", "there is no such mechanism here")
	}
	if m.Plain && !private(c) {
		return nil, fault.Newf(fault.Denied, "log in", "%s is not allowed without TLS", m.Name)
	}
	a := &attempt{s: s, c: c, mechanism: m.Name}
	ch := sasl.Channel{Hostname: c.Listener.Hostname}
	if c.TLS != nil {
		ch.Binding = c.TLS.Binding
		ch.Plus = slices.Contains(s.Mechanisms(c), scramPlus)
	}
	e := &exchange{attempt: a, inner: sasl.New(m.Name, a, ch)}
	s.exchanges.begin(e)
	return e, nil
}

// known returns the mechanism of a name, in upper or lower case.
func known(name string) (sasl.Mechanism, bool) {
	if len(name) > maxMechanism {
		return sasl.Mechanism{}, false
	}
	all := sasl.Mechanisms()
	i := slices.IndexFunc(all, func(m sasl.Mechanism) bool { return strings.EqualFold(m.Name, name) })
	if i < 0 {
		return sasl.Mechanism{}, false
	}
	return all[i], true
}

// contextOf is the connection's context.
func contextOf(c *session.Conn) context.Context {
	if c.Context == nil {
		return context.Background()
	}
	return c.Context
}
