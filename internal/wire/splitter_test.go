package wire

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// split feeds input to s in pieces of step octets, as a driver does, and
// returns what it reported in words.
func split(s *Splitter, input string, step int) []string {
	var buf []byte
	var got []string
	for len(input) > 0 {
		k := min(step, len(input))
		buf = append(buf, input[:k]...)
		input = input[k:]
		for {
			line, n, p := s.Next(buf)
			if p == HaveLine {
				got = append(got, describe(line))
			}
			buf = buf[n:]
			if p == Flooded {
				return append(got, "flood")
			}
			if p == NeedMore {
				break
			}
		}
	}
	if len(buf) > 0 {
		got = append(got, fmt.Sprintf("rest %d", len(buf)))
	}
	return got
}

func describe(l Line) string {
	text := string(l.Bytes)
	if len(text) > 40 {
		text = fmt.Sprintf("%.3s…%d", text, len(text))
	}
	for _, f := range []struct {
		flaw Flaw
		name string
	}{{TooLong, " TooLong"}, {BareLF, " BareLF"}, {BareCR, " BareCR"}} {
		if l.Flaws&f.flaw != 0 {
			text += f.name
		}
	}
	return text
}

var splitTests = []struct {
	name  string
	limit int
	teach bool
	in    string
	want  []string
}{
	{name: "lines", in: "a\r\nbc\r\n\r\nd", want: []string{"a", "bc", "", "rest 1"}},
	{name: "512 of 512", limit: 512, in: strings.Repeat("x", 510) + "\r\nok\r\n", want: []string{"xxx…510", "ok"}},
	{name: "513 of 512", limit: 512, in: strings.Repeat("x", 511) + "\r\nok\r\n", want: []string{"xxx…512 TooLong", "ok"}},
	{name: "2048", in: strings.Repeat("x", 2046) + "\r\nok\r\n", want: []string{"xxx…2046", "ok"}},
	{name: "2049", in: strings.Repeat("x", 2047) + "\r\nok\r\n", want: []string{"xxx…2048 TooLong", "ok"}},
	{name: "2050", in: strings.Repeat("x", 2048) + "\r\nok\r\n", want: []string{"xxx…2048 TooLong", "ok"}},
	{name: "a flaw in a line too long is skipped with it", limit: 8, in: "xxxxxxxxxxx\nyy\rzz\r\nok\r\n", want: []string{"xxxxxxxx TooLong", "ok"}},
	{name: "too long is certain without an end", limit: 8, in: "xxxxxxxx", want: []string{"xxxxxxxx TooLong"}},
	{name: "1 MB without end", in: strings.Repeat("x", 1<<20) + "\r\nok\r\n", want: []string{"xxx…2048 TooLong", "ok"}},
	{name: "flood", in: strings.Repeat("x", MaxSkip+MaxLine+1), want: []string{"xxx…2048 TooLong", "flood"}},
	{name: "just no flood", in: strings.Repeat("x", MaxSkip+MaxLine-2) + "\r\nok\r\n", want: []string{"xxx…2048 TooLong", "ok"}},
	{name: "an end too late is a flood", in: strings.Repeat("x", MaxSkip+MaxLine-1) + "\r\nok\r\n", want: []string{"xxx…2048 TooLong", "flood"}},
	{name: "bare LF", in: "a\nb\r\nc\r\n", want: []string{"a BareLF", "c"}},
	{name: "only bare LF", in: "a\nb\nc\n", want: []string{"a BareLF"}},
	{name: "bare LF at the start", in: "\nb\r\nc\r\n", want: []string{" BareLF", "c"}},
	{name: "bare CR", in: "a\rb\r\nc\r\n", want: []string{"a BareCR", "c"}},
	{name: "CR CR LF", in: "a\r\r\nc\r\n", want: []string{"a BareCR", "c"}},
	{name: "CR NUL", in: "a\r\x00b\r\nc\r\n", want: []string{"a BareCR", "c"}},
	{name: "LF CR", in: "a\n\rb\r\nc\r\n", want: []string{"a BareLF", "c"}},
	{name: "CR waits", in: "a\r", want: []string{"rest 2"}},
	{name: "NUL and 8 bits are the session's", in: "a\x00\xff\r\n", want: []string{"a\x00\xff"}},
	{name: "CR at the limit", limit: 4, in: "abc\r\nd\r\n", want: []string{"abc\r TooLong", "d"}},
	{name: "teach CRLF", teach: true, in: "a\r\nb\r\n", want: []string{"a", "b"}},
	{name: "teach LF", teach: true, in: "a\nb\n\n", want: []string{"a BareLF", "b BareLF", " BareLF"}},
	{name: "teach CR NUL", teach: true, in: "a\r\x00b\r\x00", want: []string{"a BareCR", "b BareCR"}},
	{name: "teach bare CR", teach: true, in: "a\rb\r\nc\r\r\n", want: []string{"ab BareCR", "c BareCR"}},
	{name: "teach NUL alone stays", teach: true, in: "a\x00b\n", want: []string{"a\x00b BareLF"}},
	{name: "teach at the limit", teach: true, limit: 4, in: "abc\nab\r\nabcd\nok\n", want: []string{"abc BareLF", "ab", "abcd TooLong", "ok BareLF"}},
	{name: "teach too long to CR NUL", teach: true, limit: 4, in: "abc\r\x00ok\n", want: []string{"abc\r TooLong", "ok BareLF"}},
	{name: "teach too long to LF behind CR", teach: true, limit: 4, in: "abc\r\nok\n", want: []string{"abc\r TooLong", "ok BareLF"}},
}

func TestSplitterReportsEachLineOnceHoweverItIsCut(t *testing.T) {
	for _, tt := range splitTests {
		for _, step := range []int{1, 2, 3, 7, 511, 4096, 1 << 30} {
			if len(tt.in) > 1<<16 && step < 511 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", tt.name, step), func(t *testing.T) {
				s := Splitter{Limit: tt.limit, Teach: tt.teach}
				if got := split(&s, tt.in, step); !slices.Equal(got, tt.want) {
					t.Errorf("got  %q\nwant %q", got, tt.want)
				}
			})
		}
	}
}

func TestSplitterReportsAFlawBeforeTheLineEnds(t *testing.T) {
	for _, in := range []string{"EHLO x\n", "EHLO\rx", strings.Repeat("x", MaxLine)} {
		var s Splitter
		if _, _, got := s.Next([]byte(in)); got != HaveLine {
			t.Errorf("%.10q: got %v, want a line", in, got)
		}
	}
}

func TestStrictSplitterCountsLinesByCRLF(t *testing.T) {
	in := "a\nb\nc\r\nd\re\r\nf\r\n" + strings.Repeat("y", 5000) + "\r\n\r\n"
	var s Splitter
	if got, want := len(split(&s, in, 1)), strings.Count(in, "\r\n"); got != want {
		t.Errorf("got %d reports, want %d", got, want)
	}
}

func FuzzSplitter(f *testing.F) {
	for _, tt := range splitTests {
		if len(tt.in) < 4096 {
			f.Add([]byte(tt.in), byte(3), tt.teach)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, step byte, teach bool) {
		whole := Splitter{Limit: 64, Teach: teach}
		cut := whole
		want := split(&whole, string(in), 1<<30)
		got := split(&cut, string(in), int(step)+1)
		if !slices.Equal(dropRest(got), dropRest(want)) {
			t.Errorf("cut by %d: got %q, whole: %q", step+1, got, want)
		}
		if n := bytes.Count(in, []byte("\r\n")); !teach && len(dropRest(got)) > n+1 {
			t.Errorf("got %d reports for %d lines", len(got), n)
		}
	})
}

// dropRest drops the note about octets that were left.
func dropRest(got []string) []string {
	if n := len(got); n > 0 && strings.HasPrefix(got[n-1], "rest ") {
		return got[:n-1]
	}
	return got
}

func BenchmarkSplitter(b *testing.B) {
	in := []byte(strings.Repeat("RCPT TO:<somebody@example.test>\r\n", 100))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	var s Splitter
	for b.Loop() {
		for p := in; len(p) > 0; {
			_, n, _ := s.Next(p)
			p = p[n:]
		}
	}
}
