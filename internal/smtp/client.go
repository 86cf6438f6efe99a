package smtp

import (
	"time"

	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/wire"
)

// NewClient returns the client's side of one SMTP connection (RFC 5321), which
// sends what source gives it until that has nothing more.
func NewClient(o ClientOptions, source Source) session.Session {
	o = o.withDefaults()
	return &client{opts: o, source: source, in: replyReader{maxLines: o.MaxReplyLines}}
}

// client is the client's side of a connection. Then says what it waits for: it
// takes the next reply, which is in in.
type client struct {
	opts   ClientOptions
	source Source
	conn   *session.Conn
	peer   Peer
	in     replyReader
	then   func(*client) session.Step
	stage  Stage
	// until is when the reply has taken as long as it may, however many lines it has.
	until time.Time
	// hello is what the answer to EHLO has told so far.
	hello hello
	// login is under way if it is not nil; initial is its initial response, if that
	// waits for the server to ask, and cancelled why it was broken off.
	login     sasl.Client
	initial   []byte
	cancelled string
	// tx is the transaction under way, nil if none is.
	tx *delivery
	// spare is the memory of a transaction that is over.
	spare delivery

	asked    bool // Source.Next was called
	stopping bool // no other transaction is begun
	dirty    bool // the server may hold a transaction that has failed
	sent     int  // transactions begun
	lost     Stage
	why      string
	buf      []byte
}

// Start waits for the greeting.
func (c *client) Start(conn *session.Conn) session.Step {
	c.conn = conn
	c.peer.TLS = conn.TLS
	return c.await((*client).greeted, StageGreeting, c.opts.Greeting)
}

// await waits for a reply, which then takes.
func (c *client) await(then func(*client) session.Step, stage Stage, wait time.Duration) session.Step {
	c.then, c.stage = then, stage
	c.until = c.conn.Now().Add(wait)
	return session.Step{Wait: wait}
}

// say sends commands and waits for the first reply to them.
func (c *client) say(b []byte, then func(*client) session.Step, stage Stage, wait time.Duration) session.Step {
	c.buf = b
	step := c.await(then, stage, wait)
	step.Reply = b
	return step
}

// Line takes a line of a reply.
func (c *client) Line(l wire.Line) session.Step {
	if c.conn.Listener != nil && c.conn.Listener.Teach { // somebody plays the server by hand
		l.Flaws &^= wire.BareLF | wire.BareCR
	}
	early := l.Flaws&wire.Early != 0
	l.Flaws &^= wire.Early
	if why := badReplyLine(l.Flaws); why != "" {
		return c.lose(why)
	}
	done, why := c.in.take(l.Bytes)
	switch {
	case why != "":
		return c.lose(why)
	case early && c.in.code != 421:
		// Taken for the answer it would put every later one off by one.
		return c.lose("the server answered before it was asked")
	case c.stage == StageHello:
		c.hello.line(c.in.lines, l.Bytes)
	}
	if !done {
		// A reply that drips has no more time than one that comes at once.
		return session.Step{Wait: max(c.until.Sub(c.conn.Now()), time.Millisecond)}
	}
	if c.in.code == 421 && c.stage != StageQuit {
		return c.closing()
	}
	return c.then(c)
}

// badReplyLine words the flaws of a line.
func badReplyLine(f wire.Flaw) string {
	switch {
	case f&wire.TooLong != 0:
		return whyLongLine
	case f != 0:
		return whyFraming
	}
	return ""
}

// Data is never called: a client asks for lines only.
func (c *client) Data(int64, error) session.Step { return session.Step{Next: session.Close} }

// Event implements session.Session.
func (c *client) Event(e session.Event) session.Step {
	switch e {
	case session.TLSReady:
		return c.secured()
	case session.Shutdown:
		return c.shutdown()
	case session.TLSFailed:
		return c.lose("the TLS handshake failed")
	case session.Timeout:
		return c.lose("the server did not answer in time")
	case session.Flood:
		return c.lose(whyLongLine)
	case session.Shed:
		return c.lose("the connection had to make room for another")
	case session.Closed:
		c.closed()
	}
	return session.Step{Next: session.Close}
}

// shutdown lets a transaction finish, and ends the conversation if there is none.
func (c *client) shutdown() session.Step {
	c.stopping = true
	if c.stage == StageGreeting {
		// A command before the greeting would be a fault of ours.
		return session.Step{Next: session.Close, Log: "shutdown"}
	}
	left := max(c.until.Sub(c.conn.Now()), time.Millisecond)
	if c.tx == nil {
		left = min(left, quitWait)
	}
	return session.Step{Wait: left}
}

// lose ends a conversation that can't go on, at once.
func (c *client) lose(why string) session.Step {
	if c.lost == "" && c.stage != StageQuit {
		c.lost, c.why = c.stage, why
	}
	c.tell()
	return session.Step{Next: session.Close, Log: why}
}

// closing takes the reply 421, after which the server closes, whatever it
// answers (RFC 5321 §3.8). It decides about all that is undecided.
func (c *client) closing() session.Step {
	why := "the server closes the connection (421)"
	c.lost, c.why = c.stage, why
	c.fail(c.in.reply(), false)
	return session.Step{Next: session.Close, Log: why}
}

// closed is the end, whatever happened before. Without Start there was no
// conversation that could have failed.
func (c *client) closed() {
	if c.conn == nil {
		return
	}
	if c.lost == "" && c.stage != StageQuit {
		c.lost, c.why = c.stage, "the connection was closed"
	}
	c.tell()
}

// tell ends the transaction under way. When the conversation has ended before
// its first, the one that would have been is told.
func (c *client) tell() {
	if c.tx == nil && !c.asked && !c.stopping {
		c.take()
	}
	if c.tx != nil {
		c.finish()
	}
}

// fail has a reply decide about the transaction under way, or about the first
// when there has been none.
func (c *client) fail(r *Reply, local bool) {
	if c.tx == nil && !c.asked && !c.stopping {
		c.take()
	}
	if c.tx != nil {
		c.tx.decide(r, c.stage, local)
		c.finish()
	}
}

// quitWait is how long the answer to QUIT may take.
const quitWait = 10 * time.Second

// quit says goodbye (RFC 5321 §4.1.1.10).
func (c *client) quit() session.Step {
	return c.say(append(c.buf[:0], "QUIT\r\n"...), (*client).left, StageQuit, quitWait)
}

// left closes, whatever the server has answered.
func (c *client) left() session.Step { return session.Step{Next: session.Close} }
