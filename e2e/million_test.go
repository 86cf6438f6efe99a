//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/mail"
	"postrider/internal/resolver/zonetest"
	"postrider/internal/sinktest"
	"postrider/internal/store"
	"postrider/internal/store/pebblestore"
)

// How much TestManyQueuedMessages does. docs/PERFORMANCE.md has what it says of a
// million.
var (
	queuedMessages = flag.Int("queued", 2000, "how many messages TestManyQueuedMessages queues")
	queuedFor      = flag.Duration("queued-for", 2*time.Second, "how long it lets the server try them")
)

// What a queue of a million may cost, and what is held to it whatever its size.
const (
	maxResident = 300 << 20
	maxReady    = 10 * time.Second
)

// manyConfig sends mail for live.test to a sink, and all other to where nobody
// is: by one route, or by MX.
const manyConfig = `
[log]
level = "error"

[outbound]
enabled = true
retry_first = "30s"
retry_max = "5m"
allow_private = true

[dns]
servers = [%q]

[admin]
address = "127.0.0.1:0"

[[listener]]
name = "relay"
protocol = "smtp"
role = "relay"
address = "127.0.0.1:0"

[[relay]]
name = "here"
networks = ["127.0.0.1/32"]

[[route]]
name = "live"
domains = ["live.test", ".live.test"]
hosts = [%q]
`

const deadRoute = `
[[route]]
name = "dead"
hosts = ["127.0.0.1:1"]
`

// deadZone names an address of loopback where nobody takes mail.
const deadZone = `
$ORIGIN dead.test.
* IN MX 10 mx.dead.invalid.
$ORIGIN dead.invalid.
mx IN A 127.0.66.1
`

// TestManyQueuedMessages fills a queue with mail for hosts that are dead, and one
// message for one that is not, and starts the server on it: that one has to arrive
// at once, as has another that comes then, and the server has to stay small.
func TestManyQueuedMessages(t *testing.T) {
	n := *queuedMessages
	for _, c := range []struct {
		name         string
		destinations int
		route        string
	}{
		{"one destination", 1, deadRoute},
		{"1,000 destinations, one hop", min(n, 1000), deadRoute},
		{"1,000 destinations by MX", min(n, 1000), ""},
		{"many destinations by MX", n / 5, ""},
	} {
		t.Run(c.name, func(t *testing.T) { tryMany(t, n, c.destinations, c.route) })
	}
}

func tryMany(t *testing.T, n, destinations int, route string) {
	if route == "" {
		if c, err := net.Dial("tcp", "127.0.66.1:25"); err == nil {
			c.Close()
			t.Fatal("somebody takes mail at 127.0.66.1:25, where nobody should")
		}
	}
	data := t.TempDir()
	begin := time.Now()
	fill(t, filepath.Join(data, "store"), n, destinations)
	t.Logf("%d messages for %d destinations queued in %s", n, destinations, time.Since(begin).Round(time.Second/10))

	live := &arrivals{at: map[string][]time.Time{}, changed: make(chan struct{}, 1)}
	far := sinktest.Start(t, sinktest.Options{On: live.on})
	config := write(t, "many.toml", fmt.Sprintf(manyConfig, zonetest.New(t, deadZone).Serve(t), far.Addr())+route)
	begin = time.Now()
	started := begin
	s := start(t, data, "--config", config)
	ready := time.Since(begin)
	t.Logf("ready in %s", short(ready))
	began := time.Now()
	relayOne(t, s, "x@live.test")
	live.await(t, "x@live.test", 1)
	t.Logf("a message that came then arrived in %s", short(time.Since(began)))
	began = time.Now()
	stats := postrider(t, data, "", "queue", "stats")
	t.Logf("queue stats took %s: %.200s", short(time.Since(began)), strings.ReplaceAll(stats, "\n", "; "))
	var latest time.Duration
	count := 1
	for end := time.Now().Add(*queuedFor); time.Now().Before(end); {
		began = time.Now()
		relayOne(t, s, "x@live.test")
		count++
		live.await(t, "x@live.test", count)
		latest = max(latest, time.Since(began))
		pace(time.Second)
	}
	t.Logf("the message that had waited for the live host, behind all the others, arrived %s after the start",
		short(live.await(t, waiting.String(), 1).Sub(started)))
	resident := mostResident(t, s)
	t.Logf("in %s more of trying: %d MiB resident at most, the slowest of %d messages for the live host took %s",
		*queuedFor, resident>>20, count-1, short(latest))
	if resident > maxResident || ready > maxReady {
		t.Errorf("got %d MiB, ready in %s; at most %d MiB and %s", resident>>20, ready, maxResident>>20, maxReady)
	}
	begin = time.Now()
	s.stop()
	t.Logf("stopped in %s", short(time.Since(begin)))
}

// arrivals is when messages have come to the live host.
type arrivals struct {
	mu      sync.Mutex
	at      map[string][]time.Time // by recipient
	changed chan struct{}
}

// on notes whole messages.
func (a *arrivals) on(cmd sinktest.Command) sinktest.Answer {
	if cmd.Verb == "END" {
		a.mu.Lock()
		for _, to := range cmd.Message.To() {
			a.at[to] = append(a.at[to], time.Now())
		}
		a.mu.Unlock()
		select {
		case a.changed <- struct{}{}:
		default:
		}
	}
	return sinktest.Answer{}
}

// await waits until a recipient has got n messages, and returns when the last came.
func (a *arrivals) await(t *testing.T, to string, n int) time.Time {
	t.Helper()
	late := time.After(5 * time.Minute)
	for {
		a.mu.Lock()
		at := a.at[to]
		a.mu.Unlock()
		if len(at) >= n {
			return at[n-1]
		}
		select {
		case <-a.changed:
		case <-late:
			t.Fatalf("%s has got %d messages of %d", to, len(at), n)
		}
	}
}

func short(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// pace is the time between two messages of a client: part of what is measured.
func pace(d time.Duration) { <-time.After(d) }

// waiting gets the message for the live host that is in the queue before the start.
var waiting = mail.Address{Local: "waiting", Domain: "late.live.test"}

// fill queues n messages for so many domains, and then the one that waits.
func fill(t *testing.T, dir string, n, destinations int) {
	t.Helper()
	st, err := pebblestore.Open(pebblestore.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 64 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				err := enqueue(st, mail.Address{Local: fmt.Sprint("user", i), Domain: fmt.Sprintf("d%d.dead.test", i%int64(destinations))})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := enqueue(st, waiting); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

func enqueue(st store.Store, to mail.Address) error {
	ctx := context.Background()
	c, err := st.NewContent(ctx, 1024)
	if err != nil {
		return err
	}
	fmt.Fprintf(c, "From: <alice@example.test>\r\nSubject: for %s\r\n\r\n%s\r\n", to, strings.Repeat("x", 900))
	now := time.Now()
	o := store.Onward{ID: mail.NewID(now), Due: now}
	o.Envelope.From = mail.Address{Local: "alice", Domain: "example.test"}
	o.Envelope.Recipients = []mail.Recipient{{Address: to}}
	p, err := store.Pass(store.AccountWarrant(1, "alice@example.test"), o)
	if err != nil {
		return err
	}
	_, err = st.Accept(ctx, store.Accept{ID: o.ID, Content: c, Received: now, Onward: []store.Passage{p}})
	return err
}

// relayOne sends a message as a relay client.
func relayOne(t *testing.T, s *server, to string) {
	t.Helper()
	c, err := textproto.Dial("tcp", s.address("relay"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := c.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		want int
		line string
	}{
		{250, "EHLO here.example.org"},
		{250, "MAIL FROM:<alice@example.test>"},
		{250, "RCPT TO:<" + to + ">"},
		{354, "DATA"},
		{250, "Subject: hello\r\n\r\nhello\r\n."},
		{221, "QUIT"},
	} {
		if err := say(c, step.want, "%s", step.line); err != nil {
			t.Fatalf("%s: %v\n%s", step.line, err, s.log)
		}
	}
}

// mostResident returns the most of a server's memory that was ever resident, in
// octets.
func mostResident(t *testing.T, s *server) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.ParseInt(kib, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
