package directory

import (
	"context"
	"slices"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// MaxGrants is how many addresses and domains an account may be granted.
const MaxGrants = 50

// Right is why an account may send as an address.
type Right int

// The rights. NoRight: it may not.
const (
	NoRight        Right = iota
	OwnAddress           // mail to the address leads to the account and to nobody else
	GrantedAddress       // Grant
)

// Grant lets an account send as an address and its sub-addresses, or as all of
// "@domain". What it has already is no error.
//
// NotFound: there is no such account. Invalid: no address, or one of a domain that
// is not local: nobody here can vouch for others. TooLarge: it has MaxGrants.
func (d *Directory) Grant(ctx context.Context, address, as string) error {
	op := "grant " + clip(as) + " to " + clip(address)
	key, err := aliasKey(as)
	if err != nil {
		return fault.New(fault.Invalid, op, err)
	}
	return d.update(ctx, op, address, func(a *store.Account) error {
		domain := fromKey(key).Domain
		_, err := d.st.Domain(ctx, domain)
		switch {
		case fault.Is(err, fault.NotFound):
			return fault.Newf(fault.Invalid, "look up", "%s is no domain here, and only addresses of domains here can be granted", domain)
		case err != nil:
			return err
		case slices.Contains(a.Grants, key):
			return nil
		case len(a.Grants) >= MaxGrants:
			return fault.Newf(fault.TooLarge, "count", "the account has %d grants already", len(a.Grants))
		}
		a.Grants = append(slices.Clone(a.Grants), key)
		slices.Sort(a.Grants)
		return nil
	})
}

// Ungrant takes back what Grant gave. NotFound: there is no such account, or it
// was not granted that.
func (d *Directory) Ungrant(ctx context.Context, address, as string) error {
	op := "take back the grant of " + clip(as) + " to " + clip(address)
	key, err := aliasKey(as)
	if err != nil {
		return fault.New(fault.Invalid, op, err)
	}
	return d.update(ctx, op, address, func(a *store.Account) error {
		i := slices.Index(a.Grants, key)
		if i < 0 {
			return fault.Newf(fault.NotFound, "find", "the account has no such grant")
		}
		a.Grants = slices.Delete(slices.Clone(a.Grants), i, i+1)
		return nil
	})
}

// MaySendAs reports whether and why an account may send as an address. The error
// means that it can't be told now; an account that has gone or is disabled has no
// right, also in a session that it has logged in to before.
//
// An address is the account's own when mail to it leads there and to nobody
// else: its address, sub-addresses, an alias or catch-all for it alone. An alias
// for several needs a grant.
func (d *Directory) MaySendAs(ctx context.Context, account mail.AccountID, a mail.Address) (Right, error) {
	if a.Domain == "" {
		return NoRight, nil
	}
	who, err := d.st.Account(ctx, account)
	switch {
	case fault.Is(err, fault.NotFound), err == nil && who.Disabled:
		return NoRight, nil
	case err != nil:
		return NoRight, fault.Wrap("look up who sends", notDenied(err))
	}
	route, err := d.Resolve(ctx, a)
	switch {
	case err == nil && route.leadsOnlyTo(account):
		return OwnAddress, nil
	case fault.Is(err, fault.Denied): // not local, and so not to be granted
		return NoRight, nil
	case fault.Is(err, fault.NotFound): // leads to nobody, but may be granted
		err = nil
	}
	granted, grantErr := d.granted(ctx, who, a)
	switch {
	case grantErr != nil:
		return NoRight, fault.Wrap("look up grants", notDenied(grantErr))
	case granted:
		return GrantedAddress, nil
	}
	return NoRight, err
}

// leadsOnlyTo reports whether an account is all that an address leads to.
func (r *Route) leadsOnlyTo(account mail.AccountID) bool {
	return len(r.Remote) == 0 && len(r.Targets) == 1 && r.Targets[0].Account == account
}

// granted reports whether an account was granted an address.
func (d *Directory) granted(ctx context.Context, account store.Account, a mail.Address) (bool, error) {
	if len(account.Grants) == 0 {
		return false, nil
	}
	if _, err := d.st.Domain(ctx, a.Domain); err != nil {
		return false, unlessNotFound(err) // it was local when it was granted
	}
	if slices.Contains(account.Grants, catchAll(a.Domain)) || slices.Contains(account.Grants, a.Key()) {
		return true, nil
	}
	plain := d.plain(a)
	if plain == a || !slices.Contains(account.Grants, plain.Key()) {
		return false, nil
	}
	// What looks like a sub-address may be an address in its own right.
	_, err := d.st.Entry(ctx, a.Key())
	return fault.Is(err, fault.NotFound), unlessNotFound(err)
}

func unlessNotFound(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
