package admin

import (
	"context"
	"iter"
	"slices"
	"strings"

	"postrider/internal/directory"
	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// Account is an account as it may be shown.
type Account struct {
	store.Account
	// Password is the name of the scheme of its verifier, as "argon2id"; empty
	// when nobody can log in. It says nothing about the password.
	Password string `json:"password_scheme,omitempty"`
	// SCRAM says that clients can log in without sending the password; AppPasswords
	// is how many further passwords there are; LegacySecret, that there is a secret
	// for CRAM-MD5 and APOP.
	SCRAM        bool `json:"scram,omitempty"`
	AppPasswords int  `json:"app_passwords,omitempty"`
	LegacySecret bool `json:"legacy_secret,omitempty"`
}

func shownAccount(a store.Account) Account {
	return Account{
		Account: a, Password: scheme(a.Password),
		SCRAM: a.SCRAM != "", AppPasswords: len(a.AppPasswords), LegacySecret: a.LegacySecret != nil,
	}
}

// schemes are the prefixes of verifiers in PHC and crypt(3) form.
var schemes = []struct{ prefix, name string }{
	{"$2", "bcrypt"}, {"$6$", "sha512-crypt"}, {"$5$", "sha256-crypt"}, {"$1$", "md5-crypt"},
}

// scheme names how a verifier was made.
func scheme(verifier string) string {
	if verifier == "" {
		return ""
	}
	for _, s := range schemes {
		if strings.HasPrefix(verifier, s.prefix) {
			return s.name
		}
	}
	if parts := strings.SplitN(verifier, "$", 3); len(parts) == 3 && parts[0] == "" && parts[1] != "" {
		return parts[1]
	}
	return "other"
}

// NewAccount is an account to be made. Password is what its owner types; empty:
// nobody can log in.
type NewAccount struct {
	Address  string `json:"address"`
	Password string `json:"password,omitempty"`
	Quota    int64  `json:"quota,omitempty"` // octets; zero: no limit
}

// accountArgument names an account and what is to change of it.
type accountArgument struct {
	Address  string `json:"address"`
	Password string `json:"password,omitempty"`
	Quota    int64  `json:"quota,omitempty"`
	Disabled bool   `json:"disabled,omitempty"`
}

// AddAccount makes an account; NotFound when its domain is not there.
func (c *Client) AddAccount(ctx context.Context, n NewAccount) error {
	return c.ask(ctx, "account.add", n, nil)
}

// Account returns the account of an address.
func (c *Client) Account(ctx context.Context, address string) (Account, error) {
	var a Account
	err := c.ask(ctx, "account.get", accountArgument{Address: address}, &a)
	return a, err
}

// Accounts lists the accounts by address, of one domain if it is not empty.
func (c *Client) Accounts(ctx context.Context, domain string) iter.Seq2[Account, error] {
	return list[Account](ctx, c, "account.list", domainArgument{domain})
}

// SetPassword changes a password.
func (c *Client) SetPassword(ctx context.Context, address, password string) error {
	return c.ask(ctx, "account.password", accountArgument{Address: address, Password: password}, nil)
}

// SetDisabled says whether nobody may log in.
func (c *Client) SetDisabled(ctx context.Context, address string, disabled bool) error {
	return c.ask(ctx, "account.disabled", accountArgument{Address: address, Disabled: disabled}, nil)
}

// SetQuota changes a quota, in octets; zero is no limit.
func (c *Client) SetQuota(ctx context.Context, address string, octets int64) error {
	return c.ask(ctx, "account.quota", accountArgument{Address: address, Quota: octets}, nil)
}

// RemoveAccount removes an account and its mail, and says how many messages that
// were held for it went with it.
func (c *Client) RemoveAccount(ctx context.Context, address string) (held int, err error) {
	err = c.ask(ctx, "account.remove", accountArgument{Address: address}, &held)
	return held, err
}

func accountAdd(s *service, c *call, n NewAccount) (any, error) {
	_, err := s.directory.AddAccount(c, directory.NewAccount{Address: n.Address, Password: n.Password, Quota: n.Quota})
	return nil, err
}

func accountGet(s *service, c *call, a accountArgument) (any, error) {
	account, err := s.directory.Lookup(c, a.Address)
	if err != nil {
		return nil, err
	}
	// The directory keeps verifiers to itself; their scheme is worth showing.
	if account, err = s.store.Account(c, account.ID); err != nil {
		return nil, err
	}
	return shownAccount(account), nil
}

func accountList(s *service, c *call, a domainArgument) (any, error) {
	domain := a.Domain
	if domain != "" {
		var err error
		if domain, err = mail.ParseDomain(domain); err != nil {
			return nil, fault.New(fault.Invalid, "list accounts", err)
		}
	}
	return nil, emitAll(c, s.store.Accounts(c, domain, ""), func(a store.Account) any { return shownAccount(a) })
}

func accountPassword(s *service, c *call, a accountArgument) (any, error) {
	return nil, s.directory.SetPassword(c, a.Address, a.Password)
}

func accountDisabled(s *service, c *call, a accountArgument) (any, error) {
	return nil, s.directory.SetDisabled(c, a.Address, a.Disabled)
}

func accountQuota(s *service, c *call, a accountArgument) (any, error) {
	return nil, s.directory.SetQuota(c, a.Address, a.Quota)
}

func accountRemove(s *service, c *call, a accountArgument) (any, error) {
	account, err := s.directory.Lookup(c, a.Address)
	if err != nil {
		return nil, err
	}
	held := 0
	for h, err := range s.store.Held(c) {
		if err == nil && slices.Contains(h.Accounts, account.ID) {
			held++
		}
	}
	return held, s.directory.RemoveAccount(c, a.Address)
}
