package wire

import (
	"bytes"
	"io"
	"testing"
)

func TestEndingCheckerFindsWhatStandsAlone(t *testing.T) {
	for _, tt := range []struct {
		name, in   string
		early, end error
	}{
		{"nothing", "", nil, nil},
		{"clean", "a\r\nb\r\n\r\n", nil, nil},
		{"no end of line", "a\r\nb", nil, nil},
		{"bare LF", "a\nb", ErrBareLF, ErrBareLF},
		{"bare LF first", "\n", ErrBareLF, ErrBareLF},
		{"bare CR", "a\rb", ErrBareCR, ErrBareCR},
		{"CR CR LF", "a\r\r\n", ErrBareCR, ErrBareCR},
		{"LF CR", "a\n\r", ErrBareLF, ErrBareLF},
		{"CR before LF", "a\rb\nc", ErrBareCR, ErrBareCR},
		{"CR at the end", "a\r\nb\r", nil, ErrBareCR},
	} {
		for _, step := range []int{1, 2, 3, 100} {
			var out bytes.Buffer
			var c EndingChecker
			c.Reset(&out)
			for in := tt.in; len(in) > 0; in = in[min(step, len(in)):] {
				c.Write([]byte(in[:min(step, len(in))]))
			}
			if c.Err() != tt.early || c.Finish() != tt.end || out.String() != tt.in {
				t.Errorf("%s/%d: got %v, %v, %q; want %v, %v, %q", tt.name, step, c.Err(), c.Finish(), &out, tt.early, tt.end, tt.in)
			}
		}
	}
}

func FuzzEndingChecker(f *testing.F) {
	for _, tt := range dotTests {
		f.Add(tt.in, byte(1))
	}
	f.Fuzz(func(t *testing.T, in string, step byte) {
		var c EndingChecker
		c.Reset(nil)
		for rest := in; len(rest) > 0; rest = rest[min(int(step)+1, len(rest)):] {
			c.Write([]byte(rest[:min(int(step)+1, len(rest))]))
		}
		if got, want := c.Err(), naiveFlaw(in, false); got != want {
			t.Errorf("Err: got %v, want %v", got, want)
		}
		if got, want := c.Finish(), naiveFlaw(in, true); got != want {
			t.Errorf("Finish: got %v, want %v", got, want)
		}
	})
}

func BenchmarkEndingChecker(b *testing.B) {
	in := ordinaryMail(32 << 10)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	var c EndingChecker
	for b.Loop() {
		c.Reset(io.Discard)
		c.Write(in)
	}
}
