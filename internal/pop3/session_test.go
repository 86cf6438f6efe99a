package pop3

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/session"
)

const two = "Subject: one\r\n\r\nHello.\r\n"

func TestWholeSession(t *testing.T) {
	b := newFake(two, "Subject: two\r\n\r\n.\r\n..dots\r\nlast\r\n")
	c := login(t, b, nil)
	c.want("STAT", "+OK 2 57\r\n")
	if b.lists != 0 {
		t.Errorf("STAT read the list %d times, want never", b.lists)
	}
	for _, step := range []struct{ say, want string }{
		{"LIST", "+OK 2 messages (57 octets)\r\n1 24\r\n2 33\r\n.\r\n"},
		{"LIST 2", "+OK 2 33\r\n"},
		{"UIDL", "+OK unique-id listing follows\r\n1 uidl-5\r\n2 uidl-6\r\n.\r\n"},
		{"UIDL 2", "+OK 2 uidl-6\r\n"},
		{"RETR 2", "+OK 33 octets\r\nSubject: two\r\n\r\n..\r\n...dots\r\nlast\r\n.\r\n"},
		{"top 2 1", "+OK top of the message follows\r\nSubject: two\r\n\r\n..\r\n.\r\n"},
		{"DELE 1", "+OK message 1 deleted\r\n"},
		{"STAT", "+OK 1 33\r\n"},
		{"LIST", "+OK 1 message (33 octets)\r\n2 33\r\n.\r\n"},
		{"UIDL", "+OK unique-id listing follows\r\n2 uidl-6\r\n.\r\n"},
		{"RSET", "+OK 2 messages (57 octets)\r\n"},
		{"STAT", "+OK 2 57\r\n"},
		{"DELE 2", "+OK message 2 deleted\r\n"},
		{"QUIT", "+OK bye; 1 message left\r\n"},
	} {
		if got := c.say(step.say); got != step.want {
			t.Errorf("%s: got %q, want %q", step.say, got, step.want)
		}
	}
	if !c.closed() {
		t.Error("the session goes on after QUIT")
	}
	if !slices.Equal(b.removed, []mail.UID{6}) {
		t.Errorf("got UIDs %v removed, want [6]", b.removed)
	}
	want := Summary{Retrieved: 1, Removed: 1, Octets: 33, Quit: true}
	if len(b.done) != 1 || b.done[0] != want {
		t.Errorf("got summaries %+v, want one %+v", b.done, want)
	}
	if b.closes != 1 || b.readers != 0 {
		t.Errorf("got %d closes and %d open messages, want 1 and 0", b.closes, b.readers)
	}
}

func TestOnlyQuitInTransactionDeletes(t *testing.T) {
	for _, how := range []struct {
		name  string
		event session.Event
		word  string
	}{
		{"timeout", session.Timeout, "-ERR "},
		{"shutdown", session.Shutdown, "-ERR [SYS/TEMP] "},
		{"shed", session.Shed, "-ERR [SYS/TEMP] "},
		{"flood", session.Flood, "-ERR "},
		{"dropped connection", session.Closed, ""},
	} {
		t.Run(how.name, func(t *testing.T) {
			b := newFake(two, two)
			c := login(t, b, nil)
			c.want("DELE 1", "+OK")
			if how.event == session.Closed {
				_ = c.Close()
			} else {
				c.Event(how.event)
			}
			if got := c.read(); !strings.HasPrefix(got, how.word) {
				t.Errorf("got last word %q, want one with %q", got, how.word)
			}
			if !c.closed() || len(b.removed) != 0 || b.closes != 1 || len(b.done) != 1 {
				t.Errorf("got closed %t, removed %v, closes %d, done %v; want true, nothing, 1, one",
					c.closed(), b.removed, b.closes, b.done)
			}
		})
	}
}

func TestQuitInAuthorizationDeletesNothing(t *testing.T) {
	b := newFake(two)
	c := connect(t, b, nil, false)
	c.want("QUIT", "+OK bye")
	if !c.closed() || b.closes != 0 || len(b.done) != 0 {
		t.Errorf("got closed %t, %d closes, summaries %v; want true and nothing", c.closed(), b.closes, b.done)
	}
}

func TestCommandsBehindQuitAreNotExecuted(t *testing.T) {
	b := newFake(two, two)
	c := login(t, b, nil)
	got := c.say("DELE 1", "QUIT", "DELE 2", "QUIT")
	if strings.Count(got, "\r\n") != 2 || !slices.Equal(b.removed, []mail.UID{5}) {
		t.Errorf("got %q and %v removed; want two lines and [5]", got, b.removed)
	}
}

func TestFailedRemovalIsNotClaimed(t *testing.T) {
	for _, kind := range []fault.Kind{fault.ReadOnly, fault.NoSpace, fault.Denied, fault.Internal} {
		t.Run(kind.String(), func(t *testing.T) {
			b := newFake(two)
			b.removeErr = fault.New(kind, "remove", errors.New("the detail"))
			c := login(t, b, nil)
			c.want("DELE 1", "+OK")
			c.want("QUIT", "-ERR [SYS/TEMP] ")
			if !c.closed() || b.closes != 1 || len(b.done) != 1 || b.done[0].Err != b.removeErr || b.done[0].Removed != 0 {
				t.Errorf("got closed %t, %d closes, summaries %+v", c.closed(), b.closes, b.done)
			}
		})
	}
}

func TestMessageNumbersThatAreNone(t *testing.T) {
	c := login(t, newFake(two, two), &Options{MaxErrors: 1000})
	for _, n := range []string{
		"0", "-1", "3", "2147483648", "4294967297", "9223372036854775807", "9223372036854775808", "18446744073709551617",
		"1" + strings.Repeat("0", 30), "1x", "x", "01", "+1", "1.0", "1 1", "0x1", "\u0661", "１", "1\t",
	} {
		for _, verb := range []string{"LIST", "UIDL", "RETR", "DELE"} {
			c.want(verb+" "+n, "-ERR")
		}
		c.want("TOP "+n+" 1", "-ERR")
	}
	c.want("STAT", "+OK 2 48")
}

func TestTopCounts(t *testing.T) {
	c := login(t, newFake("A: b\r\n\r\n1\r\n2\r\n3\r\n"), nil)
	for _, row := range []struct{ n, want string }{
		{"0", "A: b\r\n\r\n.\r\n"},
		{"1", "A: b\r\n\r\n1\r\n.\r\n"},
		{"3", "A: b\r\n\r\n1\r\n2\r\n3\r\n.\r\n"},
		{"2147483648", "A: b\r\n\r\n1\r\n2\r\n3\r\n.\r\n"},
		{"1" + strings.Repeat("0", 30), "A: b\r\n\r\n1\r\n2\r\n3\r\n.\r\n"},
	} {
		if _, got, _ := strings.Cut(c.say("TOP 1 "+row.n), "\r\n"); got != row.want {
			t.Errorf("TOP 1 %s: got %q, want %q", row.n, got, row.want)
		}
	}
	for _, n := range []string{"", " -1", " +1", " 01", " x", " 1 1"} {
		c.want("TOP 1"+n, "-ERR")
	}
}

func TestTopOfOddMessages(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, row := range []struct{ name, message, lines, want string }{
		{"no blank line", "A: b\r\nC: d\r\n", "0", "A: b\r\nC: d\r\n.\r\n"},
		{"no header", "\r\nbody\r\nmore\r\n", "1", "\r\nbody\r\n.\r\n"},
		{"no end of line", "A: b\r\n\r\nbody", "5", "A: b\r\n\r\nbody\r\n.\r\n"},
		{"empty", "", "5", ".\r\n"},
		{"only a blank line", "\r\n", "0", "\r\n.\r\n"},
		{"a space is not blank", "A: b\r\n \r\n\r\nbody\r\n", "0", "A: b\r\n \r\n\r\n.\r\n"},
		{"a CR alone is not blank", "A: b\r\n\r\r\n\r\nbody\r\n", "0", "A: b\r\n\r\r\n\r\n.\r\n"},
		{"long line in the header", "A: " + long + "\r\n\r\nbody\r\n", "0", "A: " + long + "\r\n\r\n.\r\n"},
		{"long line in the body", "A: b\r\n\r\n" + long + "\r\nrest\r\n", "1", "A: b\r\n\r\n" + long + "\r\n.\r\n"},
		{"dots", "A: b\r\n\r\n.\r\n.\r\n", "1", "A: b\r\n\r\n..\r\n.\r\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := login(t, newFake(row.message), nil)
			if _, got, _ := strings.Cut(c.say("TOP 1 "+row.lines), "\r\n"); got != row.want {
				t.Errorf("got %.80q (%d octets), want %.80q (%d octets)", got, len(got), row.want, len(row.want))
			}
		})
	}
}

func TestDeletedMessagesAreGoneForTheSession(t *testing.T) {
	b := newFake(two, two, two)
	c := login(t, b, nil)
	c.want("DELE 2", "+OK")
	for _, line := range []string{"DELE 2", "RETR 2", "TOP 2 0", "LIST 2", "UIDL 2"} {
		c.want(line, "-ERR message 2 is deleted")
	}
	c.want("STAT", "+OK 2 48")
	c.want("LIST 3", "+OK 3 24")
	c.want("RSET", "+OK 3 messages")
	c.want("DELE 2", "+OK")
	c.want("QUIT", "+OK bye; 2 messages left")
	if !slices.Equal(b.removed, []mail.UID{6}) {
		t.Errorf("got UIDs %v removed, want [6]", b.removed)
	}
}

func TestSumsOver4GiB(t *testing.T) {
	b := newFake()
	for i := range 3 {
		b.add("alice@example.test", fakeMessage{uid: mail.UID(i + 1), size: 3 << 30})
	}
	c := login(t, b, nil)
	c.want("STAT", "+OK 3 9663676416")
	c.want("LIST 3", "+OK 3 3221225472")
	c.want("DELE 3", "+OK")
	c.want("STAT", "+OK 2 6442450944")
}

func TestReadErrorsBeforeAnythingIsSent(t *testing.T) {
	for _, row := range []struct {
		kind fault.Kind
		want string
	}{
		{fault.Corrupt, "-ERR [SYS/PERM] "},
		{fault.NotFound, "-ERR [SYS/PERM] message 1 is gone"},
		{fault.Internal, "-ERR [SYS/TEMP] "},
		{fault.Busy, "-ERR [SYS/TEMP] "},
		{fault.Denied, "-ERR [SYS/TEMP] "},
	} {
		t.Run(row.kind.String(), func(t *testing.T) {
			b := newFake(two)
			c := login(t, b, nil)
			b.readErr = fault.New(row.kind, "open message", errors.New("the detail"))
			c.want("RETR 1", row.want)
			c.want("TOP 1 1", row.want)
			b.readErr = nil
			c.want("NOOP", "+OK")
			c.want("QUIT", "+OK")
			if gone := row.kind == fault.NotFound; (b.done[0].Err == nil) != gone {
				t.Errorf("got error %v in the summary", b.done[0].Err)
			}
		})
	}
}

func TestAMessageCutShortGetsNoEnd(t *testing.T) {
	b := newFake(two)
	b.cut = 4
	c := login(t, b, nil)
	got := c.say("RETR 1")
	if !strings.HasSuffix(got, "Hell") || !c.closed() {
		t.Errorf("got %q, closed %t; want the octets there are, and the connection closed", got, c.closed())
	}
	if b.readers != 0 || len(b.done) != 1 || b.done[0].Err == nil || b.done[0].Retrieved != 0 {
		t.Errorf("got %d open messages, summaries %+v", b.readers, b.done)
	}
}

func TestListErrors(t *testing.T) {
	b := newFake(two, two)
	b.listErr, b.listErrAt = fault.New(fault.Internal, "list", nil), 1
	c := login(t, b, nil)
	for _, line := range []string{"LIST", "LIST 1", "RETR 1", "DELE 1", "UIDL 1"} {
		c.want(line, "-ERR [SYS/TEMP] ")
	}
	c.want("STAT", "+OK 2 48")
	if got := c.say("UIDL"); strings.Contains(got, "\r\n.\r\n") || !c.closed() {
		t.Errorf("got %q, closed %t; want no end, and the connection closed", got, c.closed())
	}
	b.listErr = nil
	c = login(t, b, nil)
	c.want("LIST 2", "+OK 2 24")
}

func TestMessagesBeyondTheLimitWait(t *testing.T) {
	b := newFake(two, two, two)
	c := login(t, b, &Options{MaxMessages: 2})
	c.want("STAT", "+OK 2 48")
	if got := c.say("UIDL"); strings.Count(got, "\r\n") != 4 {
		t.Errorf("got %q for UIDL, want two messages", got)
	}
	c.want("RETR 3", "-ERR")
	c.want("DELE 1", "+OK")
	c.want("QUIT", "+OK")
	c = login(t, b, &Options{MaxMessages: 2})
	c.want("UIDL 2", "+OK 2 uidl-7")
}

func TestUIDLByNumberReadsTheListRarely(t *testing.T) {
	const n = 3000
	for name, number := range map[string]func(i int) int{
		"upwards":   func(i int) int { return i + 1 },
		"downwards": func(i int) int { return n - i },
	} {
		t.Run(name, func(t *testing.T) {
			b := newFake()
			for i := range n {
				b.add("alice@example.test", fakeMessage{uid: mail.UID(i + 1), content: "x"})
			}
			c := login(t, b, nil)
			for i := range n {
				k := number(i)
				want := fmt.Sprintf("+OK %d uidl-%d\r\n", k, k)
				if got := c.say(fmt.Sprint("UIDL ", k)); got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
			if b.lists > 5 {
				t.Errorf("read the list %d times, want at most 5", b.lists)
			}
		})
	}
}

// UIDLs that follow from the UIDs are not read again after LIST; a single other
// one has all of them read, and every one is what the store says.
func TestUIDLIsReadAgainOnlyIfItDoesNotFollowFromTheUID(t *testing.T) {
	for _, tt := range []struct {
		name  string
		odd   string // the UIDL of the third message
		lists int
	}{
		{"all follow", "6a213f9000000fff", 1},
		{"another prefix", "6a213f9100000fff", 2},
		{"another number", "6a213f9000000ffe", 2},
		{"upper case", "6a213f9000000FFF", 2},
		{"short", "x", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newFake()
			want := "+OK unique-id listing follows\r\n"
			for i, uidl := range []string{"6a213f9000000001", "6a213f90000000ab", tt.odd} {
				b.add("alice@example.test", fakeMessage{uid: []mail.UID{1, 0xab, 0xfff}[i], content: "x", uidl: uidl})
				if i != 1 {
					want += fmt.Sprintf("%d %s\r\n", i+1, uidl)
				}
			}
			c := login(t, b, nil)
			c.say("LIST")
			c.say("DELE 2")
			if got := c.say("UIDL"); got != want+".\r\n" {
				t.Errorf("got %q, want %q", got, want)
			}
			if b.lists != tt.lists {
				t.Errorf("read the list %d times, want %d", b.lists, tt.lists)
			}
			c.want("UIDL 3", "+OK 3 "+tt.odd)
		})
	}
}

func TestLongListings(t *testing.T) {
	const n = 100_000
	b := newFake()
	var list, uidl strings.Builder
	for i := range n {
		b.add("alice@example.test", fakeMessage{uid: mail.UID(2*i + 1), size: int64(i) + 1})
		fmt.Fprintf(&list, "%d %d\r\n", i+1, i+1)
		fmt.Fprintf(&uidl, "%d uidl-%d\r\n", i+1, 2*i+1)
	}
	c := login(t, b, nil)
	if _, got, _ := strings.Cut(c.say("UIDL"), "\r\n"); got != uidl.String()+".\r\n" {
		t.Errorf("UIDL differs: got %d octets, want %d", len(got), uidl.Len()+3)
	}
	if _, got, _ := strings.Cut(c.say("LIST"), "\r\n"); got != list.String()+".\r\n" {
		t.Errorf("LIST differs: got %d octets, want %d", len(got), list.Len()+3)
	}
	if b.lists != 1 {
		t.Errorf("read the list %d times, want once", b.lists)
	}
}

func TestTenThousandNOOPs(t *testing.T) {
	c := login(t, newFake(), nil)
	got := c.say(slices.Repeat([]string{"NOOP"}, 10_000)...)
	if n := strings.Count(got, "+OK"); n != 10_000 || c.closed() {
		t.Errorf("got %d answers, closed %t; want 10000, false", n, c.closed())
	}
}

func TestWrongLines(t *testing.T) {
	for _, row := range []struct {
		name, octets  string
		strict, teach string // what the answer begins with; empty: nothing
		lines         int    // of answers
	}{
		{"empty", "\r\n", "-ERR that line is empty", "-ERR that line is empty", 1},
		{"bare LF", "CAPA x\nNOOP\r\n", "-ERR a line ends in CR and LF", "-ERR write it like this: CAPA", 1},
		{"NUL", "NO\x00OP\r\n", "-ERR control", "-ERR control", 1},
		{"8-bit", "N\xd6\xd6P\r\n", "-ERR no such command", "-ERR no such command", 1},
		{"unknown", "XTND\r\n", "-ERR no such command", "-ERR no such command", 1},
		{"SMTP", "EHLO there\r\n", "-ERR that is SMTP", "-ERR that is SMTP", 1},
		{"too long", "NOOP " + strings.Repeat("x", 4000) + "\r\n", "-ERR that line is too long", "-ERR that line is too long", 1},
		{"a megabyte", strings.Repeat("x", 1<<20) + "\r\n", "-ERR that line is too long", "-ERR that line is too long", 1},
		{"APOP", "APOP a b\r\n", "-ERR APOP is not offered", "-ERR APOP is not offered", 1},
		{"STLS with an argument", "stls now\r\n", "-ERR write it like this: STLS", "-ERR write it like this: STLS", 1},
	} {
		for _, teach := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, teach %t", row.name, teach), func(t *testing.T) {
				c := connect(t, newFake(two), nil, teach)
				want := row.strict
				if teach {
					want = row.teach
				}
				if got := c.sayRaw(row.octets); !strings.HasPrefix(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
				if got := c.say("HELP QUIT"); !strings.HasSuffix(got, "\r\n.\r\n") {
					t.Errorf("got %q afterwards, want the session to go on", got)
				}
			})
		}
	}
}

func TestStrangersAreClosed(t *testing.T) {
	for _, octets := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /x\r\n", "DELETE /x HTTP/1.0\r\n",
		"GET / HTTP/1.1\nHost: a\n\n", "\x16\x03\x01\x02\x00\r\n",
	} {
		for _, teach := range []bool{false, true} {
			c := connect(t, newFake(), nil, teach)
			if got := c.sayRaw(octets); strings.Count(got, "-ERR") != 1 || !c.closed() {
				t.Errorf("%q, teach %t: got %q, closed %t", octets, teach, got, c.closed())
			}
		}
	}
}

func TestTooManyErrorsEndAStrictSession(t *testing.T) {
	c := connect(t, newFake(), nil, false)
	for range 24 {
		c.want("FOO", "-ERR no such")
	}
	c.want("FOO", "-ERR no such command; HELP lists them; too many errors")
	if !c.closed() {
		t.Error("the session goes on after 25 errors")
	}
	c = connect(t, newFake(), nil, true)
	for range 1000 {
		c.want("FOO", "-ERR no such")
	}
	c.want("QUIT", "+OK")
}

func TestASessionIsSmallBeforeTheListIsRead(t *testing.T) {
	const most = 2 << 10
	size := unsafe.Sizeof(Session{}) + unsafe.Sizeof(maildrop{}) + 128 // the reply buffer and the name
	if size > most {
		t.Errorf("got %d octets, want at most %d", size, most)
	}
}
