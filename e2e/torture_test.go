//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var rounds = flag.Int("rounds", 5, "how often TestTorture kills the server")

// smallSegments lets segments fill, be emptied and be used again within a round.
const smallSegments = `
[store]
segment_size = "1MiB"
small_max = "64KiB"
`

// maxAcks is how many messages of a round are acknowledged at most before the
// server is killed.
const maxAcks = 200

// A ledger knows what the server has promised.
type ledger struct {
	mu    sync.Mutex
	sent  map[string][]byte // by id: every message that was begun, with its octets
	acked map[string]bool   // those that got a 250
	gone  map[string]bool   // those whose removal got a +OK
	// maybe are those whose removal was asked for and not answered, by QUIT:
	// all of a group are there or none.
	maybe [][]string
	// progress gets a value for each acknowledged message of a round, as long as
	// somebody waits.
	progress chan struct{}
}

// TestTortureKeepsEveryAcknowledgedMessage kills the server with SIGKILL while
// clients send and collect, again and again, and holds it to each 250 and +OK.
func TestTortureKeepsEveryAcknowledgedMessage(t *testing.T) {
	l := &ledger{sent: map[string][]byte{}, acked: map[string]bool{}, gone: map[string]bool{}}
	data, config := t.TempDir(), filepath.Join(t.TempDir(), "torture.toml")
	if err := os.WriteFile(config, []byte(smallSegments+passwordsInTheOpen), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--accounts", "4", "--strict", "--config", config}
	for round := range *rounds {
		s := start(t, data, flags...)
		l.progress = make(chan struct{}, maxAcks)
		var wg sync.WaitGroup
		for c := range 8 {
			wg.Go(func() { l.send(s, round, c) })
		}
		for account := range 2 {
			wg.Go(func() { l.collectUntilKilled(t, s, account) })
		}
		l.waitForAcks(t, rand.IntN(maxAcks)+1)
		s.kill()
		wg.Wait()
		s = start(t, data, flags...)
		present := l.audit(t, s)
		s.stop()
		t.Logf("round %d: %d acknowledged, %d present", round+1, l.count(), present)
		if t.Failed() {
			return
		}
	}
	if out := postrider(t, data, "", "store", "check"); strings.Contains(out, "problem:") {
		t.Errorf("store check after %d kills:\n%s", *rounds, out)
	}
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// waitForAcks returns when n more messages have been acknowledged.
func (l *ledger) waitForAcks(t *testing.T, n int) {
	t.Helper()
	late := time.After(2 * time.Minute)
	for i := range n {
		select {
		case <-l.progress:
		case <-late:
			t.Fatalf("only %d of %d messages acknowledged in two minutes", i, n)
		}
	}
}

// send sends messages until the connection breaks.
func (l *ledger) send(s *server, round, client int) {
	conn, err := net.Dial("tcp", s.address("smtp"))
	if err != nil {
		return
	}
	c := textproto.NewConn(conn)
	defer c.Close()
	if _, _, err := c.ReadResponse(220); err != nil {
		return
	}
	if say(c, 250, "EHLO client%d.example.org", client) != nil {
		return
	}
	for n := 0; ; n++ {
		id := fmt.Sprintf("r%d-c%d-n%d", round, client, n)
		body := message(id)
		l.mu.Lock()
		l.sent[id] = body
		l.mu.Unlock()
		rcpt := s.ready.Accounts[rand.IntN(len(s.ready.Accounts))].Address
		if say(c, 250, "MAIL FROM:<%s@example.org>", id) != nil || say(c, 250, "RCPT TO:<%s>", rcpt) != nil {
			return
		}
		if n%5 == 0 {
			c.W.WriteString("BDAT " + strconv.Itoa(len(body)) + " LAST\r\n")
			c.W.Write(body)
		} else {
			if say(c, 354, "DATA") != nil {
				return
			}
			c.W.Write(bytes.ReplaceAll(body, []byte("\r\n."), []byte("\r\n..")))
			c.W.WriteString(".\r\n")
		}
		if c.W.Flush() != nil {
			return
		}
		if _, _, err := c.ReadResponse(250); err != nil {
			return
		}
		l.mu.Lock()
		l.acked[id] = true
		progress := l.progress
		l.mu.Unlock()
		select {
		case progress <- struct{}{}:
		default:
		}
	}
}

func say(c *textproto.Conn, want int, format string, args ...any) error {
	if err := c.PrintfLine(format, args...); err != nil {
		return err
	}
	_, _, err := c.ReadResponse(want)
	return err
}

// message returns the octets of the message with an id: of many sizes, with
// dots at the beginning of lines and octets of all values but CR and LF.
func message(id string) []byte {
	r := rand.New(rand.NewPCG(uint64(len(id)), hash(id)))
	size := r.IntN(3000)
	if r.IntN(20) == 0 {
		size = 300_000 + r.IntN(600_000)
	}
	b := fmt.Appendf(nil, "X-Torture: %s\r\nSubject: %d octets\r\n\r\n", id, size)
	for len(b) < size {
		line := make([]byte, r.IntN(90))
		for i := range line {
			line[i] = byte(14 + r.IntN(242))
		}
		if len(line) > 0 && r.IntN(8) == 0 {
			line[0] = '.'
		}
		b = append(append(b, line...), "\r\n"...)
	}
	return b
}

func hash(s string) (h uint64) {
	for _, c := range []byte(s) {
		h = h*1099511628211 + uint64(c)
	}
	return h
}

// pop is a POP3 client.
type pop struct {
	*textproto.Conn
}

func dialPOP(s *server, account int) (*pop, error) {
	conn, err := net.Dial("tcp", s.address("pop3"))
	if err != nil {
		return nil, err
	}
	return loginPOP(s, conn, account)
}

// dialPOPS connects with TLS.
func dialPOPS(s *server, account int) (*pop, error) {
	conn, err := tls.Dial("tcp", s.address("pop3s"), s.trust())
	if err != nil {
		return nil, err
	}
	return loginPOP(s, conn, account)
}

func loginPOP(s *server, conn net.Conn, account int) (*pop, error) {
	p := &pop{textproto.NewConn(conn)}
	a := s.ready.Accounts[account]
	for _, cmd := range []string{"", "USER " + a.Address, "PASS " + a.Password} {
		if _, err := p.ok(cmd); err != nil {
			p.Close()
			return nil, err
		}
	}
	return p, nil
}

// ok sends a command, unless it is empty, and returns what follows +OK.
func (p *pop) ok(cmd string) (string, error) {
	if cmd != "" {
		if err := p.PrintfLine("%s", cmd); err != nil {
			return "", err
		}
	}
	line, err := p.ReadLine()
	if err != nil {
		return "", err
	}
	rest, ok := strings.CutPrefix(line, "+OK")
	if !ok {
		return "", fmt.Errorf("%q: got %q", cmd, line)
	}
	return rest, nil
}

// retrieve returns a message's octets as they were before stuffing.
func (p *pop) retrieve(n int) ([]byte, error) {
	first, err := p.ok("RETR " + strconv.Itoa(n))
	if err != nil {
		return nil, err
	}
	var b []byte
	for {
		line, err := p.R.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		if bytes.Equal(line, []byte(".\r\n")) {
			break
		}
		b = append(b, bytes.TrimPrefix(line, []byte("."))...)
	}
	var octets int
	if _, err := fmt.Sscanf(first, "%d", &octets); err != nil || octets != len(b) {
		return nil, fmt.Errorf("RETR %d announced %q and sent %d octets", n, first, len(b))
	}
	return b, nil
}

func (p *pop) count() (int, error) {
	s, err := p.ok("STAT")
	if err != nil {
		return 0, err
	}
	var n, octets int
	_, err = fmt.Sscanf(s, "%d %d", &n, &octets)
	return n, err
}

// collectUntilKilled removes some messages of an account in each session. A
// removal that was asked for but not confirmed may have happened or not.
func (l *ledger) collectUntilKilled(t *testing.T, s *server, account int) {
	for {
		p, err := dialPOP(s, account)
		if err != nil {
			return
		}
		if !l.collect(t, p) {
			p.Close()
			return
		}
		p.Close()
	}
}

func (l *ledger) collect(t *testing.T, p *pop) (alive bool) {
	n, err := p.count()
	if err != nil {
		return false
	}
	var removed []string
	for i := 1; i <= min(n, 40); i++ {
		b, err := p.retrieve(i)
		if err != nil {
			return false
		}
		id, ok := l.check(t, b)
		if !ok {
			return false
		}
		if _, err := p.ok("DELE " + strconv.Itoa(i)); err != nil {
			return false
		}
		removed = append(removed, id)
	}
	_, err = p.ok("QUIT")
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.maybe = append(l.maybe, removed)
		return false
	}
	for _, id := range removed {
		l.gone[id] = true
	}
	return true
}

// check holds a retrieved message to what was sent and returns its id.
func (l *ledger) check(t *testing.T, got []byte) (id string, ok bool) {
	t.Helper()
	_, rest, found := bytes.Cut(got, []byte("\r\nX-Torture: "))
	name, _, _ := bytes.Cut(rest, []byte("\r\n"))
	l.mu.Lock()
	want := l.sent[string(name)]
	l.mu.Unlock()
	if !found || want == nil {
		t.Errorf("a message that nobody sent: %.200q", got)
		return "", false
	}
	if !bytes.HasSuffix(got, want) {
		t.Errorf("message %s is damaged: %d octets, %d were sent", name, len(got), len(want))
		return "", false
	}
	for _, line := range bytes.SplitAfter(got[:len(got)-len(want)], []byte("\r\n")) {
		trace := len(line) == 0 || line[0] == '\t' || line[0] == ' '
		for _, field := range []string{"Return-Path: ", "Delivered-To: ", "Received: "} {
			trace = trace || bytes.HasPrefix(line, []byte(field))
		}
		if !trace {
			t.Errorf("message %s begins with %q, which is not a trace field of ours", name, line)
			return "", false
		}
	}
	return string(name), true
}

// audit reads every maildrop and compares it with the ledger.
func (l *ledger) audit(t *testing.T, s *server) (present int) {
	t.Helper()
	seen := map[string]int{}
	for account := range s.ready.Accounts {
		p, err := dialPOP(s, account)
		if err != nil {
			t.Fatalf("after a restart: %v\n%s", err, s.log)
		}
		n, err := p.count()
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= n; i++ {
			b, err := p.retrieve(i)
			if err != nil {
				t.Fatalf("account %d, message %d of %d: %v\n%s", account, i, n, err, s.log)
			}
			if id, ok := l.check(t, b); ok {
				seen[id]++
			}
		}
		p.ok("QUIT")
		p.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, group := range l.maybe {
		left := 0
		for _, id := range group {
			if l.gone[id] = seen[id] == 0; !l.gone[id] {
				left++
			}
		}
		if left != 0 && left != len(group) {
			t.Errorf("of %d messages removed by one QUIT, %d are there", len(group), left)
		}
	}
	l.maybe = nil
	for id := range l.acked {
		if seen[id] == 0 && !l.gone[id] {
			t.Errorf("message %s was acknowledged and is lost", id)
		}
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("message %s is there %d times", id, n)
		}
		if l.gone[id] {
			t.Errorf("message %s was removed and is there again", id)
		}
		present++
	}
	return present
}
