package directory

import (
	"errors"
	"fmt"

	"postrider/internal/fault"
)

// Why a login is refused, in words for the operator's log.
const (
	noAccount      = "the name is no account's"
	disabled       = "the account is disabled"
	noPassword     = "the account has no password"
	wrongPassword  = "wrong password"
	badVerifier    = "the account's password verifier can't be used"
	noSCRAMKeys    = "the account's own password has no keys for SCRAM: a login that sends it makes them"
	noLegacySecret = "the account has no legacy secret"
	badLegacy      = "the account's legacy secret can't be used"
)

// NotFor is what the log says of an app password that is right, and used in a
// protocol which it is not for.
func NotFor(appPassword, protocol string) string {
	return fmt.Sprintf("the app password %q is not for %s", appPassword, protocol)
}

// refusal is the cause of an error of kind Denied. It has the same words whatever
// the reason, so that no client is ever told it.
type refusal struct{ why string }

func (*refusal) Error() string { return "denied" }

func denied(why string) error { return fault.New(fault.Denied, "log in", &refusal{why}) }

// WhyDenied returns why a login was refused with an error of this package, in
// words for the operator: a client must not learn it. Empty: it says nothing.
func WhyDenied(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.why
	}
	return ""
}

// ComparedError is an error of Authenticate that came after the password had been
// compared with some of what fits the account, and had not fitted. Who does not
// count that as a failure gives guesses away.
type ComparedError struct{ Err error }

func (e *ComparedError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *ComparedError) Unwrap() error { return e.Err }
