package sasl

import (
	"context"
	"errors"
	"strings"

	"postrider/internal/fault"
)

// MaxMessage is the longest message of a client in octets, decoded: what 12,288
// octets of base64 hold, the longest that RFC 4954 §4 asks for.
const MaxMessage = 12_288 / 4 * 3

// Mechanism is what there is to know about a mechanism.
type Mechanism struct {
	Name string // as registered, in upper case
	// Plain says that it sends a password or token as it is: only under TLS.
	Plain bool
	// Plus says that it needs channel binding.
	Plus bool
	RFC  string
	Help string // one sentence, without a full stop
}

// mechanism is a Mechanism and how an exchange of it begins.
type mechanism struct {
	Mechanism
	begin func(v Verifier, ch Channel) state
}

// mechanisms is the one place that says what there is, the best first. That is
// the order in which they are offered: it goes by what an eavesdropper, or a
// server that is not ours, would learn.
var mechanisms = [...]mechanism{
	{Mechanism{
		Name: "SCRAM-SHA-256-PLUS", Plus: true, RFC: "RFC 5802, 7677, 9266",
		Help: "proves the password without sending it, and ties the proof to the TLS connection",
	}, scramPlus},
	{Mechanism{
		Name: "SCRAM-SHA-256", RFC: "RFC 5802, 7677",
		Help: "proves the password without sending it",
	}, scramPlain},
	{Mechanism{
		Name: "EXTERNAL", RFC: "RFC 4422 appendix A",
		Help: "takes the name in the client's TLS certificate",
	}, external},
	{Mechanism{
		Name: "OAUTHBEARER", Plain: true, RFC: "RFC 7628",
		Help: "sends a token of an OpenID Connect issuer",
	}, oauthBearer},
	{Mechanism{
		Name: "PLAIN", Plain: true, RFC: "RFC 4616",
		Help: "sends name and password in one message",
	}, plain},
	{Mechanism{
		Name: "LOGIN", Plain: true, RFC: "no RFC",
		Help: "asks for the name, then for the password",
	}, login},
	{Mechanism{
		Name: "CRAM-MD5", RFC: "RFC 2195",
		Help: "answers a challenge with a digest; only for accounts that have chosen to keep a secret for it",
	}, cramMD5},
}

// Mechanisms returns all mechanisms, the best first.
func Mechanisms() []Mechanism {
	all := make([]Mechanism, len(mechanisms))
	for i := range mechanisms {
		all[i] = mechanisms[i].Mechanism
	}
	return all
}

// New begins an exchange, on the server's side. It returns nil if there is no
// mechanism of that name, in upper or lower case. Whether the mechanism may be
// used on the connection is for the caller to say.
func New(name string, v Verifier, ch Channel) Exchange {
	for i := range mechanisms {
		m := &mechanisms[i]
		// Equal lengths leave no room for what folds to ASCII and is none.
		if len(m.Name) == len(name) && strings.EqualFold(m.Name, name) {
			return &exchange{name: m.Name, next: m.begin(v, ch)}
		}
	}
	return nil
}

// state takes a message of the client's and tells what takes the next one; nil
// if there is none, because the step is Done.
type state func(ctx context.Context, response []byte) (Step, state, error)

// exchange is an Exchange that is in a state. In none it is over.
type exchange struct {
	name string
	next state
}

// Respond implements Exchange.
func (e *exchange) Respond(ctx context.Context, response []byte) (Step, error) {
	now := e.next
	e.next = nil
	switch {
	case now == nil:
		return Step{}, e.fail(malformed("this exchange is over"))
	case len(response) > MaxMessage:
		return Step{}, e.fail(malformed("that message is too long"))
	}
	step, next, err := now(ctx, response)
	if err != nil {
		return Step{}, e.fail(err)
	}
	if step.Done {
		step.Identity.Mechanism = e.name
		return step, nil
	}
	e.next = next
	return step, nil
}

// fail gives malformed messages the kind Invalid; other errors have one already.
func (e *exchange) fail(err error) error {
	if m, ok := err.(malformed); ok {
		return fault.New(fault.Invalid, e.name, m)
	}
	return err
}

// malformed says in a fixed text what is wrong with a message. The text has
// nothing of the message.
type malformed string

func (m malformed) Error() string { return string(m) }

// Reason returns what a peer may be told about an error of kind Invalid that
// Respond gave: a few words of ASCII on one line, with nothing in them of what
// the peer has sent.
func Reason(err error) string {
	var m malformed
	if errors.As(err, &m) {
		return string(m)
	}
	return "that is not what the mechanism asks for"
}

// clientFirst is first for mechanisms in which the client begins: one that sent
// no initial response is asked for it with an empty challenge (RFC 4422 §5).
func clientFirst(first state) state {
	return func(ctx context.Context, response []byte) (Step, state, error) {
		if response == nil {
			return Step{Challenge: []byte{}}, first, nil
		}
		return first(ctx, response)
	}
}

// verdict ends an exchange with what a Verifier says.
func verdict(id Identity, err error) (Step, state, error) {
	return Step{Done: err == nil, Identity: id}, nil, err
}
