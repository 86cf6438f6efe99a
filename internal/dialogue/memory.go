package dialogue

import (
	"bytes"
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
	m := &Memory{s: s, c: c}
	m.take(s.Start(c))
	return m
}

// Memory is the transport that NewMemory returns.
type Memory struct {
	s    session.Session
	c    *session.Conn
	step session.Step
	in   []byte // what the session has not read yet
	out  bytes.Buffer
	// closed: Event(Closed) was given.
	closed  bool
	content content
	logs    []string
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
	switch step.Next {
	case session.Close:
		m.close()
	case session.StartTLS:
		m.in = nil
		m.c.TLS = &session.TLS{Version: "TLS 1.3"}
		m.take(m.s.Event(session.TLSReady))
	case session.Dots, session.Octets:
		m.content = content{sink: step.Sink}
	}
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
		return m.dots()
	case session.Octets:
		return m.octets()
	}
	return m.line()
}

// line looks for a whole line.
func (m *Memory) line() bool {
	end, ending := m.findLine()
	if end < 0 {
		if len(m.in) > wire.MaxSkip {
			m.in = nil
			m.take(m.s.Event(session.Flood))
		}
		return false
	}
	raw := m.in[:end]
	m.in = m.in[end+ending:]
	var flaws wire.Flaw
	if ending == 1 {
		flaws |= wire.BareLF
	}
	if bytes.IndexByte(raw, '\n') >= 0 {
		flaws |= wire.BareLF
	}
	if bytes.IndexByte(raw, '\r') >= 0 {
		flaws |= wire.BareCR
	}
	if len(raw)+ending > wire.MaxLine {
		flaws |= wire.TooLong
		raw = raw[:min(len(raw), wire.MaxLine)]
	}
	m.take(m.s.Line(wire.Line{Bytes: raw, Flaws: flaws}))
	return true
}

// findLine returns where the first line ends, and the length of its ending.
func (m *Memory) findLine() (end, ending int) {
	from := 0
	for {
		i := bytes.IndexByte(m.in[from:], '\n')
		if i < 0 {
			return -1, 0
		}
		i += from
		if i > 0 && m.in[i-1] == '\r' {
			return i - 1, 2
		}
		if m.c.Listener.Teach {
			return i, 1
		}
		from = i + 1
	}
}

// octets gives the sink what has come of the N octets.
func (m *Memory) octets() bool {
	n := min(int64(len(m.in)), m.step.N-m.content.n)
	m.content.write(m.in[:n])
	m.in = m.in[n:]
	if m.content.n < m.step.N {
		return false
	}
	m.take(m.s.Data(m.content.n, m.content.err))
	return true
}

// dots gives the sink what has come before CRLF.CRLF. It works through the
// lines, octet by octet; a line is kept back until it is whole.
func (m *Memory) dots() bool {
	for {
		i := bytes.Index(m.in, []byte("\r\n"))
		if i < 0 {
			return false
		}
		line := m.in[:i+2]
		m.in = m.in[i+2:]
		if string(line) == ".\r\n" {
			m.take(m.s.Data(m.content.n, m.content.err))
			return true
		}
		m.content.check(line[:i])
		m.content.write(bytes.TrimPrefix(line, []byte(".")))
	}
}

// content is what has been read in Dots or Octets.
type content struct {
	sink io.Writer
	n    int64
	err  error
}

// write gives octets to the sink, until it fails once.
func (c *content) write(p []byte) {
	c.n += int64(len(p))
	if c.sink == nil || c.err != nil && c.err != wire.ErrBareCR && c.err != wire.ErrBareLF {
		return
	}
	if _, err := c.sink.Write(p); err != nil {
		c.err = err
	}
}

// check looks for a CR or LF that stands alone (RFC 5321 §2.3.8).
func (c *content) check(line []byte) {
	switch {
	case c.err != nil:
	case bytes.IndexByte(line, '\n') >= 0:
		c.err = wire.ErrBareLF
	case bytes.IndexByte(line, '\r') >= 0:
		c.err = wire.ErrBareCR
	}
}
