// Package sasl is the server's side of authentication (RFC 4422): each mechanism
// a small machine that takes a client's messages and gives challenges, without
// input, output or encoding. Base64, lines and replies are the protocols'.
package sasl

import (
	"context"

	"postrider/internal/mail"
	"postrider/internal/session"
)

// MaxLine is the longest line that carries a message of a mechanism, in octets
// with its base64 and CRLF (RFC 4954 §4.5, RFC 5034 §4).
const MaxLine = 12_288

// Identity is who has proven a name.
type Identity struct {
	Account mail.AccountID
	// Address is the account's, in its canonical form.
	Address string
	// Mechanism is how it was proven: a mechanism's name, "USER" for POP3's USER
	// and PASS, "APOP"; empty for an address that is trusted since a recent login
	// (POP-before-SMTP).
	Mechanism string
	// AppPassword is the name of the app password that was used, if one was.
	AppPassword string
}

// Authenticator is how a protocol's session logs somebody in. It serves many
// sessions at once; package login is one. Its calls may take long: a wrong
// password is answered late.
type Authenticator interface {
	// Mechanisms returns the names of the mechanisms that may be used on the
	// connection as it is now, the best first. A mechanism that would be refused
	// is not among them.
	Mechanisms(c *session.Conn) []string
	// Begin begins an exchange. NotFound: there is no such mechanism here.
	// Denied: it may not be used without TLS.
	Begin(c *session.Conn, mechanism string) (Exchange, error)
	// Password logs in with a name and a password as POP3's USER and PASS have
	// them. The errors are those of Exchange.Respond; Denied also where a password
	// may not be sent without TLS (PasswordOffered).
	Password(c *session.Conn, name, password string) (Identity, error)
	// PasswordOffered reports whether Password may be used on the connection as it
	// is now.
	PasswordOffered(c *session.Conn) bool
	// Digest logs in with APOP: check reports whether the client knows the secret.
	Digest(c *session.Conn, name string, check func(secret []byte) bool) (Identity, error)
	// DigestOffered reports whether some account could use Digest.
	DigestOffered(c *session.Conn) bool
	// Recognize returns whom the connection's address is taken for without a
	// login (POP-before-SMTP), if anybody.
	Recognize(c *session.Conn) (Identity, bool)
}

// Exchange is one authentication under way. It is used from one goroutine, and
// ends with the first error or Done.
type Exchange interface {
	// Respond takes the client's next message, decoded: nil when the client sent
	// no initial response, empty but not nil when it sent an empty one. It keeps no
	// reference to it.
	//
	// Denied: the name is not proven; always the same, whatever was wrong. Invalid:
	// the message is not what the mechanism asks for; Reason has what may be shown
	// to the peer. Busy: too many logins have failed from this address; the session
	// says so, and that it passes. Other kinds: it can't be told now.
	Respond(ctx context.Context, response []byte) (Step, error)
}

// Step is a mechanism's answer.
type Step struct {
	// Challenge is for the client, if not Done. It may be empty.
	Challenge []byte
	Done      bool
	// Identity is who the client is, when Done.
	Identity Identity
}

// Claim is who a client says it is.
type Claim struct {
	// Name is the authentication identity, UTF-8 without NUL and not yet prepared;
	// empty for Token and Certificate, in which it stands itself.
	Name string
	// As is the authorization identity; empty: the same. Nobody may act as another.
	As string
}

// Keys are what is kept of a password for SCRAM-SHA-256 (RFC 5802 §3).
type Keys struct{ Stored, Server []byte }

// Verifier is the credentials, as one exchange asks for them. Each exchange
// calls one of Password, Proof, Secret, Token and Certificate, once, and gives
// its error on; a failed login is counted and held up there, in one place.
type Verifier interface {
	Password(ctx context.Context, c Claim, password string) (Identity, error)
	// Salt returns how a name's password is salted and iterated in SCRAM. For a
	// name that nobody has it returns what can't be told from that, and always the
	// same.
	Salt(ctx context.Context, name string) (salt []byte, iterations int, err error)
	// Proof calls check with each of the keys that the name may use, and with some
	// that fit nothing when it has none; check reports whether they fit the proof.
	Proof(ctx context.Context, c Claim, check func(Keys) bool) (Identity, error)
	// Secret calls check once, with the name's recoverable secret, or with one that
	// fits nothing.
	Secret(ctx context.Context, c Claim, check func(secret []byte) bool) (Identity, error)
	// Token checks a bearer token (RFC 6750).
	Token(ctx context.Context, c Claim, token string) (Identity, error)
	// Certificate takes the client's certificate for a proof.
	Certificate(ctx context.Context, c Claim) (Identity, error)
}

// Channel is what a mechanism may know of the connection.
type Channel struct {
	// Hostname is the server's name, for CRAM-MD5's challenge.
	Hostname string
	// Binding returns channel bindings, as in session.TLS; nil: there are none.
	Binding func(kind string) []byte
	// Plus says that the client was offered a mechanism with channel binding
	// (RFC 5802 §6: one that thinks it was not has been lied to).
	Plus bool
}
