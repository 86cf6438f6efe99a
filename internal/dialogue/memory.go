package dialogue

import (
	"bytes"
	"errors"
	"io"

	"postrider/internal/session"
	"postrider/internal/wire"
)

// NewMemory returns a transport that ends in a session, without any network. It
// is a driver as package session describes one, in its simplest form: it works
// while the client writes, in the client's goroutine. When the session waits
// for more, Read returns ErrSilent.
//
// C must have a Listener; its Teach says which lines are let through.
func NewMemory(s session.Session, c *session.Conn) *Memory {
	m := &Memory{s: s, c: c, split: wire.Splitter{Teach: c.Listener.Teach}}
	m.take(s.Start(c))
	return m
}

// Memory is the transport that NewMemory returns.
type Memory struct {
	s      session.Session
	c      *session.Conn
	step   session.Step
	in     []byte // what has not been looked at
	typed  []byte // of it, what the splitter has to look at
	out    bytes.Buffer
	closed bool // Event(Closed) was given
	split  wire.Splitter
	telnet wire.Telnet
	dots   wire.DotReader
	octets octets
	logs   []string
}

// Read returns what the session said, io.EOF when it has closed, or ErrSilent.
func (m *Memory) Read(p []byte) (int, error) {
	n, err := m.out.Read(p)
	if err == io.EOF && !m.closed {
		err = ErrSilent
	}
	return n, err
}

// Write gives the session its input and lets it work.
func (m *Memory) Write(p []byte) (int, error) {
	if m.closed {
		return 0, io.ErrClosedPipe
	}
	m.in = append(m.in, p...)
	for !m.closed && m.advance() {
	}
	return len(p), nil
}

// Event makes something happen to the session.
func (m *Memory) Event(e session.Event) {
	if !m.closed {
		m.take(m.s.Event(e))
	}
}

// Handshake fails if the session has not asked for TLS. There is no handshake:
// TLS is on as soon as the session wants it.
func (m *Memory) Handshake() error {
	if m.c.TLS == nil {
		return errNoTLS
	}
	return nil
}

var errNoTLS = errors.New("the server has not begun TLS")

// Close drops the connection from the client's end.
func (m *Memory) Close() error {
	m.close()
	return nil
}

// Mode returns what the session reads next.
func (m *Memory) Mode() session.Mode { return m.step.Next }

// Logs returns what the session gave for the operator's log.
func (m *Memory) Logs() []string { return m.logs }

// take sends what a step has to say, and begins what it asks for.
func (m *Memory) take(step session.Step) {
	m.step = step
	if step.Next == session.Dots || step.Next == session.Octets {
		m.in, m.typed = append(m.typed, m.in...), nil
	}
	if step.Log != "" {
		m.logs = append(m.logs, step.Log)
	}
	m.out.Write(step.Reply)
	if step.Body != nil {
		if _, err := step.Body.WriteTo(&m.out); err != nil {
			m.close()
			return
		}
	}
	if step.Become != nil {
		m.become(step.Become)
		return
	}
	switch step.Next {
	case session.Close:
		m.close()
	case session.StartTLS:
		m.in, m.typed = nil, nil
		m.c.TLS = &session.TLS{Version: "TLS 1.3"}
		m.take(m.s.Event(session.TLSReady))
	case session.Dots:
		m.dots.Reset(step.Sink)
	case session.Octets:
		m.octets = octets{sink: step.Sink, left: step.N}
	}
}

// become goes on with another session.
func (m *Memory) become(next session.Session) {
	m.s.Event(session.Closed)
	m.s = next
	m.take(next.Start(m.c))
}

// close gives the session its last event.
func (m *Memory) close() {
	if !m.closed {
		m.closed = true
		m.s.Event(session.Closed)
	}
}

// advance makes one call to the session, if there is enough input for it.
func (m *Memory) advance() bool {
	switch m.step.Next {
	case session.Dots:
		n, done := m.dots.Feed(m.in)
		m.in = m.in[n:]
		if done {
			m.take(m.s.Data(m.dots.Written(), m.dots.Err()))
		}
		return done
	case session.Octets:
		m.in = m.octets.feed(m.in)
		if m.octets.left > 0 {
			return false
		}
		m.take(m.s.Data(m.octets.n, m.octets.err))
		return true
	}
	return m.line()
}

// line gives the splitter the input up to the next LF, since what is behind
// may be no line.
func (m *Memory) line() bool {
	end := bytes.IndexByte(m.in, '\n') + 1
	if end == 0 {
		end = len(m.in)
	}
	if m.c.Listener.Teach {
		var answer []byte
		m.typed, answer = m.telnet.Filter(m.typed, m.in[:end])
		m.out.Write(answer)
	} else {
		m.typed = append(m.typed, m.in[:end]...)
	}
	m.in = m.in[end:]
	line, n, got := m.split.Next(m.typed)
	switch got {
	case wire.HaveLine:
		step := m.s.Line(line)
		m.typed = m.typed[n:]
		m.take(step)
	case wire.Flooded:
		m.take(m.s.Event(session.Flood))
	default:
		m.typed = m.typed[n:]
	}
	return got == wire.HaveLine || len(m.in) > 0
}

// octets is what has been read in Octets.
type octets struct {
	sink    io.Writer
	left, n int64
	err     error
}

// feed takes what belongs to it and returns the rest.
func (o *octets) feed(p []byte) []byte {
	n := min(int64(len(p)), o.left)
	o.left -= n
	o.n += n
	if o.sink != nil && o.err == nil {
		_, o.err = o.sink.Write(p[:n])
	}
	return p[n:]
}
