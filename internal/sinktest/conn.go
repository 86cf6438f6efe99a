package sinktest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"postrider/internal/wire"
)

// conn is one connection.
type conn struct {
	sink  *Sink
	n     int
	nc    net.Conn
	r     *bufio.Reader
	out   bytes.Buffer
	tls   bool
	helo  string
	msg   *Message
	count map[string]int
}

// errEnd ends a connection in good order.
var errEnd = errors.New("the connection is over")

// Serve talks to one client until either closes. It closes nc.
func (s *Sink) Serve(nc net.Conn) {
	defer nc.Close()
	n := s.begin(nc)
	if n == 0 {
		return
	}
	defer s.end(nc)
	c := &conn{sink: s, n: n, nc: nc, count: map[string]int{}}
	c.read(nc)
	if s.opts.Implicit && c.secure() != nil {
		return
	}
	if err := c.answer("CONNECT", "", func() string { return "220 " + s.opts.Hostname + " ESMTP sink" }); err != nil {
		return
	}
	for c.command() == nil {
	}
	_ = c.flush()
}

// bufferSize is more than a client sends at once without waiting.
const bufferSize = 64 << 10

// read reads from now on from r.
func (c *conn) read(r io.Reader) { c.r = bufio.NewReaderSize(r, bufferSize) }

// secure goes on under TLS.
func (c *conn) secure() error {
	tc := tls.Server(c.nc, c.sink.opts.TLS)
	if err := tc.Handshake(); err != nil {
		return err
	}
	c.nc, c.tls = tc, true
	c.read(tc)
	return nil
}

// flush sends what was answered.
func (c *conn) flush() error {
	_, err := c.out.WriteTo(c.nc)
	return err
}

// line reads a line that must end in CRLF.
func (c *conn) line() (string, error) {
	if c.r.Buffered() == 0 {
		if err := c.flush(); err != nil {
			return "", err
		}
	}
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok || strings.ContainsAny(text, "\r\x00") {
		return "", errors.New("a line with CR, LF or NUL alone")
	}
	c.sink.note(c.n, text)
	return text, nil
}

// command reads a command and answers it.
func (c *conn) command() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	word, arg, _ := strings.Cut(line, " ")
	verb := strings.ToUpper(word)
	do := verbs[verb]
	if do == nil {
		return c.answer(verb, line, func() string { return "500 5.5.1 What?" })
	}
	return do(c, line, arg)
}

// verbs are the commands.
var verbs = map[string]func(c *conn, line, arg string) error{
	"EHLO": func(c *conn, line, arg string) error {
		return c.answer("EHLO", line, func() string { return c.hello(arg) })
	},
	"HELO": func(c *conn, line, arg string) error {
		return c.answer("HELO", line, func() string {
			c.helo = arg
			return "250 " + c.sink.opts.Hostname
		})
	},
	"STARTTLS": (*conn).startTLS,
	"AUTH":     (*conn).auth,
	"MAIL": func(c *conn, line, arg string) error {
		return c.answer("MAIL", line, func() string {
			c.msg = &Message{Conn: c.n, TLS: c.tls, Helo: c.helo, Mail: argument(arg)}
			return "250 2.1.0 OK"
		})
	},
	"RCPT": func(c *conn, line, arg string) error {
		return c.answer("RCPT", line, func() string {
			if c.msg == nil {
				return "503 5.5.1 MAIL first"
			}
			c.msg.Rcpts = append(c.msg.Rcpts, argument(arg))
			return "250 2.1.5 OK"
		})
	},
	"DATA": func(c *conn, line, _ string) error { return c.data(line) },
	"BDAT": (*conn).bdat,
	"RSET": func(c *conn, line, _ string) error {
		return c.answer("RSET", line, func() string {
			c.msg = nil
			return "250 2.0.0 OK"
		})
	},
	"NOOP": func(c *conn, line, _ string) error {
		return c.answer("NOOP", line, func() string { return "250 2.0.0 OK" })
	},
	"QUIT": func(c *conn, line, _ string) error {
		err := c.answer("QUIT", line, func() string { return "221 2.0.0 Bye" })
		if err == nil {
			err = errEnd
		}
		return err
	},
}

// argument takes FROM: or TO: off.
func argument(arg string) string {
	_, after, _ := strings.Cut(arg, ":")
	return after
}

// hello answers EHLO.
func (c *conn) hello(arg string) string {
	c.helo = arg
	extensions := c.sink.opts.Extensions
	if extensions == nil {
		extensions = DefaultExtensions
		if c.sink.opts.TLS != nil && !c.tls {
			extensions = append([]string{"STARTTLS"}, extensions...)
		}
	}
	lines := append([]string{c.sink.opts.Hostname}, extensions...)
	last := len(lines) - 1
	return "250-" + strings.Join(lines[:last], "\n250-") + "\n250 " + lines[last]
}

// startTLS agrees to TLS, and reads no plaintext after that.
func (c *conn) startTLS(line, _ string) error {
	agreed := false
	err := c.answer("STARTTLS", line, func() string {
		if c.sink.opts.TLS == nil || c.tls {
			return "502 5.5.1 No TLS here"
		}
		agreed = true
		return "220 2.0.0 Go ahead"
	})
	if err != nil || !agreed {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	c.helo, c.msg = "", nil
	return c.secure()
}

// auth takes any login of one message, or what Options.On says, line by line as
// long as it answers 334.
func (c *conn) auth(line, _ string) error {
	verb := "AUTH"
	for {
		n := c.out.Len()
		err := c.answer(verb, line, func() string { return "235 2.7.0 Welcome" })
		if err != nil || !bytes.HasPrefix(c.out.Bytes()[n:], []byte("334")) {
			return err
		}
		verb = "AUTH-NEXT"
		if line, err = c.line(); err != nil {
			return err
		}
	}
}

// answer does what is to be done about a command. Usual, which has the usual
// effect, returns the usual reply; it is not called if another refuses.
func (c *conn) answer(verb, line string, usual func() string) error {
	a := c.decide(verb, line)
	return c.say(a, usual)
}

// decide asks what to do about a command.
func (c *conn) decide(verb, line string) Answer {
	at := Command{Conn: c.n, N: c.count[verb], Verb: verb, Line: line, TLS: c.tls, Message: c.msg}
	c.count[verb]++
	if c.sink.opts.On == nil {
		return Answer{}
	}
	return c.sink.opts.On(at)
}

// say answers.
func (c *conn) say(a Answer, usual func() string) error {
	if a.Delay > 0 {
		if err := c.flush(); err != nil {
			return err
		}
		time.Sleep(a.Delay)
	}
	text := a.Text
	if !refuses(text) && (!a.Drop || text != "" || a.Raw != "") {
		if u := usual(); text == "" {
			text = u
		}
	}
	switch {
	case a.Silent, a.Drop && a.Text == "" && a.Raw == "":
	case a.Text == "" && a.Raw != "":
		c.out.WriteString(a.Raw)
	default:
		c.out.WriteString(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n")
	}
	if a.Endless != "" {
		return c.endless(a.Endless)
	}
	if a.Drop {
		_ = c.flush()
		return errEnd
	}
	return nil
}

// endless sends a text until that fails.
func (c *conn) endless(text string) error {
	block := []byte(strings.Repeat(text, 1+bufferSize/len(text)))
	err := c.flush()
	for err == nil {
		_, err = c.nc.Write(block)
	}
	return err
}

// refuses reports whether a reply is 4yz or 5yz.
func refuses(text string) bool { return text != "" && (text[0] == '4' || text[0] == '5') }

// data takes a message after DATA.
func (c *conn) data(line string) error {
	ahead := false
	a := c.decide("DATA", line)
	err := c.say(a, func() string {
		if a.Text == "" && (c.msg == nil || len(c.msg.Rcpts) == 0) {
			return "503 5.5.1 RCPT first"
		}
		ahead = true
		return "354 Go ahead"
	})
	if err != nil || !ahead {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	var data bytes.Buffer
	if err := c.dots(&data, a.DropAfter); err != nil {
		return err
	}
	return c.finish("END", ".", data.Bytes())
}

// dots reads up to the lone dot.
func (c *conn) dots(to *bytes.Buffer, most int64) error {
	var d wire.DotReader
	d.Reset(to)
	for {
		if _, err := c.r.Peek(1); err != nil {
			return err
		}
		p, _ := c.r.Peek(c.r.Buffered())
		n, done := d.Feed(p)
		_, _ = c.r.Discard(n)
		switch {
		case most > 0 && d.Written() >= most:
			return errEnd
		case done && d.Err() != nil:
			return d.Err()
		case done:
			return nil
		}
	}
}

// bdat takes a chunk.
func (c *conn) bdat(line, arg string) error {
	word, last, _ := strings.Cut(arg, " ")
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	a := c.decide("BDAT", line)
	if a.DropAfter > 0 {
		_, _ = io.CopyN(io.Discard, c.r, a.DropAfter)
		return errEnd
	}
	var data bytes.Buffer
	if _, err := io.CopyN(&data, c.r, n); err != nil {
		return err
	}
	if c.msg != nil {
		c.msg.Data = append(c.msg.Data, data.Bytes()...)
	}
	if !strings.EqualFold(last, "LAST") {
		return c.say(a, func() string { return "250 2.0.0 OK" })
	}
	return c.end(a)
}

// finish takes the whole of a message after DATA.
func (c *conn) finish(verb, line string, data []byte) error {
	if c.msg != nil {
		c.msg.Data = data
	}
	return c.end(c.decide(verb, line))
}

// end answers a whole message.
func (c *conn) end(a Answer) error {
	m := c.msg
	c.msg = nil
	kept := func() string {
		if m == nil || len(m.Rcpts) == 0 {
			return "554 5.5.1 No valid recipients"
		}
		c.sink.take(m)
		return "250 2.0.0 Taken"
	}
	if a.Take {
		kept()
		kept = func() string { return "250 2.0.0 Taken" }
	}
	return c.say(a, kept)
}
