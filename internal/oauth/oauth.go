// Package oauth verifies the bearer tokens of one OpenID Connect issuer: JWTs
// (RFC 7519) that the issuer has signed for this server, with the login name in a
// claim.
//
// The issuer is asked for its keys when the first token comes, and again from
// time to time: a server starts, and serves those who log in otherwise, while its
// issuer is away. Where it is the issuer's fault that a token can't be verified
// the error is of kind Transient.
package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"postrider/internal/fault"
)

// DefaultClaim is the claim that holds the login name.
const DefaultClaim = "email"

// Limits.
const (
	MaxToken    = 16 << 10         // octets
	MaxResponse = 1 << 20          // octets of the issuer's answer to one request
	MaxName     = 320              // octets of a login name
	maxWait     = 10 * time.Second // for the issuer's answer
)

// Options say whose tokens are taken.
type Options struct {
	// Issuer is the issuer's address, exactly as it stands in its tokens. It begins
	// with https://, or with http:// if the issuer is on this machine (loopback).
	Issuer string
	// Audience is whom a token must be made for.
	Audience string
	// Claim is the token's claim that holds the login name. Empty: DefaultClaim.
	Claim string
	// CAFile is a PEM file of those who vouch for the issuer's server. Empty: the
	// system's.
	CAFile string
	// Client makes the requests, without its limits, for which there are others
	// here; nil: one made for CAFile.
	Client *http.Client
	Logger *slog.Logger     // nil: no log
	Now    func() time.Time // nil: time.Now
}

// Verifier verifies tokens. It may be used from several goroutines.
type Verifier struct {
	o      Options
	client *http.Client

	// asking is held by the one who asks the issuer.
	asking chan struct{}

	mu    sync.Mutex
	keys  *keys     // nil: there never were any
	tried time.Time // when the issuer was asked last
	why   error     // what came of it
	told  time.Time // when the log was told last of trouble with the issuer
	away  bool      // it has not been told since that the issuer is back
}

// New returns a Verifier, without asking the issuer anything. The error is of kind
// Invalid.
func New(o Options) (*Verifier, error) {
	const op = "set up OAuth"
	if err := checkIssuer(o.Issuer); err != nil {
		return nil, fault.New(fault.Invalid, op, err)
	}
	if o.Audience == "" {
		return nil, fault.Newf(fault.Invalid, op, "there is no audience: a token made for any other service would do")
	}
	if o.Claim == "" {
		o.Claim = DefaultClaim
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	v := &Verifier{o: o, asking: make(chan struct{}, 1)}
	var err error
	if v.client, err = newClient(o); err != nil {
		return nil, fault.New(fault.Invalid, op, err)
	}
	return v, nil
}

// checkIssuer holds OpenID Connect Discovery §3: a https URL without query and
// fragment. On loopback nobody listens in, and it may be http.
func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil:
		return err
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(issuer, "#") || u.User != nil:
		return fmt.Errorf("the issuer %q has more than scheme, host and path", issuer)
	}
	return checkPrivate(u)
}

// checkPrivate wants a URL that nobody on the way can answer for.
func checkPrivate(u *url.URL) error {
	switch {
	case u.Hostname() == "":
		return fmt.Errorf("%q is no web address", u.Redacted())
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%q must begin with https://", u.Redacted())
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Verify returns the login name in a token that is the issuer's, made for the
// audience, and valid now. Denied: it is not, or has no such name; Transient: the
// issuer can't be asked, which the log is told from time to time. No error has the
// token in it.
func (v *Verifier) Verify(ctx context.Context, token string) (string, error) {
	const op = "verify a token"
	if !isCompact(token) {
		return "", fault.Newf(fault.Denied, op, "it is no JWT")
	}
	k, err := v.currentKeys(ctx)
	if err != nil {
		return "", fault.New(fault.Transient, op, err)
	}
	set := &watchedSet{KeySet: k.set}
	t, err := oidc.NewVerifier(v.o.Issuer, set, k.config).Verify(ctx, token)
	switch {
	case set.trouble != nil:
		if ctx.Err() == nil { // else it says nothing about the issuer
			v.tell(set.trouble)
		}
		return "", fault.New(fault.Transient, op, set.trouble)
	case err != nil:
		return "", fault.New(fault.Denied, op, err)
	}
	name, err := v.name(t)
	if err != nil {
		return "", fault.New(fault.Denied, op, err)
	}
	return name, nil
}

// isCompact reports whether a token has the form of a JWS in its compact
// serialization (RFC 7515 §7.1): three parts in base64url, none of them empty,
// which no unsigned one has.
func isCompact(token string) bool {
	if len(token) > MaxToken {
		return false
	}
	parts := strings.Split(token, ".")
	for _, p := range parts {
		if p == "" || strings.Trim(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return len(parts) == 3
}

// name returns the login name that a token's claims have.
func (v *Verifier) name(t *oidc.IDToken) (string, error) {
	var claims map[string]json.RawMessage
	if err := t.Claims(&claims); err != nil {
		return "", errors.New("its claims can't be read")
	}
	if v.o.Claim == DefaultClaim && !mayBeVerified(claims["email_verified"]) {
		return "", errors.New("the issuer has not verified the mail address (email_verified)")
	}
	var name string
	if err := json.Unmarshal(claims[v.o.Claim], &name); err != nil || name == "" || len(name) > MaxName {
		return "", fmt.Errorf("it has no name in its claim %q", v.o.Claim)
	}
	return name, nil
}

// mayBeVerified looks at the claim email_verified (OpenID Connect Core §5.1),
// which some issuers leave out, and some write as a string.
func mayBeVerified(claim json.RawMessage) bool {
	switch string(claim) {
	case "", "true", `"true"`:
		return true
	}
	return false
}
