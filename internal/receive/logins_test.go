package receive

import (
	"context"

	"postrider/internal/fault"
	"postrider/internal/sasl"
	"postrider/internal/session"
)

// anybody is an authenticator that takes everybody for one.
type anybody struct {
	identity sasl.Identity
	// recognized says that no login is needed (POP-before-SMTP).
	recognized bool
}

func (a *anybody) Mechanisms(*session.Conn) []string { return []string{"PLAIN"} }

func (a *anybody) Begin(_ *session.Conn, mechanism string) (sasl.Exchange, error) {
	return &welcome{a, mechanism}, nil
}

func (a *anybody) Password(*session.Conn, string, string) (sasl.Identity, error) {
	return sasl.Identity{}, fault.New(fault.Denied, "log in", nil)
}

func (a *anybody) PasswordOffered(*session.Conn) bool { return false }

func (a *anybody) Digest(*session.Conn, string, func([]byte) bool) (sasl.Identity, error) {
	return sasl.Identity{}, fault.New(fault.Denied, "log in", nil)
}

func (a *anybody) DigestOffered(*session.Conn) bool { return false }

func (a *anybody) Recognize(*session.Conn) (sasl.Identity, bool) { return a.identity, a.recognized }

// welcome is an exchange that ends at once.
type welcome struct {
	a         *anybody
	mechanism string
}

func (w *welcome) Respond(context.Context, []byte) (sasl.Step, error) {
	id := w.a.identity
	id.Mechanism = w.mechanism
	return sasl.Step{Done: true, Identity: id}, nil
}
