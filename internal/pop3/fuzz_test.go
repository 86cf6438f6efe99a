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
// Done for each maildrop opened, removal by QUIT only.
func FuzzSession(f *testing.F) {
	const in = "USER alice@example.test\r\nPASS " + fakePassword + "\r\n"
	f.Add(in+"STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 2 1\r\nDELE 1\r\nQUIT\r\n", false, byte(0))
	f.Add(in+"dele 2\nRSET\nuidl 1\nhelp top\ncapa\n", true, byte(1))
	f.Add("UTF8\r\nAPOP a b\r\n\r\nPASS x\r\nGET / HTTP/1.1\r\n", false, byte(2))
	f.Add(in+"TOP 1 99999999999999999999999999999\r\nRETR 2147483648\r\nLIST -1\r\n", false, byte(3))
	f.Fuzz(func(t *testing.T, input string, teach bool, event byte) {
		b := newFake(two, ".\r\n..\r\n\r\n.x", "")
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
		if len(b.removed) > 0 && !b.done[0].Quit {
			t.Errorf("removed %v without QUIT", b.removed)
		}
	})
}
