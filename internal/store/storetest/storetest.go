// Package storetest holds store engines to the contract of package store.
//
// Run is the conformance suite, a test for each invariant; RunPersistent adds
// what must outlive closing; RunHistories compares an engine with Model in
// random histories and reduces what fails. Model is the reference: the whole
// store in plain maps under one mutex, fit also as a stand-in for an engine in
// other packages' tests.
package storetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// Model is a store in memory that does what package store says in the simplest
// way. Everything is lost with it; "durable" means here: survives Close and
// Reopen.
type Model struct {
	mu     sync.Mutex
	now    func() time.Time
	closed bool
	health error
	faults map[Op]injected

	domains     map[string]store.Domain
	entries     map[string]store.Entry
	accounts    map[mail.AccountID]*account
	lastAccount mail.AccountID
	// lastValidity is shared by all accounts, so that an account that is made
	// again has another one than before.
	lastValidity mail.UIDValidity
	accepted     map[mail.ID][]store.Placed
	held         map[mail.ID]*held
	records      map[string]store.Record
	watchers     map[*watcher]struct{}
	queue        map[mail.ID]*queued
	leases       map[store.RowID]*lease
	fence        uint64 // the greatest given
	frozen       map[string]store.FrozenDestination
}

type account struct {
	store.Account
	boxes   map[mail.MailboxID]*mailbox
	lastBox mail.MailboxID
	modSeq  mail.ModSeq
	holders []*maildrop
}

type mailbox struct {
	store.Mailbox
	messages []message // ascending by UID
}

type message struct {
	store.Message
	prefix  []byte
	content *content
}

// content is what the copies of one message share. It is not changed any more.
type content struct {
	octets   []byte
	envelope mail.Envelope
}

type watcher struct {
	account mail.AccountID
	changed chan struct{}
}

var _ store.Store = (*Model)(nil)

// NewModel returns an empty store.
func NewModel() *Model {
	return &Model{
		now:      time.Now,
		faults:   map[Op]injected{},
		domains:  map[string]store.Domain{},
		entries:  map[string]store.Entry{},
		accounts: map[mail.AccountID]*account{},
		accepted: map[mail.ID][]store.Placed{},
		held:     map[mail.ID]*held{},
		records:  map[string]store.Record{},
		watchers: map[*watcher]struct{}{},
		queue:    map[mail.ID]*queued{},
		leases:   map[store.RowID]*lease{},
		frozen:   map[string]store.FrozenDestination{},
	}
}

// SetNow sets the clock that Holder.Since is read from, and by which leases end.
func (m *Model) SetNow(now func() time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = now
}

// Op names an operation whose failure can be asked for.
type Op string

// The operations that can be made to fail.
const (
	OpNewContent   Op = "new content"
	OpWrite        Op = "write content"
	OpAccept       Op = "accept"
	OpOpen         Op = "open message"
	OpOpenMaildrop Op = "open maildrop"
	OpRemove       Op = "remove" // Mailboxes.Remove and Maildrop.Remove
	OpChange       Op = "change"
	OpLookup       Op = "look up" // Domain, Entry and Account
	OpHeld         Op = "list held messages"
	OpRelease      Op = "release"
	OpDropHeld     Op = "drop held message"
	OpRecord       Op = "look up record"
	OpListRecords  Op = "list records"
	OpPutRecord    Op = "put record"
	OpRemoveRecord Op = "remove record"
	OpDestinations Op = "list destinations" // Destinations and Destination
	OpLease        Op = "lease rows"        // Lease and LeaseRows
	OpSettle       Op = "settle rows"
	OpOpenQueued   Op = "open queued message"
	OpQueued       Op = "list queued messages" // Queued and QueuedMessage
	OpChangeRows   Op = "change rows"
	OpSetAside     Op = "set row aside"
	OpFreeze       Op = "freeze destination" // Freeze and Thaw
)

type injected struct {
	err error
	// done: the change is made and only the answer is lost.
	done bool
}

// FailNext makes the next call of op fail with err; nothing is changed by it.
func (m *Model) FailNext(op Op, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults[op] = injected{err: err}
}

// LoseAnswer makes the next call of op, one that changes something, do its work
// and return err all the same, as when the connection to a database breaks.
// OpNewContent and OpWrite have no answer to lose.
func (m *Model) LoseAnswer(op Op, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults[op] = injected{err: err, done: true}
}

// SetHealth makes Health and everything that changes something return err, as
// an engine does whose disk is full or whose sync has failed; nil heals it.
func (m *Model) SetHealth(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.health = err
}

// begin is called with the lock held at the beginning of an operation.
func (m *Model) begin(ctx context.Context, op Op) error {
	if m.closed {
		return errClosed(string(op))
	}
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Transient, string(op), err)
	}
	if f, ok := m.faults[op]; ok && !f.done {
		delete(m.faults, op)
		return f.err
	}
	return nil
}

// beginChange is begin for an operation that changes something.
func (m *Model) beginChange(ctx context.Context, op Op) error {
	if err := m.begin(ctx, op); err != nil {
		return err
	}
	return m.health
}

// answer is called with the lock held when an operation has been done.
func (m *Model) answer(op Op) error {
	f, ok := m.faults[op]
	if !ok {
		return nil
	}
	delete(m.faults, op)
	return f.err
}

func errClosed(op string) error {
	return fault.Newf(fault.Invalid, op, "the store is closed")
}

// account returns the account, with the lock held.
func (m *Model) account(op string, id mail.AccountID) (*account, error) {
	a, ok := m.accounts[id]
	if !ok {
		return nil, fault.Newf(fault.NotFound, op, "no account %d", id)
	}
	return a, nil
}

// mailbox returns the mailbox and its account, with the lock held.
func (m *Model) mailbox(op string, id mail.AccountID, box mail.MailboxID) (*account, *mailbox, error) {
	a, err := m.account(op, id)
	if err != nil {
		return nil, nil, err
	}
	b, ok := a.boxes[box]
	if !ok {
		return nil, nil, fault.Newf(fault.NotFound, op, "account %d has no mailbox %d", id, box)
	}
	return a, b, nil
}

// nextModSeq counts a change of a mailbox.
func (a *account) nextModSeq(b *mailbox) mail.ModSeq {
	a.modSeq++
	b.ModSeq = a.modSeq
	return a.modSeq
}

// wake tells those who watch an account.
func (m *Model) wake(id mail.AccountID) {
	for w := range m.watchers {
		if w.account != id {
			continue
		}
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

// String names a Model in failures.
func (m *Model) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("model of %d domains, %d accounts", len(m.domains), len(m.accounts))
}
