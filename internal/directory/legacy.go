package directory

import (
	"context"
	"encoding/binary"
	"errors"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// sealedForm is the first octet of a sealed secret. A nonce and what AES-256-GCM
// makes of the secret follow.
const sealedForm = 1

// LegacyPossible reports whether some account has a recoverable secret and there
// is a key to open it. It costs nothing.
func (d *Directory) LegacyPossible() bool {
	return d.keys.loaded.Load() != nil && d.holders.some.Load()
}

// Secret returns the recoverable secret of a login name, for CRAM-MD5 (RFC 2195)
// and APOP (RFC 1939 §7), and its account without verifiers. Denied, always with
// the same words: nobody has the name, or the account is disabled, or it has no
// secret, or one that can't be opened, which is logged; WhyDenied tells the
// operator. Other kinds mean that it can't be told now.
func (d *Directory) Secret(ctx context.Context, name string) (secret []byte, account store.Account, err error) {
	account, err = d.loginAccount(ctx, name)
	if err != nil {
		return nil, store.Account{}, err
	}
	if why := closed(account); why != "" {
		return nil, store.Account{}, denied(why)
	}
	if len(account.LegacySecret) == 0 {
		return nil, store.Account{}, denied(noLegacySecret)
	}
	secret, err = d.open(account)
	if err != nil {
		d.o.Logger.Error(badLegacy, "account", account.Address, "error", err)
		return nil, store.Account{}, denied(badLegacy)
	}
	return secret, shown(account), nil
}

// SetLegacySecret gives an account a recoverable secret, good for CRAM-MD5 and
// APOP and for nothing else, and returns it as a client must know it: prepared as
// passwords are, or made here when it is empty. The key file is made if there is
// none.
//
// Invalid: a secret that can't be, no key file is configured, the file can't be
// used, or it has gone while there are secrets that were sealed under it.
func (d *Directory) SetLegacySecret(ctx context.Context, address, secret string) (string, error) {
	op := "set legacy secret of " + clip(address)
	if secret == "" {
		secret = showAppPassword(newAppPassword())
	}
	secret, err := preparePassword(secret)
	if err != nil {
		return "", fault.New(fault.Invalid, op, err)
	}
	err = d.update(ctx, op, address, func(a *store.Account) error {
		key, err := d.sealingKey(ctx)
		if err != nil {
			return err
		}
		a.LegacySecret = key.seal(a.ID, secret)
		return d.holders.add(ctx, a.ID)
	})
	if err != nil {
		return "", err
	}
	return secret, nil
}

// RemoveLegacySecret takes an account's recoverable secret away. NotFound if there
// is no such account, or it has none. It needs no key.
func (d *Directory) RemoveLegacySecret(ctx context.Context, address string) error {
	op := "remove legacy secret of " + clip(address)
	d.changing.Lock()
	defer d.changing.Unlock()
	account, err := d.account(ctx, address)
	if err != nil {
		return fault.Wrap(op, err)
	}
	err = d.put(ctx, account, func(a *store.Account) error {
		if len(a.LegacySecret) == 0 {
			return fault.Newf(fault.NotFound, "find", noLegacySecret)
		}
		a.LegacySecret = nil
		return nil
	})
	if err != nil {
		return fault.Wrap(op, err)
	}
	d.holders.remove(ctx, account.ID)
	return nil
}

// sealingKey returns the key file's key, and makes the file when nothing can
// have been sealed yet. D.changing is held.
func (d *Directory) sealingKey(ctx context.Context) (*masterKey, error) {
	key, err := d.keys.load()
	if !fault.Is(err, fault.NotFound) {
		return key, err
	}
	if d.keys.path == "" {
		return nil, fault.Newf(fault.Invalid, "seal", "no key file is configured, and without one there are no legacy secrets")
	}
	for account, err := range d.st.Accounts(ctx, "", "") {
		if err != nil {
			return nil, err
		}
		if len(account.LegacySecret) > 0 {
			return nil, fault.Newf(fault.Invalid, "seal",
				"the key file %s has gone, and %s has a legacy secret that was sealed under it: bring the file back, or remove such secrets first",
				d.keys.path, account.Address)
		}
	}
	return d.keys.create()
}

// open returns an account's secret.
func (d *Directory) open(a store.Account) ([]byte, error) {
	key, err := d.keys.load()
	if err != nil {
		return nil, err
	}
	return key.open(a.ID, a.LegacySecret)
}

// seal returns a secret as it is kept. It can be opened as the account's only.
func (k *masterKey) seal(id mail.AccountID, secret string) []byte {
	return k.secrets.Seal([]byte{sealedForm}, nil, []byte(secret), sealedFor(id))
}

func (k *masterKey) open(id mail.AccountID, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != sealedForm {
		return nil, errors.New("it is sealed in a way that is not known here")
	}
	secret, err := k.secrets.Open(nil, nil, sealed[1:], sealedFor(id))
	if err != nil {
		return nil, errors.New("it was sealed under another key than the key file has, or is damaged")
	}
	return secret, nil
}

// sealedFor is what a secret is sealed for: its purpose, and the account.
func sealedFor(id mail.AccountID) []byte {
	return binary.BigEndian.AppendUint64([]byte("legacy secret\x00"), uint64(id))
}
