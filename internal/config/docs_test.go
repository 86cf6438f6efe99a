package config

import (
	"os"
	"strings"
	"testing"
)

func TestTheExamplesOfTheDeliveryPageAreValid(t *testing.T) {
	page, err := os.ReadFile("../../docs/DELIVERY.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	rest := string(page)
	for {
		_, after, ok := strings.Cut(rest, "\n```toml\n")
		if !ok {
			break
		}
		block, more, _ := strings.Cut(after, "\n```")
		rest = more
		blocks++
		c := Default()
		c.Listeners = []Listener{{Name: "smtp", Protocol: ProtocolSMTP, Role: RoleMX, Address: "127.0.0.1:0"}}
		if err := c.Overlay("DELIVERY.md", []byte(block)); err != nil {
			t.Errorf("%v\n%s", err, block)
			continue
		}
		if err := c.Check().Err(); err != nil {
			t.Errorf("%v\n%s", err, block)
		}
	}
	if blocks < 3 {
		t.Errorf("found %d examples", blocks)
	}
}
