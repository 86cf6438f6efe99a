package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// undot feeds input to a DotReader in pieces and returns the content, what
// remained behind its end, whether there was one, and Err.
func undot(input string, step int) (content, rest string, done bool, err error) {
	var out bytes.Buffer
	var d DotReader
	d.Reset(&out)
	for len(input) > 0 && !done {
		k := min(step, len(input))
		var n int
		n, done = d.Feed([]byte(input[:k]))
		if !done && n != k {
			return "", "", false, fmt.Errorf("Feed took %d of %d octets and was not done", n, k)
		}
		input = input[n:]
	}
	if d.Written() != int64(out.Len()) {
		return "", "", false, fmt.Errorf("Written is %d for %d octets", d.Written(), out.Len())
	}
	return out.String(), input, done, d.Err()
}

var dotTests = []struct {
	name, in, content, rest string
	err                     error
	open                    bool // the end does not come
}{
	{name: "empty", in: ".\r\nQUIT\r\n", rest: "QUIT\r\n"},
	{name: "one line", in: "a\r\n.\r\nQUIT\r\n", content: "a\r\n", rest: "QUIT\r\n"},
	{name: "stuffed", in: "..\r\n...\r\n..a\r\n.b\r\n.\r\n", content: ".\r\n..\r\n.a\r\nb\r\n"},
	{name: "dot within", in: "a.\r\n a.b\r\n.\r\n", content: "a.\r\n a.b\r\n"},
	{name: "NUL", in: "a\x00b\r\n.\r\n", content: "a\x00b\r\n"},
	{name: "no end", in: "a\r\n.", content: "a\r\n", open: true},
	{name: "no end after dot CR", in: "a\r\n.\r", content: "a\r\n", open: true},
	{name: "bare CR at dot", in: "a\r\n.\rb\r\n.\r\n", content: "a\r\n\rb\r\n", err: ErrBareCR},
	{name: "bare CR then LF", in: "a\rb\nc\r\n.\r\n", content: "a\rb\nc\r\n", err: ErrBareCR},
	{name: "bare LF then CR", in: "a\nb\rc\r\n.\r\n", content: "a\nb\rc\r\n", err: ErrBareLF},
	{name: "CR CR LF", in: "a\r\r\n.\r\n", content: "a\r\r\n", err: ErrBareCR},
	// The endings that have made servers see two messages in one.
	{name: "LF . LF", in: smuggle("\n.\n"), content: smuggled("\n.\n"), err: ErrBareLF},
	{name: "LF . CRLF", in: smuggle("\n.\r\n"), content: smuggled("\n.\r\n"), err: ErrBareLF},
	{name: "CRLF . LF", in: smuggle("\r\n.\n"), content: smuggled("\r\n\n"), err: ErrBareLF},
	{name: "CR . CR", in: smuggle("\r.\r"), content: smuggled("\r.\r"), err: ErrBareCR},
	{name: "CR . CRLF", in: smuggle("\r.\r\n"), content: smuggled("\r.\r\n"), err: ErrBareCR},
	{name: "LF . CR", in: smuggle("\n.\r"), content: smuggled("\n.\r"), err: ErrBareLF},
	{name: "CRLF . CR", in: smuggle("\r\n.\r"), content: smuggled("\r\n\r"), err: ErrBareCR},
	{name: "CRLF NUL . CRLF", in: smuggle("\r\n\x00.\r\n"), content: smuggled("\r\n\x00.\r\n")},
	{name: "CRLF . NUL CRLF", in: smuggle("\r\n.\x00\r\n"), content: smuggled("\r\n\x00\r\n")},
	{name: "CRLF . CR CRLF", in: smuggle("\r\n.\r\r\n"), content: smuggled("\r\n\r\r\n"), err: ErrBareCR},
}

const evil = "MAIL FROM:<evil@example.net>\r\nRCPT TO:<a@example.test>\r\nDATA\r\nhello\r\n"

func smuggle(end string) string  { return "text" + end + evil + ".\r\n" }
func smuggled(end string) string { return "text" + end + evil }

func TestDotReaderEndsOnlyAtCRLFDotCRLF(t *testing.T) {
	for _, tt := range dotTests {
		for _, step := range []int{1, 2, 3, 5, 1 << 20} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, step), func(t *testing.T) {
				content, rest, done, err := undot(tt.in, step)
				if content != tt.content || rest != tt.rest || done == tt.open || !errors.Is(err, tt.err) {
					t.Errorf("got  %q, rest %q, done %v, %v\nwant %q, rest %q, done %v, %v",
						content, rest, done, err, tt.content, tt.rest, !tt.open, tt.err)
				}
			})
		}
	}
}

func TestDotReaderTakesNothingBehindTheEnd(t *testing.T) {
	var d DotReader
	d.Reset(nil)
	d.Feed([]byte("a\r\n.\r\n"))
	if n, done := d.Feed([]byte("QUIT\r\n")); n != 0 || !done {
		t.Errorf("got %d, %v; want 0, true", n, done)
	}
	if d.Written() != 3 {
		t.Errorf("Written: got %d, want 3", d.Written())
	}
}

// failing is a sink that takes a number of octets.
type failing struct{ left int }

var errFull = errors.New("full")

func (f *failing) Write(p []byte) (int, error) {
	n := min(len(p), f.left)
	f.left -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestDotReaderStaysInStepWhenItsSinkFails(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"sink", "abcdef\r\nghi\r\n.\r\n", errFull},
		{"a bare LF behind it says more", "abcdef\r\ng\nhi\r\n.\r\n", ErrBareLF},
	} {
		for _, step := range []int{1, 100} {
			var d DotReader
			d.Reset(&failing{left: 4})
			done, n := false, 0
			for in := tt.in; len(in) > 0; in = in[n:] {
				n, done = d.Feed([]byte(in[:min(step, len(in))]))
			}
			if !done || d.Err() != tt.want || d.Written() != 4 {
				t.Errorf("%s/%d: got done %v, %v, %d octets; want true, %v, 4", tt.name, step, done, d.Err(), d.Written(), tt.want)
			}
		}
	}
}

func TestDotReaderHandsOnInLargeRuns(t *testing.T) {
	in := []byte(strings.Repeat("an ordinary line of text\r\n", 1000) + ".\r\n")
	w := new(countingWriter)
	var d DotReader
	d.Reset(w)
	d.Feed(in)
	if w.writes != 1 {
		t.Errorf("got %d writes for content without dots, want 1", w.writes)
	}
}

type countingWriter struct{ writes int }

func (w *countingWriter) Write(p []byte) (int, error) { w.writes++; return len(p), nil }

func TestDotWriterStuffsAndEnds(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", ".\r\n"},
		{"a line", "a\r\n", "a\r\n.\r\n"},
		{"no final CRLF", "a", "a\r\n.\r\n"},
		{"final CR", "a\r", "a\r\r\n.\r\n"},
		{"final LF", "a\n", "a\n\r\n.\r\n"},
		{"dots", ".\r\n..\r\n.a\r\na.\r\n", "..\r\n...\r\n..a\r\na.\r\n.\r\n"},
		{"dot behind a bare LF", "a\n.\nb\r\n", "a\n..\nb\r\n.\r\n"},
		{"dot behind a bare CR", "a\r.b\r\n", "a\r.b\r\n.\r\n"},
	} {
		for _, step := range []int{1, 2, 3, 100} {
			if got := stuff(t, tt.in, step); got != tt.want {
				t.Errorf("%s/%d: got %q, want %q", tt.name, step, got, tt.want)
			}
		}
	}
}

// stuff runs content through a DotWriter in pieces.
func stuff(t *testing.T, in string, step int) string {
	t.Helper()
	var out bytes.Buffer
	w := NewDotWriter(&out)
	for len(in) > 0 {
		k := min(step, len(in))
		if n, err := w.Write([]byte(in[:k])); n != k || err != nil {
			t.Fatalf("Write: got %d, %v; want %d, nil", n, err, k)
		}
		in = in[k:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestDotWriterKeepsItsFirstError(t *testing.T) {
	w := NewDotWriter(&failing{left: 5})
	n, err := w.Write([]byte("ab\r\n.cd\r\n"))
	if n != 4 || err != errFull {
		t.Errorf("Write: got %d, %v; want 4, %v", n, err, errFull)
	}
	if _, err := w.Write([]byte("x")); err != errFull {
		t.Errorf("second Write: got %v, want %v", err, errFull)
	}
	if err := w.Close(); err != errFull {
		t.Errorf("Close: got %v, want %v", err, errFull)
	}
}

// naiveUndot is the definition, as slow and as plain as can be.
func naiveUndot(in string) (content, rest string, done bool) {
	var out strings.Builder
	for at := 0; ; {
		line, after, whole := strings.Cut(in[at:], "\r\n")
		if whole && line == "." {
			return out.String(), after, true
		}
		if !whole {
			line = strings.TrimPrefix(line, ".")
			if in[at:] == ".\r" { // may become the end
				line = ""
			}
			return out.String() + line, "", false
		}
		out.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
		at += len(in[at:]) - len(after)
	}
}

// naiveFlaw finds the first CR or LF that stands alone.
func naiveFlaw(in string, ended bool) error {
	for i := range len(in) {
		switch {
		case in[i] == '\n' && (i == 0 || in[i-1] != '\r'):
			return ErrBareLF
		case in[i] == '\r' && i+1 < len(in) && in[i+1] != '\n', in[i] == '\r' && i+1 == len(in) && ended:
			return ErrBareCR
		}
	}
	return nil
}

func FuzzDotReader(f *testing.F) {
	for _, tt := range dotTests {
		f.Add(tt.in, byte(1))
	}
	f.Fuzz(func(t *testing.T, in string, step byte) {
		content, rest, done, err := undot(in, int(step)+1)
		wantContent, wantRest, wantDone := naiveUndot(in)
		if content != wantContent || rest != wantRest || done != wantDone {
			t.Errorf("got %q, %q, %v; want %q, %q, %v", content, rest, done, wantContent, wantRest, wantDone)
		}
		if want := naiveFlaw(in[:len(in)-len(rest)], false); err != want {
			t.Errorf("got %v, want %v", err, want)
		}
	})
}

func FuzzDotWriter(f *testing.F) {
	for _, tt := range dotTests {
		f.Add(tt.content, byte(1))
	}
	f.Fuzz(func(t *testing.T, in string, step byte) {
		wire := stuff(t, in, int(step)+1)
		content, rest, done, err := undot(wire, 1<<20)
		if !done || rest != "" {
			t.Fatalf("%q does not end at its end: rest %q", wire, rest)
		}
		if naiveFlaw(in, true) != nil {
			return
		}
		want := in
		if !strings.HasSuffix(in, "\r\n") && in != "" {
			want += "\r\n"
		}
		if content != want || err != nil {
			t.Errorf("got %q, %v; want %q", content, err, want)
		}
	})
}

func ordinaryMail(size int) []byte {
	return bytes.Repeat([]byte("Lines of ordinary mail are some seventy octets long, and rarely so dull.\r\n"), size/74)
}

func BenchmarkDotReader(b *testing.B) {
	in := append(ordinaryMail(32<<10), ".\r\n"...)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	var d DotReader
	for b.Loop() {
		d.Reset(io.Discard)
		d.Feed(in)
	}
}

func BenchmarkDotWriter(b *testing.B) {
	in := ordinaryMail(32 << 10)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	var d DotWriter
	for b.Loop() {
		d.Reset(io.Discard)
		d.Write(in)
		d.Close()
	}
}
