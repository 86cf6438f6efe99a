package directory

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// Login is an attempt to log in with a password.
type Login struct {
	// Name is a login name and Password a password as the client sent them,
	// neither of them prepared.
	Name, Password string
	// Protocol is "smtp", "pop3" or "imap": what app passwords are limited to.
	Protocol string
	// From is the client's address. Attempts of one address share a place in the
	// queue for hashing. It may be zero.
	From netip.Addr
}

// Authenticated is who has logged in, and with what.
type Authenticated struct {
	Account store.Account // without its verifiers
	// AppPassword is the name of the app password; empty: it was the account's own
	// password.
	AppPassword string
}

// Authenticate returns the account whose address is the login name, and whose
// own password or app password for the protocol is the password.
//
// The error is of kind Denied, with the same words, for an unknown login, a wrong
// password, an app password for another protocol, an account that is disabled
// and one that has no password; each costs one hash (two for a password that
// preparation changes), so that nobody can tell them apart. WhyDenied tells the
// operator. Busy: too many attempts wait for a hash. Other kinds mean that it
// can't be told now. See ComparedError.
//
// Where there is no room for one more to wait, no password is looked at, not even
// one that is remembered: whoever fills the queue would have guesses that are
// answered at once. App passwords are, since nobody guesses one.
func (d *Directory) Authenticate(ctx context.Context, l Login) (Authenticated, error) {
	account, err := d.loginAccount(ctx, l.Name)
	if err != nil {
		return Authenticated{}, err
	}
	try := newAttempt(l.Password)
	app, good := d.checkAppPasswords(ctx, account, try.forms[0], l.Protocol)
	if good {
		return Authenticated{Account: shown(account), AppPassword: app}, nil
	}
	if d.hashing.full(l.From) {
		return Authenticated{}, errBusy()
	}
	if !account.Disabled && d.known.has(d.known.mark(account, l.Password)) {
		return Authenticated{Account: shown(account)}, nil
	}
	why, err := d.check(ctx, &account, try, l.From)
	if err != nil {
		return Authenticated{}, &ComparedError{err}
	}
	if why != "" && app != "" && !account.Disabled {
		why = NotFor(app, l.Protocol)
	}
	if why != "" {
		return Authenticated{}, denied(why)
	}
	d.known.add(d.known.mark(account, l.Password))
	return Authenticated{Account: shown(account)}, nil
}

// LoginAccount returns the account of a login name that has been proven in
// another way, by a certificate or a token, without its verifiers. Denied when
// there is none, or it is disabled.
func (d *Directory) LoginAccount(ctx context.Context, name string) (store.Account, error) {
	account, err := d.loginAccount(ctx, name)
	if err != nil {
		return store.Account{}, err
	}
	if why := closed(account); why != "" {
		return store.Account{}, denied(why)
	}
	return shown(account), nil
}

// closed returns why nobody can log in to the account, whatever with; empty: that
// is not so.
func closed(a store.Account) string {
	switch {
	case a.ID == 0:
		return noAccount
	case a.Disabled:
		return disabled
	}
	return ""
}

// shown is an account as it leaves this package.
func shown(a store.Account) store.Account {
	a.Password, a.SCRAM, a.LegacySecret = "", "", nil
	a.AppPasswords = slices.Clone(a.AppPasswords)
	for i := range a.AppPasswords {
		a.AppPasswords[i].Hash, a.AppPasswords[i].SCRAM = nil, ""
	}
	return a
}

// loginAccount returns the account of a login name; the zero Account, which has
// no credentials, if there is none.
func (d *Directory) loginAccount(ctx context.Context, login string) (store.Account, error) {
	for _, key := range loginKeys(login) {
		e, err := d.st.Entry(ctx, key)
		if err == nil && e.Account != 0 {
			var account store.Account
			if account, err = d.st.Account(ctx, e.Account); err == nil {
				if len(account.LegacySecret) > 0 && !d.holders.some.Load() {
					d.found(ctx, account.ID)
				}
				return account, nil
			}
		}
		if err != nil && !fault.Is(err, fault.NotFound) {
			return store.Account{}, fault.Wrap("log in", notDenied(err))
		}
	}
	return store.Account{}, nil
}

// notDenied keeps an engine's refusal from being taken for a wrong password.
func notDenied(err error) error {
	if fault.Is(err, fault.Denied) {
		return fault.New(fault.Internal, "look up", err)
	}
	return err
}

// check compares a password with an account's own, or with the decoy, and returns
// why it is refused; empty: it is right. Then credentials that are not what is made
// of passwords now are replaced, also in account.
func (d *Directory) check(ctx context.Context, account *store.Account, try attempt, from netip.Addr) (why string, err error) {
	v, why := d.verifierOf(*account)
	for i, form := range try.forms {
		matched := false
		if err := d.hash(ctx, from, func() { matched = v.matches(form) }); err != nil {
			return "", err
		}
		if !matched || !try.usable || why != "" {
			continue
		}
		raw := i > 0
		d.renew(ctx, account, renewal{
			password: try.forms[0],
			hash:     raw || !v.goodEnough(d.o.Argon2),
			keys:     raw && d.o.SCRAMIterations > 0 || d.lacksKeys(*account),
			from:     from,
		})
		return "", nil
	}
	if why == "" {
		why = wrongPassword
	}
	return why, nil
}

// verifierOf returns what an account's own password is compared with, and why
// none is right whatever fits, if so. Where it has none that can be used it is the
// decoy.
func (d *Directory) verifierOf(a store.Account) (v verifier, why string) {
	var err error
	switch {
	case a.Password != "":
		v, err = parseVerifier(a.Password)
	case a.SCRAM != "" && d.o.SCRAMIterations > 0: // imported; no other has one alone
		v, err = parseSCRAM(a.SCRAM)
	case closed(a) != "":
		return d.decoy, closed(a)
	default:
		return d.decoy, noPassword
	}
	if err != nil {
		d.o.Logger.Error(badVerifier, "account", a.Address, "error", err)
		return d.decoy, badVerifier
	}
	return v, closed(a)
}

var errPasswordChanged = errors.New("the password was changed meanwhile")

// renewal is what to make anew of a password that was right.
type renewal struct {
	password   string // prepared
	hash, keys bool
	from       netip.Addr
}

// renew replaces a weak verifier by argon2id, and makes keys for SCRAM that are
// missing. When that fails, the login is good all the same and the next one
// tries again.
func (d *Directory) renew(ctx context.Context, account *store.Account, r renewal) {
	if !r.hash && !r.keys {
		return
	}
	made, err := d.renewed(ctx, *account, r)
	if err == nil {
		err = d.edit(ctx, account.ID, func(now *store.Account) error {
			if now.Password != account.Password || now.SCRAM != account.SCRAM {
				return errPasswordChanged
			}
			made.replace(now)
			return nil
		})
	}
	if err != nil {
		d.o.Logger.Warn("the password was not hashed anew", "account", account.Address, "error", err)
		return
	}
	made.replace(account)
	// Who remembers this login by its version is to find the account unchanged.
	if now, err := d.st.Account(ctx, account.ID); err == nil && now.Password == account.Password && now.SCRAM == account.SCRAM {
		account.Version = now.Version
	}
	d.o.Logger.Info("the password was hashed anew", "account", account.Address)
}

// renewed returns an account's credentials, new where they are to be.
func (d *Directory) renewed(ctx context.Context, a store.Account, r renewal) (credentials, error) {
	made := credentials{hash: a.Password, scram: a.SCRAM}
	var err error
	if r.hash {
		err = d.hash(ctx, r.from, func() { made.hash = newArgon2(d.o.Argon2, r.password).String() })
	}
	if err == nil && r.keys {
		made.scram, err = d.ownKeys(a, r.password)
	}
	return made, err
}

// edit changes an account's record in the order of this process.
func (d *Directory) edit(ctx context.Context, id mail.AccountID, f func(*store.Account) error) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	account, err := d.st.Account(ctx, id)
	if err != nil {
		return err
	}
	return d.put(ctx, account, f)
}

// put writes an account that has just been read as f changes it. D.changing is
// held.
func (d *Directory) put(ctx context.Context, account store.Account, f func(*store.Account) error) error {
	if err := f(&account); err != nil {
		return err
	}
	_, err := d.st.Change(ctx, store.PutAccount{Account: account, IfVersion: account.Version})
	if fault.Is(err, fault.Denied) {
		return fault.New(fault.Transient, "change the account, which another has changed", err)
	}
	return err
}
