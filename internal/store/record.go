package store

import (
	"strings"
	"time"

	"postrider/internal/fault"
)

// Record is a named value.
type Record struct {
	Key     string
	Value   []byte
	Changed time.Time // to the second; the caller's
}

// Valid returns why a record can't be kept: an error of kind Invalid for its key,
// TooLarge for its value.
func (r *Record) Valid() error {
	const op = "check record"
	switch {
	case r.Key == "" || len(r.Key) > MaxRecordKey || strings.IndexFunc(r.Key, unprintable) >= 0:
		return fault.Newf(fault.Invalid, op, "%.40q is not a key of 1 to %d octets of printable ASCII", r.Key, MaxRecordKey)
	case len(r.Value) > MaxRecord:
		return fault.Newf(fault.TooLarge, op, "%s has %d octets, %d can be kept", r.Key, len(r.Value), MaxRecord)
	}
	return nil
}

// unprintable reports whether c is no printable ASCII; the space is.
func unprintable(c rune) bool { return c < ' ' || c > '~' }
