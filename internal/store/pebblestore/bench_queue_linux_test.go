package pebblestore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// benchOnward accepts a message that goes onward to one recipient.
func benchOnward(b testing.TB, s *Store, body []byte, to mail.Address) {
	c, err := s.NewContent(context.Background(), int64(len(body)))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Write(body); err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	id := mail.NewID(now)
	e := mail.Envelope{
		ID: id, From: mail.Address{Local: "sender", Domain: "example.net"},
		Recipients: []mail.Recipient{{Address: to}},
	}
	p, err := store.Pass(store.ClientWarrant("bench"), store.Onward{ID: id, Envelope: e, Prefix: benchPrefix, Due: now})
	if err != nil {
		b.Fatal(err)
	}
	a := store.Accept{ID: id, Content: c, Received: now, Envelope: e, Onward: []store.Passage{p}}
	if _, err := s.Accept(context.Background(), a); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkAcceptOnward(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("1KiB/writers=%d", writers), func(b *testing.B) {
			s, _ := benchStore(b, 1)
			body := make([]byte, 1<<10)
			b.ReportAllocs()
			use := startUse()
			b.ResetTimer()
			parallel(b, writers, func(w int) { benchOnward(b, s, body, mail.Address{Local: "x", Domain: fmt.Sprintf("d%d.test", w)}) })
			b.StopTimer()
			use.report(b)
			b.ReportMetric(float64(b.N)/counterValue(s.stats.commits), "msgs/sync")
		})
	}
}

// fillBench puts n messages of a few octets into the queue.
func fillBench(b *testing.B, s *Store, n int, domain func(i int) string) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 64 {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				benchOnward(b, s, []byte("body\r\n"), mail.Address{Local: "x", Domain: domain(i)})
			}
		})
	}
	wg.Wait()
}

// BenchmarkLeaseAndSettle empties a queue of 100,000 rows of one destination in
// batches, and reports the time a row of the first and of the last tenth.
func BenchmarkLeaseAndSettle(b *testing.B) {
	const n = 100_000
	for _, batch := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				s, _ := benchStore(b, 1)
				fillBench(b, s, n, func(int) string { return "far.test" })
				use := startUse()
				b.StartTimer()
				first, last := drainBench(b, s, n, batch)
				b.StopTimer()
				use.report(b)
				b.ReportMetric(float64(first.Nanoseconds())/(n/10), "first-ns/row")
				b.ReportMetric(float64(last.Nanoseconds())/(n/10), "last-ns/row")
				s.Close()
			}
		})
	}
}

// drainBench leases and settles all rows from 16 goroutines. It returns how long the
// first and the last tenth took.
func drainBench(b *testing.B, s *Store, n, batch int) (first, last time.Duration) {
	begin := time.Now()
	var done, tenth, nine atomic.Int64
	work := func() {
		for {
			now := time.Now()
			all, err := s.Lease(context.Background(), store.LeaseQuery{Destination: "far.test", Now: now, Until: now.Add(time.Hour), Limit: batch})
			if err != nil {
				b.Error(err)
				return
			}
			if len(all) == 0 {
				return
			}
			settlements := make([]store.Settlement, 0, batch)
			for _, l := range all {
				for i, r := range l.Message.Rows {
					settlements = append(settlements, store.Settlement{
						RowLease: store.RowLease{Row: store.RowID{Message: l.Message.ID, Index: r.Index}, Fence: l.Fences[i]}, Remove: true,
					})
				}
			}
			made, err := s.Settle(context.Background(), settlements)
			if err != nil || made != len(settlements) {
				b.Error(made, err)
				return
			}
			was := done.Add(int64(made)) - int64(made)
			if was < int64(n/10) && was+int64(made) >= int64(n/10) {
				tenth.Store(int64(time.Since(begin)))
			}
			if was < int64(n-n/10) && was+int64(made) >= int64(n-n/10) {
				nine.Store(int64(time.Since(begin)))
			}
		}
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(work)
	}
	wg.Wait()
	if done.Load() != int64(n) {
		b.Errorf("%d of %d rows were settled", done.Load(), n)
	}
	return time.Duration(tenth.Load()), time.Since(begin) - time.Duration(nine.Load())
}

// BenchmarkRetry puts rows back, as after a failed attempt.
func BenchmarkRetry(b *testing.B) {
	s, _ := benchStore(b, 1)
	const n = 10_000
	fillBench(b, s, n, func(int) string { return "far.test" })
	b.ReportAllocs()
	use := startUse()
	b.ResetTimer()
	for rows := 0; rows < b.N; {
		now := time.Now()
		all, err := s.Lease(b.Context(), store.LeaseQuery{Destination: "far.test", Now: now, Until: now.Add(time.Hour), Limit: 100})
		if err != nil || len(all) == 0 {
			b.Fatal(len(all), err)
		}
		var settlements []store.Settlement
		for _, l := range all {
			settlements = append(settlements, store.Settlement{
				RowLease: store.RowLease{Row: store.RowID{Message: l.Message.ID}, Fence: l.Fences[0]}, Due: now,
				Progress: store.RowProgress{Attempts: 1, Last: now, Host: "mx.far.test [192.0.2.1]", Reply: "450 4.2.1 the mailbox is busy"},
			})
		}
		made, err := s.Settle(b.Context(), settlements)
		if err != nil || made != len(all) {
			b.Fatal(made, err)
		}
		rows += made
	}
	b.StopTimer()
	use.report(b)
}

// BenchmarkMillionRows needs POSTRIDER_QUEUE_ROWS, the number of rows; it measures a
// queue of so many over 1,000 and over 200,000 destinations.
func BenchmarkMillionRows(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("POSTRIDER_QUEUE_ROWS"))
	if err != nil {
		b.Skip("POSTRIDER_QUEUE_ROWS is not set")
	}
	for _, destinations := range []int{1000, 200_000} {
		b.Run(fmt.Sprintf("destinations=%d", destinations), func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "store")
			s, err := Open(Options{Dir: dir})
			if err != nil {
				b.Fatal(err)
			}
			begin := time.Now()
			fillBench(b, s, n, func(i int) string { return fmt.Sprintf("d%d.test", i%destinations) })
			b.ReportMetric(time.Since(begin).Seconds(), "fill-s")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			begin = time.Now()
			if s, err = Open(Options{Dir: dir}); err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			b.ReportMetric(time.Since(begin).Seconds(), "open-s")
			for i := range 3 {
				begin = time.Now()
				seen := 0
				for _, err := range s.Destinations(b.Context(), "") {
					if err != nil {
						b.Fatal(err)
					}
					seen++
				}
				if seen != destinations {
					b.Fatalf("%d destinations", seen)
				}
				b.ReportMetric(time.Since(begin).Seconds(), fmt.Sprintf("walk%d-s", i))
			}
			begin = time.Now()
			for i := range 1000 {
				now := time.Now()
				all, err := s.Lease(b.Context(), store.LeaseQuery{Destination: fmt.Sprintf("d%d.test", i), Now: now, Until: now.Add(time.Hour), Limit: 5})
				if err != nil || len(all) == 0 {
					b.Fatal(len(all), err)
				}
			}
			b.ReportMetric(float64(time.Since(begin).Microseconds())/1000, "lease-µs")
			b.ReportMetric(residentMiB("VmRSS"), "resident-MiB")
			b.ReportMetric(residentMiB("VmHWM"), "peak-MiB")
		})
	}
}

// residentMiB reads how much memory the process has in use.
func residentMiB(name string) float64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name+":" {
			n, _ := strconv.ParseFloat(f[1], 64)
			return n / 1024
		}
	}
	return 0
}
