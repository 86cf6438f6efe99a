package admin

import (
	"context"
	"iter"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

type aliasArgument struct {
	Address string   `json:"address"`
	Targets []string `json:"targets,omitempty"`
}

// AddAlias adds targets to an alias, which is made if it is not there, and
// returns all that it has now.
func (c *Client) AddAlias(ctx context.Context, address string, targets []string) ([]string, error) {
	var now []string
	err := c.ask(ctx, "alias.add", aliasArgument{address, targets}, &now)
	return now, err
}

// RemoveAlias takes targets from an alias and returns those that are left; with
// no targets it removes the alias.
func (c *Client) RemoveAlias(ctx context.Context, address string, targets []string) ([]string, error) {
	var left []string
	err := c.ask(ctx, "alias.remove", aliasArgument{address, targets}, &left)
	return left, err
}

// Aliases lists the aliases by address, of one domain if it is not empty.
func (c *Client) Aliases(ctx context.Context, domain string) iter.Seq2[store.Entry, error] {
	return list[store.Entry](ctx, c, "alias.list", domainArgument{domain})
}

func aliasAdd(s *service, c *call, a aliasArgument) (any, error) {
	if err := s.directory.AddAliasTargets(c, a.Address, a.Targets); err != nil {
		return nil, err
	}
	return s.targets(c, a.Address)
}

func aliasRemove(s *service, c *call, a aliasArgument) (any, error) {
	if len(a.Targets) == 0 {
		return nil, s.directory.RemoveAlias(c, a.Address)
	}
	if err := s.directory.RemoveAliasTargets(c, a.Address, a.Targets); err != nil {
		return nil, err
	}
	return s.targets(c, a.Address)
}

func aliasList(s *service, c *call, a domainArgument) (any, error) {
	return nil, emitAll(c, s.directory.Aliases(c, a.Domain), func(e store.Entry) any { return e })
}

// targets returns what an alias leads to, nothing when it is not there.
func (s *service) targets(c *call, address string) ([]string, error) {
	key, err := entryKey(address)
	if err != nil {
		return nil, fault.New(fault.Invalid, "look up alias "+address, err)
	}
	e, err := s.store.Entry(c, key)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return e.Targets, err
}

// entryKey returns the key of an address or of a catch-all, as the store has it.
func entryKey(address string) (string, error) {
	address = strings.TrimSpace(address)
	if domain, ok := strings.CutPrefix(address, "@"); ok {
		name, err := mail.ParseDomain(domain)
		return "@" + name, err
	}
	a, err := mail.ParseAddress(address)
	return a.Key(), err
}
