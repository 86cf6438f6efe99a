package netclient

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/session"
	"postrider/internal/sinktest"
	"postrider/internal/smtp"
	"postrider/internal/wire"
)

// TestEndlessServersAreLeft: neither a line nor a reply without end holds a
// client, or fills its memory.
func TestEndlessServersAreLeft(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       string
	}{
		{"a line without LF", "250 " + strings.Repeat("x", 4096), "?, lost EHLO"},
		{"lines of 250-", "250-more and more\r\n", "?, lost EHLO"},
		{"empty lines", "\r\n", "?, lost EHLO"},
		{"LF alone", "250 x\n", "?, lost EHLO"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sink := sinktest.Start(t, sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
				if c.Verb == "EHLO" {
					return sinktest.Answer{Silent: true, Endless: tt.text}
				}
				return sinktest.Answer{}
			}})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, _ := deliver(t, sink, smtp.ClientOptions{}, Options{})
			runtime.ReadMemStats(&after)
			if got := summarize([]*smtp.Result{r}); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
				t.Errorf("%d octets were allocated", n)
			}
		})
	}
}

// TestADrippingReplyHasNoMoreTimeThanOneAtOnce: a line a minute, for ever.
func TestADrippingReplyHasNoMoreTimeThanOneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		client, s := (&conversation{}).client()
		ended := make(chan error, 1)
		go func() { ended <- Converse(t.Context(), ours, client, Options{}) }()
		begin := time.Now()
		var err error
		for err == nil {
			_, err = theirs.Write([]byte("220-wait\r\n"))
			time.Sleep(time.Minute)
		}
		if err := <-ended; !errors.Is(err, errTimeout) {
			t.Errorf("got %v, want a timeout", err)
		}
		if d := time.Since(begin); d > 7*time.Minute {
			t.Errorf("it took %v", d)
		}
		if got := summarize(s.results); got != "?, lost greeting" {
			t.Errorf("got %s", got)
		}
	})
}

// TestAServerThatDoesNotReadIsLeft within the time for a block.
func TestAServerThatDoesNotReadIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		text := strings.Repeat("a line of some text\r\n", 10_000)
		client, s := (&conversation{give: []*smtp.Outgoing{outgoing(text, "b@x.test")}}).client()
		ended := make(chan error, 1)
		go func() { ended <- Converse(t.Context(), ours, client, Options{}) }()
		for _, turn := range [][2]string{
			{"220 x\r\n", "EHLO me.test\r\n"},
			{"250 x\r\n", "MAIL FROM:<a@example.test>\r\n"},
			{"250 x\r\n", "RCPT TO:<b@x.test>\r\n"},
			{"250 x\r\n", "DATA\r\n"},
			{"354 x\r\n", text[:1000]},
		} {
			exchange(t, theirs, turn[0], turn[1])
		}
		begin := time.Now()
		var e *Error
		if err := <-ended; !errors.Is(err, errTimeout) || !errors.As(err, &e) || e.Stage != StageWrite {
			t.Errorf("got %v, want a timeout in writing", err)
		}
		if d := time.Since(begin); d < 3*time.Minute || d > 4*time.Minute {
			t.Errorf("it was left after %v", d)
		}
		if got, want := summarize(s.results), "?, lost content"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestAServerThatDripsReadsNoLongerThanContentMayTake.
func TestAServerThatDripsReadsNoLongerThanContentMayTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		text := strings.Repeat("a line of some text\r\n", 100_000)
		client, s := (&conversation{give: []*smtp.Outgoing{outgoing(text, "b@x.test")}}).client()
		ended := make(chan error, 1)
		go func() { ended <- Converse(t.Context(), ours, client, Options{}) }()
		for _, turn := range [][2]string{
			{"220 x\r\n", "EHLO me.test\r\n"},
			{"250 x\r\n", "MAIL FROM:<a@example.test>\r\n"},
			{"250 x\r\n", "RCPT TO:<b@x.test>\r\n"},
			{"250 x\r\n", "DATA\r\n"},
			{"354 x\r\n", ""},
		} {
			exchange(t, theirs, turn[0], turn[1])
		}
		begin := time.Now()
		block := make([]byte, 1000)
		for {
			if _, err := io.ReadFull(theirs, block); err != nil {
				break
			}
			time.Sleep(2 * time.Second)
		}
		if err := <-ended; !errors.Is(err, errTimeout) {
			t.Errorf("got %v, want a timeout", err)
		}
		if d := time.Since(begin); d > 70*time.Minute {
			t.Errorf("it took %v", d)
		}
		if got, want := summarize(s.results), "?, lost content"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestADropInHalfTheDataIsNotUncertain: the end was never sent.
func TestADropInHalfTheDataIsNotUncertain(t *testing.T) {
	for _, verb := range []string{"DATA", "BDAT"} {
		options := sinktest.Options{On: func(c sinktest.Command) sinktest.Answer {
			if c.Verb == verb {
				return sinktest.Answer{DropAfter: 1000}
			}
			return sinktest.Answer{}
		}}
		if verb == "BDAT" {
			options.Extensions = []string{"CHUNKING"}
		}
		sink := sinktest.Start(t, options)
		nc, err := Dial(t.Context(), sink.Addr(), DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		// More than what buffers on the way can hold.
		text := strings.Repeat(strings.Repeat("x", 998)+"\r\n", 64<<10)
		client, s := (&conversation{give: []*smtp.Outgoing{outgoing(text, "b@x.test")}}).client()
		err = Converse(t.Context(), nc, client, Options{})
		var e *Error
		if !errors.As(err, &e) || e.Stage != StageWrite {
			t.Errorf("%s: got %v, want a failed write", verb, err)
		}
		if got, want := summarize(s.results), "?, lost content"; got != want {
			t.Errorf("%s: got %s, want %s", verb, got, want)
		}
		if len(sink.Messages()) > 0 {
			t.Errorf("%s: half a message was taken", verb)
		}
	}
}

// TestTheEndOfTheContextCutsTheConnection, and Stop lets it end well.
func TestTheEndOfTheContextCutsTheConnection(t *testing.T) {
	for _, stop := range []bool{false, true} {
		ours, theirs := pair(t)
		ctx, cancel := context.WithCancel(context.Background())
		o, whole := Options{}, ctx
		if stop {
			o.Stop, whole = ctx, context.Background()
		}
		client, s := (&conversation{}).client()
		ended := make(chan error, 1)
		go func() { ended <- Converse(whole, ours, client, o) }()
		exchange(t, theirs, "220 x\r\n", "EHLO me.test\r\n")
		cancel()
		if stop {
			exchange(t, theirs, "250 x\r\n", "QUIT\r\n")
			_, _ = theirs.Write([]byte("221 x\r\n"))
		}
		err := <-ended
		theirs.Close()
		got := summarize(s.results)
		switch {
		case stop && (err != nil || got != ""):
			t.Errorf("stop: got %v, %s", err, got)
		case !stop && (!errors.Is(err, context.Canceled) || got != "?, lost EHLO"):
			t.Errorf("cut: got %v, %s", err, got)
		}
	}
}

// panicking is a session that does so.
type panicking struct{}

func (panicking) Start(*session.Conn) session.Step { panic("secret") }
func (panicking) Line(wire.Line) session.Step      { return session.Step{} }
func (panicking) Data(int64, error) session.Step   { return session.Step{} }
func (panicking) Event(session.Event) session.Step { return session.Step{} }

func TestAPanicGoesNoFurther(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	err := Converse(t.Context(), ours, panicking{}, Options{})
	var p *PanicError
	if !errors.As(err, &p) || strings.Contains(err.Error(), "secret") || p.Stack == "" {
		t.Errorf("got %v", err)
	}
}

// reading is a session that asks for content, which a client does not.
type reading struct{ panicking }

func (reading) Start(*session.Conn) session.Step { return session.Step{Next: session.Dots} }

func TestAClientReadsLinesOnly(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	var e *Error
	if err := Converse(t.Context(), ours, reading{}, Options{}); !errors.As(err, &e) || e.Stage != StageSession {
		t.Errorf("got %v", err)
	}
}

func TestAnIdleConversationHoldsLittle(t *testing.T) {
	var in input
	for range 3 {
		room := in.ready()
		in.w += copy(room, strings.Repeat("x", len(room)))
	}
	if len(in.b) != bigSize {
		t.Fatalf("got a buffer of %d", len(in.b))
	}
	in.r = in.w
	if in.ready(); len(in.b) != smallSize || in.big != nil {
		t.Errorf("got a buffer of %d when there is nothing in it", len(in.b))
	}
}

// TestAnAnswerBeforeTheQuestionIsNoAnswer: taken for one it would say of every
// recipient what was said of the one before. A 421 may come at any time.
func TestAnAnswerBeforeTheQuestionIsNoAnswer(t *testing.T) {
	for _, tt := range []struct{ turns, want string }{
		{"220 x\r\n250 x\r\n", "?, lost EHLO"},
		{"220 x\r\n|250 x\r\n250 x\r\n", "?, lost MAIL"},
		{"220 x\r\n|250 x\r\n421 4.3.2 bye\r\n", "421 3.2 MAIL, lost MAIL"},
		{"220 x\r\n|250 x\r\n|250 x\r\n550 5.1.1 no\r\n", "?, lost RCPT"},
		{"220 x\r\n|250 x\r\n|250 x\r\n|250 x\r\n|354 x\r\n250 taken\r\n", "?, lost end of data, uncertain"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			client, s := (&conversation{}).client()
			ended := make(chan error, 1)
			go func() { ended <- Converse(t.Context(), ours, client, Options{}) }()
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			for turn := range strings.SplitSeq(tt.turns, "|") {
				_, _ = theirs.Write([]byte(turn))
				synctest.Wait()
			}
			<-ended
			if got := summarize(s.results); got != tt.want {
				t.Errorf("%q: got %s, want %s", tt.turns, got, tt.want)
			}
		})
	}
}

func TestErrorsAreInWords(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	_, err = Dial(t.Context(), netip.MustParseAddrPort(ln.Addr().String()), DialOptions{})
	for _, tt := range []struct {
		err  error
		want string
	}{
		{err, "connect: connection refused"},
		{&Error{Stage: StageRead, Err: io.EOF}, "read: the connection was closed by the other side"},
		{&Error{Stage: StageHandshake, Err: &HandshakeError{Reason: ReasonTimeout, Err: context.DeadlineExceeded}}, "TLS handshake: timeout"},
		{&HandshakeError{Reason: ReasonOther, Err: errors.New("x\r\ny")}, "failed: x??y"},
		{&Error{Stage: StageHandshake, Err: ErrInjected}, "TLS handshake: plaintext was injected before the TLS handshake"},
		{&Error{Stage: StageWrite, Err: errTimeout}, "write: timeout"},
	} {
		if tt.err == nil || tt.err.Error() != tt.want {
			t.Errorf("got %v, want %s", tt.err, tt.want)
		}
	}
}

// TestARefusalInTheMiddleOfTheDataIsHeard, and nothing else is believed there.
func TestARefusalInTheMiddleOfTheDataIsHeard(t *testing.T) {
	text := strings.Repeat(strings.Repeat("x", 998)+"\r\n", 64<<10)
	for _, tt := range []struct{ say, want string }{
		{"552 5.3.4 too large\r\n", "552 3.4 end of data"},
		{"421 4.3.2 bye\r\n", "421 3.2 end of data, lost content"},
		{"250 2.0.0 taken\r\n", "?, lost content"},
		{"552-5.3.4 too\r\n", "?, lost content"},
	} {
		ours, theirs := pair(t)
		client, s := (&conversation{give: []*smtp.Outgoing{outgoing(text, "b@x.test"), outgoing(text, "c@x.test")}}).client()
		ended := make(chan error, 1)
		go func() { ended <- Converse(context.Background(), ours, client, Options{}) }()
		for _, turn := range [][2]string{
			{"220 x\r\n", "EHLO me.test\r\n"},
			{"250 x\r\n", "MAIL FROM:<a@example.test>\r\n"},
			{"250 x\r\n", "RCPT TO:<b@x.test>\r\n"},
			{"250 x\r\n", "DATA\r\n"},
			{"354 x\r\n", text[:1000]},
		} {
			exchange(t, theirs, turn[0], turn[1])
		}
		_, _ = theirs.Write([]byte(tt.say))
		theirs.Close()
		if err := <-ended; err == nil {
			t.Errorf("%q: got no error", tt.say)
		}
		if got := summarize(s.results); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.say, got, tt.want)
		}
	}
}
