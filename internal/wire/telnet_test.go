package wire

import (
	"bytes"
	"testing"
)

// filter runs input through a Telnet filter in pieces.
func filter(in string, step int) (out, answer string) {
	var t Telnet
	var typed, all []byte
	for len(in) > 0 {
		k := min(step, len(in))
		var a []byte
		typed, a = t.Filter(typed, []byte(in[:k]))
		all = append(all, a...)
		in = in[k:]
	}
	return string(typed), string(all)
}

func TestTelnetLeavesWhatWasMeant(t *testing.T) {
	for _, tt := range []struct{ name, in, out, answer string }{
		{"text", "EHLO x\r\n", "EHLO x\r\n", ""},
		{"DO is refused", "a\xff\xfd\x01b", "ab", "\xff\xfc\x01"},
		{"WILL is refused", "a\xff\xfb\x22b", "ab", "\xff\xfe\x22"},
		{"WONT and DONT need no answer", "a\xff\xfc\x01\xff\xfe\x01b", "ab", ""},
		{"each option is answered once", "\xff\xfd\x01\xff\xfd\x01\xff\xfb\x01\xff\xfb\x01", "", "\xff\xfc\x01\xff\xfe\x01"},
		{"subnegotiation", "a\xff\xfa\x18\x00xterm\r\n\xff\xff\xff\xf0b", "ab", ""},
		{"IAC IAC is 255", "a\xff\xffb", "a\xffb", ""},
		{"other commands", "a\xff\xf1\xff\xf6b", "ab", ""},
		{"CR NUL stays", "a\r\x00", "a\r\x00", ""},
		{"backspace", "HELP\b\bLO", "HELO", ""},
		{"DEL", "HELP\x7fO", "HELO", ""},
		{"erase too much", "a\b\b\bb", "b", ""},
		{"not over CRLF", "a\r\n\b\bb", "a\r\nb", ""},
		{"not over LF", "a\n\bb", "a\nb", ""},
		{"not over CR NUL", "a\r\x00\b\bb", "a\r\x00b", ""},
		{"a character of several octets", "aé\bb", "ab", ""},
		{"half a character", "a\xc3\bb", "ab", ""},
		{"erase character", "ab\xff\xf7c", "ac", ""},
		{"erase line", "a\r\nbcd\xff\xf8e", "a\r\ne", ""},
		{"unfinished", "a\xff\xfa\x18", "a", ""},
	} {
		for _, step := range []int{1, 2, 3, 100} {
			out, answer := filter(tt.in, step)
			if out != tt.out || answer != tt.answer {
				t.Errorf("%s/%d: got %q, answer %q; want %q, answer %q", tt.name, step, out, answer, tt.out, tt.answer)
			}
		}
	}
}

func TestTelnetFiltersInPlace(t *testing.T) {
	buf := []byte("HEL\bLO\xff\xfd\x01 x\r\n")
	var f Telnet
	out, _ := f.Filter(buf[:3:len(buf)], buf[3:])
	if want := "HELO x\r\n"; string(out) != want || &out[0] != &buf[0] {
		t.Errorf("got %q, want %q in the same buffer", out, want)
	}
}

func FuzzTelnet(f *testing.F) {
	f.Add("a\xff\xfd\x01\xff\xfa\x18x\xff\xf0\b\x7fb\r\n", byte(2))
	f.Add("é\b\xff\xff\xff\xf8", byte(0))
	f.Fuzz(func(t *testing.T, in string, step byte) {
		out, answer := filter(in, int(step)+1)
		whole, _ := filter(in, 1<<20)
		if out != whole {
			t.Errorf("cut by %d: got %q, whole %q", step+1, out, whole)
		}
		if len(out) > len(in) || len(answer) > 2*256*3 {
			t.Errorf("%d octets became %d, answer %d", len(in), len(out), len(answer))
		}
		if bytes.ContainsAny([]byte(out), "\b\x7f") {
			t.Errorf("got %q with an erasing character", out)
		}
	})
}
