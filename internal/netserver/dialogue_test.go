package netserver

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/netconn"
	"postrider/internal/session"
	"postrider/internal/wire"
)

func teach() Listener { return Listener{Listener: session.Listener{Name: "test", Teach: true}} }

// dialogues are what a peer sends and gets, whole and octet by octet.
var dialogues = []struct {
	name, send, want string
	teach, ends      bool
	data             []string
}{
	{name: "lines", send: "echo a\r\necho b\r\n", want: "a\r\nb\r\n"},
	{name: "empty line", send: "\r\n", want: "? \r\n"},
	{name: "half a line", send: "echo a\r\nech", want: "a\r\n"},
	{name: "long line", send: "echo " + strings.Repeat("x", 2000) + "\r\n", want: strings.Repeat("x", 2000) + "\r\n"},
	{name: "too long", send: strings.Repeat("x", 2049) + "\r\necho b\r\n", want: "flawed 1\r\nb\r\n"},
	{name: "LF only", send: "echo a\necho b\n", want: "flawed 2\r\n"},
	{name: "bare CR", send: "echo a\recho b\r\necho c\r\n", want: "flawed 4\r\nc\r\n"},
	{name: "teach LF", teach: true, send: "echo a\necho b\n", want: "a\r\nb\r\n"},
	{name: "teach telnet", teach: true, send: "\xff\xfd\x01ecko\b\bho a\r\x00echo b\r\n", want: "\xff\xfc\x01a\r\nb\r\n"},
	{name: "teach too long", teach: true, send: strings.Repeat("x", 2049) + "\necho b\n", want: "flawed 1\r\nb\r\n"},
	{name: "content", send: "data\r\n..a\r\nb\r\n.\r\necho c\r\n", want: "go on\r\ngot 7 <nil>\r\nc\r\n", data: []string{".a\r\nb\r\n"}},
	{
		name: "content on a teach listener is exact", teach: true, send: "data\r\na\b\x7f\xff\xfd\x01\r\n.\r\necho c\x7fd\r\n",
		want: "go on\r\ngot 8 <nil>\r\nd\r\n", data: []string{"a\b\x7f\xff\xfd\x01\r\n"},
	},
	{
		name: "octets on a teach listener are exact", teach: true, send: "octets 5\r\n\xff\b\n\x00\xffecho c\n",
		want: "go on\r\ngot 5 <nil>\r\nc\r\n", data: []string{"\xff\b\n\x00\xff"},
	},
	{name: "bare LF in content", send: "data\r\na\nb\r\n.\r\necho c\r\n", want: fmt.Sprintf("go on\r\ngot 5 %v\r\nc\r\n", wire.ErrBareLF)},
	{name: "sink fails", send: "full\r\na\r\nb\r\n.\r\necho c\r\n", want: fmt.Sprintf("go on\r\ngot 0 %v\r\nc\r\n", errDisk)},
	{name: "no sink", send: "nosink\r\na\r\n.\r\necho c\r\n", want: "go on\r\ngot 3 <nil>\r\nc\r\n"},
	{name: "octets", send: "octets 3\r\n.\r\necho c\r\n", want: "go on\r\ngot 3 <nil>\r\nc\r\n", data: []string{".\r\n"}},
	{name: "no octets", send: "octets 0\r\necho c\r\n", want: "go on\r\ngot 0 <nil>\r\nc\r\n", data: []string{""}},
	{name: "octets sink fails", send: "fullo 3\r\n123echo c\r\n", want: fmt.Sprintf("go on\r\ngot 0 %v\r\nc\r\n", errDisk)},
	{name: "body", send: "body 3\r\necho c\r\n", want: "body\r\nbbbc\r\n"},
	{name: "secret", send: "secret\r\n1234\r\necho c\r\n", want: "go on\r\nsecret of 4\r\nc\r\n"},
	{name: "become", send: "become\r\necho a\r\nquit\r\n", want: "ok\r\nhi\r\na\r\nbye\r\n", ends: true},
	{name: "become a client", send: "become quiet\r\necho a\r\nquit\r\n", want: "ok\r\nasked\r\nasked\r\n"},
	{name: "quit", send: "quit\r\n", want: "bye\r\n", ends: true},
	{name: "after quit", send: "quit\r\necho a\r\n", want: "bye\r\n", ends: true},
	{name: "unknown mode", send: "strange\r\n", want: "what\r\n", ends: true},
	{name: "failing body", send: "badbody\r\n", want: "", ends: true},
	{name: "no TLS", send: "tls\r\n", want: "go ahead\r\n", ends: true},
}

func TestDialogueIsTheSameHoweverItIsCut(t *testing.T) {
	for _, tt := range dialogues {
		for _, step := range []int{1, 3, 1 << 20} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, step), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := Listener{}
					if tt.teach {
						l = teach()
					}
					w := newWorld(t, Options{}, l)
					defer w.stop()
					c := w.dial()
					c.expect("hi\r\n")
					for in := tt.send; len(in) > 0; {
						k := min(step, len(in))
						c.send(in[:k])
						in = in[k:]
					}
					if tt.ends {
						c.expectEnd(tt.want)
					} else {
						c.expect(tt.want)
					}
					if got := w.rec.contents(); tt.data != nil && fmt.Sprint(got) != fmt.Sprint(tt.data) {
						t.Errorf("content: got %q, want %q", got, tt.data)
					}
				})
			})
		}
	}
}

func TestLongContentArrivesWhole(t *testing.T) {
	for _, size := range []int{midSize - 1, midSize, bulkSize, 3*bulkSize + 7} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{}, Listener{})
			defer w.stop()
			c := w.dial()
			text := strings.Repeat("0123456789\r\n", size/12)
			c.send("data\r\n" + text + ".\r\nec")
			c.send("ho x\r\n" + fmt.Sprintf("octets %d\r\n", len(text)))
			c.send(text + "echo y\r\n")
			n := len(text)
			c.expect(fmt.Sprintf("hi\r\ngo on\r\ngot %d <nil>\r\nx\r\ngo on\r\ngot %d <nil>\r\ny\r\n", n, n))
			for i, got := range w.rec.contents() {
				if got != text {
					t.Errorf("content %d of %d octets: got %q", i, n, brief(got))
				}
			}
		})
	}
}

func TestPipelinedGroupIsAnsweredInOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, Listener{})
		defer w.stop()
		c := w.dial()
		c.expect("hi\r\n")
		before := c.server.writes.Load()
		c.send("echo a\r\necho b\r\ndata\r\n")
		c.expect("a\r\nb\r\ngo on\r\n")
		if got := c.server.writes.Load() - before; got != 1 {
			t.Errorf("got %d writes, want 1", got)
		}
		before = c.server.writes.Load()
		c.send("text\r\n.\r\necho a\r\nquit\r\n")
		c.expectEnd("got 6 <nil>\r\na\r\nbye\r\n")
		if got := c.server.writes.Load() - before; got != 1 {
			t.Errorf("got %d writes for the end, want 1", got)
		}
	})
}

func TestBodyIsWrittenInBuffers(t *testing.T) {
	for _, tt := range []struct{ size, writes int64 }{
		{0, 1}, {100, 1}, {netconn.BlockSize - 6, 1}, {netconn.BlockSize - 5, 2}, {10 * netconn.BlockSize, 11},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{}, Listener{})
			defer w.stop()
			c := w.dial()
			c.expect("hi\r\n")
			before := c.server.writes.Load()
			c.send(fmt.Sprintf("body %d\r\n", tt.size))
			c.expect("body\r\n" + strings.Repeat("b", int(tt.size)))
			if got := c.server.writes.Load() - before; got != tt.writes {
				t.Errorf("body of %d: got %d writes, want %d", tt.size, got, tt.writes)
			}
		})
	}
}

func TestFloodGetsAWordAndIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, Listener{})
		defer w.stop()
		c := w.dial()
		c.send(strings.Repeat("x", wire.MaxSkip+wire.MaxLine+1))
		c.expectEnd("hi\r\nflawed 1\r\nevent flood\r\n")
	})
}

func TestMegabyteWithoutEndIsAnsweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, Listener{})
		defer w.stop()
		c := w.dial()
		c.send(strings.Repeat("x", 1<<20))
		c.expect("hi\r\nflawed 1\r\n")
		c.send("\r\necho a\r\n")
		c.expect("a\r\n")
	})
}

func TestPeerThatGoesMidwayLeavesNothing(t *testing.T) {
	for _, sent := range []string{"", "ech", "data\r\nhalf", "octets 10\r\n123", "data\r\na\r\n."} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Options{}, Listener{})
			defer w.stop()
			c := w.dial()
			c.send(sent)
			synctest.Wait()
			c.nc.Close()
			synctest.Wait()
			if n := w.rec.count("closed"); n != 1 {
				t.Errorf("after %q: Closed came %d times, want once", sent, n)
			}
			if got := w.rec.contents(); len(got) != 0 {
				t.Errorf("after %q: session was given content %q", sent, got)
			}
			if !strings.Contains(w.log.String(), `why="closed by peer"`) {
				t.Errorf("log: %s", w.log)
			}
		})
	}
}

func TestSessionSeesItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fixed := time.Unix(1e9, 0)
		w := newWorld(t, Options{Now: func() time.Time { return fixed }}, teach())
		defer w.stop()
		c := w.dialFrom("[::ffff:192.0.2.9]:1000")
		c.expect("hi\r\n")
		got := w.rec.lastConn()
		if got.Remote.String() != "192.0.2.9:1000" || got.Local.String() != "192.0.2.1:25" {
			t.Errorf("got %v to %v", got.Remote, got.Local)
		}
		if got.Listener.Name != "test" || !got.Listener.Teach || !got.Now().Equal(fixed) || got.ID == "" {
			t.Errorf("got %+v", got)
		}
		other := w.dial()
		other.expect("hi\r\n")
		if id := w.rec.lastConn().ID; id == got.ID {
			t.Errorf("two connections have the id %s", id)
		}
	})
}

func TestWordsForTheOperatorAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, Listener{})
		defer w.stop()
		c := w.dial()
		c.send("log odd peer\r\nquit\r\n")
		c.expectEnd("hi\r\nok\r\nbye\r\n")
		for _, want := range []string{`msg="odd peer"`, `msg="connection closed"`, `octets_in=20`, `octets_out=13`, `why="session ended"`} {
			if !strings.Contains(w.log.String(), want) {
				t.Errorf("log lacks %s: %s", want, w.log)
			}
		}
	})
}
