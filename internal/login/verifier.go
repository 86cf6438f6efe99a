package login

import (
	"context"
	"crypto/rand"
	"slices"
	"sync/atomic"

	"postrider/internal/directory"
	"postrider/internal/fault"
	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/store"
)

// attempt is one login on a connection: the credentials as an exchange asks for
// them, and POP3's own ways.
type attempt struct {
	s         *Service
	c         *session.Conn
	mechanism string
	decided   atomic.Bool // it has been logged
}

var _ sasl.Verifier = (*attempt)(nil)

// proof is what a login has proven.
type proof struct {
	account     store.Account
	appPassword string
}

// wrong is why a login failed, in words for the log. Its kind is Denied.
type wrong string

func (w wrong) Error() string { return string(w) }

func denied(why wrong) error { return fault.New(fault.Denied, "log in", why) }

const (
	wrongPassword    wrong = "wrong name or password"
	wrongProof       wrong = "wrong name or proof"
	wrongCertificate wrong = "no name in the certificate is the account's"
	wrongToken       wrong = "the token is for nobody here"
	actsAsAnother    wrong = "may not act as another"
)

// Password implements sasl.Verifier.
func (a *attempt) Password(ctx context.Context, c sasl.Claim, password string) (sasl.Identity, error) {
	return a.decide(ctx, c, func(ctx context.Context, _ *string) (proof, error) {
		who, err := a.s.o.Directory.Authenticate(ctx, directory.Login{
			Name: c.Name, Password: password,
			Protocol: a.c.Listener.Protocol, From: a.c.Remote.Addr(),
		})
		if fault.Is(err, fault.Denied) {
			err = denied(wrongPassword)
		}
		return proof{who.Account, who.AppPassword}, err
	})
}

// Salt implements sasl.Verifier.
func (a *attempt) Salt(ctx context.Context, name string) (salt []byte, iterations int, err error) {
	if err := a.s.guard.refuses(a.c.Remote.Addr(), accountKey(name)); err != nil {
		a.refused(ctx, name, err)
		return nil, 0, err
	}
	k, err := a.s.o.Directory.SCRAM(ctx, name, a.c.Listener.Protocol)
	if err != nil {
		return nil, 0, a.undecided(ctx, name, err)
	}
	return k.Salt, k.Iterations, nil
}

// Proof implements sasl.Verifier.
func (a *attempt) Proof(ctx context.Context, c sasl.Claim, check func(sasl.Keys) bool) (sasl.Identity, error) {
	return a.decide(ctx, c, func(ctx context.Context, _ *string) (proof, error) {
		k, err := a.s.o.Directory.SCRAM(ctx, c.Name, a.c.Listener.Protocol)
		if err != nil {
			return proof{}, err
		}
		fits := -1
		for i, keys := range k.Keys { // all of them, whichever fits
			if check(sasl.Keys{Stored: keys.Stored, Server: keys.Server}) {
				fits = i
			}
		}
		if len(k.Keys) == 0 {
			check(sasl.Keys{Stored: random(), Server: random()})
		}
		if fits < 0 || !k.Usable {
			return proof{}, denied(wrongProof)
		}
		return proof{k.Account, k.Keys[fits].AppPassword}, nil
	})
}

// Secret implements sasl.Verifier.
func (a *attempt) Secret(ctx context.Context, c sasl.Claim, check func([]byte) bool) (sasl.Identity, error) {
	return a.decide(ctx, c, func(ctx context.Context, _ *string) (proof, error) {
		secret, account, ok, err := a.s.o.Directory.Secret(ctx, c.Name)
		if err != nil {
			return proof{}, err
		}
		if len(secret) == 0 {
			secret, ok = random(), false
		}
		if fits := check(secret); !fits || !ok {
			return proof{}, denied(wrongProof)
		}
		return proof{account: account}, nil
	})
}

// random is a key that nothing fits.
func random() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return b
}

// Token implements sasl.Verifier.
func (a *attempt) Token(ctx context.Context, c sasl.Claim, token string) (sasl.Identity, error) {
	return a.decide(ctx, c, func(ctx context.Context, name *string) (proof, error) {
		if a.s.o.Tokens == nil {
			return proof{}, denied(wrongToken)
		}
		holder, err := a.s.o.Tokens.Verify(ctx, token)
		if err != nil {
			return proof{}, err
		}
		*name = holder
		account, err := a.s.o.Directory.LoginAccount(ctx, holder)
		if err != nil {
			return proof{}, orWrong(err, wrongToken)
		}
		return proof{account: account}, nil
	})
}

// Certificate implements sasl.Verifier.
func (a *attempt) Certificate(ctx context.Context, c sasl.Claim) (sasl.Identity, error) {
	return a.decide(ctx, c, func(ctx context.Context, name *string) (proof, error) {
		if a.c.TLS == nil {
			return proof{}, denied(wrongCertificate)
		}
		names := a.c.TLS.ClientNames
		if as := accountKey(c.As); as != "" {
			i := slices.IndexFunc(names, func(n string) bool { return accountKey(n) == as })
			if i < 0 {
				return proof{}, denied(actsAsAnother)
			}
			names = names[i : i+1]
		}
		for _, n := range names {
			account, err := a.s.o.Directory.LoginAccount(ctx, n)
			if err == nil && account.ID != 0 {
				*name = n
				return proof{account: account}, nil
			}
			if err != nil && !isNobody(err) {
				return proof{}, err
			}
		}
		return proof{}, denied(wrongCertificate)
	})
}

// isNobody reports whether a name is no account's that may log in.
func isNobody(err error) bool { return fault.Is(err, fault.Denied) || fault.Is(err, fault.NotFound) }

func orWrong(err error, why wrong) error {
	if isNobody(err) {
		return denied(why)
	}
	return err
}

// mayActAs holds RFC 4422 §3.4.1: the authorization identity, if there is one,
// must be the account's own.
func (a *attempt) mayActAs(ctx context.Context, account store.Account, as string) error {
	if as == "" || accountKey(as) == keyOf(account.Address) {
		return nil
	}
	other, err := a.s.o.Directory.LoginAccount(ctx, as)
	if err == nil && other.ID == account.ID && other.ID != 0 {
		return nil
	}
	if err == nil {
		return denied(actsAsAnother)
	}
	return orWrong(err, actsAsAnother)
}
