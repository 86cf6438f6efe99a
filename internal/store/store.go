// Package store says what a mail store does: its interfaces, its operations
// and its invariants. It has no engine and knows no protocol.
//
// Engines live in packages below; every one passes package storetest, which
// holds it to what is written here. One could write an engine from these
// comments alone.
//
// # Durability
//
// A method that changes something returns nil only when the change is durable:
// it survives the death of the process and of the machine. When it returns an
// error of kind fault.ReadOnly, fault.NoSpace, fault.Invalid, fault.NotFound,
// fault.Exists or fault.Denied nothing was changed. After any other error the
// change may or may not have happened; all of it or nothing of it. A repetition
// with the same ID then settles it.
//
// After a failed sync the engine takes no more changes (kind fault.ReadOnly)
// until it is opened anew: nobody can know what the disk kept. Reading goes on.
//
// # Order
//
// Changes become visible in one order for all observers, each of them whole.
// UIDs and ModSeqs are given in that order.
//
// # Ownership
//
// Byte slices and records handed in may be used again by the caller after the
// return; those handed out belong to the caller. All methods may be called from
// several goroutines, except where a comment says otherwise.
package store

import (
	"context"
	"io"
	"iter"
	"time"

	"postrider/internal/mail"
)

// Store is an engine.
type Store interface {
	Directory
	Messages
	Holds
	Queue
	Mailboxes
	Maildrops
	Records
	Keeper
}

// Messages is how mail comes in.
type Messages interface {
	// NewContent returns a place for the octets of a message that is arriving.
	// Size is what the sender declared, in octets, or zero. The error is of kind
	// NoSpace when the disk is down to its reserve, ReadOnly after a failed sync.
	NewContent(ctx context.Context, size int64) (Content, error)

	// Accept puts a message into mailboxes: all deliveries appear in one atomic
	// commit, or none. It takes over a.Content whatever happens.
	//
	// A second Accept with the same ID changes nothing and returns what the
	// first returned, with Repeated set; engines remember an ID for a day at
	// least. Two deliveries to one mailbox in one Accept are one.
	// NotFound: an account or mailbox is not there (any more); nothing was
	// delivered to the others either. Invalid: it goes nowhere, or two Onwards have
	// one ID. Exists: an Onward's ID is in the queue. Denied: see Settle.
	Accept(ctx context.Context, a Accept) (Accepted, error)
}

// Content is a message that is arriving: written once, from one goroutine, then
// given to Accept or discarded. It costs memory that does not depend on the
// message's size.
type Content interface {
	// Write appends octets. The error is of kind NoSpace when the disk is full.
	io.Writer
	// Size returns the octets written.
	Size() int64
	// ReadAt reads what has been written. It is called between Writes, before
	// Accept and Discard, from the goroutine that writes.
	io.ReaderAt
	// Discard frees everything. After Accept, or a second time, it does nothing.
	Discard()
}

// Accept is a message to be stored, with where it goes.
type Accept struct {
	ID mail.ID
	// Content is immutable from now on, and stored once however many Deliveries
	// there are.
	Content Content
	// Received is the internal date.
	Received time.Time
	// Envelope is kept with the message.
	Envelope   mail.Envelope
	Deliveries []Delivery
	// Hold, if not zero, is when the deliveries become due: the message is held,
	// and is in no mailbox until Release, be Hold past or to come. Nothing is
	// Placed; each account and mailbox must be there all the same. It says nothing
	// of what goes onward, which is Due when it says itself, and nothing without
	// deliveries.
	Hold time.Time
	// Onward are the messages that go into the queue. There may be several passages,
	// each under its own warrant; the messages of all have different IDs. With any,
	// Deliveries may be empty.
	Onward []Passage
	// Settle are rows of the queue that are settled in the same commit: a
	// notification, and what it is about. If any of them can't be (see
	// Queue.Settle) nothing is done, and the error is of kind Denied.
	Settle []Settlement
}

// Delivery is a copy of a message in one mailbox.
type Delivery struct {
	Account mail.AccountID
	Mailbox mail.MailboxID
	// Prefix is prepended to the content for this copy: the trace fields that
	// differ by recipient. Whole lines with CRLF. It counts in the copy's size.
	Prefix []byte
	Flags  mail.Flags
}

// Accepted says what Accept did.
type Accepted struct {
	Placed   []Placed
	Repeated bool
}

// Placed is where one copy went.
type Placed struct {
	Account mail.AccountID
	Mailbox mail.MailboxID
	UID     mail.UID
	ModSeq  mail.ModSeq
}

// Holds is mail that has been accepted and is to appear later (RFC 4865). It is
// as durable as any other, and counts in no mailbox. The engine starts nothing
// when a message becomes due: whoever runs it asks Held and calls Release.
type Holds interface {
	// Held lists held messages by the time when they are due, and by ID, as they
	// were at one moment. Those due first cost no reading of the others. A message
	// whose record can't be read is an error with its ID, and the list goes on.
	Held(ctx context.Context) iter.Seq2[Held, error]
	// Release makes a held message's deliveries, in one commit, with now as their
	// internal date, and holds it no more: at each moment, and after a crash, it is
	// either held or in all its mailboxes. It may be called before the message is
	// due. Accounts and mailboxes that have gone are left out; if none is left it
	// does what DropHeld does and nothing is Placed. NotFound: nothing is held under
	// that ID (any more).
	Release(ctx context.Context, id mail.ID, now time.Time) (Accepted, error)
	// DropHeld forgets a held message and frees its content; NotFound as in
	// Release.
	DropHeld(ctx context.Context, id mail.ID) error
}

// Held is a message that is held.
type Held struct {
	ID       mail.ID
	Due      time.Time // to the second
	Received time.Time // when Accept was given it, to the second
	Size     int64     // octets of the content, without prefixes
	// Envelope is what Accept was given, without its Hold.
	Envelope mail.Envelope
	// Accounts are those whose mailboxes it will be in, ascending, each once.
	Accounts []mail.AccountID
}

// Records keeps small records of the server's other parts, such as certificates
// and the policies of other domains: some thousands, each of at most MaxRecord
// octets. Keys are 1 to MaxRecordKey
// octets of printable ASCII, spaces among them, and compared octet by octet.
type Records interface {
	// Record returns a record, or NotFound.
	Record(ctx context.Context, key string) (Record, error)
	// ListRecords lists the records whose keys begin with a prefix, by ascending
	// key, as they were at one moment. An empty prefix lists all.
	ListRecords(ctx context.Context, prefix string) iter.Seq2[Record, error]
	// PutRecord makes or replaces a record; Invalid for a key, TooLarge for a value
	// that can't be kept (Record.Valid).
	PutRecord(ctx context.Context, r Record) error
	// RemoveRecord removes a record; NotFound if there is none.
	RemoveRecord(ctx context.Context, key string) error
}

// Mailboxes is what a client sees of an account that knows folders, and what
// listings show.
type Mailboxes interface {
	// Mailbox returns one mailbox. Its counts are kept, not summed.
	Mailbox(ctx context.Context, account mail.AccountID, mailbox mail.MailboxID) (Mailbox, error)
	// ListMailboxes returns an account's mailboxes by ascending MailboxID.
	ListMailboxes(ctx context.Context, account mail.AccountID) ([]Mailbox, error)
	// CreateMailbox makes a mailbox; Exists if the account has one of that name.
	// Names are UTF-8, at most MaxMailboxName octets, compared octet by octet but
	// for INBOX, which is compared without regard to case (RFC 9051 §5.1).
	CreateMailbox(ctx context.Context, account mail.AccountID, name string) (Mailbox, error)
	// List returns the messages with from <= UID, ascending, as they were
	// at one moment.
	List(ctx context.Context, account mail.AccountID, mailbox mail.MailboxID, from mail.UID) iter.Seq2[Message, error]
	// Open returns a message's octets: prefix and content. NotFound when it has
	// been removed, Corrupt when its checksum is wrong; the octets of a corrupt
	// block are never handed out. The caller closes it.
	Open(ctx context.Context, account mail.AccountID, mailbox mail.MailboxID, uid mail.UID) (Reader, error)
	// SetFlags changes flags as flags = flags&^clear | set on those of the
	// messages that are there, and gives each that changed a new ModSeq.
	SetFlags(ctx context.Context, account mail.AccountID, mailbox mail.MailboxID, uids []mail.UID, set, clear mail.Flags) error
	// Remove expunges those of the messages that are there, in one commit. Content
	// is freed when its last reference goes.
	Remove(ctx context.Context, account mail.AccountID, mailbox mail.MailboxID, uids []mail.UID) error
	// Watch returns a channel that gets a value after something in the account
	// changed; several changes may be one value. Cancel ends it.
	Watch(account mail.AccountID) (changed <-chan struct{}, cancel func())
}

// Mailbox is a mailbox's state.
type Mailbox struct {
	Account     mail.AccountID
	ID          mail.MailboxID
	Name        string
	UIDValidity mail.UIDValidity
	UIDNext     mail.UID    // greater than every UID given so far
	ModSeq      mail.ModSeq // of the latest change
	Messages    int64
	Octets      int64
}

// Message is a message's record in a mailbox.
type Message struct {
	UID    mail.UID
	ModSeq mail.ModSeq
	Size   int64 // octets, prefix included: exactly what Open's reader gives
	Flags  mail.Flags
	// Received is the internal date, to the second.
	Received time.Time
	// ID is that of the Accept that brought it.
	ID mail.ID
	// UIDL is unique in the maildrop for its whole life, 1 to 70 octets of
	// printable ASCII (RFC 1939 §7), and stays the same when the message moves
	// to another engine.
	UIDL string
}

// Reader reads a stored message. It is used from one goroutine.
type Reader interface {
	io.Reader
	io.ReaderAt
	io.WriterTo
	io.Closer
	// Size returns all octets, prefix included.
	Size() int64
	// Envelope returns what Accept kept.
	Envelope() (mail.Envelope, error)
}

// LockMode says how a maildrop is opened.
type LockMode uint8

// The modes. Exclusive excludes other Exclusive holders; a Snapshot excludes
// nobody and is excluded by nobody but takes part in fencing all the same.
const (
	Exclusive LockMode = iota
	Snapshot
)

// Holder says who has a maildrop open, for people.
type Holder struct {
	Who   string // connection and peer
	Mode  LockMode
	Since time.Time
}

// Maildrops is an account's Inbox as POP sees it.
type Maildrops interface {
	// OpenMaildrop takes the lock and a snapshot. Busy when another has it.
	OpenMaildrop(ctx context.Context, account mail.AccountID, mode LockMode, who string) (Maildrop, error)
	// Holders returns who has the account's maildrop open.
	Holders(ctx context.Context, account mail.AccountID) ([]Holder, error)
	// BreakLock ends the leases of all holders: their later Remove fails with
	// Denied and removes nothing.
	BreakLock(ctx context.Context, account mail.AccountID) error
}

// Maildrop is a snapshot of an Inbox under a lease. It is used from one
// goroutine. It stays as it was when it was opened: neither deliveries nor
// removals by others change what List and Open give.
type Maildrop interface {
	// Mailbox returns the Inbox as it was at opening.
	Mailbox() Mailbox
	// List returns the messages by ascending UID. An account's Inbox may hold
	// millions: engines read them when asked, and callers keep what they need.
	List(ctx context.Context) iter.Seq2[Message, error]
	// Open is Mailboxes.Open within the snapshot.
	Open(ctx context.Context, uid mail.UID) (Reader, error)
	// Remove expunges exactly these messages, in one commit; those that are gone
	// already are no error. Denied when the lease has ended: nothing is removed.
	Remove(ctx context.Context, uids []mail.UID) error
	// Close gives up the lease. A second time it does nothing.
	Close()
}

// Keeper is the care of a store.
type Keeper interface {
	// Health returns nil when mail can be taken, or why not: kind NoSpace or ReadOnly.
	Health() error
	// Check walks everything and verifies checksums and invariants; report gets
	// each finding as it is made. With repair, bad records are set aside:
	// what can be read stays, counts are put right, and the octets that were bad
	// are kept where an operator can look at them.
	Check(ctx context.Context, repair bool, report func(Finding)) (CheckResult, error)
	// Usage says how much is stored, and where.
	Usage(ctx context.Context) (Usage, error)
	// Close waits for commits under way and closes the files.
	Close() error
}

// Finding is something that Check found wrong.
type Finding struct {
	// Where names the object: an account's message, a file.
	Where   string `json:"where"`
	Problem string `json:"problem"`
	// Repaired says what was done about it; empty without repair.
	Repaired string `json:"repaired,omitempty"`
}

// CheckResult says what Check went through.
type CheckResult struct {
	Accounts  int64 `json:"accounts"`
	Mailboxes int64 `json:"mailboxes"`
	Messages  int64 `json:"messages"`
	Octets    int64 `json:"octets"`
	Held      int64 `json:"held"`   // messages that are held, in no mailbox
	Queued    int64 `json:"queued"` // messages that wait to be sent to other hosts
	Findings  int64 `json:"findings"`
}

// Usage is what a store holds, in octets.
type Usage struct {
	Engine   string `json:"engine"`
	Format   int    `json:"format"`
	Messages int64  `json:"messages"` // stored contents; a message for ten is one
	Octets   int64  `json:"octets"`   // of them
	OnDisk   int64  `json:"on_disk"`
	Free     int64  `json:"free"`    // on the disk
	Reserve  int64  `json:"reserve"` // below which no mail is taken
}

// Limits of names, in octets.
const (
	MaxMailboxName = 1000
	MaxRecordKey   = 500
)

// MaxRecord is the largest value of a Record, in octets.
const MaxRecord = 1 << 20
