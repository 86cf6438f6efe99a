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
	MaxTargets    = 1000 // accounts and addresses elsewhere of one address, and targets of one alias
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

// Route is where an address leads: to one account or address elsewhere at least.
type Route struct {
	// Targets are accounts here, none named twice.
	Targets []Target
	// Remote are addresses at other hosts, none named twice.
	Remote []Remote
	// Split says that an alias with several targets was on the way.
	Split bool
}

// Remote is an address at another host that an alias leads to.
type Remote struct {
	Address mail.Address
	// Via is the alias that names it.
	Via mail.Address
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

// Resolve returns where an address leads: that of the address as it is, else
// without its sub-address, else that of the domain's catch-all, else, for a
// postmaster, that of Options.Postmaster. Aliases are followed, to other hosts
// too, but not from a catch-all: whatever anybody sends to any address would go
// there, and what is refused there would come back to senders who sent nothing.
//
// Denied: the domain is not local. NotFound: it is, but the address leads to
// nobody. Transient: it leads to more than the limits allow.
func (d *Directory) Resolve(ctx context.Context, a mail.Address) (Route, error) {
	return d.resolve(ctx, a, "")
}

// resolve is Resolve that follows the alias named avoid nowhere.
func (d *Directory) resolve(ctx context.Context, a mail.Address, avoid string) (Route, error) {
	w := walk{d: d, avoid: avoid}
	if err := w.visit(ctx, a, step{}); err != nil {
		return Route{}, fault.Wrap("resolve "+a.String(), err)
	}
	if w.size() == 0 {
		return Route{}, fault.Newf(fault.NotFound, "resolve "+a.String(), "the alias leads to nobody")
	}
	return w.Route, nil
}

// walk follows one address.
type walk struct {
	Route
	d       *Directory
	avoid   string   // an alias that it would be a mistake to come to
	seen    []string // keys of the aliases that it came to
	lookups int
}

// size is how many ends it has come to.
func (w *walk) size() int { return len(w.Targets) + len(w.Remote) }

// step is how the walk came to an address.
type step struct {
	detail string // the sub-address of the alias that named it
	depth  int
	any    bool // a catch-all is on the way
}

// visit adds what an address leads to.
func (w *walk) visit(ctx context.Context, a mail.Address, s step) error {
	if w.lookups++; w.lookups > maxLookups || s.depth > MaxAliasDepth {
		return fault.Newf(fault.Transient, "follow aliases", "more than %d lookups or %d aliases deep", maxLookups, MaxAliasDepth)
	}
	e, tag, err := w.d.find(ctx, a)
	switch {
	case fault.Is(err, fault.NotFound) && isPostmaster(w.d.plain(a)):
		return w.postmaster(ctx, s)
	case err != nil:
		return err
	}
	if tag != "" {
		s.detail = tag
	}
	if e.Account != 0 {
		return w.add(ctx, e.Account, s.detail)
	}
	return w.follow(ctx, e, s)
}

// follow visits an alias's targets; those that lead to nobody are passed over.
func (w *walk) follow(ctx context.Context, e store.Entry, s step) error {
	if e.Address == w.avoid {
		return fault.Newf(fault.Invalid, "follow aliases", "it leads back to %s", w.avoid)
	}
	if slices.Contains(w.seen, e.Address) {
		return nil
	}
	w.seen = append(w.seen, e.Address)
	w.Split = w.Split || len(e.Targets) > 1
	s.depth++
	s.any = s.any || isCatchAll(e.Address)
	for _, target := range e.Targets {
		a, err := mail.ParseAddress(target)
		if err != nil {
			err = fault.New(fault.NotFound, "follow aliases", err)
		} else {
			err = w.visit(ctx, a, s)
		}
		if fault.Is(err, fault.Denied) && !s.any { // it is not ours
			err = w.addRemote(a, fromKey(e.Address))
		}
		switch {
		case fault.Is(err, fault.NotFound), fault.Is(err, fault.Denied):
			w.d.o.Logger.Warn("an alias's target leads to nobody", "alias", e.Address, "target", target)
		case err != nil:
			return err
		}
	}
	return nil
}

// addRemote adds an address at another host, once.
func (w *walk) addRemote(a, via mail.Address) error {
	if slices.ContainsFunc(w.Remote, func(r Remote) bool { return r.Address.Key() == a.Key() }) {
		return nil
	}
	if w.size() == MaxTargets {
		return errTooMany
	}
	w.Remote = append(w.Remote, Remote{Address: a, Via: via})
	return nil
}

var errTooMany = fault.Newf(fault.Transient, "follow aliases", "more than %d accounts and addresses elsewhere", MaxTargets)

// postmaster visits Options.Postmaster, once.
func (w *walk) postmaster(ctx context.Context, s step) error {
	const mark = "postmaster"
	if w.d.postmaster.IsZero() || slices.Contains(w.seen, mark) {
		return fault.Newf(fault.NotFound, "follow postmaster", "there is none")
	}
	w.seen = append(w.seen, mark)
	err := w.visit(ctx, w.d.postmaster, step{depth: s.depth + 1})
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
		w.d.o.Logger.Error("mail to the postmaster leads to nobody", "postmaster", w.d.o.Postmaster, "error", err)
		return fault.Newf(fault.NotFound, "follow postmaster", "it leads to nobody")
	}
	return err
}

// add adds an account, once.
func (w *walk) add(ctx context.Context, id mail.AccountID, detail string) error {
	if slices.ContainsFunc(w.Targets, func(t Target) bool { return t.Account == id }) {
		return nil
	}
	account, err := w.d.st.Account(ctx, id)
	if err != nil {
		return err
	}
	if w.size() == MaxTargets {
		return errTooMany
	}
	w.Targets = append(w.Targets, Target{
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
