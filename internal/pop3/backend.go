package pop3

import (
	"context"

	"postrider/internal/sasl"
	"postrider/internal/session"
	"postrider/internal/store"
)

// Backend is everything that a POP3 session needs from the rest of the house.
// It serves many sessions at once.
type Backend interface {
	// Open opens the maildrop of who has logged in, in the configured lock mode;
	// Busy when it is locked.
	Open(ctx context.Context, c *session.Conn, who sasl.Identity) (store.Maildrop, error)
	// Done is told how a session ended in which somebody had logged in, for the
	// log.
	Done(c *session.Conn, who sasl.Identity, s Summary)
}

// Summary is what a session did.
type Summary struct {
	Retrieved, Removed int   // messages
	Octets             int64 // of the messages sent
	// Err is why the removal at QUIT failed, or why the maildrop could not be
	// read. Nil also for a connection that was dropped: Quit tells.
	Err  error
	Quit bool
}
