//go:build e2e

package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestGuessesFromElsewhereDoNotLockTheOwnerOut has 10,000 wrong passwords come
// from 127.0.0.2, many of them for alice, while she logs in from 127.0.0.1.
func TestGuessesFromElsewhereDoNotLockTheOwnerOut(t *testing.T) {
	const guesses, guessers = 10_000, 40
	s := start(t, t.TempDir(), "--strict")
	a := s.ready.Accounts[0]
	g := &guesser{t: t, s: s, dialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}}
	g.left.Store(guesses)
	began := time.Now()
	var wg sync.WaitGroup
	for range guessers {
		wg.Go(func() { g.guess(a.Address) })
	}
	over := make(chan struct{})
	go func() { wg.Wait(); close(over) }()

	logins, longest := 0, time.Duration(0)
	for done := false; !done; logins++ {
		select {
		case <-over:
			done = true // and once more after it
		default:
		}
		from := time.Now()
		p, err := dialPOPS(s, 0)
		if err != nil {
			t.Fatalf("alice can't log in after %d logins: %v", logins, err)
		}
		if _, err := p.ok("QUIT"); err != nil {
			t.Fatal(err)
		}
		p.Close()
		longest = max(longest, time.Since(from))
	}
	t.Logf("%d guesses in %v (%d denied, %d refused, %d connections); %d logins meanwhile, the slowest took %v",
		guesses, time.Since(began).Round(time.Millisecond), g.denied.Load(), g.refused.Load(), g.connections.Load(), logins, longest)
	if g.taken.Load() > 0 {
		t.Errorf("%d guesses were taken for right", g.taken.Load())
	}
	if g.refused.Load() == 0 {
		t.Error("the guesser was never locked out")
	}
	if out := s.printed("auth", "locked"); !strings.Contains(out, "127.0.0.2") || strings.Contains(out, "127.0.0.1") {
		t.Errorf("locked out: %q, want 127.0.0.2 alone", out)
	}
}

// guesser sends wrong passwords.
type guesser struct {
	t      *testing.T
	s      *server
	dialer *net.Dialer
	left   atomic.Int64 // guesses to make

	denied, refused, taken, connections atomic.Int64
}

// guess makes guesses, for the owner's name and for others, until none is left.
func (g *guesser) guess(owner string) {
	for g.left.Load() > 0 {
		if err := g.connection(owner); err != nil {
			g.t.Error(err)
			return
		}
	}
}

// connection makes guesses until the server has had enough.
func (g *guesser) connection(owner string) error {
	conn, err := tls.DialWithDialer(g.dialer, "tcp", g.s.address(submissions), g.s.trust())
	if err != nil {
		return err
	}
	defer conn.Close()
	g.connections.Add(1)
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	r := bufio.NewReader(conn)
	io.WriteString(conn, "EHLO guesser.example.net\r\n")
	for line := ""; !strings.HasPrefix(line, "250 "); {
		if line, err = r.ReadString('\n'); err != nil || strings.HasPrefix(line, "4") {
			return nil // hung up
		}
	}
	for {
		n := g.left.Add(-1)
		if n < 0 {
			return nil
		}
		name := owner
		if n%2 == 0 {
			name = fmt.Sprintf("user%d@example.test", n%100)
		}
		fmt.Fprintf(conn, "AUTH PLAIN %s\r\n", b64(fmt.Sprintf("\x00%s\x00guess%d", name, n)))
		line, err := r.ReadString('\n')
		switch {
		case err != nil || strings.HasPrefix(line, "421"):
			g.left.Add(1) // unanswered: it does not count
			return nil
		case strings.HasPrefix(line, "235"):
			g.taken.Add(1)
		case strings.HasPrefix(line, "535"):
			g.denied.Add(1)
		default:
			g.refused.Add(1)
		}
	}
}
