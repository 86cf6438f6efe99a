package directory

import (
	"context"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// maxDomainsSearched is in how many domains a name without one is looked for.
const maxDomainsSearched = 100

// Expand returns the targets of an alias, named with its domain or without: the
// answer to EXPN (RFC 5321 §3.5). NotFound if there is none.
func (d *Directory) Expand(ctx context.Context, alias string) ([]mail.Address, error) {
	entries, err := d.named(ctx, alias)
	if err != nil {
		return nil, err
	}
	var all []mail.Address
	for _, e := range entries {
		for _, target := range e.Targets {
			if a, err := mail.ParseAddress(target); err == nil {
				all = append(all, a)
			}
		}
	}
	if len(all) == 0 {
		return nil, fault.Newf(fault.NotFound, "expand alias", "it is not an alias")
	}
	return all, nil
}

// Find returns the addresses of accounts and aliases that a string names, an
// address or a local part alone: the answer to VRFY (RFC 5321 §3.5). NotFound if
// there is none.
func (d *Directory) Find(ctx context.Context, who string) ([]mail.Address, error) {
	entries, err := d.named(ctx, who)
	if err != nil {
		return nil, err
	}
	var all []mail.Address
	for _, e := range entries {
		if !isCatchAll(e.Address) {
			all = append(all, fromKey(e.Address))
		}
	}
	if len(all) == 0 {
		return nil, fault.Newf(fault.NotFound, "find address", "only a catch-all takes it")
	}
	return all, nil
}

// named returns the entries that a string names.
func (d *Directory) named(ctx context.Context, who string) ([]store.Entry, error) {
	const op = "find address"
	who = strings.TrimSpace(who)
	if inner, ok := strings.CutPrefix(who, "<"); ok {
		who = strings.TrimSuffix(inner, ">")
	}
	if strings.Contains(who, "@") {
		a, err := mail.ParseAddress(who)
		if err != nil {
			return nil, fault.New(fault.Invalid, op, err)
		}
		e, _, err := d.find(ctx, a)
		if err != nil {
			return nil, fault.Wrap(op, err)
		}
		return []store.Entry{e}, nil
	}
	return d.namedAnywhere(ctx, who)
}

// namedAnywhere looks for a local part in the local domains.
func (d *Directory) namedAnywhere(ctx context.Context, local string) ([]store.Entry, error) {
	const op = "find address"
	var all []store.Entry
	searched := 0
	for domain, err := range d.st.Domains(ctx, "") {
		if err != nil {
			return nil, fault.Wrap(op, err)
		}
		if searched++; searched > maxDomainsSearched {
			break
		}
		a, err := mail.ParseAddress(local + "@" + domain.Name)
		if err != nil {
			return nil, fault.New(fault.Invalid, op, err)
		}
		e, err := d.st.Entry(ctx, a.Key())
		switch {
		case err == nil:
			all = append(all, e)
		case !fault.Is(err, fault.NotFound):
			return nil, fault.Wrap(op, err)
		}
	}
	if len(all) == 0 {
		return nil, fault.New(fault.NotFound, op, nil)
	}
	return all, nil
}
