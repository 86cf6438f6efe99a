package config

import (
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzParse wants no panic, and every problem to be printable with a place
// within the document.
func FuzzParse(f *testing.F) {
	archive, err := txtar.ParseFile("testdata/problems.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.Files {
		f.Add(file.Data)
	}
	f.Add([]byte(Example(exampleConfig())))
	f.Add([]byte("a = [[[[{}]]]]"))
	f.Add([]byte("[listener.x]\n[[listener.name]]\nlistener.name = 1"))
	f.Add([]byte("listener = [{}, 3]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.toml", data)
		if err != nil {
			ps, ok := err.(Problems)
			if !ok || len(ps) == 0 {
				t.Fatalf("got %T %v, want problems", err, err)
			}
			_ = ps.Error()
			for _, p := range ps {
				if p.Column-1 > len(p.text) {
					t.Errorf("column %d is beyond the line %q", p.Column, p.text)
				}
			}
			return
		}
		_ = c.Check().Error()
		if _, err := Parse("again.toml", []byte(Example(c))); err != nil {
			t.Errorf("what Example wrote is not read again: %v", err)
		}
	})
}
