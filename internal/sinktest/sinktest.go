// Package sinktest is an SMTP server for tests of what sends mail: it takes
// messages and keeps them, and does what it is told to, however wrong. It is test
// support: the server does not contain it.
//
//	sink := sinktest.Start(t, sinktest.Options{
//		On: func(c sinktest.Command) sinktest.Answer {
//			if c.Verb == "RCPT" && strings.Contains(c.Line, "nobody@") {
//				return sinktest.Answer{Text: "550 5.1.1 No such user"}
//			}
//			return sinktest.Answer{} // as usual
//		},
//	})
//	… deliver to sink.Addr() …
//	messages := sink.Wait(1)
package sinktest

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options are what a sink is. The zero value takes everything.
type Options struct {
	// Hostname is what it calls itself; "sink.test" if empty.
	Hostname string
	// Extensions are the lines of its answer to EHLO after the first. Nil:
	// DefaultExtensions, and STARTTLS where there is TLS and it is not on.
	Extensions []string
	// TLS is for STARTTLS, and for Implicit.
	TLS *tls.Config
	// Implicit makes the handshake before the greeting.
	Implicit bool
	// On is asked what to answer before each answer. Nil, and the zero Answer, are
	// the usual one. It is called from each connection's goroutine.
	On func(c Command) Answer
}

// DefaultExtensions are what a sink offers if nothing else is said.
var DefaultExtensions = []string{
	"PIPELINING", "SIZE 104857600", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8",
}

// Command is something that a client did.
type Command struct {
	// Conn is which connection it is, from 1; N, how many commands of this verb the
	// connection had before.
	Conn, N int
	// Verb is in upper case. "CONNECT" stands for the connection itself, "END" for
	// the end of a message after DATA, "AUTH-NEXT" for a line that answers a 334.
	Verb string
	// Line is the command as it came.
	Line string
	TLS  bool
	// Message is the transaction that is open, as far as it has come, or nil.
	Message *Message
}

// Answer is what a sink does about a command. The zero value is the usual thing.
type Answer struct {
	// Text is the reply, its lines separated by LF, each with its code. A command
	// that is answered with 4yz or 5yz has no effect.
	Text string
	// Raw are the octets of the reply, if Text is empty. They say nothing about the
	// command's effect: it has its usual one.
	Raw string
	// Endless, after Raw or Text, is sent again and again until the client has closed.
	Endless string
	// Delay is waited for before anything is said.
	Delay time.Duration
	// Silent: no reply.
	Silent bool
	// Drop closes the connection, after Text or Raw if there are any.
	Drop bool
	// DropAfter, in answer to DATA or BDAT, closes it after so many octets of the
	// message; zero is none.
	DropAfter int64
	// Take keeps the message, in answer to its end, though the reply does not say
	// so.
	Take bool
}

// Message is a message that a sink has taken, or that is on its way.
type Message struct {
	Conn int
	TLS  bool
	// Helo is what the client called itself.
	Helo string
	// Mail is the argument of MAIL, "<a@b> SIZE=3", Rcpts those of RCPT that were
	// accepted.
	Mail  string
	Rcpts []string
	Data  []byte
}

// From returns the reverse-path without its brackets.
func (m *Message) From() string { return path(m.Mail) }

// To returns the forward-paths without their brackets.
func (m *Message) To() []string {
	var all []string
	for _, r := range m.Rcpts {
		all = append(all, path(r))
	}
	return all
}

func path(arg string) string {
	_, rest, _ := strings.Cut(arg, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}

// Sink is a running server.
type Sink struct {
	opts Options
	ln   net.Listener
	done sync.WaitGroup

	mu       sync.Mutex
	changed  chan struct{} // closed and made anew when a message was taken
	messages []*Message
	lines    [][]string // by connection: what it said
	open     map[net.Conn]struct{}
	closed   bool
}

// New returns a sink that does not listen: Serve gives it connections.
func New(o Options) *Sink {
	if o.Hostname == "" {
		o.Hostname = "sink.test"
	}
	return &Sink{opts: o, changed: make(chan struct{}), open: map[net.Conn]struct{}{}}
}

// Start returns a sink that listens on a free port of loopback, until the test
// ends.
func Start(t testing.TB, o Options) *Sink {
	t.Helper()
	s := New(o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("sink: %v", err)
	}
	s.ln = ln
	s.done.Go(s.accept)
	t.Cleanup(s.Close)
	return s
}

// accept serves who connects.
func (s *Sink) accept() {
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.done.Go(func() { s.Serve(nc) })
	}
}

// Addr is where the sink listens.
func (s *Sink) Addr() netip.AddrPort { return netip.MustParseAddrPort(s.ln.Addr().String()) }

// Close cuts every connection, and returns when all are gone.
func (s *Sink) Close() {
	s.mu.Lock()
	s.closed = true
	for nc := range s.open {
		nc.Close()
	}
	s.mu.Unlock()
	if s.ln != nil {
		s.ln.Close()
	}
	s.done.Wait()
}

// Messages returns what was taken so far, in its order.
func (s *Sink) Messages() []*Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Patience is how long Wait waits.
const Patience = 20 * time.Second

// ErrPatience is the end of Wait's patience.
var ErrPatience = errors.New("the sink has waited in vain")

// Wait waits until n messages were taken, and returns all there are. It panics
// with ErrPatience if they don't come.
func (s *Sink) Wait(n int) []*Message {
	end := time.NewTimer(Patience)
	defer end.Stop()
	for {
		s.mu.Lock()
		all, changed := slices.Clone(s.messages), s.changed
		s.mu.Unlock()
		if len(all) >= n {
			return all
		}
		select {
		case <-changed:
		case <-end.C:
			panic(ErrPatience)
		}
	}
}

// Lines returns what the client of a connection, counted from 1, has said, but
// for messages.
func (s *Sink) Lines(conn int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if conn > len(s.lines) {
		return nil
	}
	return slices.Clone(s.lines[conn-1])
}

// Conns returns how many connections there have been.
func (s *Sink) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

// take keeps a message.
func (s *Sink) take(m *Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	close(s.changed)
	s.changed = make(chan struct{})
}

// begin registers a connection; it returns 0 when the sink is closed.
func (s *Sink) begin(nc net.Conn) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0
	}
	s.open[nc] = struct{}{}
	s.lines = append(s.lines, nil)
	return len(s.lines)
}

func (s *Sink) end(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, nc)
}

func (s *Sink) note(conn int, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines[conn-1] = append(s.lines[conn-1], line)
}
