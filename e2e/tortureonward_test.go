//go:build e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// onwardConfig lets mail for others in by both ways, and logs what becomes of it.
const onwardConfig = smallSegments + passwordsInTheOpen + `
[log]
level = "info"

[[listener]]
name = "submission"
allow_plaintext_auth = true

[[listener]]
name = "relay"
protocol = "smtp"
role = "relay"
address = "127.0.0.1:0"

[[relay]]
name = "here"
networks = ["127.0.0.1/32"]
`

// onward knows what the server has promised to send, and to whom.
type onward struct {
	mu    sync.Mutex
	sent  map[string][]byte   // by id: every message that was begun
	acked map[string][]string // by id: the recipients of those that got a 250
	lives []*server
	// killed is when each life was ended with SIGKILL; zero: it ended by itself.
	killed []time.Time
	// progress gets a value for each message acknowledged.
	progress chan struct{}
}

// How much happens in a round at most.
const (
	onwardClients = 6
	onwardEach    = 5 // messages of a client
	maxOnward     = onwardClients * onwardEach
)

// settleTime is longer than it takes to write down what was sent.
const settleTime = 5 * time.Second

// TestTortureOfTheQueueLosesNothing kills the server and its next host at random
// while mail goes from one to the other, and then holds the server to each 250:
// every message arrives as it was sent, and what arrives twice is explained.
func TestTortureOfTheQueueLosesNothing(t *testing.T) {
	far := startFarHost(t)
	o := &onward{sent: map[string][]byte{}, acked: map[string][]string{}}
	data := t.TempDir()
	flags := []string{
		"--accounts", "3", "--strict", "--config", write(t, "onward.toml", onwardConfig), "--relay-to", far.addr,
	}
	for round := range *rounds {
		s := o.live(t, far, data, flags)
		wait := o.clients(s, round)
		o.end(t, s, far)
		wait()
		if t.Failed() {
			return
		}
	}
	far.behave()
	s := o.live(t, far, data, flags)
	o.waitForAll(t, s, far)
	if out := postrider(t, data, "", "queue", "list"); strings.Contains(out, "@remote.test") {
		t.Errorf("the queue is not empty:\n%s", out)
	}
	o.expectNoNotices(t, s)
	s.stop()
	o.audit(t, far)
	if out := postrider(t, data, "", "store", "check"); strings.Contains(out, "problem:") {
		t.Errorf("store check after %d kills:\n%s", *rounds, out)
	}
}

// live starts the server again.
func (o *onward) live(t *testing.T, far *farHost, data string, flags []string) *server {
	t.Helper()
	far.newLife(len(o.lives))
	s := start(t, data, flags...)
	o.lives = append(o.lives, s)
	return s
}

// clients sends from several places, and returns how to wait for their end.
func (o *onward) clients(s *server, round int) (wait func()) {
	var wg sync.WaitGroup
	o.mu.Lock()
	o.progress = make(chan struct{}, maxOnward)
	o.mu.Unlock()
	for c := range onwardClients {
		wg.Go(func() { o.send(s, round, c) })
	}
	return wg.Wait
}

// end ends a life at random: when the server has promised some messages, or at a
// place in a conversation with the far host. Now and then it may stop in good
// order.
func (o *onward) end(t *testing.T, s *server, far *farHost) {
	t.Helper()
	struck := make(chan struct{})
	p := place(rand.IntN(4))
	if p != nowhere {
		far.arm(p, 1+rand.IntN(15), func() {
			s.cmd.Process.Kill()
			close(struck)
		})
	}
	late := time.After(5 * time.Second)
	waiting := true
	for n := 1 + rand.IntN(maxOnward); waiting && n > 0; {
		select {
		case <-o.progress:
			if p == nowhere {
				n--
			}
		case <-struck:
			waiting = false
		case <-late: // the far host did not come to that place
			waiting = false
		}
	}
	if p == nowhere && rand.IntN(3) == 0 {
		s.stop()
		o.killed = append(o.killed, time.Time{})
		return
	}
	far.arm(nowhere, 0, func() {})
	s.kill()
	o.killed = append(o.killed, time.Now())
}

// send sends messages until the connection breaks: by submission, or as a relay
// client.
func (o *onward) send(s *server, round, client int) {
	listener := "submission"
	if client%2 == 1 {
		listener = "relay"
	}
	conn, err := net.Dial("tcp", s.address(listener))
	if err != nil {
		return
	}
	c := textproto.NewConn(conn)
	defer c.Close()
	if _, _, err := c.ReadResponse(220); err != nil || say(c, 250, "EHLO client%d.example.org", client) != nil {
		return
	}
	who := s.ready.Accounts[client%len(s.ready.Accounts)]
	if listener == "submission" {
		plain := base64.StdEncoding.EncodeToString([]byte("\x00" + who.Address + "\x00" + who.Password))
		if say(c, 235, "AUTH PLAIN %s", plain) != nil {
			return
		}
	}
	for n := range onwardEach {
		id := fmt.Sprintf("r%d-c%d-n%d", round, client, n)
		if !o.sendOne(c, who.Address, id) {
			return
		}
	}
}

// sendOne sends a message to one to three recipients, and writes its 250 down.
func (o *onward) sendOne(c *textproto.Conn, from, id string) bool {
	text := bytes.Replace(message(id), []byte("Subject: "),
		fmt.Appendf(nil, "From: <%s>\r\nDate: Fri, 27 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%s@example.test>\r\nSubject: ", from, id), 1)
	o.mu.Lock()
	o.sent[id] = text
	o.mu.Unlock()
	if say(c, 250, "MAIL FROM:<%s> BODY=8BITMIME", from) != nil {
		return false
	}
	var rcpts []string
	for i := range 1 + rand.IntN(3) {
		rcpt := fmt.Sprintf("%s.%d@remote.test", id, i)
		rcpts = append(rcpts, rcpt)
		if say(c, 250, "RCPT TO:<%s>", rcpt) != nil {
			return false
		}
	}
	if say(c, 354, "DATA") != nil {
		return false
	}
	c.W.Write(bytes.ReplaceAll(text, []byte("\r\n."), []byte("\r\n..")))
	c.W.WriteString(".\r\n")
	if c.W.Flush() != nil {
		return false
	}
	if _, _, err := c.ReadResponse(250); err != nil {
		return false
	}
	o.mu.Lock()
	o.acked[id] = rcpts
	progress := o.progress
	o.mu.Unlock()
	select {
	case progress <- struct{}{}:
	default:
	}
	return true
}

// waitForAll returns when everything acknowledged has arrived, and all that the
// queue has besides.
func (o *onward) waitForAll(t *testing.T, s *server, far *farHost) {
	t.Helper()
	late := time.After(2 * time.Minute)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := o.missing(far)
		if len(missing) == 0 && queueIsEmpty(t, s) {
			return
		}
		select {
		case <-far.taken:
		case <-tick.C: // what was taken is settled after that
		case <-late:
			t.Fatalf("after two minutes the queue is not empty, and these have not arrived: %v\n%s", missing, s.log)
		}
	}
}

func queueIsEmpty(t *testing.T, s *server) bool {
	t.Helper()
	return !strings.Contains(postrider(t, s.ready.Data, "", "queue", "list"), "@")
}

// missing returns the recipients who were promised a message and don't have it.
func (o *onward) missing(far *farHost) (missing []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, rcpts := range o.acked {
		for _, rcpt := range rcpts {
			if len(far.has(rcpt)) == 0 {
				missing = append(missing, rcpt)
			}
		}
	}
	return missing
}

// expectNoNotices fails if a sender was told of a failure or a delay.
func (o *onward) expectNoNotices(t *testing.T, s *server) {
	t.Helper()
	for i, a := range s.ready.Accounts {
		p, err := dialPOP(s, i)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := p.count(); err != nil || n > 0 {
			b, _ := p.retrieve(1)
			t.Errorf("%s has got %d messages (%v):\n%s", a.Address, n, err, b)
		}
		p.ok("QUIT")
		p.Close()
	}
}

// audit compares what the far host has taken with what was sent.
func (o *onward) audit(t *testing.T, far *farHost) {
	t.Helper()
	copies, twice := 0, map[string]int{}
	for rcpt, all := range far.copies {
		copies += len(all)
		for i, c := range all {
			if want := o.sent[c.id]; want == nil || !bytes.Equal(body(c.data), want) {
				t.Errorf("%s has got %d octets that nobody sent: %.300q", rcpt, len(c.data), c.data)
			}
			if i == len(all)-1 {
				break
			}
			why := o.explain(rcpt, c)
			if twice[why]++; why == "" {
				t.Errorf("%s has got message %s again, and nothing says why; it came in life %d:\n%s\nand in life %d:\n%s", rcpt, c.id,
					c.life, linesWith(o.lives[c.life], rcpt), all[i+1].life, linesWith(o.lives[all[i+1].life], rcpt))
			}
		}
	}
	t.Logf("%d lives, %d messages acknowledged, %d copies for %d recipients", len(o.lives), len(o.acked), copies, len(far.copies))
	for _, why := range slices.Sorted(maps.Keys(twice)) {
		t.Logf("%d came again: %s", twice[why], why)
	}
}

// explain says why a copy was followed by another, or nothing: the server had not
// written down that it was sent when it was killed, or could not know.
func (o *onward) explain(rcpt string, c *farCopy) string {
	life := o.lives[c.life]
	lines := linesWith(life, rcpt)
	switch {
	case strings.Contains(lines, "may_come_twice=true"):
		return "the log says that it may"
	case strings.Contains(lines, "message sent") && c.life < len(o.killed) && o.killed[c.life].Sub(logged(lines, "message sent")) < settleTime:
		return "the log says that it was sent, then the server was killed"
	case logged(lines, "").Before(c.at) && c.last():
		return "the connection was cut after the final dot, before anything was logged"
	}
	return ""
}

// logged returns when the last of some lines that has a text was written.
func logged(lines, text string) (last time.Time) {
	for line := range strings.Lines(lines) {
		if word, _, _ := strings.Cut(line, " "); strings.Contains(line, text) {
			last, _ = time.Parse(time.RFC3339, strings.TrimPrefix(word, "time="))
		}
	}
	return last
}

// linesWith returns the lines of a life's log about a recipient.
func linesWith(s *server, rcpt string) string {
	var b strings.Builder
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "to="+rcpt+" ") {
			b.WriteString(line)
		}
	}
	return b.String()
}
