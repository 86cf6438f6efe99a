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

// RFC 2034 §4, RFC 3464 §2.3.6
func TestAReplyIsKeptAsTheServerSentIt(t *testing.T) {
	r := replyReader{maxLines: 3}
	for _, line := range []string{"550-2.0.0 no\x07", "550-4.2.2 really", "550 not"} {
		if _, why := r.take([]byte(line)); why != "" {
			t.Fatal(why)
		}
	}
	want := Reply{Code: 550, Enhanced: "0.0", Text: "no?\nreally\nnot", Said: "2.0.0 no?\n4.2.2 really\nnot"}
	if got := *r.reply(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
