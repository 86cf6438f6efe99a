package mail

// Address is a mailbox's address, or the null reverse-path when it is zero.
type Address struct {
	// Local is the local part without quotes and escapes: what is meant, not how
	// it was written. Its case is kept.
	Local string
	// Domain is lower case, without a trailing dot, with A-labels for
	// internationalized names; or an address literal with its brackets. It is
	// empty only in the null reverse-path and in a bare <Postmaster>.
	Domain string
}

// IsZero reports whether a is the null reverse-path.
func (a Address) IsZero() bool { return a == Address{} }
