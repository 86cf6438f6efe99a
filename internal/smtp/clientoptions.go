package smtp

import "time"

// ClientOptions are how a client talks to one server. Zero timeouts and limits
// mean the defaults.
type ClientOptions struct {
	// Hostname is what it calls itself in EHLO.
	Hostname string
	// TLS says whether to ask for it. It is not asked for on a connection that has
	// TLS already, which counts as TLSMust fulfilled.
	TLS TLSUse
	// Verified says that the handshake fails unless the server proves its name.
	// Without it, a message whose envelope has RequireTLS is refused (RFC 8689
	// §4.2.1), and no password is told as it is.
	Verified bool
	// Login, if not nil, is how it proves who it is, after TLS.
	Login *ClientLogin
	// The timeouts of RFC 5321 §4.5.3.2; defaults: five minutes for Greeting, Mail
	// and Rcpt (Mail is that of every other command too), two for Data, ten for End.
	// That of a block of content is the driver's.
	Greeting, Mail, Rcpt, Data, End time.Duration
	// MaxReplyLines is how many lines a reply may have (default 128); a line may have
	// wire.MaxLine octets. A peer that sends more has lost (Result.Lost).
	MaxReplyLines int
}

// withDefaults returns the options with what is not set.
func (o ClientOptions) withDefaults() ClientOptions {
	for _, t := range []struct {
		d   *time.Duration
		def time.Duration
	}{
		{&o.Greeting, 5 * time.Minute},
		{&o.Mail, 5 * time.Minute},
		{&o.Rcpt, 5 * time.Minute},
		{&o.Data, 2 * time.Minute},
		{&o.End, 10 * time.Minute},
	} {
		if *t.d == 0 {
			*t.d = t.def
		}
	}
	if o.MaxReplyLines == 0 {
		o.MaxReplyLines = 128
	}
	return o
}

// TLSUse says whether a client protects its connection.
type TLSUse uint8

// The uses.
const (
	TLSMay   TLSUse = iota // if the server offers it
	TLSMust                // nothing is sent without it: 4.7.0 for all recipients
	TLSNever               // not even if it is offered
)

// ClientLogin is a name and its password. The mechanism is the best that the
// server offers of SCRAM-SHA-256-PLUS, SCRAM-SHA-256, and, only under TLS that is
// Verified or if Plaintext is set, PLAIN and LOGIN.
type ClientLogin struct {
	Username, Password string
	// Plaintext lets the password be sent as it is without TLS, or to a server that has
	// not proven its name.
	Plaintext bool
}
