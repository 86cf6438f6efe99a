package pebblestore

import (
	"context"
	"encoding/binary"
	"iter"
	"slices"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

func appendDomain(b []byte, d *store.Domain) []byte {
	return binary.AppendVarint(b, d.Created.Unix())
}

func decodeDomain(name string, v []byte) (store.Domain, error) {
	r := valueReader{b: v}
	return store.Domain{Name: name, Created: r.time()}, r.err
}

// An entry's value is the account, or zero and the targets.
func appendEntry(b []byte, e *store.Entry) []byte {
	b = binary.AppendUvarint(b, uint64(e.Account))
	if e.Account != 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(e.Targets)))
	for _, t := range e.Targets {
		b = appendText(b, t)
	}
	return b
}

func decodeEntry(address string, v []byte) (store.Entry, error) {
	r := valueReader{b: v}
	e := store.Entry{Address: address, Account: mail.AccountID(r.uint())}
	if e.Account != 0 || r.err != nil {
		return e, r.err
	}
	n := r.uint()
	if n > uint64(len(r.b)) {
		return e, errValue
	}
	e.Targets = make([]string, n)
	for i := range e.Targets {
		e.Targets[i] = r.text()
	}
	return e, r.err
}

// domainOf returns the domain of an address, empty if it has none.
func domainOf(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return address[i+1:]
	}
	return ""
}

// Domain implements store.Directory.
func (s *Store) Domain(ctx context.Context, name string) (store.Domain, error) {
	if err := s.enter(ctx, "domain"); err != nil {
		return store.Domain{}, err
	}
	defer s.gate.leave()
	d, generation, ok := s.directory.domains.get(name)
	if ok {
		return d, nil
	}
	name = strings.Clone(name) // what it was cut from is not kept
	d, err := findDomain(s.db, name)
	if err != nil {
		return d, fault.Wrap("domain "+name, err)
	}
	s.directory.domains.put(name, d, generation)
	return d, nil
}

func findDomain(from getter, name string) (store.Domain, error) {
	v, err := lookUp(from, domainKey(name))
	if err != nil {
		return store.Domain{}, err
	}
	defer v.Close()
	d, err := decodeDomain(name, v.b)
	if err != nil {
		return store.Domain{}, fault.New(fault.Corrupt, "domain", err)
	}
	return d, nil
}

// Entry implements store.Directory.
func (s *Store) Entry(ctx context.Context, address string) (store.Entry, error) {
	if err := s.enter(ctx, "address"); err != nil {
		return store.Entry{}, err
	}
	defer s.gate.leave()
	e, generation, ok := s.directory.entries.get(address)
	if ok {
		e.Targets = slices.Clone(e.Targets) // the caller's
		return e, nil
	}
	address = strings.Clone(address) // what it was cut from is not kept
	e, err := findEntry(s.db, address)
	if err != nil {
		return e, fault.Wrap("address "+address, err)
	}
	if len(e.Targets) <= maxTargetsCached {
		s.directory.entries.put(address, e, generation)
		e.Targets = slices.Clone(e.Targets)
	}
	return e, nil
}

func findEntry(from getter, address string) (store.Entry, error) {
	v, err := lookUp(from, entryKey(address))
	if err != nil {
		return store.Entry{}, err
	}
	defer v.Close()
	e, err := decodeEntry(address, v.b)
	if err != nil {
		return store.Entry{}, fault.New(fault.Corrupt, "address", err)
	}
	return e, nil
}

// Account implements store.Directory.
func (s *Store) Account(ctx context.Context, id mail.AccountID) (store.Account, error) {
	if err := s.enter(ctx, "account"); err != nil {
		return store.Account{}, err
	}
	defer s.gate.leave()
	a, err := s.account(id)
	if err != nil {
		return a, fault.Newf(fault.KindOf(err), "account", "number %d: %w", id, err)
	}
	return a, nil
}

// account returns an account with its usage, which is always that of the index.
func (s *Store) account(id mail.AccountID) (store.Account, error) {
	a, generation, ok := s.directory.accounts.get(id)
	if !ok {
		var err error
		if a, err = findAccount(s.db, id); err != nil {
			return a, err
		}
		s.directory.accounts.put(id, a, generation)
	}
	a = cloneAccount(a) // the caller's
	u, err := findUsage(s.db, id)
	if err != nil {
		return store.Account{}, err
	}
	a.Messages, a.Octets, a.HeldOctets = u.messages, u.octets, u.held
	return a, nil
}

// findAccount returns an account without its usage.
func findAccount(from getter, id mail.AccountID) (store.Account, error) {
	var key keyBuf
	v, err := lookUp(from, key.account(id))
	if err != nil {
		return store.Account{}, err
	}
	defer v.Close()
	a, err := decodeAccount(id, v.b)
	if err != nil {
		return store.Account{}, fault.New(fault.Corrupt, "account", err)
	}
	return a, nil
}

func findUsage(from getter, id mail.AccountID) (usage, error) {
	var key keyBuf
	v, err := lookUp(from, key.usage(id))
	if err != nil {
		return usage{}, err
	}
	defer v.Close()
	u, err := decodeUsage(id, v.b)
	if err != nil {
		return u, fault.New(fault.Corrupt, "account", err)
	}
	return u, nil
}

// Domains implements store.Directory.
func (s *Store) Domains(ctx context.Context, after string) iter.Seq2[store.Domain, error] {
	return func(yield func(store.Domain, error) bool) {
		err := s.names(ctx, "list domains", domainKey(""), domainKey(after), func(name string, v []byte) bool {
			d, err := decodeDomain(name, v)
			return yield(d, corruptName("domain ", name, err))
		})
		if err != nil {
			yield(store.Domain{}, err)
		}
	}
}

func corruptName(what, name string, err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Corrupt, what+name, err)
}

// names calls f with the names in a table that come after the key given (all
// when that is just the table), and their values, until it returns false.
func (s *Store) names(ctx context.Context, op string, table, from []byte, f func(name string, v []byte) bool) error {
	if err := s.enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.leave()
	if len(from) > len(table) {
		from = append(from, 0) // the least key after it
	}
	it, err := span(s.db, from, after(table))
	if err != nil {
		return fault.Wrap(op, err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return fault.New(fault.Transient, op, err)
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return indexFault(op, err)
		}
		if !f(string(it.Key()[len(table):]), v) {
			return nil
		}
	}
	return indexFault(op, it.Error())
}

// Entries implements store.Directory.
func (s *Store) Entries(ctx context.Context, domain, after string) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		const op = "list addresses"
		table, from := entryKey(""), entryKey(after)
		if domain != "" {
			table, from = inKey(domain, ""), inKey(domain, after)
		}
		err := s.names(ctx, op, table, from, func(name string, v []byte) bool {
			if domain == "" {
				e, err := decodeEntry(name, v)
				return yield(e, corruptName("address ", name, err))
			}
			e, err := findEntry(s.db, name)
			if fault.Is(err, fault.NotFound) {
				return true // removed since the listing began
			}
			return yield(e, fault.Wrap("address "+name, err))
		})
		if err != nil {
			yield(store.Entry{}, err)
		}
	}
}

// Accounts implements store.Directory.
func (s *Store) Accounts(ctx context.Context, domain, after string) iter.Seq2[store.Account, error] {
	return func(yield func(store.Account, error) bool) {
		for e, err := range s.Entries(ctx, domain, after) {
			if err != nil {
				yield(store.Account{}, err)
				return
			}
			if e.Account == 0 {
				continue
			}
			a, err := s.Account(ctx, e.Account)
			if fault.Is(err, fault.NotFound) {
				continue // removed since the listing began
			}
			if !yield(a, err) {
				return
			}
		}
	}
}
