package login

import (
	"strings"
	"testing"
	"testing/synctest"

	"postrider/internal/directory"
	"postrider/internal/fault"
)

// TestGuessesOfWhoDoesNotWaitForTheAnswerCount is about an attacker who keeps the
// queue for hashes busy, guesses at what is remembered, and hangs up.
func TestGuessesOfWhoDoesNotWaitForTheAnswerCount(t *testing.T) {
	gone := fault.New(fault.Transient, "wait for a place to hash a password", nil)
	full := fault.New(fault.Busy, "wait for a place to hash a password", nil)
	for _, c := range []struct {
		name    string
		trouble error
		want    string // the kind of the last answer
		looks   int
	}{
		{"compared, and gone", &directory.ComparedError{Err: gone}, "busy", DefaultPairFailures},
		{"compared, and sent away", &directory.ComparedError{Err: full}, "busy", DefaultPairFailures},
		{"nothing compared, the store is away", gone, "transient", 100},
		{"nothing compared, the queue is full", full, "busy", 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, nil)
				d.people.trouble = c.trouble
				var err error
				for range 100 {
					_, err = d.Password(from(t, "192.0.2.66"), "alice@example.org", "wrong")
				}
				wantKind(t, "the last guess", err, c.want)
				if d.people.checks != c.looks {
					t.Errorf("%d guesses were looked at, want %d", d.people.checks, c.looks)
				}
				if locked := len(d.Locked()) > 0; locked != strings.Contains(d.log.String(), "locked out after too many failed logins") ||
					locked != (c.looks < 100) {
					t.Errorf("locked out: %v, and the log is\n%s", d.Locked(), d.log)
				}
			})
		})
	}
}
