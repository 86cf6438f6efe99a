package mail

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// ID names one accepted message or one write: 48 bits of time in milliseconds
// and 80 random bits. Its order is the order of time. It stands in logs, in the
// Received field and in the reply to the sender, and it makes a repeated write
// recognizable.
type ID [16]byte

// The alphabet keeps the order of the octets and leaves out letters that are
// easily misread.
var idText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID returns a new ID for a time.
func NewID(now time.Time) ID {
	var id ID
	rand.Read(id[:]) // never fails (crypto/rand)
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint16(id[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(id[2:], uint32(ms))
	return id
}

// Time returns the time that the ID was made for, to the millisecond.
func (id ID) Time() time.Time {
	ms := uint64(binary.BigEndian.Uint16(id[0:]))<<32 | uint64(binary.BigEndian.Uint32(id[2:]))
	return time.UnixMilli(int64(ms))
}

// IsZero reports whether the ID is unset.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the ID as 26 lower-case letters and digits.
func (id ID) String() string { return idText.EncodeToString(id[:]) }

// ParseID reads what String wrote.
func ParseID(s string) (ID, error) {
	var id ID
	b, err := idText.DecodeString(strings.ToLower(s))
	if err != nil || len(b) != len(id) {
		return ID{}, fmt.Errorf("%.40q is not a message id", s)
	}
	return ID(b), nil
}
