package mail

import (
	"strings"
	"testing"
)

func TestCutKeepsCharactersWhole(t *testing.T) {
	for _, c := range []struct {
		name, text string
		n          int
		want       string
	}{
		{"short enough", "abc", 3, "abc"},
		{"ASCII", "abcd", 3, "abc"},
		{"after a character", "aéb", 3, "aé"},
		{"within one of two octets", "aéb", 2, "a"},
		{"within one of four octets", "a\U0001f600", 4, "a"},
		{"before the first", "é", 1, ""},
		{"nothing", "abc", 0, ""},
		{"less than nothing", "abc", -1, ""},
		// It goes on, whoever takes a text piece by piece.
		{"no UTF-8", strings.Repeat("\x80", 20), 10, strings.Repeat("\x80", 6)},
	} {
		if got := Cut(c.text, c.n); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
