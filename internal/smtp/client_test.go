package smtp

import (
	"testing"

	"postrider/internal/session"
)

func TestClientThatHasNotBegunTakesNoMessage(t *testing.T) {
	source := &fuzzSource{}
	NewClient(ClientOptions{}, source).Event(session.Closed)
	if source.given != 0 {
		t.Errorf("got %d messages asked for, want none", source.given)
	}
}
