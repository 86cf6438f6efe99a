package directory

import (
	"context"
	"errors"
	"iter"
	"net/netip"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// NewAccount says what account to make.
type NewAccount struct {
	Address string
	// Password or Hash, or neither for an account that nobody can log in to. Hash
	// is in PHC or crypt(3) form, with or without a Dovecot {SCHEME}.
	Password, Hash string
	Quota          int64 // octets; zero: no limit
}

// AddAccount makes an account. Exists if the address stands for something,
// NotFound if its domain is not local, Invalid for an address, password, hash
// or quota that can't be.
func (d *Directory) AddAccount(ctx context.Context, n NewAccount) (store.Account, error) {
	op := "add account " + clip(n.Address)
	a, err := mail.ParseAddress(n.Address)
	if err != nil {
		return store.Account{}, fault.New(fault.Invalid, op, err)
	}
	if n.Quota < 0 {
		return store.Account{}, fault.New(fault.Invalid, op, errQuota)
	}
	s, err := n.secret()
	if err != nil {
		return store.Account{}, fault.New(fault.Invalid, op, err)
	}
	if err := d.mayAdd(ctx, a); err != nil { // before the cost of a hash
		return store.Account{}, fault.Wrap(op, err)
	}
	account := store.Account{Address: a.Key(), Quota: n.Quota, Created: d.o.Now()}
	made, err := d.credentials(ctx, netip.Addr{}, account, s)
	if err != nil {
		return store.Account{}, fault.Wrap(op, err)
	}
	made.replace(&account)
	d.changing.Lock()
	defer d.changing.Unlock()
	ids, err := d.st.Change(ctx, store.PutAccount{New: true, Account: account})
	if err != nil {
		return store.Account{}, fault.Wrap(op, err)
	}
	account.ID = ids[0]
	return shown(account), nil
}

var (
	errQuota     = errors.New("a quota is a number of octets, zero for no limit")
	errTwoSecret = errors.New("give a password or a hash, not both")
)

func (n NewAccount) secret() (secret, error) {
	switch {
	case n.Password != "" && n.Hash != "":
		return secret{}, errTwoSecret
	case n.Hash != "":
		return parseHash(n.Hash)
	case n.Password != "":
		return plain(n.Password)
	}
	return secret{}, nil
}

// mayAdd tells early what Change would refuse.
func (d *Directory) mayAdd(ctx context.Context, a mail.Address) error {
	_, err := d.st.Domain(ctx, a.Domain)
	if fault.Is(err, fault.NotFound) {
		return fault.Newf(fault.NotFound, "find", "%s is no domain here", a.Domain)
	}
	if err != nil {
		return err
	}
	_, err = d.st.Entry(ctx, a.Key())
	switch {
	case err == nil:
		return fault.Newf(fault.Exists, "find", "the address is an account's or an alias already")
	case fault.Is(err, fault.NotFound):
		return nil
	}
	return err
}

// SetPassword changes an account's own password. It takes effect at the next
// login: the old one is forgotten everywhere. App passwords and the legacy secret
// stay good; they are taken back one by one, or all at once by SetDisabled.
func (d *Directory) SetPassword(ctx context.Context, address, password string) error {
	op := "set password of " + clip(address)
	s, err := plain(password)
	if err != nil {
		return fault.New(fault.Invalid, op, err)
	}
	before, err := d.account(ctx, address)
	if err != nil {
		return fault.Wrap(op, err)
	}
	made, err := d.credentials(ctx, netip.Addr{}, before, s)
	if err != nil {
		return fault.Wrap(op, err)
	}
	return d.update(ctx, op, address, func(a *store.Account) error {
		made.replace(a)
		return nil
	})
}

// SetQuota changes how many octets an account may hold; zero: no limit.
func (d *Directory) SetQuota(ctx context.Context, address string, quota int64) error {
	op := "set quota of " + clip(address)
	if quota < 0 {
		return fault.New(fault.Invalid, op, errQuota)
	}
	return d.update(ctx, op, address, func(a *store.Account) error {
		a.Quota = quota
		return nil
	})
}

// SetDisabled says whether an account is closed to logins, with whatever
// credentials. Its mail is taken all the same.
func (d *Directory) SetDisabled(ctx context.Context, address string, disabled bool) error {
	op := "disable " + clip(address)
	if !disabled {
		op = "enable " + clip(address)
	}
	return d.update(ctx, op, address, func(a *store.Account) error {
		a.Disabled = disabled
		return nil
	})
}

// update changes an account's record as f says; f's error leaves it as it is.
func (d *Directory) update(ctx context.Context, op, address string, f func(*store.Account) error) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	account, err := d.account(ctx, address)
	if err != nil {
		return fault.Wrap(op, err)
	}
	return fault.Wrap(op, d.put(ctx, account, f))
}

// RemoveAccount removes an account with all its mail. Aliases that lead to it
// stay, and lead nowhere.
func (d *Directory) RemoveAccount(ctx context.Context, address string) error {
	op := "remove account " + clip(address)
	d.changing.Lock()
	defer d.changing.Unlock()
	account, err := d.account(ctx, address)
	if err != nil {
		return fault.Wrap(op, err)
	}
	if _, err = d.st.Change(ctx, store.RemoveAccount{ID: account.ID}); err != nil {
		return fault.Wrap(op, err)
	}
	if len(account.LegacySecret) > 0 {
		d.holders.remove(ctx, account.ID)
	}
	return nil
}

// Lookup returns the account that has the address, without its verifier.
// NotFound if there is none, also when the address is an alias.
func (d *Directory) Lookup(ctx context.Context, address string) (store.Account, error) {
	account, err := d.account(ctx, address)
	if err != nil {
		return store.Account{}, fault.Wrap("look up account "+clip(address), err)
	}
	return shown(account), nil
}

// account returns the account that has the address, with its verifier.
func (d *Directory) account(ctx context.Context, address string) (store.Account, error) {
	a, err := mail.ParseAddress(address)
	if err != nil {
		return store.Account{}, fault.New(fault.Invalid, "read address", err)
	}
	e, err := d.st.Entry(ctx, a.Key())
	if fault.Is(err, fault.NotFound) {
		return store.Account{}, fault.Newf(fault.NotFound, "find", "there is no such account")
	}
	if err != nil {
		return store.Account{}, err
	}
	if e.Account == 0 {
		return store.Account{}, fault.Newf(fault.NotFound, "find", "the address is an alias")
	}
	return d.st.Account(ctx, e.Account)
}

// Accounts lists accounts by address, without their verifiers: a domain's, or
// all if it is empty.
func (d *Directory) Accounts(ctx context.Context, domain string) iter.Seq2[store.Account, error] {
	return func(yield func(store.Account, error) bool) {
		name, err := domainFilter(domain)
		if err != nil {
			yield(store.Account{}, err)
			return
		}
		for account, err := range d.st.Accounts(ctx, name, "") {
			if !yield(shown(account), err) {
				return
			}
		}
	}
}

// domainFilter is domainName that lets pass the empty name, which means all.
func domainFilter(domain string) (string, error) {
	if domain == "" {
		return "", nil
	}
	name, err := domainName(domain)
	if err != nil {
		return "", fault.New(fault.Invalid, "list domain "+clip(domain), err)
	}
	return name, nil
}
