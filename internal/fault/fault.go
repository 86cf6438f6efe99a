// Package fault is postrider's one error type: what kind of failure it was,
// which operation failed, and the cause.
//
// The kind decides what a peer is told (see the reply tables of the
// protocols); the operation and the cause are for the operator's log and never
// reach a peer.
package fault

import (
	"errors"
	"fmt"
)

// Kind says what sort of failure an error is.
type Kind uint8

// The kinds. The zero value, Internal, is what an error is that carries no kind.
const (
	Internal  Kind = iota // a defect or an unforeseen failure; trying again may help
	NotFound              // the thing named is not there
	Exists                // the thing to be made is there already
	Denied                // the caller may not do this, or has not proven who it is
	OverQuota             // an account has no room left
	TooLarge              // larger than a limit that has a name
	Busy                  // somebody else holds it (a locked maildrop)
	Transient             // will likely pass: a timeout, a peer that is away
	NoSpace               // the disk is full, or down to its reserve
	ReadOnly              // the store takes no changes since a sync failed
	Invalid               // malformed input, or a precondition that does not hold
	Corrupt               // stored data that fails its checksum or an invariant
)

var kindNames = [...]string{
	Internal: "internal", NotFound: "not found", Exists: "exists", Denied: "denied",
	OverQuota: "over quota", TooLarge: "too large", Busy: "busy", Transient: "transient",
	NoSpace: "no space", ReadOnly: "read-only", Invalid: "invalid", Corrupt: "corrupt",
}

// String returns the kind's name in words.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Temporary reports whether the same request may succeed later without
// anything being changed by the one who asks (a 4xx in SMTP).
func (k Kind) Temporary() bool {
	switch k {
	case Internal, OverQuota, Busy, Transient, NoSpace, ReadOnly, Corrupt:
		return true
	}
	return false
}

// Error is a failed operation. Op names the operation and its object, as in
// "open maildrop alice@example.org".
type Error struct {
	Kind Kind
	Op   string
	Err  error
}

// Error returns "operation: cause", or "operation: kind" when there is no cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Op + ": " + e.Kind.String()
	}
	return e.Op + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error of the kind. Err may be nil.
func New(kind Kind, op string, err error) error {
	return &Error{Kind: kind, Op: op, Err: err}
}

// Newf is New with the cause made from a format, which may wrap with %w.
func Newf(kind Kind, op, format string, args ...any) error {
	return &Error{Kind: kind, Op: op, Err: fmt.Errorf(format, args...)}
}

// Wrap adds an operation to err and keeps its kind; it returns nil for nil.
func Wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOf(err), Op: op, Err: err}
}

// KindOf returns the kind of the outermost Error in err's chain, Internal if
// there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Is reports whether err is not nil and of the kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }
