package admin

import (
	"context"
	"iter"

	"postrider/internal/store"
)

// domainArgument names a domain; in lists, empty is all.
type domainArgument struct {
	Domain string `json:"domain"`
}

// AddDomain makes a domain local.
func (c *Client) AddDomain(ctx context.Context, domain string) error {
	return c.ask(ctx, "domain.add", domainArgument{domain}, nil)
}

// RemoveDomain removes a domain; Exists when it still has accounts or aliases.
func (c *Client) RemoveDomain(ctx context.Context, domain string) error {
	return c.ask(ctx, "domain.remove", domainArgument{domain}, nil)
}

// Domains lists the domains by name.
func (c *Client) Domains(ctx context.Context) iter.Seq2[store.Domain, error] {
	return list[store.Domain](ctx, c, "domain.list", struct{}{})
}

func domainAdd(s *service, c *call, a domainArgument) (any, error) {
	return nil, s.directory.AddDomain(c, a.Domain)
}

func domainRemove(s *service, c *call, a domainArgument) (any, error) {
	return nil, s.directory.RemoveDomain(c, a.Domain)
}

func domainList(s *service, c *call, _ struct{}) (any, error) {
	return nil, emitAll(c, s.directory.Domains(c), func(d store.Domain) any { return d })
}

// emitAll sends the items of a list.
func emitAll[T any](c *call, items iter.Seq2[T, error], convert func(T) any) error {
	for item, err := range items {
		if err == nil {
			err = c.emit(convert(item))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
