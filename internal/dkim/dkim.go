// Package dkim signs mail for the domains that live here (DKIM, RFC 6376), seals
// what is forwarded (ARC, RFC 8617), keeps the keys for both, and verifies the
// signatures and chains that others made.
//
// An ARC-Message-Signature is a DKIM signature under another name, so one engine
// makes and checks both: the header is read once, up to MaxHeader octets, and the
// body once, streaming, whatever the number of signatures. Memory does not grow
// with the message.
package dkim

import (
	"context"
	"time"
)

// Limits of what is read of a message and of what others publish.
const (
	// MaxHeader is the longest header that is signed or verified, in octets.
	MaxHeader = 1 << 20
	// maxSignatures is how many DKIM signatures of a message are verified; more are
	// not looked at.
	maxSignatures = 8
	// maxInstance is how many sets an ARC chain may have (RFC 8617 §4.2.1).
	maxInstance = 50

	maxField     = 16 << 10 // octets of a signature field that is parsed
	maxTags      = 32       // tags in a list
	maxSigned    = 256      // names in h=
	maxKeyRecord = 4 << 10  // octets of a published key
	minVerifyRSA = 1024     // bits (RFC 8301 §3.2)
	maxVerifyRSA = 8192     // bits; more would only cost time
)

// TXT looks up text records. Each string is one record, its parts joined. No such
// name, or no such record, is an error of kind NotFound or an empty result; every
// other error means that nobody knows.
type TXT func(ctx context.Context, name string) ([]string, error)

// Settings are what the configuration says of signing.
type Settings struct {
	// Expire is how long a signature is good for (x=); zero: without end.
	Expire time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (s Settings) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}
