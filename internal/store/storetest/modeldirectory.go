package storetest

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// Domain implements store.Directory.
func (m *Model) Domain(ctx context.Context, name string) (store.Domain, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, OpLookup); err != nil {
		return store.Domain{}, err
	}
	d, ok := m.domains[name]
	if !ok {
		return store.Domain{}, fault.New(fault.NotFound, "look up domain "+name, nil)
	}
	return d, nil
}

// Entry implements store.Directory.
func (m *Model) Entry(ctx context.Context, address string) (store.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, OpLookup); err != nil {
		return store.Entry{}, err
	}
	e, ok := m.entries[address]
	if !ok {
		return store.Entry{}, fault.New(fault.NotFound, "look up "+address, nil)
	}
	return cloneEntry(e), nil
}

// Account implements store.Directory.
func (m *Model) Account(ctx context.Context, id mail.AccountID) (store.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx, OpLookup); err != nil {
		return store.Account{}, err
	}
	a, err := m.account("look up account", id)
	if err != nil {
		return store.Account{}, err
	}
	return cloneAccount(a.Account), nil
}

// Domains implements store.Directory.
func (m *Model) Domains(ctx context.Context, after string) iter.Seq2[store.Domain, error] {
	return list(m, ctx, "list domains", func() []store.Domain {
		return sorted(maps.Values(m.domains), func(d store.Domain) string { return d.Name }, "", after)
	})
}

// Entries implements store.Directory.
func (m *Model) Entries(ctx context.Context, domain, after string) iter.Seq2[store.Entry, error] {
	return list(m, ctx, "list entries", func() []store.Entry {
		all := sorted(maps.Values(m.entries), func(e store.Entry) string { return e.Address }, domain, after)
		for i := range all {
			all[i] = cloneEntry(all[i])
		}
		return all
	})
}

// Accounts implements store.Directory.
func (m *Model) Accounts(ctx context.Context, domain, after string) iter.Seq2[store.Account, error] {
	return list(m, ctx, "list accounts", func() []store.Account {
		var all []store.Account
		for _, a := range m.accounts {
			all = append(all, cloneAccount(a.Account))
		}
		return sorted(slices.Values(all), func(a store.Account) string { return a.Address }, domain, after)
	})
}

// list gives what collect returns, which is called with the lock held; the
// lock is not held while the caller goes through the list.
func list[T any](m *Model, ctx context.Context, op string, collect func() []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		m.mu.Lock()
		err := m.begin(ctx, Op(op))
		var all []T
		if err == nil {
			all = collect()
		}
		m.mu.Unlock()
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// sorted returns the values by ascending name: those after a name, and of one
// domain if it is not empty.
func sorted[T any](values iter.Seq[T], name func(T) string, domain, after string) []T {
	var out []T
	for v := range values {
		if name(v) > after && (domain == "" || domainOf(name(v)) == domain) {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
	return out
}

// domainOf returns what follows the last @ of an address.
func domainOf(address string) string {
	return address[strings.LastIndexByte(address, '@')+1:]
}

// cloneAccount returns a copy that shares nothing. Times are kept to the second.
func cloneAccount(a store.Account) store.Account {
	a.AppPasswords = slices.Clone(a.AppPasswords)
	for i := range a.AppPasswords {
		p := &a.AppPasswords[i]
		p.Scope, p.Hash = slices.Clone(p.Scope), bytes.Clone(p.Hash)
		p.Created, p.Used = p.Created.Truncate(time.Second), p.Used.Truncate(time.Second)
	}
	a.LegacySecret = bytes.Clone(a.LegacySecret)
	a.Grants = slices.Clone(a.Grants)
	return a
}

func cloneEntry(e store.Entry) store.Entry {
	e.Targets = slices.Clone(e.Targets)
	return e
}

// Change implements store.Directory. The changes are made one after another on
// the store itself, and undone when one can't be made.
func (m *Model) Change(ctx context.Context, changes ...store.Change) ([]mail.AccountID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.beginChange(ctx, OpChange); err != nil {
		return nil, err
	}
	domains, entries, accounts, held := maps.Clone(m.domains), maps.Clone(m.entries), maps.Clone(m.accounts), maps.Clone(m.held)
	lastAccount, lastValidity := m.lastAccount, m.lastValidity
	var made []mail.AccountID
	for i, c := range changes {
		id, err := m.change(c)
		if err != nil {
			m.domains, m.entries, m.accounts, m.held = domains, entries, accounts, held
			m.lastAccount, m.lastValidity = lastAccount, lastValidity
			return nil, &store.ChangeError{Index: i, Err: err}
		}
		if id != 0 {
			made = append(made, id)
		}
	}
	m.endLeasesOfRemoved(accounts)
	return made, m.answer(OpChange)
}

// change makes one change and returns the ID of the account that it made. It
// replaces records and never alters them, for Change to be able to go back.
func (m *Model) change(c store.Change) (mail.AccountID, error) {
	switch c := c.(type) {
	case store.PutDomain:
		return 0, m.putDomain(c)
	case store.RemoveDomain:
		return 0, m.removeDomain(c)
	case store.PutAccount:
		if c.New {
			return m.newAccount(c.Account)
		}
		return 0, m.putAccount(c)
	case store.RemoveAccount:
		a, err := m.account("remove account", c.ID)
		if err != nil {
			return 0, err
		}
		delete(m.entries, a.Address)
		delete(m.accounts, c.ID)
		m.dropHeldOf(c.ID)
		return 0, nil
	case store.PutAlias:
		return 0, m.putAlias(c)
	case store.RemoveAlias:
		if e, ok := m.entries[c.Address]; !ok || e.Account != 0 {
			return 0, fault.Newf(fault.NotFound, "remove alias", "no alias %s", c.Address)
		}
		delete(m.entries, c.Address)
		return 0, nil
	}
	return 0, fault.Newf(fault.Invalid, "change", "unknown change %T", c)
}

func (m *Model) putDomain(c store.PutDomain) error {
	if _, ok := m.domains[c.Domain.Name]; ok {
		return fault.New(fault.Exists, "make domain "+c.Domain.Name, nil)
	}
	m.domains[c.Domain.Name] = c.Domain
	return nil
}

func (m *Model) removeDomain(c store.RemoveDomain) error {
	op := "remove domain " + c.Name
	if _, ok := m.domains[c.Name]; !ok {
		return fault.New(fault.NotFound, op, nil)
	}
	for address := range m.entries {
		if domainOf(address) == c.Name {
			return fault.Newf(fault.Exists, op, "it still has %s", address)
		}
	}
	delete(m.domains, c.Name)
	return nil
}

func (m *Model) newAccount(a store.Account) (mail.AccountID, error) {
	op := "make account " + a.Address
	if err := m.needDomain(op, a.Address); err != nil {
		return 0, err
	}
	if _, ok := m.entries[a.Address]; ok {
		return 0, fault.New(fault.Exists, op, nil)
	}
	m.lastAccount++
	a = cloneAccount(a)
	a.ID, a.Messages, a.Octets, a.HeldOctets, a.Version = m.lastAccount, 0, 0, 0, 1
	made := &account{Account: a, boxes: map[mail.MailboxID]*mailbox{}}
	m.accounts[a.ID] = made
	m.entries[a.Address] = store.Entry{Address: a.Address, Account: a.ID}
	m.makeMailbox(made, "INBOX")
	return a.ID, nil
}

func (m *Model) putAccount(c store.PutAccount) error {
	const op = "change account"
	old, err := m.account(op, c.Account.ID)
	if err != nil {
		return err
	}
	if c.IfVersion != 0 && c.IfVersion != old.Version {
		return fault.Newf(fault.Denied, op, "the account has been changed: its version is %d, not %d", old.Version, c.IfVersion)
	}
	to := cloneAccount(c.Account)
	changed := *old
	changed.Password, changed.SCRAM, changed.AppPasswords = to.Password, to.SCRAM, to.AppPasswords
	changed.LegacySecret, changed.Grants = to.LegacySecret, to.Grants
	changed.Disabled, changed.Quota = to.Disabled, to.Quota
	changed.Version++
	m.accounts[c.Account.ID] = &changed
	return nil
}

func (m *Model) putAlias(c store.PutAlias) error {
	op := "make alias " + c.Address
	if err := m.needDomain(op, c.Address); err != nil {
		return err
	}
	if e, ok := m.entries[c.Address]; ok && e.Account != 0 {
		return fault.Newf(fault.Exists, op, "it is an account's")
	}
	m.entries[c.Address] = cloneEntry(store.Entry{Address: c.Address, Targets: c.Targets})
	return nil
}

func (m *Model) needDomain(op, address string) error {
	if _, ok := m.domains[domainOf(address)]; !ok || !strings.Contains(address, "@") {
		return fault.Newf(fault.NotFound, op, "no domain %s", domainOf(address))
	}
	return nil
}

// endLeasesOfRemoved ends the leases on maildrops whose accounts were in
// before and are not there any more.
func (m *Model) endLeasesOfRemoved(before map[mail.AccountID]*account) {
	for id, a := range before {
		if _, ok := m.accounts[id]; ok {
			continue
		}
		a.endLeases()
		m.wake(id)
	}
}
