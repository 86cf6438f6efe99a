package directory

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

var errRemote = errors.New("a catch-all can't lead to other hosts: all that is sent to addresses nobody has would be passed on, and what is refused there would be returned to forged senders")

// SetAlias makes an alias or changes its targets. "@domain" is the catch-all.
//
// Every target must lead to an account now or to another host, and none back to
// the alias. Exists: the address is an account's. NotFound: the alias's domain is
// not local, or a target leads to nobody. Invalid: an address that can't be, a
// loop, or a catch-all that would lead to another host. TooLarge: more than
// MaxTargets.
func (d *Directory) SetAlias(ctx context.Context, address string, targets []string) error {
	return d.editAlias(ctx, "set alias ", address, func([]string) []string { return targets })
}

// AddAliasTargets adds targets to an alias, which is made if it is not there.
// Targets that it has already are no error. Otherwise it is SetAlias.
func (d *Directory) AddAliasTargets(ctx context.Context, address string, targets []string) error {
	return d.editAlias(ctx, "add to alias ", address, func(old []string) []string { return slices.Concat(old, targets) })
}

// RemoveAliasTargets takes targets from an alias, and removes it when none is
// left. NotFound if the alias or one of the targets is not there.
func (d *Directory) RemoveAliasTargets(ctx context.Context, address string, targets []string) error {
	op := "remove from alias " + clip(address)
	key, err := aliasKey(address)
	if err != nil {
		return fault.New(fault.Invalid, op, err)
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	left, err := d.aliasTargets(ctx, key)
	if err != nil {
		return fault.Wrap(op, err)
	}
	if left == nil {
		return fault.New(fault.NotFound, op, nil)
	}
	for _, t := range targets {
		a, err := mail.ParseAddress(t)
		if err != nil {
			return fault.New(fault.Invalid, op, err)
		}
		before := len(left)
		left = slices.DeleteFunc(left, func(have string) bool { return targetKey(have) == a.Key() })
		if len(left) == before {
			return fault.Newf(fault.NotFound, op, "it has no target %s", a)
		}
	}
	var change store.Change = store.PutAlias{Address: key, Targets: left}
	if len(left) == 0 {
		change = store.RemoveAlias{Address: key}
	}
	_, err = d.st.Change(ctx, change)
	return fault.Wrap(op, err)
}

// RemoveAlias removes an alias; NotFound if there is none.
func (d *Directory) RemoveAlias(ctx context.Context, address string) error {
	op := "remove alias " + clip(address)
	key, err := aliasKey(address)
	if err != nil {
		return fault.New(fault.Invalid, op, err)
	}
	return d.change(ctx, store.RemoveAlias{Address: key})
}

// Aliases lists aliases by address: a domain's, or all if it is empty.
func (d *Directory) Aliases(ctx context.Context, domain string) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		name, err := domainFilter(domain)
		if err != nil {
			yield(store.Entry{}, err)
			return
		}
		for e, err := range d.st.Entries(ctx, name, "") {
			if err == nil && e.Account != 0 {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// editAlias replaces an alias's targets by what edit makes of them.
func (d *Directory) editAlias(ctx context.Context, op, address string, edit func(old []string) []string) error {
	op += clip(address)
	key, err := aliasKey(address)
	if err != nil {
		return fault.New(fault.Invalid, op, err)
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	old, err := d.aliasTargets(ctx, key)
	if err != nil {
		return fault.Wrap(op, err)
	}
	targets, err := d.checkTargets(ctx, key, old, edit(old))
	if err != nil {
		return fault.Wrap(op, err)
	}
	_, err = d.st.Change(ctx, store.PutAlias{Address: key, Targets: targets})
	return fault.Wrap(op, err)
}

// aliasTargets returns the targets of an alias, nil if there is none.
func (d *Directory) aliasTargets(ctx context.Context, key string) ([]string, error) {
	if _, err := d.st.Domain(ctx, fromKey(key).Domain); err != nil {
		return nil, err
	}
	e, err := d.st.Entry(ctx, key)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case e.Account != 0:
		return nil, fault.Newf(fault.Exists, "look up", "the address is an account's")
	}
	return e.Targets, nil
}

// checkTargets returns targets as they are kept: each once, as addresses. Those
// that the alias had before are not asked again where they lead.
func (d *Directory) checkTargets(ctx context.Context, key string, old, targets []string) ([]string, error) {
	const op = "check targets"
	var kept []string
	for _, t := range targets {
		a, err := mail.ParseAddress(t)
		if err != nil {
			return nil, fault.Newf(fault.Invalid, op, "%s: %w", clip(t), err)
		}
		if slices.ContainsFunc(kept, func(have string) bool { return targetKey(have) == a.Key() }) {
			continue
		}
		if len(kept) == MaxTargets {
			return nil, fault.Newf(fault.TooLarge, op, "more than %d targets", MaxTargets)
		}
		if !slices.Contains(old, a.String()) {
			if err := d.checkTarget(ctx, key, a); err != nil {
				return nil, err
			}
		}
		kept = append(kept, a.String())
	}
	if len(kept) == 0 {
		return nil, fault.Newf(fault.Invalid, op, "an alias needs a target")
	}
	return kept, nil
}

// checkTarget resolves a target, and must not come back to the alias itself.
func (d *Directory) checkTarget(ctx context.Context, key string, a mail.Address) error {
	op := "target " + a.String()
	e, _, err := d.find(ctx, a)
	switch {
	case fault.Is(err, fault.Denied) && isCatchAll(key):
		return fault.New(fault.Invalid, op, errRemote)
	case fault.Is(err, fault.Denied):
		return nil
	case a.Key() == key, err == nil && e.Address == key:
		return fault.Newf(fault.Invalid, op, "the alias would lead to itself")
	}
	route, err := d.resolve(ctx, a, key)
	if err == nil && isCatchAll(key) && len(route.Remote) > 0 {
		err = fault.New(fault.Invalid, op, errRemote)
	}
	return fault.Wrap(op, err)
}

// aliasKey is the key of an alias's address, or of a catch-all "@domain".
func aliasKey(address string) (string, error) {
	address = strings.TrimSpace(address)
	if domain, ok := strings.CutPrefix(address, "@"); ok {
		name, err := domainName(domain)
		return catchAll(name), err
	}
	a, err := mail.ParseAddress(address)
	return a.Key(), err
}

// targetKey is the key of a kept target.
func targetKey(target string) string {
	a, err := mail.ParseAddress(target)
	if err != nil {
		return target
	}
	return a.Key()
}
