package pop3

import (
	"bytes"
	"strings"
	"testing"

	"postrider/internal/dialogue"
	"postrider/internal/session"
)

// FuzzSession gives a session any input, and holds it to what is true of every
// session: whole reply lines, multi-line replies that end, one Close and one
// Done for each maildrop opened, none without a login, removal by QUIT only.
func FuzzSession(f *testing.F) {
	const in = "USER alice@example.test\r\nPASS " + fakePassword + "\r\n"
	f.Add(in+"STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 2 1\r\nDELE 1\r\nQUIT\r\n", false, byte(0))
	f.Add(in+"dele 2\nRSET\nuidl 1\nhelp top\ncapa\n", true, byte(1))
	f.Add("UTF8\r\nAPOP a b\r\n\r\nPASS x\r\nGET / HTTP/1.1\r\n", false, byte(2))
	f.Add(in+"TOP 1 99999999999999999999999999999\r\nRETR 2147483648\r\nLIST -1\r\n", false, byte(3))
	f.Add("AUTH PLAIN "+b64(plainMessage)+"\r\nSTAT\r\nQUIT\r\n", false, byte(4))
	f.Add("USER a\r\nSTLS\r\nPASS b\r\nAUTH\r\nAUTH LOGIN\r\nYQ==\r\n*\r\nAUTH PLAIN =\r\n", false, byte(5))
	f.Add("AUTH SCRAM-SHA-256 biwsbj1hLHI9Yg==\r\nYz1iaXdzLHI9YSxwPQ==\r\nAUTH CRAM-MD5\r\nYSBi\r\nAPOP a 0123456789abcdef0123456789abcdef\r\n", true, byte(0))
	f.Fuzz(func(t *testing.T, input string, teach bool, event byte) {
		b := newFake(two, ".\r\n..\r\n\r\n.x", "")
		b.digest = event%2 == 0
		m := dialogue.NewMemory(New(b, b, nil), newConn(teach))
		_, _ = m.Write([]byte(input))
		m.Event(session.Event(event % byte(session.Closed)))
		_ = m.Close()
		var out bytes.Buffer
		_, _ = out.ReadFrom(m)
		if got := out.String(); !strings.HasPrefix(got, "+OK ") || !strings.HasSuffix(got, "\r\n") && !teach {
			t.Errorf("got output %q", got)
		}
		if b.locked[1] || b.readers != 0 || len(b.done) > 1 || b.closes != len(b.done) {
			t.Errorf("left over: locked %v, %d messages open, %d closes, %d summaries", b.locked, b.readers, b.closes, len(b.done))
		}
		if b.opens > b.proven {
			t.Errorf("%d maildrops opened by %d logins", b.opens, b.proven)
		}
		if len(b.removed) > 0 && !b.done[0].Quit {
			t.Errorf("removed %v without QUIT", b.removed)
		}
	})
}
