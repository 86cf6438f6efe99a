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
	closedAccount    wrong = "nobody can log in to the account"
	wrongSecret      wrong = "wrong secret"
	wrongCertificate wrong = "no name in the certificate can log in"
	wrongToken       wrong = "the token's name can't log in"
	noTokens         wrong = "no tokens are taken here"
	actsAsAnother    wrong = "may not act as another"
)

// because is why a login failed, and what the directory says of it.
func because(why wrong, err error) error {
	if more := directory.WhyDenied(err); more != "" {
		why += ": " + wrong(more)
	}
	return denied(why)
}

// toldError is an error that another package has put into the log.
type toldError struct{ err error }

func (e *toldError) Error() string { return e.err.Error() }

// Unwrap returns the error.
func (e *toldError) Unwrap() error { return e.err }

// Password implements sasl.Verifier.
func (a *attempt) Password(ctx context.Context, c sasl.Claim, password string) (sasl.Identity, error) {
	return a.decide(ctx, c, func(ctx context.Context, _ *string) (proof, error) {
		who, err := a.s.o.Directory.Authenticate(ctx, directory.Login{
			Name: c.Name, Password: password,
			Protocol: a.c.Listener.Protocol, From: a.c.Remote.Addr(),
		})
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
		fits := fitting(check, k.Keys)
		if len(k.Keys) == 0 {
			check(sasl.Keys{Stored: random(), Server: random()})
		}
		if fits >= 0 && k.Usable {
			return proof{k.Account, k.Keys[fits].AppPassword}, nil
		}
		if i := fitting(check, k.Elsewhere); i >= 0 {
			return proof{}, denied(wrong(directory.NotFor(k.Elsewhere[i].AppPassword, a.c.Listener.Protocol)))
		}
		return proof{}, denied(wrong(k.Why))
	})
}

// fitting returns which of the keys fit, -1 if none do. It looks at all of them.
func fitting(check func(sasl.Keys) bool, all []directory.SCRAMKeys) int {
	fits := -1
	for i, k := range all {
		if check(sasl.Keys{Stored: k.Stored, Server: k.Server}) {
			fits = i
		}
	}
	return fits
}

// Secret implements sasl.Verifier.
func (a *attempt) Secret(ctx context.Context, c sasl.Claim, check func([]byte) bool) (sasl.Identity, error) {
	return a.decide(ctx, c, func(ctx context.Context, _ *string) (proof, error) {
		secret, account, err := a.s.o.Directory.Secret(ctx, c.Name)
		if err != nil && !isNobody(err) {
			return proof{}, err
		}
		if err != nil {
			secret = random()
		}
		if fits := check(secret); err == nil && !fits {
			err = denied(wrongSecret)
		}
		return proof{account: account}, err
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
			return proof{}, denied(noTokens)
		}
		holder, err := a.s.o.Tokens.Verify(ctx, token)
		if err != nil && !fault.Is(err, fault.Denied) {
			return proof{}, &toldError{err}
		}
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
		why := denied(wrongCertificate)
		for _, n := range names {
			account, err := a.s.o.Directory.LoginAccount(ctx, n)
			if err == nil && account.ID != 0 {
				*name = n
				return proof{account: account}, nil
			}
			if err != nil && !isNobody(err) {
				return proof{}, err
			}
			why = because(wrongCertificate, err)
		}
		return proof{}, why
	})
}

// isNobody reports whether a name is no account's that may log in.
func isNobody(err error) bool { return fault.Is(err, fault.Denied) || fault.Is(err, fault.NotFound) }

func orWrong(err error, why wrong) error {
	if isNobody(err) {
		return because(why, err)
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
	if err == nil || isNobody(err) {
		return denied(actsAsAnother)
	}
	return err
}
