package smtp

import (
	"postrider/internal/sasl"
	"postrider/internal/session"
)

// hasTLS reports whether the client can ask for TLS, or has it.
func (s *server) hasTLS() bool { return s.conn.Listener.StartTLS || s.conn.TLS != nil }

// startTLS begins TLS (RFC 3207 §4). What follows in plaintext is the driver's
// to throw away; what is known of the client is forgotten at Event(TLSReady).
func (s *server) startTLS([]byte) session.Step {
	switch {
	case s.conn.TLS != nil:
		return s.wrong(&replyHasTLS.Reply)
	case s.opts.TLSAvailable != nil && !s.opts.TLSAvailable():
		return s.fixed(replyNoTLS)
	}
	step := s.fixed(replyStartTLS)
	step.Next = session.StartTLS
	return step
}

// tlsReady forgets what was learnt before TLS (RFC 3207 §4.2). What was done
// wrong stays counted.
func (s *server) tlsReady() session.Step {
	s.drop()
	s.exchange, s.loggedIn = nil, false
	s.client.setIdentity(sasl.Identity{})
	s.client.Helo, s.client.Extended = "", false
	s.client.TLS = describeTLS(s.conn.TLS)
	return session.Step{Wait: s.opts.CommandTimeout}
}

// describeTLS returns what the trace field says about a connection's protection.
func describeTLS(t *session.TLS) string {
	if t == nil {
		return ""
	}
	return t.Version + " " + t.Cipher
}
