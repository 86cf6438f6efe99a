package dialogue

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"postrider/internal/session"
)

// Transport is the client's end of a connection. After the server has closed,
// and everything it sent is read, Read returns io.EOF.
type Transport interface {
	io.ReadWriteCloser
}

// eventer is a transport that things can happen to.
type eventer interface {
	Event(e session.Event)
}

// handshaker is a transport that can go on under TLS.
type handshaker interface {
	Handshake() error
}

// ErrSilent is the error of a read when the server waits for the client.
var ErrSilent = errors.New("the server says nothing and waits")

// Setup is what a dialogue is run with.
type Setup struct {
	// Open connects to the listener that c describes.
	Open func(c Connection) (Transport, error)
	// Vars are values for {name}, without the braces: passwords, for instance.
	Vars map[string]string
}

// Run holds the conversation. The error says, as "name:line: …", where it went
// otherwise than written, what was wanted and what came.
func (d *Dialogue) Run(setup Setup) error {
	r := &runner{d: d, setup: setup, vars: values{}}
	r.vars.derive(setup.Vars)
	err := r.run()
	for _, c := range r.conns {
		if !c.gone {
			err = errors.Join(err, c.transport.Close())
		}
	}
	return err
}

// maxServerLine is the longest line that a server may send, in octets.
const maxServerLine = 2 << 20

// peer is the server at the end of one connection.
type peer struct {
	Connection
	transport Transport
	in        *bufio.Reader
	gone      bool
}

// runner is a dialogue that is being run.
type runner struct {
	d     *Dialogue
	setup Setup
	vars  values
	conns []*peer
	at    *peer
	// unsent are client lines that the next step of another kind sends. said is
	// the latest of them, for errors.
	unsent []byte
	said   string
}

// run takes the steps in turn.
func (r *runner) run() error {
	for i := range r.d.steps {
		s := &r.d.steps[i]
		if err := r.step(s); err != nil {
			return r.explain(s, err)
		}
	}
	last := &r.d.steps[len(r.d.steps)-1]
	if err := r.send(); err != nil {
		return r.explain(last, err)
	}
	for i, c := range r.conns {
		if m, ok := c.transport.(*Memory); ok && m.out.Len() > 0 && c.in.Buffered() == 0 {
			_, _ = c.in.Peek(1)
		}
		if n := c.in.Buffered(); n > 0 {
			rest, _ := c.in.Peek(n)
			return r.explain(last, fmt.Errorf("connection %d: the dialogue is over, and the server still says %q", i+1, rest))
		}
	}
	return nil
}

// explain adds where the error was.
func (r *runner) explain(s *step, err error) error {
	if r.said == "" {
		return fmt.Errorf("%s:%d: %w", r.d.Name, s.line, err)
	}
	return fmt.Errorf("%s:%d: %w (the client last said %q)", r.d.Name, s.line, err, r.said)
}

// step takes one step.
func (r *runner) step(s *step) error {
	switch s.kind {
	case stepSend:
		text, err := r.vars.fill(s.text)
		r.unsent = append(append(r.unsent, text...), "\r\n"...)
		r.said = s.text // not the text, which may have a password
		return err
	case stepSendRaw:
		r.unsent = append(r.unsent, s.text...)
		r.said = s.text
		return nil
	}
	if err := r.send(); err != nil {
		return err
	}
	switch s.kind {
	case stepOpen:
		return r.open(s.open)
	case stepSwitch:
		r.at = r.conns[s.number]
		return nil
	case stepExpect:
		return r.expect(s)
	case stepExpectRaw:
		return r.expectRaw(s)
	case stepClosed:
		return r.expectClosed(s)
	case stepDrop:
		r.at.gone = true
		return r.at.transport.Close()
	case stepEvent:
		return r.event(s)
	}
	return nil
}

// event makes something happen.
func (r *runner) event(s *step) error {
	if t, ok := r.at.transport.(handshaker); ok && s.event == session.TLSReady {
		if n := r.at.in.Buffered(); n > 0 {
			rest, _ := r.at.in.Peek(n)
			return fmt.Errorf("before the handshake, the server still says %q", rest)
		}
		return t.Handshake()
	}
	if t, ok := r.at.transport.(eventer); ok && s.event != session.TLSReady {
		t.Event(s.event)
		return nil
	}
	return fmt.Errorf("event %q: %w", s.text, errors.ErrUnsupported)
}

// send sends the client lines that wait.
func (r *runner) send() error {
	if len(r.unsent) == 0 {
		return nil
	}
	unsent := r.unsent
	r.unsent = r.unsent[:0]
	if r.at.gone {
		return errors.New("the connection is closed")
	}
	if _, err := r.at.transport.Write(unsent); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// open makes a connection.
func (r *runner) open(c Connection) error {
	t, err := r.setup.Open(c)
	if err != nil {
		return fmt.Errorf("open %s: %w", c.Protocol, err)
	}
	r.at = &peer{Connection: c, transport: t, in: bufio.NewReader(t)}
	r.conns = append(r.conns, r.at)
	return nil
}

// expect reads one line and compares it, or lines until one fits.
func (r *runner) expect(s *step) error {
	for n := 0; ; n++ {
		line, err := r.at.readLine()
		if err != nil {
			return fmt.Errorf("want %q, got %d other lines and then: %w", s.text, n, err)
		}
		ok, err := r.vars.match(s.text, line)
		if err != nil || ok {
			return err
		}
		if !s.any {
			return fmt.Errorf("want %q, got %q", s.text, line)
		}
	}
}

// expectRaw reads as many octets as are wanted, and compares them.
func (r *runner) expectRaw(s *step) error {
	got := make([]byte, len(s.text))
	n, err := io.ReadFull(r.at.in, got)
	if err != nil {
		return fmt.Errorf("want octets %q, got %q and then %w", s.text, got[:n], err)
	}
	if string(got) != s.text {
		return fmt.Errorf("want octets %q, got %q", s.text, got)
	}
	return nil
}

// expectClosed reads the end of the connection.
func (r *runner) expectClosed(s *step) error {
	var err error
	for s.any && err == nil {
		_, err = r.at.readLine()
	}
	if err == nil {
		_, err = r.at.in.ReadByte()
	}
	switch {
	case err == nil:
		_ = r.at.in.UnreadByte()
		more, _ := r.at.in.Peek(r.at.in.Buffered())
		return fmt.Errorf("want the server to close, got %q", more)
	case errors.Is(err, ErrSilent), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, errLine):
		return fmt.Errorf("want the server to close: %w", err)
	}
	r.at.gone = true
	return r.at.transport.Close()
}

// errLine is the error of a line that is none.
var errLine = errors.New("not a line")

// readLine reads a line and returns it without its CRLF.
func (p *peer) readLine() (string, error) {
	var b []byte
	for {
		part, err := p.in.ReadSlice('\n')
		b = append(b, part...)
		switch {
		case err == nil && bytes.HasSuffix(b, []byte("\r\n")):
			return string(b[:len(b)-2]), nil
		case err == nil:
			return "", fmt.Errorf("%w: %q ends without CR", errLine, b)
		case errors.Is(err, bufio.ErrBufferFull) && len(b) < maxServerLine:
		case errors.Is(err, bufio.ErrBufferFull):
			return "", fmt.Errorf("%w: it has more than %d octets", errLine, maxServerLine)
		case len(b) > 0:
			return "", fmt.Errorf("%w: %q has no end: %w", errLine, b, err)
		default:
			return "", err
		}
	}
}
