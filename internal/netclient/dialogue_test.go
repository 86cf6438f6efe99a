package netclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/dialogue"
	"postrider/internal/mail"
	"postrider/internal/session"
	"postrider/internal/smtp"
)

// conversation is a dialogue in which the client is tested, and what becomes of
// its messages.
type conversation struct {
	name, text string
	give       []*smtp.Outgoing // nil: one message of hello to b@x.test
	opts       smtp.ClientOptions
	want       string // as summarize has it
}

const hello = "Subject: x\r\n\r\nhi\r\n"

// opening is what most conversations begin with: a server with the extensions
// given.
func opening(extensions ...string) string {
	b := "S: 220 mx.test ESMTP\nC: EHLO me.test\n"
	if len(extensions) == 0 {
		return b + "S: 250 mx.test\n"
	}
	b += "S: 250-mx.test\n"
	last := len(extensions) - 1
	for _, e := range extensions[:last] {
		b += "S: 250-" + e + "\n"
	}
	return b + "S: 250 " + extensions[last] + "\n"
}

// message is how hello is sent after 354.
const message = "C: Subject: x\nC:\nC: hi\nC: .\n"

const bye = "C: QUIT\nS: 221 bye\nX"

// fresh returns the conversation's messages, to be given once.
func (c *conversation) fresh() []*smtp.Outgoing {
	if c.give == nil {
		return []*smtp.Outgoing{outgoing(hello, "b@x.test")}
	}
	return slices.Clone(c.give)
}

// client returns the session, and the source that it has.
func (c *conversation) client() (session.Session, *source) {
	s := &source{waiting: c.fresh()}
	c.opts.Hostname = "me.test"
	return smtp.NewClient(c.opts, s), s
}

// summarize words what became of messages.
func summarize(all []*smtp.Result) string {
	var words []string
	for _, r := range all {
		var one []string
		for i := range r.Recipients {
			one = append(one, summarizeRecipient(&r.Recipients[i]))
		}
		if r.Lost != "" {
			one = append(one, "lost "+string(r.Lost))
		}
		if r.Uncertain {
			one = append(one, "uncertain")
		}
		if r.Fault != nil {
			one = append(one, "fault")
		}
		words = append(words, strings.Join(one, ", "))
	}
	return strings.Join(words, " / ")
}

func summarizeRecipient(r *smtp.RecipientResult) string {
	if r.Reply == nil {
		return "?"
	}
	text := fmt.Sprintf("%d", r.Reply.Code)
	if r.Reply.Enhanced != "" {
		text += " " + r.Reply.Enhanced
	}
	text += " " + string(r.Stage)
	if r.Local {
		text += " local"
	}
	if r.Relayed {
		text += " relayed"
	}
	return text
}

// parse reads the dialogue.
func (c *conversation) parse(t *testing.T) *dialogue.Dialogue {
	t.Helper()
	d, err := dialogue.Parse(c.name, strings.NewReader("protocol smtp\nside client\n"+c.text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (c *conversation) check(t *testing.T, s *source) {
	t.Helper()
	if got := summarize(s.results); got != c.want {
		why := ""
		for _, r := range s.results {
			why += fmt.Sprintf("; %s %v", r.Why, r.Fault)
		}
		t.Errorf("got  %s\nwant %s%s", got, c.want, why)
	}
}

func TestConversationsInMemory(t *testing.T) {
	for i := range conversations {
		c := &conversations[i]
		t.Run(c.name, func(t *testing.T) {
			client, s := c.client()
			err := c.parse(t).Run(dialogue.Setup{Open: func(dialogue.Connection) (dialogue.Transport, error) {
				return dialogue.NewMemory(client, &session.Conn{
					ID: "o1", Context: context.Background(), Listener: &session.Listener{}, Now: stopped,
				}), nil
			}})
			if err != nil {
				t.Error(err)
			}
			c.check(t, s)
		})
	}
}

func TestConversationsThroughTheDriver(t *testing.T) {
	for i := range conversations {
		c := &conversations[i]
		t.Run(c.name, func(t *testing.T) {
			d := c.parse(t)
			if d.NeedsMemory() {
				t.Skip("has events")
			}
			client, s := c.client()
			var ended chan error
			err := d.Run(dialogue.Setup{Open: func(dialogue.Connection) (dialogue.Transport, error) {
				ours, theirs := pair(t)
				ended = make(chan error, 1)
				go func() { ended <- Converse(context.Background(), ours, client, Options{Now: stopped}) }()
				return dialogue.NewNet(theirs), nil
			}})
			if err != nil {
				t.Error(err)
			}
			<-ended
			c.check(t, s)
		})
	}
}

// stopped is a clock that stands still.
func stopped() time.Time { return testNow }

// pair returns both ends of a TCP connection over loopback.
func pair(t *testing.T) (dialled, accepted net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialled, err = Dial(t.Context(), netip.MustParseAddrPort(ln.Addr().String()), DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	accepted, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return dialled, accepted
}

var errBad = errors.New("the disk is bad")

// shortContent gives n octets of a text and then fails, or just ends.
type shortContent struct {
	content
	text string
	err  error
}

func (c *shortContent) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write([]byte(c.text))
	if err == nil {
		err = c.err
	}
	return int64(n), err
}

// with changes an outgoing message.
func with(out *smtp.Outgoing, change func(e *mail.Envelope)) []*smtp.Outgoing {
	change(&out.Envelope)
	return []*smtp.Outgoing{out}
}

// opened gives an outgoing message another content.
func opened(c smtp.OutgoingContent, err error) []*smtp.Outgoing {
	out := outgoing("", "b@x.test")
	out.Open = func(context.Context, smtp.Form) (smtp.OutgoingContent, error) { return c, err }
	return []*smtp.Outgoing{out}
}

// TestAServerThatIsSlowInTimeIsWaitedFor: each answer takes 4 min 50 s.
func TestAServerThatIsSlowInTimeIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := conversation{}
		client, s := c.client()
		ended := make(chan error, 1)
		go func() { ended <- Converse(t.Context(), ours, client, Options{}) }()
		begin := time.Now()
		for _, turn := range []struct{ say, want string }{
			{"220 mx.test\r\n", "EHLO me.test\r\n"},
			{"250 mx.test\r\n", "MAIL FROM:<a@example.test>\r\n"},
			{"250 ok\r\n", "RCPT TO:<b@x.test>\r\n"},
			{"250 ok\r\n", "DATA\r\n"},
		} {
			time.Sleep(4*time.Minute + 50*time.Second)
			exchange(t, theirs, turn.say, turn.want)
		}
		exchange(t, theirs, "354 go\r\n", hello+".\r\n")
		time.Sleep(9*time.Minute + 50*time.Second)
		exchange(t, theirs, "250 taken\r\n", "QUIT\r\n")
		_, _ = theirs.Write([]byte("221 bye\r\n"))
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got, want := summarize(s.results), "250 end of data"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if d := time.Since(begin); d < 29*time.Minute {
			t.Errorf("it took %v only", d)
		}
	})
}

// exchange says a thing and reads what is wanted.
func exchange(t *testing.T, nc net.Conn, say, want string) {
	t.Helper()
	if _, err := nc.Write([]byte(say)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	for n := 0; n < len(got); {
		k, err := nc.Read(got[n:])
		if err != nil {
			t.Fatalf("got %q and %v, want %q", got[:n], err, want)
		}
		n += k
	}
	if string(got) != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// TestASilentServerIsLeft: each kind of silence ends by its own deadline.
func TestASilentServerIsLeft(t *testing.T) {
	for _, tt := range []struct {
		name  string
		turns []string // what the server says; before each it reads one flight
		after time.Duration
		want  string
	}{
		{"no greeting", nil, 5 * time.Minute, "?, lost greeting"},
		{"no answer to EHLO", []string{"220 x\r\n"}, 5 * time.Minute, "?, lost EHLO"},
		{"no answer to MAIL", []string{"220 x\r\n", "250 x\r\n"}, 5 * time.Minute, "?, lost MAIL"},
		{"no answer to DATA", []string{"220 x\r\n", "250 x\r\n", "250 x\r\n", "250 x\r\n"}, 2 * time.Minute, "?, lost DATA"},
		{"half a line", []string{"220 x\r\n", "250 x\r\n", "250"}, 5 * time.Minute, "?, lost MAIL"},
		{"no answer to the dot", []string{"220 x\r\n", "250 x\r\n", "250 x\r\n", "250 x\r\n", "354 x\r\n"}, 10 * time.Minute, "?, lost end of data, uncertain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				client, s := (&conversation{}).client()
				ended := make(chan error, 1)
				go func() { ended <- Converse(t.Context(), ours, client, Options{}) }()
				buf := make([]byte, 1<<16)
				for _, say := range tt.turns {
					_, _ = theirs.Write([]byte(say))
					if strings.HasSuffix(say, "\n") {
						_, _ = theirs.Read(buf)
					}
				}
				begin := time.Now()
				err := <-ended
				if !errors.Is(err, errTimeout) {
					t.Errorf("got %v, want a timeout", err)
				}
				if d := time.Since(begin); d < tt.after || d > tt.after+tt.after/8 {
					t.Errorf("it was left after %v, want %v", d, tt.after)
				}
				if got := summarize(s.results); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// TestAFailedContentHasNoEnd: whatever was sent of a content that was not what it
// was said to be, the last octet or the dot was not.
func TestAFailedContentHasNoEnd(t *testing.T) {
	for _, extension := range []string{"SIZE", "CHUNKING"} {
		for _, c := range []shortContent{
			{content: content{size: 9}, text: "abc\r\n", err: errBad},
			{content: content{size: 5}, text: "abc\r\n", err: errBad},
			{content: content{size: 9}, text: "abc\r\n"},
			{content: content{size: 4}, text: "abc\r\n"},
			{content: content{size: 5}, text: "abc\n\n"},
			{content: content{size: 5}, text: "abcd\r"},
		} {
			client, s := (&conversation{give: opened(&c, nil)}).client()
			m := dialogue.NewMemory(client, &session.Conn{Context: t.Context(), Listener: &session.Listener{}, Now: time.Now})
			for _, line := range []string{"220 x", "250-x\r\n250 " + extension, "250 x", "250 x", "354 x"} {
				_, _ = m.Write([]byte(line + "\r\n"))
			}
			said, _ := io.ReadAll(m)
			_, after, _ := strings.Cut(string(said), "RCPT TO:<b@x.test>\r\n")
			_, after, _ = strings.Cut(after, "\r\n")
			if strings.HasSuffix(after, ".\r\n") || extension == "CHUNKING" && int64(len(after)) >= c.size {
				t.Errorf("%s, %+v: got %q", extension, c, after)
			}
			if got, want := summarize(s.results), "?, lost content, fault"; got != want {
				t.Errorf("%s, %+v: got %s, want %s", extension, c, got, want)
			}
		}
	}
}
