package pebblestore

import (
	"context"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// directoryChange is a Change on its way through the committer. Its changes are
// made one after the other on top of the index, in memory; when all could be
// made they go into the commit.
type directoryChange struct {
	changes []store.Change
	now     time.Time
	ids     []mail.AccountID

	t       *tx
	puts    map[string][]byte // key to value; nil: deleted
	order   []string          // of the keys in puts
	members map[string]int    // change of the number of addresses by domain
	born    []store.Account
	gone    []mail.AccountID
	numbers numbers
}

// Change implements store.Directory.
func (s *Store) Change(ctx context.Context, changes ...store.Change) ([]mail.AccountID, error) {
	const op = "change directory"
	if err := s.enter(ctx, op); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	d := &directoryChange{changes: changes, now: s.o.Now()}
	if err := s.directory.change(func() error { return s.do(d) }); err != nil {
		return nil, err
	}
	return d.ids, nil
}

func (d *directoryChange) alone() bool { return true }

// prepare implements operation.
func (d *directoryChange) prepare(t *tx) error {
	*d = directoryChange{changes: d.changes, now: d.now, t: t, puts: make(map[string][]byte), members: make(map[string]int)}
	var err error
	if d.numbers, err = t.numbers(); err != nil {
		return err
	}
	for i, c := range d.changes {
		if err := d.one(c); err != nil {
			return &store.ChangeError{Index: i, Err: err}
		}
	}
	return d.emit()
}

func (d *directoryChange) one(c store.Change) error {
	switch c := c.(type) {
	case store.PutDomain:
		return d.putDomain(c)
	case store.RemoveDomain:
		return d.removeDomain(c)
	case store.PutAccount:
		if c.New {
			return d.newAccount(c)
		}
		return d.putAccount(c)
	case store.RemoveAccount:
		return d.removeAccount(c)
	case store.PutAlias:
		return d.putAlias(c)
	case store.RemoveAlias:
		return d.removeAlias(c)
	}
	return fault.Newf(fault.Invalid, "change directory", "unknown change %T", c)
}

// get returns a value as the changes so far leave it, nil if there is none. It
// is the caller's.
func (d *directoryChange) get(key []byte) ([]byte, error) {
	if v, ok := d.puts[string(key)]; ok {
		return v, nil
	}
	v, err := d.t.s.get(key)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer v.Close()
	return append([]byte{}, v.b...), nil
}

// put sets a value; nil deletes.
func (d *directoryChange) put(key, value []byte) {
	k := string(key)
	if _, ok := d.puts[k]; !ok {
		d.order = append(d.order, k)
	}
	d.puts[k] = value
}

func (d *directoryChange) putDomain(c store.PutDomain) error {
	op := "add domain " + c.Domain.Name
	if c.Domain.Name == "" {
		return fault.Newf(fault.Invalid, op, "it has no name")
	}
	key := domainKey(c.Domain.Name)
	old, err := d.get(key)
	if err != nil {
		return err
	}
	if old != nil {
		return fault.Newf(fault.Exists, op, "it is there already")
	}
	d.put(key, appendDomain(nil, &c.Domain))
	return nil
}

func (d *directoryChange) removeDomain(c store.RemoveDomain) error {
	op := "remove domain " + c.Name
	key := domainKey(c.Name)
	if err := d.hasDomain(op, c.Name); err != nil {
		return err
	}
	n, err := d.addresses(c.Name)
	if err != nil {
		return err
	}
	if n > 0 {
		return fault.Newf(fault.Exists, op, "it still has addresses")
	}
	d.put(key, nil)
	return nil
}

// hasDomain returns NotFound if there is no such domain.
func (d *directoryChange) hasDomain(op, name string) error {
	v, err := d.get(domainKey(name))
	if err != nil {
		return err
	}
	if v == nil {
		return fault.Newf(fault.NotFound, op, "there is no domain %q", name)
	}
	return nil
}

// addresses returns how many addresses a domain has: all that count beyond
// those that this change removes.
func (d *directoryChange) addresses(domain string) (int, error) {
	n := d.members[domain]
	err := each(d.t.s.db, inKey(domain, ""), func(_, _ []byte) (bool, error) {
		n++
		return n <= 0, nil
	})
	return n, err
}

// entry returns what an address stands for, nil for nothing.
func (d *directoryChange) entry(address string) (*store.Entry, error) {
	v, err := d.get(entryKey(address))
	if v == nil || err != nil {
		return nil, err
	}
	e, err := decodeEntry(address, v)
	if err != nil {
		return nil, fault.New(fault.Corrupt, "address "+address, err)
	}
	return &e, nil
}

// putEntry makes an address stand for something new.
func (d *directoryChange) putEntry(e *store.Entry, isNew bool) {
	d.put(entryKey(e.Address), appendEntry(nil, e))
	if isNew {
		d.put(inKey(domainOf(e.Address), e.Address), []byte{})
		d.members[domainOf(e.Address)]++
	}
}

func (d *directoryChange) dropEntry(address string) {
	d.put(entryKey(address), nil)
	d.put(inKey(domainOf(address), address), nil)
	d.members[domainOf(address)]--
}

func (d *directoryChange) newAccount(c store.PutAccount) error {
	a := c.Account
	op := "add account " + a.Address
	if a.Address == "" {
		return fault.Newf(fault.Invalid, op, "it has no address")
	}
	e, err := d.entry(a.Address)
	if err != nil {
		return err
	}
	if e != nil {
		return fault.Newf(fault.Exists, op, "the address is taken")
	}
	if err := d.hasDomain(op, domainOf(a.Address)); err != nil {
		return err
	}
	d.numbers.account++
	a.ID, a.Version = d.numbers.account, firstVersion
	var key keyBuf
	d.put(key.account(a.ID), appendAccount(nil, &a))
	d.putEntry(&store.Entry{Address: a.Address, Account: a.ID}, true)
	d.born = append(d.born, a)
	d.ids = append(d.ids, a.ID)
	return nil
}

// account returns an account's record, or NotFound.
func (d *directoryChange) account(op string, id mail.AccountID) (store.Account, error) {
	var key keyBuf
	v, err := d.get(key.account(id))
	if err != nil {
		return store.Account{}, err
	}
	if v == nil {
		return store.Account{}, fault.Newf(fault.NotFound, op, "there is no account %d", id)
	}
	a, err := decodeAccount(id, v)
	if err != nil {
		return a, fault.New(fault.Corrupt, op, err)
	}
	return a, nil
}

func (d *directoryChange) putAccount(c store.PutAccount) error {
	op := "change account"
	a, err := d.account(op, c.Account.ID)
	if err != nil {
		return err
	}
	if c.IfVersion != 0 && c.IfVersion != a.Version {
		return fault.Newf(fault.Denied, op+" "+a.Address, "it has been changed meanwhile: its version is %d, not %d", a.Version, c.IfVersion)
	}
	to := c.Account
	to.ID, to.Address, to.Created, to.Version = a.ID, a.Address, a.Created, a.Version+1
	var key keyBuf
	d.put(key.account(to.ID), appendAccount(nil, &to))
	return nil
}

func (d *directoryChange) removeAccount(c store.RemoveAccount) error {
	a, err := d.account("remove account", c.ID)
	if err != nil {
		return err
	}
	var key keyBuf
	d.put(key.account(a.ID), nil)
	d.dropEntry(a.Address)
	d.gone = append(d.gone, a.ID)
	return nil
}

func (d *directoryChange) putAlias(c store.PutAlias) error {
	op := "put alias " + c.Address
	e, err := d.entry(c.Address)
	if err != nil {
		return err
	}
	if e != nil && e.Account != 0 {
		return fault.Newf(fault.Exists, op, "the address is an account's")
	}
	if err := d.hasDomain(op, domainOf(c.Address)); err != nil {
		return err
	}
	d.putEntry(&store.Entry{Address: c.Address, Targets: c.Targets}, e == nil)
	return nil
}

func (d *directoryChange) removeAlias(c store.RemoveAlias) error {
	op := "remove alias " + c.Address
	e, err := d.entry(c.Address)
	if err != nil {
		return err
	}
	if e == nil || e.Account != 0 {
		return fault.Newf(fault.NotFound, op, "there is no such alias")
	}
	d.dropEntry(c.Address)
	return nil
}

// emit puts the changes into the commit.
func (d *directoryChange) emit() error {
	t := d.t
	gone := make(map[mail.AccountID]bool, len(d.gone))
	var heads []head
	for _, id := range d.gone {
		gone[id] = true
		list, err := listHeads(t.s.db, id)
		if err != nil {
			return err
		}
		heads = append(heads, list...)
	}
	held, err := t.heldOf(gone)
	if err != nil {
		return err
	}
	for _, k := range d.order {
		if v := d.puts[k]; v != nil {
			_ = t.batch.Set([]byte(k), v, nil) // a batch that is not indexed takes everything
		} else {
			_ = t.batch.Delete([]byte(k), nil)
		}
	}
	for i := range d.born {
		if gone[d.born[i].ID] {
			continue
		}
		u := &usage{account: d.born[i].ID}
		t.c.cache.usages[u.account] = u
		t.newMailbox(u, inboxName, d.numbers.nextValidity(d.now))
	}
	if len(d.born) > 0 {
		t.setNumbers(d.numbers)
	}
	for i := range heads {
		t.dropMailbox(heads[i].key)
	}
	for _, id := range d.gone {
		t.dropUsage(id)
	}
	for i := range held {
		t.replaceHeld(&held[i])
	}
	t.removed = t.removed || len(d.gone) > 0
	return nil
}

// dropMailbox makes a removed account's mailbox invisible.
func (t *tx) dropMailbox(m mailboxKey) {
	delete(t.c.cache.heads, m)
	_ = t.batch.Delete(t.key.mailbox(m), nil)
}

// dropUsage makes a removed account's usage invisible and has its mail swept.
func (t *tx) dropUsage(id mail.AccountID) {
	delete(t.c.cache.usages, id)
	_ = t.batch.Delete(t.key.usage(id), nil)
	t.val = t.val[:0]
	_ = t.set(t.key.sweep(id))
}
