package admin

import (
	"context"
	"iter"

	"postrider/internal/dkim"
)

// dkimArgument names keys of a domain. Name is what new selectors begin with.
type dkimArgument struct {
	Domain    string   `json:"domain"`
	Name      string   `json:"name,omitempty"`
	Selectors []string `json:"selectors,omitempty"`
}

// keyArgument names one key.
type keyArgument struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector"`
}

// GenerateKeys makes a pending DKIM key of each algorithm. Name is what their
// selectors begin with; empty: one made of the month.
func (c *Client) GenerateKeys(ctx context.Context, domain, name string) ([]dkim.Key, error) {
	var made []dkim.Key
	err := c.ask(ctx, "dkim.generate", dkimArgument{Domain: domain, Name: name}, &made)
	return made, err
}

// RotateKeys makes the next pair of DKIM keys for a domain that signs.
func (c *Client) RotateKeys(ctx context.Context, domain string) ([]dkim.Key, error) {
	var made []dkim.Key
	err := c.ask(ctx, "dkim.rotate", dkimArgument{Domain: domain}, &made)
	return made, err
}

// Keys lists the DKIM keys of a domain, or all if it is empty, without their secrets.
func (c *Client) Keys(ctx context.Context, domain string) iter.Seq2[dkim.Key, error] {
	return list[dkim.Key](ctx, c, "dkim.list", dkimArgument{Domain: domain})
}

// ActivateKeys lets DKIM keys sign: those selected, or all that are pending.
func (c *Client) ActivateKeys(ctx context.Context, domain string, selectors ...string) ([]dkim.Key, error) {
	var now []dkim.Key
	err := c.ask(ctx, "dkim.activate", dkimArgument{Domain: domain, Selectors: selectors}, &now)
	return now, err
}

// RetireKey lets a DKIM key sign no more.
func (c *Client) RetireKey(ctx context.Context, domain, selector string) error {
	return c.ask(ctx, "dkim.retire", keyArgument{domain, selector}, nil)
}

// RemoveKey removes a DKIM key that does not sign for good.
func (c *Client) RemoveKey(ctx context.Context, domain, selector string) error {
	return c.ask(ctx, "dkim.remove", keyArgument{domain, selector}, nil)
}

func dkimGenerate(s *service, c *call, a dkimArgument) (any, error) {
	return result(s.keys.Generate(c, a.Domain, a.Name))
}

func dkimRotate(s *service, c *call, a dkimArgument) (any, error) {
	return result(s.keys.Rotate(c, a.Domain))
}

func dkimActivate(s *service, c *call, a dkimArgument) (any, error) {
	return result(s.keys.Activate(c, a.Domain, a.Selectors...))
}

// result is a list of keys as a procedure returns it.
func result(keys []dkim.Key, err error) (any, error) { return keys, err }

// dkimList lists what can be read; what can't hides no other.
func dkimList(s *service, c *call, a dkimArgument) (any, error) {
	var unread error
	for key, err := range s.keys.List(c, a.Domain) {
		if err != nil {
			unread = err
			continue
		}
		if err := c.emit(key); err != nil {
			return nil, err
		}
	}
	return nil, unread
}

func dkimRetire(s *service, c *call, a keyArgument) (any, error) {
	return nil, s.keys.Retire(c, a.Domain, a.Selector)
}

func dkimRemove(s *service, c *call, a keyArgument) (any, error) {
	return nil, s.keys.Remove(c, a.Domain, a.Selector)
}
