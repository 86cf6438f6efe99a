package config

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what is said now into the golden files")

// said returns what parser and check say about a document. A document without a
// postmaster or a listener gets them, unless its name says that they are missing.
func said(name string, data []byte) string {
	c := Default()
	c.Postmaster = "postmaster@example.org"
	if name != "no-listener.toml" {
		c.Listeners = []Listener{{Name: "base", Protocol: "smtp", Role: "mx", Address: "127.0.0.1:1", TLS: "none"}}
	}
	if err := c.Overlay(name, data); err != nil {
		return err.Error() + "\n"
	}
	ps := c.Check()
	if len(ps) == 0 {
		return "nothing\n"
	}
	return ps.Error() + "\n"
}

func TestEveryMistakeGetsItsPlaceACaretAndHelp(t *testing.T) {
	const path = "testdata/problems.txtar"
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range archive.Files {
		want[f.Name] = string(f.Data)
	}
	out := &txtar.Archive{Comment: archive.Comment}
	for _, f := range archive.Files {
		if !strings.HasSuffix(f.Name, ".toml") {
			continue
		}
		wantName := strings.TrimSuffix(f.Name, ".toml") + ".want"
		got := said(f.Name, f.Data)
		out.Files = append(out.Files, f, txtar.File{Name: wantName, Data: []byte(got)})
		t.Run(f.Name, func(t *testing.T) {
			if got == "nothing\n" {
				t.Error("got no problem")
			}
			if !*update && got != want[wantName] {
				t.Errorf("got:\n%s\nwant:\n%s", got, want[wantName])
			}
		})
	}
	if *update {
		if err := os.WriteFile(path, txtar.Format(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInvalidUTF8IsNamedWithItsPlace(t *testing.T) {
	_, err := Parse("a.toml", []byte("data = \"x\"\nhostname = \"a\xffb\"\n"))
	want := "a.toml:2:14: this is not UTF-8"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s…", err, want)
	}
}

func TestProblemsAreAnErrorOfTheirOwnType(t *testing.T) {
	_, err := Parse("a.toml", []byte("x = 1"))
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != 1 || ps[0].Line != 1 || ps[0].Column != 1 {
		t.Errorf("got %#v, want one problem at 1:1", err)
	}
}

func TestErrLeavesWarningsOut(t *testing.T) {
	warning, wrong := Problem{Message: "w", Warning: true}, Problem{Message: "e"}
	if err := (Problems{warning}).Err(); err != nil {
		t.Errorf("got %v, want nil for warnings alone", err)
	}
	if err := (Problems{warning, wrong}).Err(); err == nil || err.Error() != "e" {
		t.Errorf("got %v, want the error without the warning", err)
	}
}
