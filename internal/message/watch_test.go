package message

import (
	"strings"
	"testing"
)

// watched feeds content in pieces of n octets.
func watched(content string, n int) bool {
	w := NewNameWatcher(1000, "Bcc", "Resent-Bcc")
	for p := []byte(content); len(p) > 0; {
		m := min(n, len(p))
		w.Write(p[:m])
		p = p[m:]
	}
	return w.Found()
}

func TestNameWatcherFindsNamesUpToTheBlankLine(t *testing.T) {
	for _, c := range []struct {
		name, content string
		want          bool
	}{
		{"nothing", "", false},
		{"first line", "Bcc:", true},
		{"later, with blanks", "x\r\nrESENT-BCC \t: y\r\n", true},
		{"bare LF", "x\nbcc: y\n", true},
		{"no colon", "Bcc\r\n: x\r\nBcc", false},
		{"two words", "Bcc x: y\r\n", false},
		{"second colon", "x: Bcc: y\r\n", false},
		{"folded", " Bcc: x\r\n", false},
		{"behind a blank line", "x\r\n\r\nBcc: y\r\n", false},
		{"behind a bare blank line", "x\n\nBcc: y\r\n", false},
		{"a long name", strings.Repeat("Bcc", 100) + ": x\r\n", false},
		{"within the limit", strings.Repeat("x\r\n", 332) + "Bcc:", true},
		{"beyond the limit", strings.Repeat("x\r\n", 333) + "Bcc:", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{1, 2, 3, 7, 1 << 20} {
				if got := watched(c.content, n); got != c.want {
					t.Errorf("in pieces of %d: got %v, want %v", n, got, c.want)
				}
			}
		})
	}
}

func FuzzNameWatcherDoesNotDependOnPieces(f *testing.F) {
	for _, s := range []string{"Bcc: x", "x\r\nResent-Bcc \t:", "\r\nBcc:", "\r\r\nbcc:", " \nBcc:\x00"} {
		f.Add(s, uint8(1))
	}
	f.Fuzz(func(t *testing.T, content string, n uint8) {
		whole := watched(content, len(content)+1)
		if pieces := watched(content, int(n)+1); whole != pieces {
			t.Fatalf("%q: whole %v, in pieces of %d %v", content, whole, int(n)+1, pieces)
		}
		content, _, _ = strings.Cut(content, "\n\n")
		if lower := strings.ToLower(content); whole && !strings.Contains(lower, "bcc") {
			t.Fatalf("%q: found", content)
		}
	})
}
