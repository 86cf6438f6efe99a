// Package directory knows domains, accounts, aliases and credentials: who is
// local, where an address leads, and whether a password is right. It keeps
// nothing itself; the records are the store's.
package directory

import (
	"context"
	"log/slog"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/store"
)

// The defaults of Options.
const (
	DefaultDelimiters = "+"
	DefaultCacheTTL   = 5 * time.Minute
	DefaultCacheSize  = 10_000
)

// Options are what a Directory needs to know. The zero value is usable.
type Options struct {
	// Postmaster is the address that mail to postmaster goes to: to <Postmaster>
	// without a domain, and at every local domain that has neither a postmaster
	// nor a catch-all (RFC 5321 §4.5.1). Empty: there is none.
	Postmaster string
	// Delimiters are the characters each of which begins the sub-address in a
	// local part, as in user+tag. Only ASCII punctuation counts. Empty:
	// DefaultDelimiters.
	Delimiters string
	// NoSubaddress turns sub-addresses off.
	NoSubaddress bool
	// Argon2 is what new passwords cost. Zero fields: DefaultArgon2.
	Argon2 Argon2Params
	// HashAtOnce is how many passwords are hashed at one time; others wait. Each
	// takes Argon2.Memory. Zero: one a processor.
	HashAtOnce int
	// CacheTTL is how long a successful login is remembered, so that the next one
	// with the same password needs no hash. Zero: DefaultCacheTTL; negative: none.
	CacheTTL time.Duration
	// CacheSize is how many logins are remembered at most. Zero: DefaultCacheSize.
	CacheSize int
	// SCRAMIterations is how often new passwords are hashed for SCRAM-SHA-256. Zero:
	// DefaultSCRAMIterations; negative: no keys for SCRAM are made or used. What is
	// outside of MinSCRAMIterations and MaxSCRAMIterations is brought inside.
	SCRAMIterations int
	// Records keeps the secret from which answers about names that nobody has are
	// made, so that they stay the same when the server starts again, and which
	// accounts have legacy secrets. Nil: they do not stay the same, and
	// LegacyPossible is said as soon as there is a key.
	Records store.Records
	// KeyFile is the path of the file with the key that recoverable secrets are
	// sealed under. It is made when the first is set. Empty: there can be none.
	KeyFile string
	Logger  *slog.Logger     // nil: no log
	Now     func() time.Time // nil: time.Now
}

func (o Options) withDefaults() Options {
	if o.Delimiters == "" {
		o.Delimiters = DefaultDelimiters
	}
	if o.NoSubaddress {
		o.Delimiters = ""
	}
	o.Delimiters = strings.Map(punctuation, o.Delimiters)
	o.Argon2 = o.Argon2.withDefaults()
	if o.HashAtOnce <= 0 {
		o.HashAtOnce = runtime.GOMAXPROCS(0)
	}
	if o.CacheTTL == 0 {
		o.CacheTTL = DefaultCacheTTL
	}
	if o.CacheSize <= 0 {
		o.CacheSize = DefaultCacheSize
	}
	switch {
	case o.SCRAMIterations == 0:
		o.SCRAMIterations = DefaultSCRAMIterations
	case o.SCRAMIterations > 0:
		o.SCRAMIterations = min(max(o.SCRAMIterations, MinSCRAMIterations), MaxSCRAMIterations)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// punctuation returns -1 for what is not ASCII punctuation: letters differ in
// case, and a delimiter is one octet.
func punctuation(r rune) rune {
	if r > ' ' && r < unicode.MaxASCII && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
		return r
	}
	return -1
}

// Directory answers about addresses and passwords, and changes the records. It
// may be used from several goroutines.
type Directory struct {
	st         store.Directory
	o          Options
	postmaster mail.Address // zero: none

	hashing *gate
	hashes  atomic.Int64 // run so far
	known   *successes
	decoy   verifier // what a password is compared with when there is no account
	decoys  decoys
	keys    *keyFile
	holders holders
	// giveBack returns the memory that hashes took to the system, when none has
	// run for hashPause.
	giveBack *time.Timer

	// changing is held from reading a record to writing it, so that no change is
	// lost between two of this process.
	changing sync.Mutex
}

// hashPause is how long after the last hash its memory is given back. The
// runtime would keep it for long: many times what the server needs otherwise.
const hashPause = time.Second

// New returns a Directory over st.
func New(st store.Directory, o Options) *Directory {
	o = o.withDefaults()
	d := &Directory{
		st:      st,
		o:       o,
		hashing: newGate(o.HashAtOnce),
		known:   newSuccesses(o.CacheTTL, o.CacheSize, o.Now),
		decoy:   decoy(o.Argon2),
		decoys:  decoys{records: o.Records, log: o.Logger, now: o.Now},
		keys:    &keyFile{path: o.KeyFile},
		holders: holders{st: st, records: o.Records, log: o.Logger, now: o.Now},
	}
	d.holders.load(context.Background())
	// That there is no file is as it should be until somebody has a legacy secret.
	if _, err := d.keys.load(); err != nil && (!fault.Is(err, fault.NotFound) || d.holders.kept.some()) {
		o.Logger.Error("the key file can't be used: nobody can log in with a legacy secret", "error", err)
	}
	d.giveBack = time.AfterFunc(hashPause, debug.FreeOSMemory)
	if o.Postmaster == "" {
		return d
	}
	a, err := mail.ParseAddress(o.Postmaster)
	if err != nil {
		o.Logger.Error("the postmaster's address can't be used", "error", err)
		return d
	}
	d.postmaster = a
	return d
}

// hash runs f, which hashes a password once, when it is the turn of who comes
// from the address. The error is Transient if ctx ends before, Busy if too many
// wait.
func (d *Directory) hash(ctx context.Context, from netip.Addr, f func()) error {
	if err := d.hashing.enter(ctx, from); err != nil {
		return err
	}
	defer d.hashing.leave(from)
	d.hashes.Add(1)
	f()
	d.giveBack.Reset(hashPause)
	return nil
}

// fromKey is the address that a key stands for.
func fromKey(key string) mail.Address {
	at := strings.LastIndexByte(key, '@')
	if at < 0 {
		return mail.Address{Local: key}
	}
	return mail.Address{Local: key[:at], Domain: key[at+1:]}
}

// catchAll is the key of a domain's catch-all.
func catchAll(domain string) string { return "@" + domain }

// isCatchAll reports whether an entry's key is a catch-all's.
func isCatchAll(key string) bool { return strings.HasPrefix(key, "@") }
