package directory

import (
	"context"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// Authenticate returns the account whose address is login and whose password is
// password, without its verifier.
//
// The error is of kind Denied, always the same, for an unknown login, a wrong
// password, an account that is disabled and one that has no password; each costs
// one hash, so that nobody can tell them apart. Other kinds mean that it can't
// be told now.
func (d *Directory) Authenticate(ctx context.Context, l Login) (Authenticated, error) {
	account, err := d.loginAccount(ctx, l.Name)
	if err != nil {
		return Authenticated{}, err
	}
	if !account.Disabled && d.known.has(d.known.mark(account, l.Password)) {
		return Authenticated{Account: shown(account)}, nil
	}
	right, err := d.check(ctx, &account, l.Password)
	if err != nil {
		return Authenticated{}, err
	}
	if !right || account.Disabled {
		return Authenticated{}, errDenied()
	}
	d.known.add(d.known.mark(account, l.Password))
	return Authenticated{Account: shown(account)}, nil
}

func errDenied() error { return fault.New(fault.Denied, "log in", nil) }

// shown is an account as it leaves this package.
func shown(a store.Account) store.Account {
	a.Password = ""
	return a
}

// loginAccount returns the account of a login name; the zero Account, which has
// no password, if there is none.
func (d *Directory) loginAccount(ctx context.Context, login string) (store.Account, error) {
	a, err := mail.ParseAddress(login)
	if err != nil {
		return store.Account{}, nil
	}
	e, err := d.st.Entry(ctx, a.Key())
	if err == nil && e.Account != 0 {
		var account store.Account
		if account, err = d.st.Account(ctx, e.Account); err == nil {
			return account, nil
		}
	}
	if err == nil || fault.Is(err, fault.NotFound) {
		return store.Account{}, nil
	}
	return store.Account{}, fault.Wrap("log in", notDenied(err))
}

// notDenied keeps an engine's refusal from being taken for a wrong password.
func notDenied(err error) error {
	if fault.Is(err, fault.Denied) {
		return fault.New(fault.Internal, "look up", err)
	}
	return err
}

// check compares a password with an account's verifier, or with the decoy. A
// verifier that is not as strong as new ones is replaced, also in account.
func (d *Directory) check(ctx context.Context, account *store.Account, password string) (bool, error) {
	v, usable := d.decoy, false
	if account.Password != "" && checkPassword(password) == nil {
		parsed, err := parseVerifier(account.Password)
		if err != nil {
			d.o.Logger.Error("the account's password verifier can't be used", "account", account.Address, "error", err)
		} else {
			v, usable = parsed, true
		}
	}
	if len(password) > MaxPassword {
		password = password[:MaxPassword]
	}
	matched := false
	if err := d.hash(ctx, func() { matched = v.matches(password) }); err != nil {
		return false, err
	}
	right := matched && usable
	if right && !account.Disabled && !v.goodEnough(d.o.Argon2) {
		d.strengthen(ctx, account, password)
	}
	return right, nil
}

// strengthen replaces a verifier by argon2id of the same password. When that
// fails, the login is good all the same and the next one tries again.
func (d *Directory) strengthen(ctx context.Context, account *store.Account, password string) {
	verifier, err := d.verifierFor(ctx, secret{password: password})
	if err == nil {
		err = d.replaceVerifier(ctx, account.ID, account.Password, verifier)
	}
	if err != nil {
		d.o.Logger.Warn("the password was not hashed anew", "account", account.Address, "error", err)
		return
	}
	account.Password = verifier
	d.o.Logger.Info("the password was hashed anew", "account", account.Address)
}

// replaceVerifier sets an account's verifier if it is still the old one. The
// account is read again: its other fields may have been changed meanwhile.
func (d *Directory) replaceVerifier(ctx context.Context, id mail.AccountID, old, verifier string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	account, err := d.st.Account(ctx, id)
	if err != nil {
		return err
	}
	if account.Password != old {
		return fault.New(fault.Denied, "replace verifier", nil)
	}
	account.Password = verifier
	_, err = d.st.Change(ctx, store.PutAccount{Account: account, IfVersion: account.Version})
	return err
}
