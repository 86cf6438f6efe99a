package sasl

import (
	"context"
	"strings"

	"postrider/internal/fault"
)

// bearerRefusal is what a client is told before it is refused (RFC 7628 §3.2.2).
const bearerRefusal = `{"status":"invalid_token","schemes":"bearer"}`

// oauthBearer is OAUTHBEARER (RFC 7628 §3): a header, and keys with values, each
// ended by an octet 1. A client whose token is refused is told so in a challenge
// and has to answer; then the exchange fails.
func oauthBearer(v Verifier, _ Channel) state {
	return clientFirst(func(ctx context.Context, response []byte) (Step, state, error) {
		header, rest, err := parseGS2(string(response))
		if err != nil {
			return Step{}, nil, err
		}
		if header.flag == 'p' {
			return Step{}, nil, malformed("OAUTHBEARER has no channel binding")
		}
		token, err := parseBearer(rest)
		if err != nil {
			return Step{}, nil, err
		}
		// Without a token the client asks what it needs (RFC 7628 §3.2.2): that is
		// no login, and nobody is asked.
		err = fault.New(fault.Denied, "check bearer token", nil)
		var id Identity
		if token != "" {
			id, err = v.Token(ctx, Claim{As: header.as}, token)
		}
		if !fault.Is(err, fault.Denied) {
			return verdict(id, err)
		}
		return Step{Challenge: []byte(bearerRefusal)}, func(context.Context, []byte) (Step, state, error) {
			return Step{}, nil, err // whatever the answer, which should be an octet 1 (§3.2.3)
		}, nil
	})
}

// parseBearer returns the token of the key auth among the keys and values, empty
// if it is empty. Other keys (host, port, path, …) are ignored.
func parseBearer(s string) (token string, err error) {
	const errForm = malformed("after the header must come keys with values, each ended by an octet 1, and one more")
	pairs, ok := strings.CutPrefix(s, "\x01")
	if ok {
		pairs, ok = strings.CutSuffix(pairs, "\x01")
	}
	if !ok {
		return "", errForm
	}
	auth, seen := "", false
	for pairs != "" {
		var pair string
		pair, pairs, ok = strings.Cut(pairs, "\x01")
		key, value, ok2 := strings.Cut(pair, "=")
		if !ok || !ok2 || !isKey(key) || !isValue(value) {
			return "", errForm
		}
		if key != "auth" {
			continue
		}
		if seen {
			return "", malformed("auth= may be there once")
		}
		auth, seen = value, true
	}
	switch {
	case !seen:
		return "", malformed("auth= is missing")
	case auth == "":
		return "", nil
	}
	scheme, token, _ := strings.Cut(auth, " ")
	token = strings.Trim(token, " ")
	if !strings.EqualFold(scheme, "bearer") || !isToken(token) {
		return "", malformed("auth= takes the word Bearer and a token")
	}
	return token, nil
}

// isKey checks RFC 7628 §3.1, key.
func isKey(s string) bool {
	for i := range len(s) {
		if !isLetter(s[i]) {
			return false
		}
	}
	return s != ""
}

// isValue checks RFC 7628 §3.1, value.
func isValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c > '~') && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

// isToken checks RFC 6750 §2.1, b64token.
func isToken(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		c := body[i]
		if !isLetter(c) && (c < '0' || c > '9') && strings.IndexByte("-._~+/", c) < 0 {
			return false
		}
	}
	return body != ""
}
