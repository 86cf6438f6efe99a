package pop3

import (
	"context"
	"encoding/base64"
	"slices"

	"postrider/internal/fault"
	"postrider/internal/mail"
	"postrider/internal/sasl"
	"postrider/internal/session"
)

// fakeBackend is an Authenticator as well: everybody has the password
// fakePassword, for every mechanism.
var _ sasl.Authenticator = (*fakeBackend)(nil)

// plainOffered reports whether a password may be sent as it is.
func plainOffered(c *session.Conn) bool { return c.TLS != nil || c.Listener.PlaintextAuth }

func (b *fakeBackend) Mechanisms(c *session.Conn) (names []string) {
	for _, m := range sasl.Mechanisms() {
		switch {
		case m.Plain && !plainOffered(c), m.Plus && c.TLS == nil, m.Name == "EXTERNAL" && c.TLS == nil, m.Name == "CRAM-MD5" && !b.digest:
		default:
			names = append(names, m.Name)
		}
	}
	return names
}

func (b *fakeBackend) Begin(c *session.Conn, mechanism string) (sasl.Exchange, error) {
	if b.beginErr != nil {
		return nil, b.beginErr
	}
	var binding func(string) []byte
	if c.TLS != nil {
		binding = c.TLS.Binding
	}
	e := sasl.New(mechanism, fakeVerifier{b}, sasl.Channel{Hostname: c.Listener.Hostname, Binding: binding, Plus: c.TLS != nil})
	switch i := slices.IndexFunc(sasl.Mechanisms(), func(m sasl.Mechanism) bool { return m.Name == mechanism }); {
	case e == nil:
		return nil, fault.New(fault.NotFound, "begin login", nil)
	case i >= 0 && !slices.Contains(b.Mechanisms(c), mechanism):
		return nil, fault.New(fault.Denied, "begin login", nil)
	}
	return e, nil
}

func (b *fakeBackend) Password(c *session.Conn, name, password string) (sasl.Identity, error) {
	return b.login(c.Context, name, password == fakePassword)
}

func (b *fakeBackend) PasswordOffered(c *session.Conn) bool { return plainOffered(c) }

func (b *fakeBackend) Digest(c *session.Conn, name string, check func([]byte) bool) (sasl.Identity, error) {
	return b.login(c.Context, name, check([]byte(fakePassword)))
}

func (b *fakeBackend) DigestOffered(*session.Conn) bool { return b.digest }

func (b *fakeBackend) Recognize(*session.Conn) (sasl.Identity, bool) { return sasl.Identity{}, false }

// login is where every login is decided.
func (b *fakeBackend) login(ctx context.Context, name string, proven bool) (sasl.Identity, error) {
	b.logins++
	b.contexts = append(b.contexts, ctx)
	if b.loginErr != nil {
		return sasl.Identity{}, b.loginErr
	}
	i := slices.Index(b.accounts, name)
	if i < 0 || !proven {
		return sasl.Identity{}, fault.New(fault.Denied, "login", nil)
	}
	b.proven++
	return sasl.Identity{Account: mail.AccountID(i + 1), Address: name, Mechanism: "USER"}, nil
}

// fakeVerifier is the credentials of an exchange.
type fakeVerifier struct{ b *fakeBackend }

const fakeSalt, fakeIterations = "salt and pepper.", 4096

func (v fakeVerifier) Password(ctx context.Context, c sasl.Claim, password string) (sasl.Identity, error) {
	return v.b.login(ctx, c.Name, password == fakePassword && (c.As == "" || c.As == c.Name))
}

func (v fakeVerifier) Salt(context.Context, string) ([]byte, int, error) {
	return []byte(fakeSalt), fakeIterations, nil
}

func (v fakeVerifier) Proof(ctx context.Context, c sasl.Claim, check func(sasl.Keys) bool) (sasl.Identity, error) {
	return v.b.login(ctx, c.Name, check(sasl.DeriveKeys(fakePassword, []byte(fakeSalt), fakeIterations)))
}

func (v fakeVerifier) Secret(ctx context.Context, c sasl.Claim, check func([]byte) bool) (sasl.Identity, error) {
	return v.b.login(ctx, c.Name, check([]byte(fakePassword)))
}

func (v fakeVerifier) Token(ctx context.Context, c sasl.Claim, token string) (sasl.Identity, error) {
	return v.b.login(ctx, c.As, token == "token")
}

func (v fakeVerifier) Certificate(ctx context.Context, c sasl.Claim) (sasl.Identity, error) {
	return v.b.login(ctx, "alice@example.test", c.As == "")
}

// b64 is what a client sends for a message.
func b64(message string) string { return base64.StdEncoding.EncodeToString([]byte(message)) }

// plainMessage is alice's message of PLAIN.
const plainMessage = "\x00alice@example.test\x00" + fakePassword
