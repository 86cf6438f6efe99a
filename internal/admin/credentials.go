package admin

import (
	"context"
	"iter"

	"postrider/internal/store"
)

// credentialArgument names one of an account's credentials or rights.
type credentialArgument struct {
	Address string   `json:"address"`
	Name    string   `json:"name,omitempty"`   // of an app password
	Scope   []string `json:"scope,omitempty"`  // of an app password
	Secret  string   `json:"secret,omitempty"` // a legacy secret
	As      string   `json:"as,omitempty"`     // an address to send as
}

// AddAppPassword makes a further password, good for the protocols in scope (none:
// all), and returns it. It can't be shown again.
func (c *Client) AddAppPassword(ctx context.Context, address, name string, scope []string) (string, error) {
	var password string
	err := c.ask(ctx, "account.app_password.add", credentialArgument{Address: address, Name: name, Scope: scope}, &password)
	return password, err
}

// AppPasswords lists an account's further passwords by name.
func (c *Client) AppPasswords(ctx context.Context, address string) iter.Seq2[store.AppPassword, error] {
	return list[store.AppPassword](ctx, c, "account.app_password.list", credentialArgument{Address: address})
}

// RevokeAppPassword removes a further password.
func (c *Client) RevokeAppPassword(ctx context.Context, address, name string) error {
	return c.ask(ctx, "account.app_password.revoke", credentialArgument{Address: address, Name: name}, nil)
}

// SetLegacySecret gives an account a secret for CRAM-MD5 and APOP and returns
// it; if secret is empty, one that is made here.
func (c *Client) SetLegacySecret(ctx context.Context, address, secret string) (string, error) {
	var set string
	err := c.ask(ctx, "account.legacy_secret.set", credentialArgument{Address: address, Secret: secret}, &set)
	return set, err
}

// RemoveLegacySecret removes it.
func (c *Client) RemoveLegacySecret(ctx context.Context, address string) error {
	return c.ask(ctx, "account.legacy_secret.remove", credentialArgument{Address: address}, nil)
}

// Grant lets an account send as an address, or as any address of "@domain".
func (c *Client) Grant(ctx context.Context, address, as string) error {
	return c.ask(ctx, "account.grant", credentialArgument{Address: address, As: as}, nil)
}

// Ungrant takes that back.
func (c *Client) Ungrant(ctx context.Context, address, as string) error {
	return c.ask(ctx, "account.ungrant", credentialArgument{Address: address, As: as}, nil)
}

func appPasswordAdd(s *service, c *call, a credentialArgument) (any, error) {
	return s.directory.AddAppPassword(c, a.Address, a.Name, a.Scope)
}

func appPasswordList(s *service, c *call, a credentialArgument) (any, error) {
	all, err := s.directory.AppPasswords(c, a.Address)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if err := c.emit(p); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func appPasswordRevoke(s *service, c *call, a credentialArgument) (any, error) {
	return nil, s.directory.RevokeAppPassword(c, a.Address, a.Name)
}

func legacySecretSet(s *service, c *call, a credentialArgument) (any, error) {
	return s.directory.SetLegacySecret(c, a.Address, a.Secret)
}

func legacySecretRemove(s *service, c *call, a credentialArgument) (any, error) {
	return nil, s.directory.RemoveLegacySecret(c, a.Address)
}

func accountGrant(s *service, c *call, a credentialArgument) (any, error) {
	return nil, s.directory.Grant(c, a.Address, a.As)
}

func accountUngrant(s *service, c *call, a credentialArgument) (any, error) {
	return nil, s.directory.Ungrant(c, a.Address, a.As)
}
