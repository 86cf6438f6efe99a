package config

import (
	"os"
	"strings"
	"testing"
)

// The settings that docs/OPERATING.md shows are right.
func TestSettingsInPagesAreGood(t *testing.T) {
	page, err := os.ReadFile("../../docs/OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "\n```toml\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("there are none")
	}
	for _, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		if !strings.Contains(text, "[[listener]]") {
			continue
		}
		for _, p := range mustParse(t, "page.toml", text).Check() {
			if !p.Warning {
				t.Errorf("%s\nin\n%s", p.Message, text)
			}
		}
	}
}
