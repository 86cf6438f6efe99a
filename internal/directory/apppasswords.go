package directory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// Limits of app passwords.
const (
	MaxAppPasswords    = 50 // of an account
	MaxAppPasswordName = 64 // octets
)

// appScopes are the protocols that an app password can be limited to.
var appScopes = []string{"imap", "pop3", "smtp"}

// AddAppPassword makes an app password for an account, under a name that is for
// people, and returns it: the only time that it can be seen. Scope is the
// protocols it is good for; empty: all. It never changes.
//
// NotFound: there is no such account. Exists: it has one of the name. TooLarge:
// it has MaxAppPasswords. Invalid: a name or scope that can't be.
func (d *Directory) AddAppPassword(ctx context.Context, address, name string, scope []string) (password string, err error) {
	op := "add app password to " + clip(address)
	p := store.AppPassword{Created: d.o.Now()}
	if p.Name, err = appName(name); err != nil {
		return "", fault.Wrap(op, err)
	}
	if p.Scope, err = appScope(scope); err != nil {
		return "", fault.Wrap(op, err)
	}
	letters := newAppPassword()
	password = showAppPassword(letters)
	hash := sha256.Sum256([]byte(letters))
	p.Hash = hash[:]
	err = d.update(ctx, op, address, func(a *store.Account) (err error) {
		switch {
		case appIndex(*a, p.Name) >= 0:
			return fault.Newf(fault.Exists, "name it", "the account has an app password of that name")
		case len(a.AppPasswords) >= MaxAppPasswords:
			return fault.Newf(fault.TooLarge, "count", "the account has %d app passwords already", len(a.AppPasswords))
		}
		if p.SCRAM, err = d.appKeys(*a, password); err != nil {
			return err
		}
		a.AppPasswords = append(slices.Clone(a.AppPasswords), p)
		slices.SortFunc(a.AppPasswords, func(a, b store.AppPassword) int { return strings.Compare(a.Name, b.Name) })
		return nil
	})
	if err != nil {
		return "", err
	}
	return password, nil
}

// appName is the name of an app password as it is kept.
func appName(name string) (string, error) {
	const op = "read the app password's name"
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", fault.Newf(fault.Invalid, op, "it has control characters or is not UTF-8")
	}
	name = norm.NFC.String(strings.TrimSpace(name))
	if name == "" || len(name) > MaxAppPasswordName {
		return "", fault.Newf(fault.Invalid, op, "it has 1 to %d octets", MaxAppPasswordName)
	}
	return name, nil
}

// appScope is a scope as it is kept: each word once, by alphabet.
func appScope(scope []string) ([]string, error) {
	var kept []string
	for _, word := range scope {
		word = strings.ToLower(strings.TrimSpace(word))
		if !slices.Contains(appScopes, word) {
			return nil, fault.Newf(fault.Invalid, "read the scope", "%q is none of %s", clip(word), strings.Join(appScopes, ", "))
		}
		kept = append(kept, word)
	}
	slices.Sort(kept)
	return slices.Compact(kept), nil
}

func inScope(p store.AppPassword, protocol string) bool {
	return len(p.Scope) == 0 || slices.Contains(p.Scope, protocol)
}

func appIndex(a store.Account, name string) int {
	return slices.IndexFunc(a.AppPasswords, func(p store.AppPassword) bool { return p.Name == name })
}

// AppPasswords lists an account's app passwords by name, without their verifiers.
func (d *Directory) AppPasswords(ctx context.Context, address string) ([]store.AppPassword, error) {
	a, err := d.Lookup(ctx, address)
	return a.AppPasswords, err
}

// RevokeAppPassword removes an app password, at once. NotFound if there is no such
// account, or it has none of that name.
func (d *Directory) RevokeAppPassword(ctx context.Context, address, name string) error {
	op := "revoke app password of " + clip(address)
	kept, err := appName(name)
	if err != nil {
		return fault.Wrap(op, err)
	}
	return d.update(ctx, op, address, func(a *store.Account) error {
		i := appIndex(*a, kept)
		if i < 0 {
			return fault.Newf(fault.NotFound, "find", "the account has no app password of that name")
		}
		a.AppPasswords = slices.Delete(slices.Clone(a.AppPasswords), i, i+1)
		return nil
	})
}

// Used notes that an app password was used, to the hour: it changes nothing, and
// costs no more than reading the account, when that hour is noted already. An app
// password that has gone is no error, nor is the empty name, which is the
// account's own.
func (d *Directory) Used(ctx context.Context, id mail.AccountID, appPassword string, at time.Time) error {
	const op = "note the use of an app password"
	if appPassword == "" {
		return nil
	}
	hour := at.UTC().Truncate(time.Hour)
	account, err := d.st.Account(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return fault.Wrap(op, err)
	}
	if i := appIndex(account, appPassword); i < 0 || !hour.After(account.AppPasswords[i].Used) {
		return nil
	}
	err = d.editApp(ctx, id, appPassword, func(_ store.Account, p *store.AppPassword) error {
		p.Used = hour
		return nil
	})
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return fault.Wrap(op, err)
}

// editApp changes an app password's record, if it is still there.
func (d *Directory) editApp(ctx context.Context, id mail.AccountID, name string, f func(store.Account, *store.AppPassword) error) error {
	return d.edit(ctx, id, func(a *store.Account) error {
		i := appIndex(*a, name)
		if i < 0 {
			return fault.Newf(fault.NotFound, "find app password", "it was revoked meanwhile")
		}
		a.AppPasswords = slices.Clone(a.AppPasswords)
		return f(*a, &a.AppPasswords[i])
	})
}

// checkAppPasswords returns the name of the account's app password that was
// typed, and whether it is good, for the protocol. All are compared, whichever
// fits.
func (d *Directory) checkAppPasswords(ctx context.Context, a store.Account, typed, protocol string) (name string, good bool) {
	letters, ok := readAppPassword(typed)
	if !ok {
		return "", false
	}
	hash := sha256.Sum256([]byte(letters))
	found := -1
	for i, p := range a.AppPasswords {
		if subtle.ConstantTimeCompare(p.Hash, hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return "", false
	}
	p := a.AppPasswords[found]
	if a.Disabled || !inScope(p, protocol) {
		return p.Name, false
	}
	d.renewApp(ctx, a, p, showAppPassword(letters))
	return p.Name, true
}

// renewApp makes the keys for SCRAM of an app password that has none, or none
// with the salt that the account's passwords share.
func (d *Directory) renewApp(ctx context.Context, a store.Account, p store.AppPassword, password string) {
	if d.o.SCRAMIterations < 0 {
		return
	}
	shared, ok := d.scramSaltOf(a)
	if k, err := parseSCRAM(p.SCRAM); err == nil && ok && k.scramSalt == shared {
		return
	}
	err := d.editApp(ctx, a.ID, p.Name, func(a store.Account, now *store.AppPassword) (err error) {
		if !bytes.Equal(now.Hash, p.Hash) {
			return errPasswordChanged
		}
		now.SCRAM, err = d.appKeys(a, password)
		return err
	})
	if err != nil {
		d.o.Logger.Warn("no keys for SCRAM were made of the app password", "account", a.Address, "app_password", p.Name, "error", err)
	}
}
