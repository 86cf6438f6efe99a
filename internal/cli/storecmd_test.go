package cli

import (
	"testing"

	"postrider/internal/store"
)

// TestCheckTellsOfHeldMail if there is any.
func TestCheckTellsOfHeldMail(t *testing.T) {
	for held, want := range map[int64]string{
		0: "Checked 1 account, 1 mailbox, 0 messages of 0 B: nothing is wrong.",
		1: "Checked 1 account, 1 mailbox, 0 messages of 0 B, 1 held message: nothing is wrong.",
		2: "Checked 1 account, 1 mailbox, 0 messages of 0 B, 2 held messages: nothing is wrong.",
	} {
		if got := checkedText(&store.CheckResult{Accounts: 1, Mailboxes: 1, Held: held}); got != want {
			t.Errorf("%d held: got %q, want %q", held, got, want)
		}
	}
}

// TestCheckTellsOfQueuedMail after the held, if there is any.
func TestCheckTellsOfQueuedMail(t *testing.T) {
	want := "Checked 0 accounts, 0 mailboxes, 0 messages of 0 B, 1 held message, 2 queued messages: nothing is wrong."
	if got := checkedText(&store.CheckResult{Held: 1, Queued: 2}); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
