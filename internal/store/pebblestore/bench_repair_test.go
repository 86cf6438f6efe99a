package pebblestore

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/internal/mail"
)

// BenchmarkRecount counts stores of accounts with one message each anew: the time
// for an account must not grow with their number.
func BenchmarkRecount(b *testing.B) {
	for _, n := range []int{1000, 8000} {
		b.Run(fmt.Sprintf("accounts=%d", n), func(b *testing.B) {
			s := mustOpen(b, Options{FS: vfs.NewMem(), Dir: "store"})
			defer s.Close()
			accounts := addAccounts(b, s, n)
			for from := 0; from < n; from += 1000 {
				acceptAs(s, mail.NewID(time.Now()), []byte("body"), accounts[from:from+1000])
			}
			b.ResetTimer()
			for b.Loop() {
				if err := s.do(&recount{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/account")
		})
	}
}
