package sasl

import (
	"bytes"
	"context"
	"unicode/utf8"
)

// plain is PLAIN (RFC 4616 §2): [authzid] NUL authcid NUL passwd.
func plain(v Verifier, _ Channel) state {
	return clientFirst(func(ctx context.Context, response []byte) (Step, state, error) {
		parts := bytes.Split(response, []byte{0})
		if len(parts) != 3 {
			return Step{}, nil, malformed("PLAIN takes identity, name and password, with one NUL between them")
		}
		if err := checkName(parts[1]); err != nil {
			return Step{}, nil, err
		}
		if err := checkPassword(parts[2]); err != nil {
			return Step{}, nil, err
		}
		if !utf8.Valid(parts[0]) {
			return Step{}, nil, errNotUTF8
		}
		c := Claim{Name: string(parts[1]), As: string(parts[0])}
		return verdict(v.Password(ctx, c, string(parts[2])))
	})
}

// The challenges of LOGIN. Clients look at them, or don't; those that do want
// these words.
const (
	loginName     = "Username:"
	loginPassword = "Password:"
)

// login is LOGIN, which no RFC describes: the server asks for the name and then
// for the password. An initial response is the name.
func login(v Verifier, _ Channel) state {
	var name string
	password := func(ctx context.Context, response []byte) (Step, state, error) {
		if err := checkPassword(response); err != nil {
			return Step{}, nil, err
		}
		return verdict(v.Password(ctx, Claim{Name: name}, string(response)))
	}
	ask := func(_ context.Context, response []byte) (Step, state, error) {
		if err := checkName(response); err != nil {
			return Step{}, nil, err
		}
		name = string(response)
		return Step{Challenge: []byte(loginPassword)}, password, nil
	}
	return func(ctx context.Context, response []byte) (Step, state, error) {
		if response == nil {
			return Step{Challenge: []byte(loginName)}, ask, nil
		}
		return ask(ctx, response)
	}
}

// external is EXTERNAL (RFC 4422 appendix A): the message is the authorization
// identity or empty, and who it is has been proven beside the exchange.
func external(v Verifier, _ Channel) state {
	return clientFirst(func(ctx context.Context, response []byte) (Step, state, error) {
		if err := checkText(response); err != nil {
			return Step{}, nil, err
		}
		return verdict(v.Certificate(ctx, Claim{As: string(response)}))
	})
}

const (
	errNotUTF8    = malformed("that is not UTF-8")
	errNUL        = malformed("there is a NUL where none may be")
	errNoName     = malformed("the name is empty")
	errNoPassword = malformed("the password is empty")
)

// checkText holds what names and passwords are made of: UTF-8 without NUL
// (RFC 4616 §2, RFC 5802 §5.1). What else a name may not have is for the
// Verifier, which prepares it.
func checkText(b []byte) error {
	if !utf8.Valid(b) {
		return errNotUTF8
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return errNUL
	}
	return nil
}

// checkName is checkText for a name that must be there.
func checkName(b []byte) error {
	if len(b) == 0 {
		return errNoName
	}
	return checkText(b)
}

// checkPassword is checkText for a password that must be there.
func checkPassword(b []byte) error {
	if len(b) == 0 {
		return errNoPassword
	}
	return checkText(b)
}
