package directory

import (
	"context"
	"net/netip"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// Login is an attempt to log in with a password.
type Login struct {
	Name, Password string
	// Protocol is "smtp", "pop3" or "imap": what app passwords are limited to.
	Protocol string
	// From is the client's address. Attempts of one address share a place in the
	// queue for hashing. It may be zero.
	From netip.Addr
}

// Authenticated is who has logged in, and with what.
type Authenticated struct {
	Account     store.Account // without its verifiers
	AppPassword string        // its name; empty: the account's own password
}

// SCRAM is what a login by SCRAM-SHA-256 needs.
type SCRAM struct {
	Salt       []byte
	Iterations int
	Keys       []SCRAMKeys
	Account    store.Account
	Usable     bool
}

// SCRAMKeys are the keys of one password.
type SCRAMKeys struct {
	Stored, Server []byte
	AppPassword    string
}

// Right is why an account may send as an address.
type Right int

// The rights.
const (
	NoRight Right = iota
	OwnAddress
	GrantedAddress
)

// DefaultSCRAMIterations is SCRAM's default.
const DefaultSCRAMIterations = 10_000

func errNotYet() error { return fault.New(fault.Internal, "not yet", nil) }

// SCRAM returns what a login by SCRAM-SHA-256 needs.
func (d *Directory) SCRAM(ctx context.Context, name, protocol string) (SCRAM, error) {
	return SCRAM{}, errNotYet()
}

// Secret returns an account's recoverable secret.
func (d *Directory) Secret(ctx context.Context, name string) (secret []byte, account store.Account, ok bool, err error) {
	return nil, store.Account{}, false, nil
}

// LoginAccount returns the account of a login name.
func (d *Directory) LoginAccount(ctx context.Context, name string) (store.Account, error) {
	account, err := d.loginAccount(ctx, name)
	if err != nil {
		return store.Account{}, err
	}
	if account.ID == 0 || account.Disabled {
		return store.Account{}, errDenied()
	}
	return shown(account), nil
}

// Used notes when an app password was used.
func (d *Directory) Used(ctx context.Context, id mail.AccountID, appPassword string, at time.Time) error {
	return nil
}

// AddAppPassword makes an app password.
func (d *Directory) AddAppPassword(ctx context.Context, address, name string, scope []string) (password string, err error) {
	return "", errNotYet()
}

// AppPasswords returns an account's app passwords.
func (d *Directory) AppPasswords(ctx context.Context, address string) ([]store.AppPassword, error) {
	return nil, errNotYet()
}

// RevokeAppPassword removes an app password.
func (d *Directory) RevokeAppPassword(ctx context.Context, address, name string) error {
	return errNotYet()
}

// SetLegacySecret sets an account's recoverable secret.
func (d *Directory) SetLegacySecret(ctx context.Context, address, secret string) (string, error) {
	return "", errNotYet()
}

// RemoveLegacySecret removes an account's recoverable secret.
func (d *Directory) RemoveLegacySecret(ctx context.Context, address string) error {
	return errNotYet()
}

// LegacyPossible reports whether some account could have a recoverable secret.
func (d *Directory) LegacyPossible() bool { return false }

// Grant lets an account send as an address or "@domain".
func (d *Directory) Grant(ctx context.Context, address, as string) error { return errNotYet() }

// Ungrant takes back what Grant gave.
func (d *Directory) Ungrant(ctx context.Context, address, as string) error { return errNotYet() }

// MaySendAs reports whether and why an account may send as an address.
func (d *Directory) MaySendAs(ctx context.Context, account mail.AccountID, a mail.Address) (Right, error) {
	return NoRight, errNotYet()
}
