package pebblestore

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/mail"
)

// BenchmarkLayout compares the layouts for small bodies that docs/STORE.md tells
// of. Each does the same: a body with its envelope and prefix, and five records,
// from so many writers, one sync for all that wait. Nothing else of the engine
// takes part.
//
//	A          Pebble with separated values, and its own log
//	B          the segment log, with Pebble without a log as index
//	B-recycled the same in segments that were used before
func BenchmarkLayout(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10} {
		for _, writers := range []int{16, 64} {
			for _, l := range []struct {
				name string
				open func(b *testing.B) layout
			}{{"A", openA}, {"B", openB}, {"B-recycled", openRecycledB}} {
				b.Run(fmt.Sprintf("%s/%dKiB/writers=%d", l.name, size>>10, writers), func(b *testing.B) {
					layoutRun(b, l.open(b), size, writers)
				})
			}
		}
	}
}

// layout is one way to keep small bodies.
type layout interface {
	begin()
	add(worker int, body []byte)
	octets() int
	commit() error
	settle()
}

const (
	// layoutOctets is about what a run writes in bodies: enough for Pebble to
	// flush and compact.
	layoutOctets = 256 << 20
	// layoutBeside is what an envelope and a prefix add to a body, in octets.
	layoutBeside = 430
)

type layoutRequest struct {
	worker int
	body   []byte
	done   chan error
}

func layoutRun(b *testing.B, l layout, size, writers int) {
	queue := make(chan *layoutRequest, 256)
	go layoutLoop(l, queue)
	defer close(queue)
	body := make([]byte, size+layoutBeside)
	rand.Read(body)
	n := layoutOctets / size / writers
	b.ResetTimer()
	use := startUse()
	for range b.N {
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				r := &layoutRequest{worker: w, body: body, done: make(chan error, 1)}
				for range n {
					queue <- r
					if err := <-r.done; err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
	b.StopTimer()
	l.settle() // what is to be flushed counts, too
	now := nowUse()
	done := float64(b.N * n * writers)
	b.ReportMetric(done/b.Elapsed().Seconds(), "msgs/s")
	b.ReportMetric((now.cpu-use.cpu)*1e6/done, "CPU-µs/msg")
	b.ReportMetric((now.written-use.written)/done, "octets/msg")
	b.ReportMetric(0, "ns/op")
}

// layoutLoop is a commit loop as the engine's: what has arrived is committed at
// once.
func layoutLoop(l layout, queue chan *layoutRequest) {
	var group []*layoutRequest
	for r := range queue {
		l.begin()
		group = group[:0]
		for more := true; more && r != nil; {
			l.add(r.worker, r.body)
			group = append(group, r)
			select {
			case r = <-queue:
				more = l.octets() < maxGatherOctets
			default:
				more = false
			}
		}
		err := l.commit()
		for _, r := range group {
			r.done <- err
		}
	}
}

// layoutRecords adds the records of a delivery: message, accept id, mailbox,
// usage; the body's is the layout's own.
func layoutRecords(b *pebble.Batch, n uint64, worker int) {
	var key keyBuf
	var small [48]byte
	binary.BigEndian.PutUint64(small[:], n)
	box := mailboxKey{mail.AccountID(worker), mail.Inbox}
	b.Set(key.message(box, mail.UID(n)), small[:], nil)
	b.Set(key.u64(tableAccept, n), small[:12], nil)
	b.Set(key.mailbox(box), small[:20], nil)
	b.Set(key.u64(tableUsage, uint64(worker)), small[:12], nil)
}

type layoutA struct {
	db    *pebble.DB
	batch *pebble.Batch
	next  uint64
}

func openA(b *testing.B) layout {
	opts := &pebble.Options{FormatMajorVersion: pebble.FormatValueSeparation, MemTableSize: 64 << 20, Logger: quiet{}}
	opts.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: 512, MaxBlobReferenceDepth: 10, TargetGarbageRatio: 0.5}
	}
	db, err := pebble.Open(filepath.Join(b.TempDir(), "db"), opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return &layoutA{db: db}
}

func (l *layoutA) begin()      { l.batch = l.db.NewBatch() }
func (l *layoutA) octets() int { return l.batch.Len() }
func (l *layoutA) settle()     { l.db.Flush() }

func (l *layoutA) add(worker int, body []byte) {
	l.next++
	var key keyBuf
	l.batch.Set(key.blob(l.next), body, nil)
	layoutRecords(l.batch, l.next, worker)
}

func (l *layoutA) commit() error {
	defer l.batch.Close()
	return l.batch.Commit(pebble.Sync)
}

type layoutB struct {
	s       *Store
	batch   *pebble.Batch
	records []byte
	next    uint64
	flushed int
}

func openB(b *testing.B) layout {
	s, _ := benchStore(b, 1)
	return &layoutB{s: s}
}

// openRecycledB fills the pool with segments that have been written.
func openRecycledB(b *testing.B) layout {
	s, _ := benchStore(b, 1)
	for num := uint64(1000); num < 1000+12*layoutOctets/defaultSegmentSize/5; num++ {
		f, err := s.fs.Create(s.log.path(num), vfs.WriteCategoryUnspecified)
		if err != nil {
			b.Fatal(err)
		}
		for range defaultSegmentSize / pageSize {
			f.Write(make([]byte, pageSize))
		}
		f.Sync()
		f.Close()
		s.log.pool = append(s.log.pool, num)
	}
	return &layoutB{s: s}
}

func (l *layoutB) begin() {
	l.batch = l.s.db.NewBatch()
	l.records = append(l.records[:0], zeroPage[:frameHeaderSize]...)
}

func (l *layoutB) octets() int { return len(l.records) }
func (l *layoutB) settle()     { l.s.flushIndex() }

func (l *layoutB) add(worker int, body []byte) {
	l.next++
	h := recordHeader{blob: l.next, body: int64(len(body)), bodyCRC: checksum(body)}
	var key keyBuf
	var place [20]byte
	l.batch.Set(key.blob(l.next), place[:], nil)
	layoutRecords(l.batch, l.next, worker)
	l.records = append(h.append(l.records), body...)
}

func (l *layoutB) commit() error {
	defer l.batch.Close()
	repr := l.batch.Repr()
	h := frameHeader{records: uint32(len(l.records) - frameHeaderSize), redo: uint32(len(repr))}
	l.records = append(l.records, repr...)
	h.crc = checksum(l.records[frameHeaderSize:])
	h.put(l.records)
	l.records = append(l.records, zeroPage[:h.padded()-h.size()]...)
	at, err := l.s.log.place(h.padded())
	if err == nil {
		err = l.s.log.write(at, l.records)
	}
	if err != nil {
		return err
	}
	l.s.log.wrote(position{at.segment, at.offset + h.padded()}, nil)
	if l.flushed += len(repr); l.flushed > defaultMemTableSize/4 {
		l.flushed = 0
		l.s.db.AsyncFlush()
	}
	return l.s.db.Apply(l.batch, pebble.NoSync)
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format, args...)
	os.Exit(1)
}
