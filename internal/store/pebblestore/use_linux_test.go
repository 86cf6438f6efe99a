package pebblestore

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// use is what the process has used of the machine.
type use struct {
	cpu     float64 // seconds
	written float64 // octets sent to the disk
}

func startUse() use { return nowUse() }

func nowUse() use {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	u := use{cpu: float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9}
	f, err := os.Open("/proc/self/io")
	if err != nil {
		return u
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if n, ok := strings.CutPrefix(s.Text(), "write_bytes: "); ok {
			u.written, _ = strconv.ParseFloat(n, 64)
		}
	}
	return u
}

// report adds what was used since, by operation, to a benchmark's results.
func (u use) report(b *testing.B) {
	now := nowUse()
	b.ReportMetric((now.cpu-u.cpu)*1e6/float64(b.N), "CPU-µs/op")
	b.ReportMetric((now.written-u.written)/float64(b.N), "octets/op")
}

func counterValue(c prometheus.Counter) float64 {
	var m dto.Metric
	if c.Write(&m) != nil {
		return 0
	}
	return m.GetCounter().GetValue()
}
