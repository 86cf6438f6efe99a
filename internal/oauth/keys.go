package oauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	// fresh is how long the issuer's keys are good without asking again, so that a
	// key which it has withdrawn is forgotten.
	fresh = time.Hour
	// stale is how long they are good if the issuer doesn't answer.
	stale = 24 * time.Hour
	// pause is between two questions that the issuer did not answer, and between two
	// requests for the same address.
	pause = 10 * time.Second
	// remind is between two lines of the log about an issuer that does not answer.
	remind = 10 * time.Minute
)

// keys are what the issuer has said about itself.
type keys struct {
	set    oidc.KeySet
	config *oidc.Config
	since  time.Time
}

// currentKeys returns the issuer's keys, and asks for them if they are not fresh.
func (v *Verifier) currentKeys(ctx context.Context) (*keys, error) {
	if k, done, err := v.keysAtHand(); done {
		return k, err
	}
	select {
	case v.asking <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-v.asking }()
	if k, done, err := v.keysAtHand(); done { // another has asked meanwhile
		return k, err
	}
	k, err := v.ask(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, err // it is the client that went away
	}
	v.asked(k, err)
	k, _, err = v.keysAtHand()
	return k, err
}

// keysAtHand returns the keys or the error that will do without asking the issuer,
// if done.
func (v *Verifier) keysAtHand() (k *keys, done bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.o.Now()
	usable := v.keys != nil && now.Sub(v.keys.since) < stale
	switch {
	case usable && now.Sub(v.keys.since) < fresh:
		return v.keys, true, nil
	case v.why == nil || now.Sub(v.tried) >= pause:
		return nil, false, nil
	case usable:
		return v.keys, true, nil
	}
	return nil, true, v.why
}

// asked notes what came of asking the issuer.
func (v *Verifier) asked(k *keys, err error) {
	if err != nil {
		v.tell(err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tried, v.why = v.o.Now(), err
	if err != nil {
		return
	}
	if v.away || v.keys == nil {
		v.away = false
		v.o.Logger.Info("the issuer of tokens has given its keys", slog.String("issuer", v.o.Issuer))
	}
	v.keys = k
}

// tell tells the log that the issuer can't be asked, unless it was told lately.
func (v *Verifier) tell(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.o.Now()
	if v.away && now.Sub(v.told) < remind {
		return
	}
	v.away, v.told = true, now
	v.o.Logger.Warn("the issuer of tokens can't be asked for its keys; logins by OAUTHBEARER that need them are put off",
		slog.String("issuer", v.o.Issuer), slog.Any("error", err))
}

// ask asks the issuer about itself (OpenID Connect Discovery §4), and whether it
// gives its keys.
func (v *Verifier) ask(ctx context.Context) (*keys, error) {
	ctx = oidc.ClientContext(ctx, v.client)
	provider, err := oidc.NewProvider(ctx, v.o.Issuer)
	if err != nil {
		return nil, err
	}
	var said struct {
		Keys       string   `json:"jwks_uri"`
		Algorithms []string `json:"id_token_signing_alg_values_supported"`
	}
	if err := provider.Claims(&said); err != nil {
		return nil, err
	}
	u, err := url.Parse(said.Keys)
	if err == nil {
		err = checkPrivate(u)
	}
	if err != nil {
		return nil, fmt.Errorf("where the issuer keeps its keys: %w", err)
	}
	// The answer is kept for as long as it takes to verify the token.
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, said.Keys, nil)
	if err != nil {
		return nil, err
	}
	response, err := v.client.Do(request)
	if err != nil {
		return nil, err
	}
	_ = response.Body.Close()
	return &keys{
		set:    oidc.NewRemoteKeySet(ctx, said.Keys),
		config: &oidc.Config{ClientID: v.o.Audience, SupportedSigningAlgs: asymmetric(said.Algorithms), Now: v.o.Now},
		since:  v.o.Now(),
	}, nil
}

// asymmetric returns those algorithms of RFC 7518 §3.1 and RFC 8037 that are
// signatures: neither none nor a MAC, whose key would have to be a secret. It is
// RS256, which every issuer must have (OpenID Connect Core §15.1), if there is no
// other.
func asymmetric(names []string) (usable []string) {
	for _, n := range names {
		switch n {
		case oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512,
			oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA:
			usable = append(usable, n)
		}
	}
	if len(usable) == 0 {
		return []string{oidc.RS256}
	}
	return usable
}

// watchedSet is a KeySet that tells a signature that is wrong from keys that could
// not be had. It serves one verification.
type watchedSet struct {
	oidc.KeySet
	trouble error
}

// VerifySignature implements oidc.KeySet.
func (s *watchedSet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := s.KeySet.VerifySignature(ctx, token)
	var t *troubleError
	if err != nil && (errors.As(err, &t) || ctx.Err() != nil) {
		s.trouble = err
	}
	return payload, err
}
