package pebblestore

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"postrider/internal/mail"
	"postrider/internal/store"
)

// benchStore opens a store on the disk with n accounts.
func benchStore(b *testing.B, n int) (*Store, []mail.AccountID) {
	b.Helper()
	s, err := Open(Options{Dir: filepath.Join(b.TempDir(), "store")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s, addAccounts(b, s, n)
}

var benchPrefix = []byte("Return-Path: <sender@example.net>\r\nDelivered-To: u0@example.test\r\n" +
	"Received: from client.example.net (client.example.net [192.0.2.1])\r\n\tby mx.example.test with ESMTP id 01jd9k6x0c8hgvw0t7tmtcz0nq\r\n\tfor <u0@example.test>; Sun, 22 Nov 2026 05:18:00 +0000\r\n")

func benchAccept(b testing.TB, s *Store, body []byte, to []mail.AccountID) {
	c, err := s.NewContent(b.Context(), int64(len(body)))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Write(body); err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	a := store.Accept{ID: mail.NewID(now), Content: c, Received: now, Deliveries: make([]store.Delivery, len(to))}
	a.Envelope = mail.Envelope{
		ID: a.ID, From: mail.Address{Local: "sender", Domain: "example.net"},
		Recipients: []mail.Recipient{{Address: mail.Address{Local: "u0", Domain: "example.test"}}},
	}
	for i, id := range to {
		a.Deliveries[i] = store.Delivery{Account: id, Mailbox: mail.Inbox, Prefix: benchPrefix}
	}
	if _, err := s.Accept(b.Context(), a); err != nil {
		b.Fatal(err)
	}
}

// parallel calls f b.N times from n goroutines.
func parallel(b *testing.B, n int, f func(worker int)) {
	var wg sync.WaitGroup
	work := make(chan struct{}, n)
	for w := range n {
		wg.Go(func() {
			for range work {
				f(w)
			}
		})
	}
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
}

func BenchmarkAccept(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10} {
		for _, writers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%dKiB/writers=%d", size>>10, writers), func(b *testing.B) {
				s, ids := benchStore(b, 100)
				body := make([]byte, size)
				b.ReportAllocs()
				use := startUse()
				b.ResetTimer()
				parallel(b, writers, func(w int) { benchAccept(b, s, body, ids[w:w+1]) })
				b.StopTimer()
				use.report(b)
				commits := counterValue(s.stats.commits)
				b.ReportMetric(float64(b.N)/commits, "msgs/sync")
			})
		}
	}
}

func BenchmarkAcceptTenRecipients(b *testing.B) {
	s, ids := benchStore(b, 100)
	body := make([]byte, 1<<10)
	b.ReportAllocs()
	use := startUse()
	b.ResetTimer()
	parallel(b, 16, func(w int) { benchAccept(b, s, body, ids[w:w+10]) })
	b.StopTimer()
	use.report(b)
	b.ReportMetric(float64(b.N)*10/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkAcceptLarge(b *testing.B) {
	s, ids := benchStore(b, 16)
	body := make([]byte, 5<<20)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	use := startUse()
	b.ResetTimer()
	parallel(b, 4, func(w int) { benchAccept(b, s, body, ids[w:w+1]) })
	b.StopTimer()
	use.report(b)
}

func BenchmarkOpenMaildrop(b *testing.B) {
	s, ids := benchStore(b, 1)
	body := make([]byte, 100)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 200 {
				benchAccept(b, s, body, ids)
			}
		})
	}
	wg.Wait()
	b.Run("STAT", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			d, err := s.OpenMaildrop(b.Context(), ids[0], store.Exclusive, "bench")
			if err != nil || d.Mailbox().Messages != 10_000 {
				b.Fatal(err)
			}
			d.Close()
		}
	})
	b.Run("LIST10000", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			d, err := s.OpenMaildrop(b.Context(), ids[0], store.Exclusive, "bench")
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for _, err := range d.List(b.Context()) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != 10_000 {
				b.Fatal(n)
			}
			d.Close()
		}
	})
	b.Run("RETR", func(b *testing.B) {
		b.ReportAllocs()
		uid := mail.UID(0)
		for range b.N {
			uid = uid%10_000 + 1
			r, err := s.Open(b.Context(), ids[0], mail.Inbox, uid)
			if err != nil {
				b.Fatal(err)
			}
			r.Close()
		}
	})
}
