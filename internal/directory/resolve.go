package directory

import (
	"context"
	"slices"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// Limits of what one address may lead to.
const (
	MaxTargets    = 1000 // accounts of one address, and targets of one alias
	MaxAliasDepth = 16   // aliases that lead to aliases
	maxLookups    = 4 * MaxTargets
)

// Target is an account that an address leads to.
type Target struct {
	Account mail.AccountID
	// Address is the account's own: what Delivered-To says.
	Address mail.Address
	// Detail is the sub-address, "tag" of user+tag; empty without one.
	Detail string
	// Quota is what the account may hold, zero for no limit, and Octets what it
	// holds, with what is held for it until later.
	Quota, Octets int64
}

// Local reports whether a domain is one of ours.
func (d *Directory) Local(ctx context.Context, domain string) (bool, error) {
	name, err := mail.ParseDomain(domain)
	if err != nil {
		return false, nil
	}
	_, err = d.st.Domain(ctx, name)
	switch {
	case err == nil:
		return true, nil
	case fault.Is(err, fault.NotFound):
		return false, nil
	}
	return false, fault.Wrap("look up domain "+name, err)
}

// Resolve returns the accounts that an address leads to: that of the address as
// it is, else without its sub-address, else that of the domain's catch-all, else,
// for a postmaster, that of Options.Postmaster. Aliases are followed; no account
// is named twice.
//
// Denied: the domain is not local. NotFound: it is, but the address leads to
// nobody. Transient: it leads to more than the limits allow.
func (d *Directory) Resolve(ctx context.Context, a mail.Address) ([]Target, error) {
	return d.resolve(ctx, a, "")
}

// resolve is Resolve that follows the alias named avoid nowhere.
func (d *Directory) resolve(ctx context.Context, a mail.Address, avoid string) ([]Target, error) {
	w := walk{d: d, avoid: avoid}
	if err := w.visit(ctx, a, "", 0); err != nil {
		return nil, fault.Wrap("resolve "+a.String(), err)
	}
	if len(w.targets) == 0 {
		return nil, fault.Newf(fault.NotFound, "resolve "+a.String(), "the alias leads to nobody")
	}
	return w.targets, nil
}

// walk follows one address.
type walk struct {
	d       *Directory
	avoid   string // an alias that it would be a mistake to come to
	targets []Target
	seen    []string // keys of the aliases that it came to
	lookups int
}

// visit adds what an address leads to. Detail is the sub-address of the alias
// that named it.
func (w *walk) visit(ctx context.Context, a mail.Address, detail string, depth int) error {
	if w.lookups++; w.lookups > maxLookups || depth > MaxAliasDepth {
		return fault.Newf(fault.Transient, "follow aliases", "more than %d lookups or %d aliases deep", maxLookups, MaxAliasDepth)
	}
	e, tag, err := w.d.find(ctx, a)
	switch {
	case fault.Is(err, fault.NotFound) && isPostmaster(w.d.plain(a)):
		return w.postmaster(ctx, depth)
	case err != nil:
		return err
	}
	if tag == "" {
		tag = detail
	}
	if e.Account != 0 {
		return w.add(ctx, e.Account, tag)
	}
	return w.follow(ctx, e, tag, depth)
}

// follow visits an alias's targets; those that lead to nobody are passed over.
func (w *walk) follow(ctx context.Context, e store.Entry, detail string, depth int) error {
	if e.Address == w.avoid {
		return fault.Newf(fault.Invalid, "follow aliases", "it leads back to %s", w.avoid)
	}
	if slices.Contains(w.seen, e.Address) {
		return nil
	}
	w.seen = append(w.seen, e.Address)
	for _, target := range e.Targets {
		err := w.visitTarget(ctx, target, detail, depth+1)
		switch {
		case fault.Is(err, fault.NotFound), fault.Is(err, fault.Denied):
			w.d.o.Logger.Warn("an alias's target leads to nobody", "alias", e.Address, "target", target)
		case err != nil:
			return err
		}
	}
	return nil
}

func (w *walk) visitTarget(ctx context.Context, target, detail string, depth int) error {
	a, err := mail.ParseAddress(target)
	if err != nil {
		return fault.New(fault.NotFound, "follow aliases", err)
	}
	return w.visit(ctx, a, detail, depth)
}

// postmaster visits Options.Postmaster, once.
func (w *walk) postmaster(ctx context.Context, depth int) error {
	const mark = "postmaster"
	if w.d.postmaster.IsZero() || slices.Contains(w.seen, mark) {
		return fault.Newf(fault.NotFound, "follow postmaster", "there is none")
	}
	w.seen = append(w.seen, mark)
	err := w.visit(ctx, w.d.postmaster, "", depth+1)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
		w.d.o.Logger.Error("mail to the postmaster leads to nobody", "postmaster", w.d.o.Postmaster, "error", err)
		return fault.Newf(fault.NotFound, "follow postmaster", "it leads to nobody")
	}
	return err
}

// add adds an account, once.
func (w *walk) add(ctx context.Context, id mail.AccountID, detail string) error {
	if slices.ContainsFunc(w.targets, func(t Target) bool { return t.Account == id }) {
		return nil
	}
	account, err := w.d.st.Account(ctx, id)
	if err != nil {
		return err
	}
	if len(w.targets) == MaxTargets {
		return fault.Newf(fault.Transient, "follow aliases", "more than %d accounts", MaxTargets)
	}
	w.targets = append(w.targets, Target{
		Account: id,
		Address: fromKey(account.Address),
		Detail:  detail,
		Quota:   account.Quota,
		Octets:  account.Octets + account.HeldOctets,
	})
	return nil
}

// find returns the entry that an address comes to, without following it, and
// its sub-address if that was not part of the entry's name.
func (d *Directory) find(ctx context.Context, a mail.Address) (store.Entry, string, error) {
	if a.Domain == "" {
		return store.Entry{}, "", fault.Newf(fault.NotFound, "look up", "an address without a domain")
	}
	e, err := d.st.Entry(ctx, a.Key())
	if !fault.Is(err, fault.NotFound) {
		return e, "", err
	}
	if _, err := d.st.Domain(ctx, a.Domain); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = fault.Newf(fault.Denied, "look up", "%s is not a domain of ours", a.Domain)
		}
		return store.Entry{}, "", err
	}
	if plain := d.plain(a); plain != a {
		e, err := d.st.Entry(ctx, plain.Key())
		if !fault.Is(err, fault.NotFound) {
			return e, a.Local[len(plain.Local)+1:], err
		}
	}
	e, err = d.st.Entry(ctx, catchAll(a.Domain))
	return e, "", err
}

// plain returns an address without its sub-address.
func (d *Directory) plain(a mail.Address) mail.Address {
	if i := strings.IndexAny(a.Local, d.o.Delimiters); i > 0 {
		a.Local = a.Local[:i]
	}
	return a
}

func isPostmaster(a mail.Address) bool { return strings.EqualFold(a.Local, "postmaster") }
