package login

import (
	"context"

	"postrider/internal/fault"
	"postrider/internal/sasl"
	"postrider/internal/session"
)

func denied() error { return fault.New(fault.Denied, "log in", nil) }

// Mechanisms implements sasl.Authenticator.
func (s *Service) Mechanisms(*session.Conn) []string { return nil }

// Begin implements sasl.Authenticator.
func (s *Service) Begin(*session.Conn, string) (sasl.Exchange, error) { return nil, denied() }

// Password implements sasl.Authenticator.
func (s *Service) Password(*session.Conn, string, string) (sasl.Identity, error) {
	return sasl.Identity{}, denied()
}

// PasswordOffered implements sasl.Authenticator.
func (s *Service) PasswordOffered(*session.Conn) bool { return false }

// Digest implements sasl.Authenticator.
func (s *Service) Digest(*session.Conn, string, func([]byte) bool) (sasl.Identity, error) {
	return sasl.Identity{}, denied()
}

// DigestOffered implements sasl.Authenticator.
func (s *Service) DigestOffered(*session.Conn) bool { return false }

// Recognize implements sasl.Authenticator.
func (s *Service) Recognize(*session.Conn) (sasl.Identity, bool) { return sasl.Identity{}, false }

// Log returns the logins that are remembered and fit the filter, the newest last.
func (s *Service) Log(LogFilter) []Entry { return nil }

// Locked returns who is locked out now.
func (s *Service) Locked() []Lock { return nil }

// Unblock forgets failures.
func (s *Service) Unblock(context.Context, string) (int, error) {
	return 0, fault.New(fault.NotFound, "unblock", nil)
}
