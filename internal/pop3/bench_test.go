package pop3

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"postrider/internal/mail"
	"postrider/internal/session"
)

// converse gives a session lines and drops what it says; it returns the octets.
func converse(s session.Session, lines ...string) (n int64) {
	for _, l := range lines {
		step := s.Line(line(l))
		n += int64(len(step.Reply))
		if step.Body != nil {
			m, _ := step.Body.WriteTo(io.Discard)
			n += m
		}
	}
	return n
}

// loggedIn returns a session of alice's.
func loggedIn(b *fakeBackend) session.Session {
	s := New(b, b, nil)
	s.Start(newConn(false))
	converse(s, "USER alice@example.test", "PASS "+fakePassword)
	return s
}

func BenchmarkDialogue(b *testing.B) {
	f := newFake(two, two)
	c := newConn(false)
	lines := []string{
		"USER alice@example.test", "PASS " + fakePassword, "STAT", "LIST", "UIDL", "RETR 1", "TOP 2 1", "RSET", "NOOP", "QUIT",
	}
	b.ReportAllocs()
	for b.Loop() {
		s := New(f, f, nil)
		s.Start(c)
		converse(s, lines...)
		s.Event(session.Closed)
		f.done, f.gone, f.contexts = f.done[:0], f.gone[:0], f.contexts[:0]
	}
}

func BenchmarkPoll(b *testing.B) {
	f := newFake(two, two)
	c := newConn(false)
	b.ReportAllocs()
	for b.Loop() {
		s := New(f, f, nil)
		s.Start(c)
		converse(s, "USER alice@example.test", "PASS "+fakePassword, "STAT", "QUIT")
		s.Event(session.Closed)
		f.done, f.gone, f.contexts = f.done[:0], f.gone[:0], f.contexts[:0]
	}
}

// BenchmarkOpen10000 is STAT, LIST and UIDL of 10,000 messages, from the login
// on. What the store takes is not in it; the fake makes the UIDLs beforehand.
func BenchmarkOpen10000(b *testing.B) {
	f := large(10_000)
	b.ReportAllocs()
	for b.Loop() {
		s := loggedIn(f)
		b.SetBytes(converse(s, "STAT", "LIST", "UIDL"))
		s.Event(session.Closed)
		f.done, f.gone, f.contexts = f.done[:0], f.gone[:0], f.contexts[:0]
	}
}

func BenchmarkList10000(b *testing.B) {
	s := loggedIn(large(10_000))
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(converse(s, "LIST"))
	}
}

func BenchmarkUIDL10000(b *testing.B) {
	s := loggedIn(large(10_000))
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(converse(s, "UIDL"))
	}
}

func BenchmarkRetr(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := newFake(strings.Repeat(strings.Repeat("x", 62)+"\r\n", size/64))
			f.whole = true
			s := loggedIn(f)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				converse(s, "RETR 1")
			}
		})
	}
}

// large returns a backend with so many messages.
func large(n int) *fakeBackend {
	f := newFake()
	for i := range n {
		f.add("alice@example.test", fakeMessage{uid: mail.UID(i + 1), size: 2345, uidl: fmt.Sprintf("0000000%08d", i)})
	}
	return f
}
