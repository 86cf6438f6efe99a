package cli

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

func TestWordsOfTheGuideCanBePastedIntoAShell(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such shell")
	}
	for _, word := range []string{"/tmp/data/tls/ca.pem", "/tmp/my data/ca.pem", "/tmp/it's/$HOME/`x`/\"q\"", "/tmp/ä*;&", ""} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellWord(word)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := string(out); got != word {
			t.Errorf("got %q, want %q", got, word)
		}
	}
	if got := shellWord("/tmp/data/tls/ca.pem"); strings.Contains(got, "'") {
		t.Errorf("got %s, want no quotes where none are needed", got)
	}
}
