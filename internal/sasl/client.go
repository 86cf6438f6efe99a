package sasl

import (
	"bytes"
	"errors"
	"slices"
)

// Client is the client's side of one authentication under way.
type Client interface {
	// Mechanism is its name.
	Mechanism() string
	// Respond takes the server's challenge, decoded, and returns the response; nil
	// stands for the first call, before any challenge. A nil response to that means
	// that the mechanism begins with a challenge. An error ends it: the client cancels.
	// The response is the caller's, to be wiped.
	Respond(challenge []byte) ([]byte, error)
	// Complete reports whether the server may say now that it was a success: it may
	// not before it has proven itself, if the mechanism wants it to.
	Complete() bool
}

// ClientLogin is what a client proves, and where.
type ClientLogin struct {
	Username, Password string
	// Plain allows mechanisms that send the password as it is.
	Plain bool
	// Binding returns channel bindings, as in session.TLS; nil: there are none.
	Binding func(kind string) []byte
}

// What a client says of a server that does not keep to the mechanism.
var (
	errChallenge  = errors.New("the server sent a challenge that the mechanism does not have")
	errSignature  = errors.New("the server has not proven that it knows the password")
	errIterations = errors.New("the server asks for too few iterations, or too many")
	errRefused    = errors.New("the server has refused the proof")
)

// NewClient begins with the best of the mechanisms that a server offers, in
// upper case; nil if there is none that may be used.
func NewClient(offered []string, l ClientLogin) Client {
	has := func(name string) bool { return slices.Contains(offered, name) }
	kind, binding := l.binding()
	plus := has("SCRAM-SHA-256-PLUS")
	switch {
	case plus && binding != nil:
		return newScramClient(l, "p="+kind, binding, newNonce())
	case has("SCRAM-SHA-256") && binding != nil && !plus:
		// RFC 5802 §6: we could bind, and believe that the server can't.
		return newScramClient(l, "y", nil, newNonce())
	case has("SCRAM-SHA-256"):
		return newScramClient(l, "n", nil, newNonce())
	case has("PLAIN") && l.Plain:
		return &plainClient{l: l}
	case has("LOGIN") && l.Plain:
		return &loginClient{answers: [][]byte{[]byte(l.Username), []byte(l.Password)}}
	}
	return nil
}

// binding returns the connection's channel binding, the better one if it has
// several (RFC 9266 §3).
func (l *ClientLogin) binding() (kind string, octets []byte) {
	if l.Binding == nil {
		return "", nil
	}
	for _, kind := range []string{"tls-exporter", "tls-server-end-point"} {
		if b := l.Binding(kind); len(b) > 0 {
			return kind, b
		}
	}
	return "", nil
}

// plainClient is PLAIN (RFC 4616 §2).
type plainClient struct {
	l    ClientLogin
	done bool
}

// Mechanism implements Client.
func (p *plainClient) Mechanism() string { return "PLAIN" }

// Complete implements Client.
func (p *plainClient) Complete() bool { return p.done }

// Respond implements Client.
func (p *plainClient) Respond(challenge []byte) ([]byte, error) {
	if p.done || len(challenge) > 0 {
		return nil, errChallenge
	}
	p.done = true
	return bytes.Join([][]byte{nil, []byte(p.l.Username), []byte(p.l.Password)}, []byte{0}), nil
}

// loginClient is LOGIN, which has no RFC: the server asks twice, in words that
// differ.
type loginClient struct {
	answers [][]byte
	asked   bool
}

// Mechanism implements Client.
func (l *loginClient) Mechanism() string { return "LOGIN" }

// Complete implements Client.
func (l *loginClient) Complete() bool { return len(l.answers) == 0 }

// Respond implements Client.
func (l *loginClient) Respond(challenge []byte) ([]byte, error) {
	if challenge == nil && !l.asked {
		l.asked = true
		return nil, nil
	}
	if len(l.answers) == 0 {
		return nil, errChallenge
	}
	answer := l.answers[0]
	l.answers = l.answers[1:]
	return answer, nil
}
