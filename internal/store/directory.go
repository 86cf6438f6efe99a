package store

import (
	"context"
	"iter"
	"time"

	"postrider/internal/mail"
)

// Directory keeps domains, accounts and aliases. Names are keys in canonical
// form, made by package mail: mail.Address.Key for addresses, lower-case A-labels
// for domains. What the records mean (who is local, where an address leads) is
// package directory's business.
type Directory interface {
	// Domain returns a domain's record, or NotFound.
	Domain(ctx context.Context, name string) (Domain, error)
	// Entry returns what an address stands for, or NotFound. "@domain" is the
	// domain's catch-all.
	Entry(ctx context.Context, address string) (Entry, error)
	// Account returns an account, with its usage, or NotFound.
	Account(ctx context.Context, id mail.AccountID) (Account, error)

	// Domains, Entries and Accounts list by ascending name, those after the
	// name given (empty: all). Entries and Accounts of one domain only, if it is
	// not empty.
	Domains(ctx context.Context, after string) iter.Seq2[Domain, error]
	Entries(ctx context.Context, domain, after string) iter.Seq2[Entry, error]
	Accounts(ctx context.Context, domain, after string) iter.Seq2[Account, error]

	// Change makes all changes in one commit, or none: the first that can't be
	// made is the error, of kind Exists or NotFound, in a *ChangeError. New
	// accounts get their ID and their Inbox here; the IDs are returned in the
	// order of the PutAccounts with New set.
	Change(ctx context.Context, changes ...Change) ([]mail.AccountID, error)
}

// Domain is a local domain.
type Domain struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// Entry is an address and what it stands for: an account, or targets.
type Entry struct {
	Address string         `json:"address"`
	Account mail.AccountID `json:"account,omitempty"`
	Targets []string       `json:"targets,omitempty"` // addresses, of an alias
}

// Account is who can have mail.
type Account struct {
	ID      mail.AccountID `json:"id"`
	Address string         `json:"address"` // the login name, and the first address
	// Password is the verifier in PHC or crypt(3) form; empty: no login with the
	// account's own password. SCRAM is the same password's keys for SCRAM-SHA-256
	// in the form of RFC 5803, empty if there are none. Neither is the password,
	// and neither is shown.
	Password string `json:"-"`
	SCRAM    string `json:"-"`
	// AppPasswords are further passwords, by ascending name.
	AppPasswords []AppPassword `json:"-"`
	// LegacySecret is what CRAM-MD5 and APOP need, sealed under a key that is not
	// in the store; nil: the account has none.
	LegacySecret []byte `json:"-"`
	// Grants are addresses, and domains as "@domain", that the account may send as
	// besides its own.
	Grants   []string  `json:"grants,omitempty"`
	Disabled bool      `json:"disabled,omitempty"` // no login; mail is still taken
	Quota    int64     `json:"quota"`              // octets; zero: no limit
	Created  time.Time `json:"created"`
	// Version is greater than zero and grows with every PutAccount. It is the
	// engine's; an account that was made before there were versions has 1.
	Version uint64 `json:"-"`
	// Messages and Octets are what all its mailboxes hold; kept, not summed.
	Messages int64 `json:"messages"`
	Octets   int64 `json:"octets"`
	// HeldOctets are those of the copies that are held for it (Holds), prefixes
	// included; kept, not summed. They are the engine's: PutAccount doesn't change
	// them.
	HeldOctets int64 `json:"held_octets,omitempty"`
}

// AppPassword is a password that was made for one program of an account's
// owner. The password has 115 random bits or more, so that Hash need not be slow.
type AppPassword struct {
	Name string `json:"name"` // unique in the account
	// Scope is the protocols it is good for: "smtp", "pop3", "imap".
	Scope []string `json:"scope,omitempty"`
	Hash  []byte   `json:"-"` // SHA-256 of the password
	// SCRAM is the password's keys, as in Account and with the same salt and
	// number of iterations.
	SCRAM   string    `json:"-"`
	Created time.Time `json:"created"`
	// Used is when it was last used, to the hour; zero: never.
	Used time.Time `json:"used,omitzero"`
}

// Change is one change of the directory: a PutDomain, RemoveDomain, PutAccount,
// RemoveAccount, PutAlias or RemoveAlias.
type Change interface{ change() }

// PutDomain makes a domain; Exists if it is there.
type PutDomain struct{ Domain Domain }

// RemoveDomain removes a domain; NotFound if it is not there, Exists if it
// still has accounts or aliases.
type RemoveDomain struct{ Name string }

// PutAccount makes an account (New: Exists if the address stands for anything;
// NotFound if its domain is not there) or changes one that has the ID (NotFound):
// Password, SCRAM, AppPasswords, LegacySecret, Grants, Disabled and Quota become
// those of Account. IfVersion, when not zero, must be the version it has now, or
// the change is refused with Denied.
type PutAccount struct {
	New       bool
	Account   Account
	IfVersion uint64
}

// RemoveAccount removes an account, its mailboxes and its mail, held mail too,
// and its entry.
type RemoveAccount struct{ ID mail.AccountID }

// PutAlias makes or changes an alias: Exists if the address is an account's,
// NotFound if its domain is not there.
type PutAlias struct {
	Address string
	Targets []string
}

// RemoveAlias removes an alias; NotFound if there is none.
type RemoveAlias struct{ Address string }

func (PutDomain) change()     {}
func (RemoveDomain) change()  {}
func (PutAccount) change()    {}
func (RemoveAccount) change() {}
func (PutAlias) change()      {}
func (RemoveAlias) change()   {}

// ChangeError says which of the changes given to Change could not be made.
type ChangeError struct {
	Index int
	Err   error
}

func (e *ChangeError) Error() string { return e.Err.Error() }

// Unwrap returns the cause, which has the kind.
func (e *ChangeError) Unwrap() error { return e.Err }
