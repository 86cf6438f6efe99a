package dialogue

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/session"
	"postrider/internal/wire"
)

// shouter answers each line with itself in capitals. "data" and "five" read
// content; "many" answers ten lines; "bye" closes.
type shouter struct {
	sink    bytes.Buffer
	closed  int
	started *session.Conn
}

func (s *shouter) Start(c *session.Conn) session.Step {
	s.started = c
	return session.Step{Reply: []byte("hello 42.tok*en there\r\n")}
}

func (s *shouter) Line(line wire.Line) session.Step {
	switch text := string(line.Bytes); text {
	case "data":
		return session.Step{Reply: []byte("go\r\n"), Next: session.Dots, Sink: &s.sink}
	case "five":
		return session.Step{Next: session.Octets, N: 5, Sink: &s.sink}
	case "many":
		return session.Step{Body: bytes.NewBufferString(strings.Repeat("a line\r\n", 10) + "last 7\r\n.\r\n")}
	case "bye":
		return session.Step{Reply: []byte("BYE\r\n"), Next: session.Close}
	case "tls":
		return session.Step{Reply: []byte("go\r\n"), Next: session.StartTLS}
	default:
		r := strings.ToUpper(text)
		if line.Flaws != 0 {
			r += " flawed " + string('0'+rune(line.Flaws))
		}
		return session.Step{Reply: []byte(r + "\r\n")}
	}
}

func (s *shouter) Data(n int64, err error) session.Step {
	r := "got " + string('0'+rune(n)) + " " + s.sink.String()
	if err != nil {
		r = err.Error()
	}
	s.sink.Reset()
	return session.Step{Reply: []byte(r + "\r\n")}
}

func (s *shouter) Event(e session.Event) session.Step {
	switch e {
	case session.Closed:
		s.closed++
	case session.TLSReady:
		return session.Step{}
	}
	return session.Step{Reply: []byte("event\r\n"), Next: session.Close}
}

// alicePlain is what logs alice in.
var alicePlain = base64.StdEncoding.EncodeToString([]byte("\x00alice@example.test\x00pw"))

// runShouter runs a text in memory and returns the session of its last
// connection.
func runShouter(text string) (*shouter, error) {
	d, err := Parse("t", strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	var last *shouter
	err = d.Run(Setup{
		Open: func(c Connection) (Transport, error) {
			last = &shouter{}
			return NewMemory(last, &session.Conn{
				Listener: &session.Listener{Protocol: c.Protocol, Role: c.Role, Teach: c.Teach},
				Remote:   netip.MustParseAddrPort("127.0.0.1:1"), Now: time.Now,
			}), nil
		},
		Vars: map[string]string{"secret": "s3cret", "alice-password": "pw"},
	})
	return last, err
}

func TestDialoguesThatGoAsWritten(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"greeting only", "S: hello *"},
		{"star is anything, also nothing", "S: *hello*there*"},
		{"escaped star", `S: hello 42.tok\*en there`},
		{"capture and fill", "S: hello {id} there\nC: x{id}y\nS: X42.TOK*ENY"},
		{"a captured value must be the same again", "S: hello {id} there\nC: z\nS: Z\n--- q\nS: hello {id} there"},
		{"vars", "S: *\nC: {secret}\nS: S3CRET"},
		{"empty line", "S: *\nC:\nS:"},
		{"raw", "S: *\nC< \"a\\r\\nb\\r\\n\"\nS< \"A\\r\\nB\\r\\n\""},
		{"pipelined", "S: *\nC: a\nC: b\nS: A\nS: B"},
		{"any number of lines", "S: *\nC: many\nS: ...\nS: last {n}\nS: ."},
		{"any number is also none", "S: *\nC: a\nS: ...\nS: A"},
		{"any number up to the end", "S: *\nC: many\nC: bye\nS: ...\nX"},
		{"closed", "S: *\nC: bye\nS: BYE\nX"},
		{"dots unstuffed", "S: *\nC: data\nS: go\nC: ..a\nC: .\nS: got 4 .a\nS:"},
		{"bare LF is no end of data", "S: *\nC: data\nS: go\nC< \"a\\n.\\r\\n\"\nC: .\nS: line feed without *"},
		{"bare CR is no end of data", "S: *\nC: data\nS: go\nC< \"a\\r.\\r\\r\\n\"\nC: .\nS: carriage return without *"},
		{"octets", "S: *\nC: five\nC< \"12\\n45rest\\r\\n\"\nS< \"got 5 12\\n45\\r\\nREST\\r\\n\""},
		{"strict ends no line at a bare LF", "S: *\nC< \"a\\nb\\r\\nc\\r\\n\"\nS: A flawed 2\nS: C"},
		{"teach hears telnet", "listener teach\nS: *\nC< \"\\xff\\xfb\\x1fax\\x08\\r\\x00\"\nS< \"\\xff\\xfe\\x1f\"\nS: A flawed 4"},
		{"teach ends a line at it", "listener teach\nS: *\nC< \"a\\nb\\r\\n\"\nS: A flawed 2\nS: B"},
		{"bare CR", "S: *\nC< \"a\\rb\\r\\n\"\nS: A flawed 4"},
		{"event", "S: *\nE timeout\nS: event\nX"},
		{"dropped", "S: *\nD"},
		{"two at once", "S: *\n--- p\nS: hello *\nC: b\nS: B\n--- 1\nC: a\nS: A\n--- 2\nC: bye\nS: BYE\nX"},
		{"handshake", "S: *\nC: tls\nS: go\nE tls\nC: a\nS: A"},
		{"derived values", "S: *\nC: {alice-plain}\nC: {secret-base64}\nS: " + strings.ToUpper(alicePlain) + "\nS: CZNJCMV0"},
		{"start of TLS forgets plaintext", "S: *\nC: tls\nC: injected\nS: go\nC: a\nS: A"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if s, err := runShouter("protocol p\n" + c.text + "\n"); err != nil || s.closed != 1 {
				t.Errorf("got error %v, %d times Closed; want none, once", err, s.closed)
			}
		})
	}
}

func TestDialoguesThatGoOtherwise(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"other line", "S: hello\n", `t:2: want "hello", got "hello 42.tok*en there"`},
		{"star must not cross lines", "S: *\nC: many\nS: a*last*\n", `got "a line"`},
		{"silent", "S: *\nS: more\n", ErrSilent.Error()},
		{"other value", "S: hello {id} there\nC: a{id}\nS: B{id}\n", "t:4: want"},
		{"server goes on", "S: *\nC: a\n", `still says "A\r\n"`},
		{"server does not close", "S: *\nC: a\nS: A\nX\n", "want the server to close"},
		{"server says more before it closes", "S: *\nC: bye\nX\n", "BYE"},
		{"closed too early", "S: *\nC: bye\nS: BYE\nC: a\nS: A\n", "closed"},
		{"handshake that the server has not begun", "S: *\nE tls\nC: a\nS: A\n", "has not begun TLS"},
		{"more than the client read before the handshake", "S: *\nC: many\nS: a line\nE tls\n", "before the handshake"},
		{"no such value", "S: *\nC: {nix}\nS: A\n", "{nix} has no value"},
		{"line never comes", "S: *\nC: many\nS: ...\nS: nix\n", "12 other lines"},
		{"octets differ", "S: *\nC: a\nS< \"B\\r\\n\"\n", `got "A\r\n"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := runShouter("protocol p\n" + c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "# hi\n", "nobody"},
		{"no protocol", "S: a\n", "t:1: \"protocol smtp\""},
		{"unknown line", "protocol p\nhello there you\n", "no line of a dialogue"},
		{"unknown property", "protocol p\ncolour red\n", "no property"},
		{"unknown listener", "listener kind\n", "no property"},
		{"unknown need", "protocol p\nneeds money\n", "no property"},
		{"late need", "protocol p\nS: a\n--- p\nneeds relay\n", "no property"},
		{"late property", "protocol p\nS: a\nrole mx\n", "t:3: \"role\" comes too late"},
		{"no space", "protocol p\nS:a\n", "a space is missing"},
		{"raw without quotes", "protocol p\nC< a\n", "double quotes"},
		{"raw with a bad escape", "protocol p\nC< \"\\q\"\n", "invalid syntax"},
		{"any at the end", "protocol p\nS: ...\n", "after"},
		{"any before the client", "protocol p\nS: ...\nC: a\n", "t:3: after"},
		{"message without a name", "protocol p\n| a\n", "belongs behind"},
		{"no such connection", "protocol p\nS: a\n--- 2\n", "no connection 2"},
		{"first connection with dashes", "--- p\n", "without"},
		{"unknown event", "protocol p\nE rain\n", "no event"},
		{"not UTF-8", "protocol p\nS: \xff\n", "not UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("t", strings.NewReader(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestPropertiesAndGivenMessages(t *testing.T) {
	d, err := Parse("t", strings.NewReader("protocol smtp\nlistener teach\nrole mx\nneeds relay\nneeds binary\ngiven a@b\n| x\n|\n| y\n\nS: a\n--- pop3\nlistener strict\nS: b\n--- smtp\nE shed\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Given) != 1 || d.Given[0].To != "a@b" || string(d.Given[0].Content) != "x\r\n\r\ny\r\n" {
		t.Errorf("got given messages %q", d.Given)
	}
	if !slices.Equal(d.Needs, []string{NeedsRelay, NeedsBinary}) {
		t.Errorf("got needs %q", d.Needs)
	}
	want := []Connection{{"smtp", "mx", true}, {"pop3", "", false}, {"smtp", "mx", false}}
	got := d.Connections()
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("got connections %v, want %v", got, want)
		}
	}
	if !d.NeedsMemory() {
		t.Error("a dialogue with an event says that it can be run over a network")
	}
	if d, err = Parse("t", strings.NewReader("protocol smtp\nE tls\n")); err != nil || d.NeedsMemory() {
		t.Errorf("got error %v; a handshake does not need memory", err)
	}
}

func TestRunOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("hello\r\n"))
		b := make([]byte, 3)
		_, _ = conn.Read(b)
		_, _ = conn.Write(append(b, "\r\n"...))
	}()
	open := func(Connection) (Transport, error) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		return NewNet(conn), nil
	}
	d, err := Parse("t", strings.NewReader("protocol p\nS: hello\nC: x\nS< \"x\\r\\n\\r\\n\"\nX\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Run(Setup{Open: open}); err != nil {
		t.Error(err)
	}
}

func TestEventsNeedMemory(t *testing.T) {
	d, err := Parse("t", strings.NewReader("protocol p\nE shed\n"))
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	defer b.Close()
	err = d.Run(Setup{Open: func(Connection) (Transport, error) { return NewNet(a), nil }})
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got error %v, want %v", err, errors.ErrUnsupported)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("protocol p\nlistener teach\ngiven a@b\n| x\n\nS: *\nC: a {b}\nS: ...\nS: {b}\\*\nX\n--- q\nD\n--- 1\nE shed\n")
	f.Add("protocol p\nC< \"\\x00\"\nS< \"\\r\\n\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse("t", strings.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "t:") {
				t.Errorf("the error says no place: %v", err)
			}
			return
		}
		if len(d.Connections()) == 0 {
			t.Error("no connection in a dialogue that was taken")
		}
		_, _ = runShouter(text)
	})
}
