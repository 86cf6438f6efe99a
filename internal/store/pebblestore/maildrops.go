package pebblestore

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// leases are the maildrops that are open, in memory: when the process ends, so
// do its sessions.
type leases struct {
	mu   sync.Mutex
	open map[mail.AccountID][]*lease
}

// lease is one holder of a maildrop. It is its own fence: once ended it stays
// so, and the committer looks at it before each removal.
type lease struct {
	holder store.Holder
	ended  atomic.Bool
}

// take adds a lease, unless an Exclusive one is there and this one is, too.
func (l *leases) take(account mail.AccountID, h store.Holder) (*lease, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.Mode == store.Exclusive {
		for _, other := range l.open[account] {
			if other.holder.Mode == store.Exclusive {
				return nil, fault.Newf(fault.Busy, "open maildrop", "account %d is open by %s", account, other.holder.Who)
			}
		}
	}
	le := &lease{holder: h}
	l.open[account] = append(l.open[account], le)
	return le, nil
}

// give ends a lease.
func (l *leases) give(account mail.AccountID, le *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	le.ended.Store(true)
	open := l.open[account]
	for i, other := range open {
		if other == le {
			open = append(open[:i], open[i+1:]...)
			break
		}
	}
	if len(open) == 0 {
		delete(l.open, account)
		return
	}
	l.open[account] = open
}

// end ends all leases of an account.
func (l *leases) end(account mail.AccountID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, le := range l.open[account] {
		le.ended.Store(true)
	}
	delete(l.open, account)
}

// holders returns who has an account's maildrop open.
func (l *leases) holders(account mail.AccountID) []store.Holder {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []store.Holder
	for _, le := range l.open[account] {
		all = append(all, le.holder)
	}
	return all
}

// maildrop is a snapshot of an Inbox under a lease.
type maildrop struct {
	s        *Store
	head     head
	snapshot *pebble.Snapshot
	pin      pin
	lease    *lease
	closed   atomic.Bool // Close of the store may come from elsewhere
}

var _ store.Maildrop = (*maildrop)(nil)

// OpenMaildrop implements store.Maildrops.
func (s *Store) OpenMaildrop(ctx context.Context, account mail.AccountID, mode store.LockMode, who string) (store.Maildrop, error) {
	const op = "open maildrop"
	if err := s.enter(ctx, op); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	le, err := s.leases.take(account, store.Holder{Who: who, Mode: mode, Since: s.o.Now()})
	if err != nil {
		return nil, err
	}
	d := &maildrop{s: s, lease: le}
	d.head.key = mailboxKey{account, mail.Inbox}
	s.pins.hold(&d.pin)
	d.snapshot = s.db.NewSnapshot()
	if d.head, err = findHead(d.snapshot, d.head.key); err != nil {
		d.head.key.account = account
		d.end()
		return nil, fault.Newf(fault.KindOf(err), op, "account %d: %w", account, err)
	}
	s.drops.add(d)
	return d, nil
}

// Holders implements store.Maildrops.
func (s *Store) Holders(ctx context.Context, account mail.AccountID) ([]store.Holder, error) {
	const op = "holders"
	if err := s.enter(ctx, op); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	if err := s.hasAccount(op, account); err != nil {
		return nil, err
	}
	return s.leases.holders(account), nil
}

// hasAccount returns NotFound if there is no such account.
func (s *Store) hasAccount(op string, id mail.AccountID) error {
	var key keyBuf
	v, err := s.get(key.usage(id))
	if err != nil {
		return fault.Newf(fault.KindOf(err), op, "account %d: %w", id, err)
	}
	v.Close()
	return nil
}

// barrier is an operation that does nothing: what came before it is settled
// when it returns.
type barrier struct{}

func (barrier) alone() bool       { return false }
func (barrier) prepare(*tx) error { return nil }

// BreakLock implements store.Maildrops.
func (s *Store) BreakLock(ctx context.Context, account mail.AccountID) error {
	const op = "break lock"
	if err := s.enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.leave()
	if err := s.hasAccount(op, account); err != nil {
		return err
	}
	s.leases.end(account)
	// A removal that the committer let pass before is over when we return,
	// however it ended.
	_ = s.do(barrier{})
	return nil
}

// enter lets one more operation of the maildrop in.
func (d *maildrop) enter(ctx context.Context, op string) error {
	if err := d.s.enter(ctx, op); err != nil {
		return err
	}
	if d.closed.Load() {
		d.s.gate.leave()
		return fault.Newf(fault.Invalid, op, "the maildrop is closed")
	}
	return nil
}

// Mailbox implements store.Maildrop.
func (d *maildrop) Mailbox() store.Mailbox { return d.head.mailbox() }

// List implements store.Maildrop.
func (d *maildrop) List(ctx context.Context) iter.Seq2[store.Message, error] {
	return func(yield func(store.Message, error) bool) {
		if err := d.enter(ctx, "list maildrop"); err != nil {
			yield(store.Message{}, err)
			return
		}
		defer d.s.gate.leave()
		listMessages(ctx, d.snapshot, &d.head, 1, yield)
	}
}

// Open implements store.Maildrop.
func (d *maildrop) Open(ctx context.Context, uid mail.UID) (store.Reader, error) {
	if err := d.enter(ctx, "open message"); err != nil {
		return nil, err
	}
	defer d.s.gate.leave()
	return d.s.openMessage(d.snapshot, d.head.key, uid, &d.pin)
}

// Remove implements store.Maildrop.
func (d *maildrop) Remove(ctx context.Context, uids []mail.UID) error {
	if d.closed.Load() {
		return fault.Newf(fault.Denied, "remove messages", "the maildrop is closed")
	}
	return d.s.remove(ctx, &removal{box: d.head.key, uids: uids, lease: d.lease})
}

// Close implements store.Maildrop.
func (d *maildrop) Close() {
	if d.s.drops.remove(d) {
		d.end()
	}
}

// end gives up lease, snapshot and pin.
func (d *maildrop) end() {
	d.closed.Store(true)
	d.s.leases.give(d.head.key.account, d.lease)
	d.snapshot.Close()
	d.s.pins.release(&d.pin)
}

// drops are the maildrops that are open, for Close of the store.
type drops struct {
	mu   sync.Mutex
	open map[*maildrop]struct{}
}

func (d *drops) add(m *maildrop) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[m] = struct{}{}
}

// remove reports whether m was there.
func (d *drops) remove(m *maildrop) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.open[m]
	delete(d.open, m)
	return ok
}

// end closes the snapshots of all that are left: nobody is inside the store any
// more, and the index does not close before them.
func (d *drops) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for m := range d.open {
		delete(d.open, m)
		m.end()
	}
}
