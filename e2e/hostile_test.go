//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is how long a peer waits for an answer before the test fails.
const patience = 20 * time.Second

// peer is a client of the test's own, that can do what no decent one does.
type peer struct {
	t *testing.T
	*net.TCPConn
	r   *bufio.Reader
	out io.Writer // in TLS, when it has begun
}

// dialPeer connects and reads the greeting.
func dialPeer(t *testing.T, s *server, protocol string) *peer {
	t.Helper()
	p := connect(t, s, protocol)
	p.expect(greeting(protocol))
	return p
}

// expect reads a line that has to begin as wanted, past those of a longer reply
// before it, and returns it.
func (p *peer) expect(want string) string {
	p.t.Helper()
	for {
		line, err := p.r.ReadString('\n')
		if err == nil && len(line) > 3 && line[3] == '-' {
			continue
		}
		if err != nil || !strings.HasPrefix(line, want) {
			p.t.Fatalf("got %q, %v; want %q", line, err, want)
		}
		return line
	}
}

// say sends a line and reads the answer.
func (p *peer) say(line, want string) string {
	p.t.Helper()
	p.put(line + "\r\n")
	return p.expect(want)
}

func (p *peer) put(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.out, s); err != nil {
		p.t.Fatal(err)
	}
}

// login logs in to POP3 as the first account.
func (p *peer) login(s *server) string {
	p.t.Helper()
	a := s.ready.Accounts[0]
	p.say("USER "+a.Address, "+OK")
	return p.say("PASS "+a.Password, "+OK")
}

// reset ends the connection as a host does that has forgotten it.
func (p *peer) reset() {
	p.SetLinger(0)
	p.Close()
}

// beginMessage sends what comes before a message for the first account.
func (p *peer) beginMessage(s *server) {
	p.t.Helper()
	p.say("EHLO client.example.org", "250 ")
	p.say("MAIL FROM:<me@example.org>", "250 ")
	p.say("RCPT TO:<"+s.ready.Accounts[0].Address+">", "250 ")
	p.say("DATA", "354 ")
}

// wantStat logs in, compares the count of messages, and leaves.
func wantStat(t *testing.T, s *server, messages int) {
	t.Helper()
	p := dialPeer(t, s, "pop3")
	p.login(s)
	p.say("STAT", fmt.Sprintf("+OK %d ", messages))
	p.say("QUIT", "+OK")
}

// TestHandsSendAMessage types a message into the programs that people type into.
func TestHandsSendAMessage(t *testing.T) {
	for _, program := range [][]string{{"telnet"}, {"nc", "-C"}} {
		t.Run(program[0], func(t *testing.T) {
			s := start(t, t.TempDir())
			host, port, _ := strings.Cut(s.address("smtp"), ":")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c := exec.CommandContext(ctx, program[0], append(program[1:], host, port)...)
			in, err := c.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(out)
			for _, step := range [][2]string{
				{"220 ", "mail from: me@example.org"},
				{"250 ", "rcpt to: " + s.ready.Accounts[0].Address},
				{"250 ", "data"},
				{"354 ", "Subject: typed\n\n..dot\nwords\n."},
				{"250 ", "quit"},
			} {
				waitFor(t, r, step[0])
				io.WriteString(in, step[1]+"\n")
			}
			waitFor(t, r, "221 ")
			in.Close()
			io.Copy(io.Discard, r)
			_ = c.Wait() // telnet calls a connection that was closed an error
			p := dialPeer(t, s, "pop3")
			p.login(s)
			p.put("RETR 1\r\nQUIT\r\n")
			b, err := io.ReadAll(p.r)
			if want := "\r\nSubject: typed\r\n\r\n..dot\r\nwords\r\n.\r\n"; err != nil || !bytes.Contains(b, []byte(want)) {
				t.Errorf("got %q, %v; want %q in it", b, err, want)
			}
		})
	}
}

// waitFor reads lines until one begins as wanted.
func waitFor(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if strings.HasPrefix(line, want) {
			return
		}
		if err != nil {
			t.Fatalf("waiting for %q: %q, %v", want, line, err)
		}
	}
}

func TestOctetsThatComeAloneAreTheSame(t *testing.T) {
	for name, flags := range map[string][]string{"teach": nil, "strict": {"--strict", "--config", openPOP(t)}} {
		t.Run(name, func(t *testing.T) {
			s := start(t, t.TempDir(), flags...)
			to := s.ready.Accounts[0].Address
			p := dialPeer(t, s, "smtp")
			p.SetNoDelay(true)
			for _, c := range []byte("EHLO x\r\nMAIL FROM:<me@example.org>\r\nRCPT TO:<" + to + ">\r\nDATA\r\n" +
				"Subject: x\r\n\r\n..\r\n.\r\nMAIL FROM:<me@example.org>\r\nRCPT TO:<" + to + ">\r\nBDAT 9 LAST\r\nS: x\r\n\r\n.QUIT\r\n") {
				p.put(string(c))
			}
			for _, want := range []string{"250 ", "250 ", "250 ", "354 ", "250 ", "250 ", "250 ", "250 ", "221 "} {
				p.expect(want)
			}
			wantStat(t, s, 2)
		})
	}
}

func TestResetConnectionChangesNothing(t *testing.T) {
	s := startOpen(t, t.TempDir())
	whole := dialPeer(t, s, "smtp")
	whole.beginMessage(s)
	whole.say("Subject: kept\r\n\r\nx\r\n.", "250 ")

	broken := dialPeer(t, s, "smtp")
	broken.beginMessage(s)
	broken.put("Subject: lost\r\n\r\nx\r\n.\r")
	broken.reset()
	chunk := dialPeer(t, s, "smtp")
	chunk.say("EHLO x", "250 ")
	chunk.say("MAIL FROM:<me@example.org>", "250 ")
	chunk.say("RCPT TO:<"+s.ready.Accounts[0].Address+">", "250 ")
	chunk.put("BDAT 6\r\nS: x\r\nBDAT 100 LAST\r\n\r\nhalf")
	chunk.expect("250 ")
	chunk.reset()

	reader := dialPeer(t, s, "pop3")
	reader.login(s)
	reader.say("DELE 1", "+OK")
	reader.reset()
	// The lock goes with the connection, as soon as the server has heard of it.
	for {
		p := dialPeer(t, s, "pop3")
		a := s.ready.Accounts[0]
		p.say("USER "+a.Address, "+OK")
		if !strings.Contains(p.say("PASS "+a.Password, ""), "IN-USE") {
			p.say("STAT", "+OK 1 ")
			return
		}
		p.Close()
	}
}

// TestEveryEndingThatSmugglesIsOneMessageOrNone sends what has made servers see
// a second message, whole and in two packets.
func TestEveryEndingThatSmugglesIsOneMessageOrNone(t *testing.T) {
	s := startOpen(t, t.TempDir())
	victim := s.ready.Accounts[1]
	second := "MAIL FROM:<evil@example.net>\r\nRCPT TO:<" + victim.Address + ">\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
	kept := 0
	for _, c := range []struct {
		ending, reply string
	}{
		{"\n.\n", "550 5.6.0"},
		{"\n.\r\n", "550 5.6.0"},
		{"\r\n.\n", "550 5.6.0"},
		{"\r.\r", "550 5.6.0"},
		{"\r.\r\n", "550 5.6.0"},
		{"\n.\r", "550 5.6.0"},
		{"\r\n.\r", "550 5.6.0"},
		{"\r\n.\r\r\n", "550 5.6.0"},
		{"\r\n\x00.\r\n", "250 2.0.0"},
		{"\r\n.\x00\r\n", "250 2.0.0"},
	} {
		for _, cut := range []int{0, 1, len(c.ending)} {
			p := dialPeer(t, s, "smtp")
			p.SetNoDelay(true)
			p.beginMessage(s)
			p.put("Subject: first\r\n\r\nx" + c.ending[:cut])
			p.put(c.ending[cut:] + second + "QUIT\r\n")
			if got := p.expect(c.reply[:3]); !strings.HasPrefix(got, c.reply) {
				t.Errorf("%q: got %q, want %q", c.ending, got, c.reply)
			}
			p.expect("221 ")
			if c.reply[0] == '2' {
				kept++
			}
		}
	}
	wantStat(t, s, kept)
	p := dialPeer(t, s, "pop3")
	p.say("USER "+victim.Address, "+OK")
	p.say("PASS "+victim.Password, "+OK")
	p.say("STAT", "+OK 0 ")
}

func TestIdleConnectionsLeaveRoomForMail(t *testing.T) {
	s := startOpen(t, t.TempDir())
	for i := range 1000 {
		p := dialPeer(t, s, []string{"smtp", "pop3"}[i%2])
		if i%2 == 0 {
			p.put(strings.Repeat("x", 30<<10)) // a line without end
			p.expect("500 ")
		}
	}
	p := dialPeer(t, s, "smtp")
	p.beginMessage(s)
	p.say("Subject: x\r\n\r\nx\r\n.", "250 ")
	wantStat(t, s, 1)
}

// TestLargeMessageStaysOutOfMemory holds the promise that memory does not grow
// with a message's size: 8 MiB for 100 MB that come and go.
func TestLargeMessageStaysOutOfMemory(t *testing.T) {
	const octets, allowed = 100_000_000, 8 << 10 // KiB
	config := filepath.Join(t.TempDir(), "large.toml")
	if err := os.WriteFile(config, []byte("[smtp]\nmax_size = \"128MiB\"\n"+passwordsInTheOpen), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, t.TempDir(), "--strict", "--config", config)
	exchange := func(n, number int) {
		p := dialPeer(t, s, "smtp")
		p.beginMessage(s)
		line := strings.Repeat("0123456789", 7) + "012345\r\n"
		part := strings.Repeat(line, 1000)
		for sent := 0; sent < n; sent += len(part) {
			p.put(part)
		}
		p.say(".", "250 ")
		in := dialPeer(t, s, "pop3")
		in.login(s)
		var size int64
		if _, err := fmt.Sscanf(in.say(fmt.Sprintf("RETR %d", number), "+OK"), "+OK %d", &size); err != nil {
			t.Fatal(err)
		}
		if got, err := io.CopyN(io.Discard, in.r, size); err != nil || got < int64(n) {
			t.Fatalf("read %d octets of %d: %v", got, size, err)
		}
		in.expect(".\r\n")
		in.say("QUIT", "+OK")
	}
	exchange(1_000_000, 1) // what a first message needs is not this one's
	// The peak up to now is that of hashing passwords: begin a new one (proc(5)).
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.ready.PID), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	before := memory(t, s, "VmRSS")
	exchange(octets, 2)
	grown := memory(t, s, "VmHWM") - before
	t.Logf("from %d KiB by %d KiB", before, grown)
	if grown > allowed {
		t.Errorf("memory grew by %d KiB, want at most %d", grown, allowed)
	}
}

// memory returns a figure of the server's, in KiB.
func memory(t *testing.T, s *server, what string) int {
	t.Helper()
	b := read(t, fmt.Sprintf("/proc/%d/status", s.ready.PID))
	_, rest, found := strings.Cut(b, what+":")
	n := 0
	if _, err := fmt.Sscanf(rest, "%d kB", &n); !found || err != nil {
		t.Fatalf("%s in %q: %v", what, b, err)
	}
	return n
}
