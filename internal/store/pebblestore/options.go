package pebblestore

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/mail"
)

// The defaults of Options, in octets.
const (
	defaultSmallMax     = 128 << 10
	defaultSegmentSize  = 64 << 20
	defaultCacheSize    = 64 << 20
	defaultMemTableSize = 16 << 20
	defaultArriving     = 64 << 20
	// maxAutoReserve bounds the reserve of one percent that is taken when
	// Options name none.
	maxAutoReserve = 512 << 20
	// maxSmallMax and maxSegmentSize keep lengths within a frame's 32 bits.
	maxSmallMax    = 8 << 20
	maxSegmentSize = 1 << 30
)

// Options says where a store is and how it is kept. Only Dir is needed.
type Options struct {
	// Dir is the store's folder. It is made when it is not there.
	Dir string
	// FS is the file system; nil is the operating system's.
	FS vfs.FS
	// Logger gets what an operator should know; nil drops it.
	Logger *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
	// SmallMax is the size in octets up to which a message is kept in the log;
	// larger ones are files. Default 128 KiB, at most 8 MiB.
	SmallMax int64
	// SegmentSize is the size of a log file in octets. Default 64 MiB, at most
	// 1 GiB.
	SegmentSize int64
	// Reserve is how many octets of the disk stay free: below, no mail is taken.
	// If it is zero, ReservePercent of the disk; if that is zero too, 1 % but at
	// most 512 MiB.
	Reserve        int64
	ReservePercent float64
	// CacheSize is that of the index's block cache in octets; its tables in memory count
	// in it. Default 64 MiB.
	CacheSize int64
	// MemTableSize is that of the index's tables in memory, in octets. Default
	// 16 MiB; up to two are in use.
	MemTableSize int64
	// Arriving bounds the memory, in octets, of all small messages that are
	// arriving; beyond it they go to files. Default 64 MiB.
	Arriving int64
	// Now returns the time; nil is time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.SmallMax = min(orDefault(o.SmallMax, defaultSmallMax), maxSmallMax)
	o.SegmentSize = roundUp(min(orDefault(o.SegmentSize, defaultSegmentSize), maxSegmentSize), pageSize)
	o.CacheSize = orDefault(o.CacheSize, defaultCacheSize)
	o.MemTableSize = orDefault(o.MemTableSize, defaultMemTableSize)
	o.Arriving = orDefault(o.Arriving, defaultArriving)
	return o
}

// orDefault returns n, or def if n is not positive.
func orDefault(n, def int64) int64 {
	if n <= 0 {
		return def
	}
	return n
}

// roundUp returns the least multiple of unit that is not less than n.
func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// mailboxKey names a mailbox.
type mailboxKey struct {
	account mail.AccountID
	mailbox mail.MailboxID
}
