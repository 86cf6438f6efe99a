package smtp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"postrider/internal/mail"
	"postrider/internal/session"
	"postrider/internal/wire"
)

// fuzzContent gives text, and then an error if there is one.
type fuzzContent struct {
	text   string
	size   int64
	err    error
	closed int
}

func (c *fuzzContent) Size() int64         { return c.size }
func (c *fuzzContent) Body() mail.BodyType { return mail.Body7Bit }
func (c *fuzzContent) Close() error        { c.closed++; return nil }

func (c *fuzzContent) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, c.text)
	if err == nil {
		err = c.err
	}
	return int64(n), err
}

// fuzzSource has three messages, of which the second fails while it is read and
// the third has another size than it says.
type fuzzSource struct {
	given, done int
	contents    []*fuzzContent
	results     []*Result
}

func (s *fuzzSource) Next(context.Context, *Peer) *Outgoing {
	if s.given == 3 || s.given > s.done {
		return nil
	}
	c := &fuzzContent{text: "Subject: x\r\n\r\n.\r\n.x\r\n", size: 21}
	switch s.given {
	case 1:
		c.err = errors.New("bad")
	case 2:
		c.size = 10
	}
	s.given++
	s.contents = append(s.contents, c)
	env := mail.Envelope{From: mail.Address{Local: "a b", Domain: "x.test"}, EnvID: "x=y", SMTPUTF8: true, RequireTLS: s.given == 3}
	for _, local := range []string{"b", "ü", "c"} {
		env.Recipients = append(env.Recipients, mail.Recipient{
			Address: mail.Address{Local: local, Domain: "x.test"}, Notify: mail.NotifyFailure, ORcpt: "utf-8;ü@x",
		})
	}
	return &Outgoing{Envelope: env, Open: func(context.Context, Form) (OutgoingContent, error) { return c, nil }}
}

func (s *fuzzSource) Done(_ *Outgoing, r *Result) {
	s.done++
	s.results = append(s.results, r)
}

// clientRun drives a client's session in memory.
type clientRun struct {
	t      *testing.T
	sess   session.Session
	conn   *session.Conn
	step   session.Step
	lines  wire.Splitter
	in     []byte
	closed bool
	failed bool // a body has
	free   bool // bodies are not looked at
	said   bytes.Buffer
}

func (r *clientRun) take(s session.Step) {
	r.step = s
	r.say(string(s.Reply))
	if s.Body != nil {
		var b bytes.Buffer
		_, err := s.Body.WriteTo(&b)
		if !r.free {
			r.body(string(s.Reply), b.String(), err)
		}
		r.said.Write(b.Bytes())
		if err != nil {
			r.failed = true
			r.end()
			return
		}
	}
	switch s.Next {
	case session.Close:
		r.end()
	case session.StartTLS:
		if len(r.in) > 0 {
			r.sess.Event(session.TLSFailed)
			r.end()
			return
		}
		r.conn.TLS = testTLS
		r.take(r.sess.Event(session.TLSReady))
	case session.Line:
	default:
		r.t.Fatalf("mode %v", s.Next)
	}
}

func (r *clientRun) end() {
	if !r.closed {
		r.closed = true
		r.sess.Event(session.Closed)
	}
}

// clientVerbs are all that a client says.
var clientVerbs = []string{"EHLO ", "HELO ", "STARTTLS", "AUTH ", "MAIL FROM:<", "RCPT TO:<", "DATA", "BDAT ", "RSET", "QUIT", "."}

// say checks that commands are whole, known and legal.
func (r *clientRun) say(text string) {
	r.said.WriteString(text)
	if text == "" {
		return
	}
	if !strings.HasSuffix(text, "\r\n") || len(text) > maxGroup+2*wire.MaxLine {
		r.t.Fatalf("%q is not whole commands", text)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
		known := hasControl(line)
		for _, verb := range clientVerbs {
			known = known || strings.HasPrefix(line, verb)
		}
		if hasControl(line) || !known && decodes(line) == false {
			r.t.Fatalf("%q is no command", line)
		}
	}
}

// decodes reports whether a line can be an answer to a challenge.
func decodes(line string) bool {
	_, ok := decodeBase64([]byte(line))
	return ok || line == "*"
}

// body checks a message: whole if its content was good, and without its end if
// not.
func (r *clientRun) body(command, sent string, err error) {
	const good = "Subject: x\r\n\r\n.\r\n.x\r\n"
	switch bdat := strings.HasPrefix(command, "BDAT"); {
	case err == nil && bdat && sent != good, err == nil && !bdat && sent != "Subject: x\r\n\r\n..\r\n..x\r\n.\r\n":
		r.t.Fatalf("got %q after %q", sent, command)
	case err != nil && bdat && !strings.HasPrefix(good, sent), err != nil && strings.HasSuffix(sent, "\r\n.\r\n"):
		r.t.Fatalf("got %q after %q and %v", sent, command, err)
	}
}

// feed gives a server's octets.
func (r *clientRun) feed(p []byte) {
	r.in = append(r.in, p...)
	for !r.closed {
		line, n, got := r.lines.Next(r.in)
		if got == wire.Flooded {
			r.sess.Event(session.Flood)
			r.end()
			return
		}
		if got == wire.NeedMore {
			r.in = r.in[n:]
			return
		}
		step := r.sess.Line(line)
		r.in = r.in[n:]
		r.take(step)
	}
}

// FuzzClient: whatever a server says, nothing but whole legal commands is
// written, no message that has failed is ended, every message is told of once,
// and every content is closed.
func FuzzClient(f *testing.F) {
	ok := "220 x\r\n250-x\r\n250-PIPELINING\r\n250-SMTPUTF8\r\n250-DSN\r\n250 SIZE 1000\r\n250 a\r\n250 b\r\n250 c\r\n250 d\r\n354 go\r\n250 2.0.0 ok\r\n250 a\r\n250 b\r\n250 c\r\n250 d\r\n354 go\r\n"
	for _, seed := range []string{
		ok, strings.ReplaceAll(ok, "PIPELINING", "CHUNKING"), strings.ReplaceAll(ok, "PIPELINING\r\n250-SMTPUTF8", "PIPELINING"),
		"220 x\r\n500 x\r\n250 x\r\n250\r\n550 5.1.1 no\r\n250\r\n354\r\n250\r\n221 bye\r\n",
		"220-x\r\n220 x\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n", "220 x\r\n250-x\r\n250 AUTH SCRAM-SHA-256 PLAIN\r\n334 \r\n235 x\r\n",
		"421 bye\r\n", "554 x\r\n221 y\r\n", "220 x\r\n250 x\r\n421 bye\r\n", "250-\r\n250\n", "6\r\n", "220 x\r\n250 x\r\n250\r\n250\r\n354\r\n354\r\n",
		strings.ReplaceAll(ok, "354 go", "550 no"), strings.ReplaceAll(ok, "250 b", "450 4.2.0 b"),
	} {
		f.Add([]byte(seed), uint8(0), uint8(0))
		f.Add([]byte(seed), uint8(3), uint8(9))
	}
	f.Fuzz(func(t *testing.T, input []byte, options, event uint8) {
		source := &fuzzSource{}
		o := ClientOptions{Hostname: "me.test", TLS: TLSUse(options % 3), MaxReplyLines: 16}
		if options&4 != 0 {
			o.Login = &ClientLogin{Username: "u", Password: "p", Plaintext: options&8 != 0}
		}
		r := &clientRun{t: t, sess: NewClient(o, source), conn: &session.Conn{
			Context: context.Background(), Listener: &session.Listener{}, Now: func() time.Time { return testTime },
		}}
		r.take(r.sess.Start(r.conn))
		if at := int(event) % (len(input) + 1); event&1 != 0 && !r.closed {
			r.feed(input[:at])
			input = input[at:]
			if !r.closed {
				r.take(r.sess.Event([]session.Event{session.Timeout, session.Shutdown, session.Shed, session.Flood}[event>>1&3]))
			}
		}
		if !r.closed {
			r.feed(input)
		}
		r.end()
		if source.given != source.done {
			t.Fatalf("%d messages were given, %d told of", source.given, source.done)
		}
		for _, c := range source.contents {
			if c.closed > 1 {
				t.Fatalf("a content was closed %d times", c.closed)
			}
		}
		for _, result := range source.results {
			checkResult(t, result)
		}
	})
}

// checkResult holds a result to what it may say.
func checkResult(t *testing.T, r *Result) {
	t.Helper()
	undecided := false
	for i := range r.Recipients {
		one := &r.Recipients[i]
		if one.Reply == nil {
			undecided = true
			continue
		}
		if one.Reply.Code < 200 || one.Reply.Code > 599 || one.Stage == "" || len(one.Reply.Text) > 4*(maxKeptText+maxKeptLine) {
			t.Fatalf("got %+v", one)
		}
		if err := wellFormed(string(one.Reply.Append(nil))); err != nil {
			t.Fatal(err)
		}
		if one.Reply.Code < 400 && one.Stage != StageEnd {
			t.Fatalf("taken at %s", one.Stage)
		}
	}
	if undecided && r.Lost == "" && r.Fault == nil || r.Uncertain && !undecided || (r.Lost == "") != (r.Why == "") {
		t.Fatalf("got %+v", r)
	}
}

// FuzzReply: a reply is read or refused, and what is kept of it is safe to show.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok", "250-a\n250 b", "550 5.1.1 no", "450 5.1.1 no", "250", "250-", "25 x", "650 x", "250x", "250 \x00\x1b[2J", "550 5.7.509 gr\u00fc\u00df\u202e", "250 2.1 x", "250 2.1.x y", "250-\n250 5.1.1"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, text string, eai bool) {
		r := replyReader{maxLines: 8, utf8: eai}
		for line := range strings.SplitSeq(text, "\n") {
			done, why := r.take([]byte(line))
			if why != "" {
				return
			}
			if !done {
				continue
			}
			reply := r.reply()
			if reply.Code < 200 || reply.Code > 599 || r.lines > 8 || len(reply.Text) > 4*(maxKeptText+maxKeptLine) {
				t.Fatalf("got %+v of %q", reply, text)
			}
			if !eai && !isPrintable(strings.ReplaceAll(reply.Text, "\n", "")) {
				t.Fatalf("got %q of %q", reply.Text, text)
			}
			if !eai && !isPrintable(strings.ReplaceAll(reply.Said, "\n", "")) || len(reply.Said) > 4*(maxKeptText+maxKeptLine) {
				t.Fatalf("quoted %q of %q", reply.Said, text)
			}
			if strings.ContainsAny(reply.Text+reply.Said, "\r\x00\x1b\u202e") {
				t.Fatalf("got %q, quoted %q, of %q", reply.Text, reply.Said, text)
			}
			if err := wellFormed(string(reply.Append(nil))); err != nil {
				t.Fatalf("%v of %q", err, text)
			}
		}
	})
}
