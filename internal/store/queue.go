package store

import (
	"context"
	"iter"
	"time"

	"postrider/internal/mail"
)

// Queue is mail that waits to be sent to other hosts: messages, and for each a
// row a recipient. Accept puts messages in; the last row that is removed takes
// its message out and frees the content.
//
// A row waits until it is Due and is then given out under a lease. What was
// leased is settled: removed, or put back with a later Due. A lease ends by
// itself, at its time and when the engine is closed or dies; the row is then
// given out again. So a recipient may be tried twice, and is never forgotten.
//
// Rows are found by destination, so that rows of one destination, however many,
// cost those of another nothing. The engine keeps no row in memory but for those
// that are leased.
type Queue interface {
	// Destinations lists the destinations that have waiting rows, leased ones not
	// counted, by ascending name, those after the name given (empty: all). It costs
	// a few look-ups a destination, however many rows that has.
	Destinations(ctx context.Context, after string) iter.Seq2[Destination, error]

	// Destination returns one of them, or NotFound if it has no waiting row that is
	// not leased.
	Destination(ctx context.Context, name string) (Destination, error)

	// Waiting returns rows that wait for a destination, due or not, leased or not,
	// frozen or not: all, or so many of them if there are more. They are in no certain
	// order. The cost grows with the limit, and not with how many there are. Those that
	// can't be read count for the limit and are left out.
	Waiting(ctx context.Context, destination string, limit int) ([]WaitingRow, error)

	// Lease gives out waiting rows that are due, and marks them leased until
	// q.Until. Rows are in the order of priority (higher first), then those never
	// tried before those that were, then by Due, then by RowID; but where q.Limit is
	// five or more a fifth of the rows are such that were tried, if so many are due,
	// so that neither kind starves the other. Rows of a message are in one Leased. A
	// frozen destination gives nothing.
	//
	// A row or message that can't be read is in a Leased of its own, with Err of
	// kind Corrupt and one RowID: it is leased too, holds up no other, and is the
	// caller's to SetAside.
	Lease(ctx context.Context, q LeaseQuery) ([]Leased, error)

	// LeaseRows leases rows of one message whatever their state and due time, frozen
	// or not; an empty list is all of them. NotFound: the message or one of the rows
	// is not there. Busy: one of them is leased, and none was leased by this call.
	// Corrupt: one of them can't be read, or the message can't.
	LeaseRows(ctx context.Context, id mail.ID, rows []int, until time.Time) (Leased, error)

	// Settle makes all settlements in one commit. A settlement whose lease has
	// ended and whose row was leased again, changed or removed since, changes
	// nothing; the others are made all the same. It returns how many were made. A row
	// that can't be read is only removed, never put back. TooLarge: there are more
	// than MaxSettlements.
	Settle(ctx context.Context, settlements []Settlement) (made int, err error)

	// Unlease gives leases back without a change, so that their rows may be leased
	// at once. It is not durable and need not be. Stale fences are passed over.
	Unlease(ctx context.Context, rows []RowLease)

	// OpenQueued returns a queued message's octets: prefix and content. NotFound
	// when it has gone, Corrupt as in Mailboxes.Open. The reader stays good when the
	// message leaves the queue. The caller closes it.
	OpenQueued(ctx context.Context, id mail.ID) (Reader, error)

	// QueuedMessage returns a message and its rows by ascending index, or NotFound.
	QueuedMessage(ctx context.Context, id mail.ID) (QueuedMessage, error)
	// Queued lists the messages after the ID given (zero: all), by ascending ID,
	// with their rows, as they were at one moment. A message that can't be read is
	// an error, with its ID in the QueuedMessage, and the list goes on.
	Queued(ctx context.Context, after mail.ID) iter.Seq2[QueuedMessage, error]

	// ChangeRows does to rows of one message what an operator wants, in one commit,
	// and returns how many were changed. An empty list is all rows of the message.
	// NotFound: no such message. Busy: one of them is leased, and nothing was
	// changed. Rows that are not there, and those that are so already, are passed
	// over. Corrupt: one of them can't be read, and nothing was changed.
	ChangeRows(ctx context.Context, id mail.ID, rows []int, do RowChange, now time.Time) (changed int, err error)

	// SetAside takes a row that can't be read, or whose message can't, out of the
	// schedule for good; what is left of it is kept where an operator can look at it
	// (Keeper.Check). If the message has no row left it goes, too. Denied: the lease
	// has ended and the row was leased again, changed or removed since.
	SetAside(ctx context.Context, row RowLease) error

	// Freeze stops a destination until Thaw: none of its rows is leased. Rows that
	// are leased already may be settled. Why is shown to operators. A destination
	// need not have rows to be frozen. Freezing it again changes why. Invalid: that
	// is no destination's name (ValidDestination).
	Freeze(ctx context.Context, destination, why string, now time.Time) error
	// Thaw ends a Freeze; NotFound if there is none.
	Thaw(ctx context.Context, destination string) error
	// Frozen lists the destinations that are frozen, by ascending name.
	Frozen(ctx context.Context) iter.Seq2[FrozenDestination, error]

	// QueueUsage says how much is in the queue. It is kept, not summed.
	QueueUsage(ctx context.Context) (QueueUsage, error)
}

// Onward is a message for other hosts, as Accept takes it. It shares the content
// of its Accept with the deliveries and the other Onwards there.
type Onward struct {
	// ID is the message's name in the queue, its own among all that were ever there.
	// If it is the Accept's, the Accept's other Onwards have others.
	ID mail.ID
	// Envelope is what the next host is told. Each of its Recipients becomes a row,
	// whose index is its place in the list. Envelope.ID is not looked at. Envelope.Hold,
	// if set, is until when the sender has it held (RFC 4865), to the second: it is
	// kept, and Due is not before it.
	Envelope mail.Envelope
	// Prefix is prepended to the content: whole lines with CRLF.
	Prefix []byte
	// Due is when the first attempt may be made, to the millisecond.
	Due time.Time
	// Notify, if not empty, is where notifications about the message go instead of
	// Envelope.From.
	Notify mail.Address
}

// Destination is where rows wait for: the canonical domain of their recipients
// (mail.Address.Domain, an address literal with its brackets).
type Destination struct {
	Name string
	// Due is when the first of its waiting rows is due; before now if one is.
	Due    time.Time
	Frozen bool
}

// MaxDestination is the longest name of a destination, in octets.
const MaxDestination = 512

// ValidDestination reports whether a domain can be a destination: 1 to
// MaxDestination octets, none of them a control character.
func ValidDestination(name string) bool {
	if name == "" || len(name) > MaxDestination {
		return false
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] == 0x7f {
			return false
		}
	}
	return true
}

// FrozenDestination is a destination whose rows an operator has stopped.
type FrozenDestination struct {
	Name  string    `json:"name"`
	Why   string    `json:"why"`
	Since time.Time `json:"since"` // to the second
}

// RowID names a row of the queue.
type RowID struct {
	Message mail.ID
	Index   int
}

// RowLease is a row with its lease.
type RowLease struct {
	Row RowID
	// Fence is greater than that of every earlier lease of the row in this engine's
	// life: a settlement with an earlier one is stale.
	Fence uint64
}

// LeaseQuery says what Lease gives out.
type LeaseQuery struct {
	Destination string
	Now         time.Time
	Until       time.Time // when the leases end
	Limit       int       // rows, at least one
}

// Leased is rows of one message under a lease.
type Leased struct {
	Message QueuedMessage // its Rows are the leased ones only
	Fences  []uint64      // one a row
	// Err is why the rows can't be used, else nil.
	Err error
}

// QueuedMessage is a message in the queue.
type QueuedMessage struct {
	ID mail.ID
	// AcceptID is that of the Accept that brought it.
	AcceptID mail.ID
	Accepted time.Time // Accept.Received, to the second
	Size     int64     // octets, prefix included: what OpenQueued's reader gives
	// Envelope is that of the Onward without its Recipients, which are in the rows;
	// its ID is the message's.
	Envelope mail.Envelope
	Notify   mail.Address
	Warrant  Warrant
	Rows     []Row
}

// Row is one recipient of a queued message.
type Row struct {
	Index     int
	Recipient mail.Recipient
	State     RowState
	// Leased says that it is being tried at this moment.
	Leased bool
	// Due is when it may be tried (next), to the millisecond.
	Due time.Time
	RowProgress
}

// WaitingRow is a row, and whose it is.
type WaitingRow struct {
	Message mail.ID
	Row
}

// RowProgress is what is remembered of a row between attempts.
type RowProgress struct {
	// Attempts is how many were made.
	Attempts int
	// Last is when the latest ended, to the second; zero if there was none.
	Last time.Time
	// Host is who was talked to then, as a name and an address; empty: nobody.
	Host string
	// Reply is what was answered, or what happened instead, as text of at most
	// MaxRowText octets.
	Reply string
	// Delayed says that its sender has been told of the delay.
	Delayed bool
	// Uncertain says that an attempt broke off where the other host may have taken
	// the message and may not have: it may come twice.
	Uncertain bool
}

// Bounded returns p as engines keep it: its texts cut to MaxRowText octets, between
// characters, and its time to the second.
func (p RowProgress) Bounded() RowProgress {
	p.Host, p.Reply = mail.Cut(p.Host, MaxRowText), mail.Cut(p.Reply, MaxRowText)
	if !p.Last.IsZero() {
		p.Last = p.Last.Truncate(time.Second).UTC()
	}
	return p
}

// MaxRowText is the longest RowProgress.Host and Reply, in octets each; engines
// cut what is longer.
const MaxRowText = 2048

// RowState says whether a row may be tried.
type RowState uint8

// The states. There is none for what is done: the row is gone.
const (
	RowWaiting RowState = iota // until it is due, and then until it is leased
	RowHeld                    // until an operator releases it
)

// String returns the state in a word.
func (s RowState) String() string {
	if s == RowHeld {
		return "held"
	}
	return "waiting"
}

// Settlement is what becomes of a row that was leased.
type Settlement struct {
	RowLease
	// Remove takes the row out of the queue: it was delivered, or has failed for
	// good and whoever has to know is told in the same commit (Accept.Settle).
	// Otherwise Due, State and Progress become the row's.
	Remove   bool
	Due      time.Time
	State    RowState
	Progress RowProgress
}

// MaxSettlements is how many rows one Settle or Accept settles at most.
const MaxSettlements = 10_000

// RowChange is what an operator does to rows.
type RowChange uint8

// The changes.
const (
	HoldRows    RowChange = iota // none is tried until it is released
	ReleaseRows                  // those that are held wait again, and are due now
	RetryRows                    // those that wait are due now
	DropRows                     // they are removed, and nobody is told
)

// QueueUsage is how much is in the queue.
type QueueUsage struct {
	Messages int64 `json:"messages"`
	Rows     int64 `json:"rows"`
	Octets   int64 `json:"octets"` // of the messages, prefixes included
}
